//! From `auth` and `consumers` as written to keyrings.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::certificate::Certificates;
use super::config::{ApiKeyConfig, ConsumersConfig, MethodConfig, MethodsConfig};
use super::consumer::{NAME_HELP, Registry};
use super::guard::{ApiKey, Method};
use super::key::{DIGEST_HELP, Digest};
use super::keyring::{Entry, Keyring};
use super::keys_file::{self, Report, TIME_HELP, until};
use super::routes::Auth;
use crate::diagnostic::{At, Diagnostics, unreadable};

/// The keys that stand in the configuration itself.
#[derive(Default)]
struct Inline {
    entries: Vec<Entry>,
    places: HashMap<Digest, At>,
}

/// Reads all methods and consumers, and the files of keys through `read_file`. Mistakes are among the
/// diagnostics. If they are in keys only, what is there can still tell which names are known, and is
/// given back for that.
pub fn compile(
    methods: &MethodsConfig,
    consumers: &ConsumersConfig,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Auth> {
    let before = diagnostics.len();
    let mut registry = Registry::default();
    let inline = inline_keys(consumers, &mut registry, diagnostics);
    let mut names_known = consumers.0.keys().all(|name| registry.find(name).is_some());
    let mut found: Vec<Source<'_>> = Vec::new();
    let mut by_certificate = Vec::new();
    for (name, config) in &methods.0 {
        let at = At::root().key("auth").key(name);
        let (header, config) = match kind(name, config, &at, diagnostics) {
            Some(Kind::ApiKey(header, config)) => (header, config),
            Some(Kind::Mtls) => {
                by_certificate.push(name);
                continue;
            }
            None => continue,
        };
        if let Some(other) = found.iter().find(|other| other.header == header) {
            diagnostics.error(
                at.key("api_key").key("header"),
                format!("header \"{header}\" is that of the method \"{}\" already", other.name),
                "give each method its own header",
            );
        }
        let mut source = Source {
            name,
            header,
            entries: inline.entries.clone(),
            text: None,
            at: at.key("api_key").key("keys_file"),
        };
        if let Some(file) = &config.keys_file {
            let before = diagnostics.len();
            source.read(file, read_file, &mut registry, diagnostics);
            names_known &= diagnostics.len() == before;
        }
        found.push(source);
    }
    let registry = Arc::new(registry);
    let mut compiled = Vec::new();
    for source in found {
        compiled.extend(source.method(&registry, &inline.places, diagnostics));
    }
    let certificates = Certificates::compile(consumers, &registry, diagnostics);
    if let Some(name) = by_certificate.pop() {
        for name in &by_certificate {
            diagnostics.error(
                At::root().key("auth").key(*name),
                "there is another method for certificates already",
                "one is enough: it knows the certificates of all consumers",
            );
        }
        compiled.push((name.clone(), Arc::new(Method::Mtls(certificates))));
    }
    let sound = diagnostics.len() == before;
    let all_there = names_known && compiled.len() == methods.0.len();
    all_there.then(|| Auth::new(compiled, registry, sound))
}

fn inline_keys(
    consumers: &ConsumersConfig,
    registry: &mut Registry,
    diagnostics: &mut Diagnostics,
) -> Inline {
    let mut inline = Inline::default();
    for (name, config) in &consumers.0 {
        let at = At::root().key("consumers").key(name);
        let Some(consumer) = registry.intern(name, config.disabled) else {
            diagnostics.error(at, format!("{name:?} can't be a consumer's name"), NAME_HELP);
            continue;
        };
        for (index, key) in config.api_keys.0.iter().enumerate() {
            let at = at.key("api_keys").index(index);
            let until = until(key.expires.as_deref(), key.disabled);
            if until.is_none() {
                diagnostics.error(at.key("expires"), "this is not a time", TIME_HELP);
            }
            let digest = match key.digest {
                Ok(digest) => digest,
                Err(error) => {
                    diagnostics.error(at, error.to_string(), DIGEST_HELP);
                    continue;
                }
            };
            if let Some(first) = inline.places.get(&digest) {
                diagnostics.error(
                    at,
                    format!("this key stands already at {first}"),
                    "a key belongs to one consumer and stands in one place; take one of them out",
                );
                continue;
            }
            inline.places.insert(digest, at);
            inline.entries.extend(until.map(|until| Entry { digest, consumer, until }));
        }
    }
    inline
}

/// The one kind of method that a name stands for.
enum Kind<'a> {
    ApiKey(HeaderName, &'a ApiKeyConfig),
    Mtls,
}

fn kind<'a>(
    name: &str,
    config: &'a MethodConfig,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Kind<'a>> {
    if name == "none" || name.is_empty() {
        diagnostics.error(
            at.clone(),
            format!("{name:?} can't be the name of an auth method"),
            "`auth: none` opens a route; use another name, such as `key`",
        );
    }
    let config = match config {
        MethodConfig { api_key: Some(config), mtls: None } => config,
        MethodConfig { api_key: None, mtls: Some(_) } => return Some(Kind::Mtls),
        MethodConfig { api_key: None, mtls: None } => {
            diagnostics.error(
                at.clone(),
                format!("the auth method \"{name}\" does not say of what kind it is"),
                "write `api_key: {}` for keys in the header x-api-key, or `mtls: {}` for certificates",
            );
            return None;
        }
        MethodConfig { api_key: Some(_), mtls: Some(_) } => {
            diagnostics.error(
                at.clone(),
                format!("the auth method \"{name}\" is of two kinds"),
                "make two methods of them; a route that names both is content with one",
            );
            return None;
        }
    };
    match header(&config.header) {
        Ok(header) => Some(Kind::ApiKey(header, config)),
        Err((what, help)) => {
            diagnostics.error(at.key("api_key").key("header"), what, help);
            None
        }
    }
}

/// Headers that mean something else, and which it would be a mistake to remove from a request.
fn header(written: &str) -> Result<HeaderName, (String, &'static str)> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let name = Some(written)
        .filter(|name| name.bytes().all(plain))
        .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .ok_or_else(|| {
            (
                format!("{written:?} is not a header's name"),
                "use letters, digits and `-`, such as x-api-key",
            )
        })?;
    let taken = matches!(
        name.as_str(),
        "host"
            | "connection"
            | "content-length"
            | "content-type"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "trailer"
            | "keep-alive"
            | "expect"
            | "cookie"
            | "via"
            | "forwarded"
            | "accept"
            | "range"
            | "user-agent"
            | "x-request-id"
    ) || ["proxy-", "x-forwarded-", "x-consumer-"]
        .iter()
        .any(|own| name.as_str().starts_with(own));
    if taken {
        return Err((
            format!("header \"{written}\" has another meaning and can't hold a key"),
            "use a header of its own, such as x-api-key",
        ));
    }
    Ok(name)
}

/// One method on its way.
struct Source<'a> {
    name: &'a str,
    header: HeaderName,
    entries: Vec<Entry>,
    text: Option<(String, String)>,
    at: At,
}

impl Source<'_> {
    fn read(
        &mut self,
        file: &Path,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
        registry: &mut Registry,
        diagnostics: &mut Diagnostics,
    ) {
        let shown = file.display().to_string();
        let text = match read_file(file) {
            Ok(text) => text,
            Err(error) => {
                diagnostics.error(
                    self.at.clone(),
                    format!("{shown} can't be read: {}", unreadable(&error)),
                    "the file must exist and be UTF-8 text that the gateway's user may read; a relative path \
                     starts at the configuration file's folder",
                );
                return;
            }
        };
        let mut report = Report::new(&shown, &self.at, diagnostics);
        keys_file::read(&text, registry, &mut self.entries, &mut report);
        report.close();
        self.text = Some((shown, text));
    }

    fn method(
        self,
        consumers: &Arc<Registry>,
        inline: &HashMap<Digest, At>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(String, Arc<Method>)> {
        match Keyring::build(self.entries, consumers) {
            Ok(keys) => {
                let method = Method::ApiKey(ApiKey { header: self.header, keys });
                Some((self.name.to_owned(), Arc::new(method)))
            }
            Err(twice) => {
                // What stands in the configuration is there once, so the file has a part in it.
                let (file, text) = self.text.unwrap_or_default();
                let mut report = Report::new(&file, &self.at, diagnostics);
                keys_file::tell_repetitions(&text, &twice, inline, &mut report);
                report.close();
                None
            }
        }
    }
}
