//! From `auth` and `consumers` as written to keyrings.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::HeaderName;

use super::basic::{Basic, BasicConfig, Booth};
use super::certificate::Certificates;
use super::config::{ApiKeyConfig, ConsumersConfig, MethodConfig, MethodsConfig};
use super::consumer::{NAME_HELP, Registry};
use super::jwt::{self, JwtConfig};
use super::key::{DIGEST_HELP, Digest};
use super::keyring::{Entry, Keyring};
use super::keys_file::{self, Report, TIME_HELP, until};
use super::method::{ApiKey, Method};
use super::roll::Roll;
use super::routes::Auth;
use super::service::{ForwardAuthConfig, Service};
use super::signature::{SignatureConfig, Signatures};
use crate::diagnostic::{At, Diagnostics, unreadable};

/// How the texts of files are read.
pub(super) type ReadText<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

/// The keys that stand in the configuration itself.
#[derive(Default)]
struct Inline {
    entries: Vec<Entry>,
    places: HashMap<Digest, At>,
}

/// Reads all methods and consumers, and the files of keys through `read_file`. Mistakes are among the
/// diagnostics. If they are in keys only, what is there can still tell which names are known, and is
/// given back for that. What a `previous` configuration has fetched is taken over.
pub fn compile(
    methods: &MethodsConfig,
    consumers: &ConsumersConfig,
    previous: Option<&Auth>,
    read_file: ReadText<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Auth> {
    let before = diagnostics.len();
    let mut registry = Registry::default();
    let inline = inline_keys(consumers, &mut registry, diagnostics);
    let mut roll = Roll::of(consumers, &registry);
    let mut names_known = consumers.0.keys().all(|name| registry.find(name).is_some());
    let mut found: Vec<Source<'_>> = Vec::new();
    let mut others = Vec::new();
    for (name, config) in &methods.0 {
        let at = At::root().key("auth").key(name);
        let (header, config) = match kind(name, config, &at, diagnostics) {
            Some(Kind::ApiKey(header, config)) => (header, config),
            Some(other) => {
                others.push((name, other));
                continue;
            }
            None => continue,
        };
        let mut source = Source {
            name,
            header,
            entries: inline.entries.clone(),
            text: None,
            at: at.key("api_key").key("keys_file"),
        };
        if let Some(file) = &config.keys_file {
            let before = diagnostics.len();
            source.read(file, read_file, (&mut registry, &mut roll), diagnostics);
            names_known &= diagnostics.len() == before;
        }
        found.push(source);
    }
    roll.close();
    let registry = Arc::new(registry);
    let mut compiled = Vec::new();
    for source in found {
        compiled.extend(source.method(&registry, &inline.places, diagnostics));
    }
    let mut rest = Rest {
        methods,
        consumers,
        previous,
        read_file,
        certificates: Some(Certificates::compile(consumers, &registry, diagnostics)),
        booth: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.booth)),
        registry: &registry,
    };
    for (name, kind) in others {
        let method = rest.method(name, &kind, diagnostics);
        compiled.extend(method.map(|method| (name.clone(), Arc::new(method))));
    }
    let booth = rest.booth;
    refuse_shared_headers(&compiled, diagnostics);
    refuse_taken_names(&compiled, &registry, diagnostics);
    compiled.sort_by(|(one, _), (other, _)| one.cmp(other));
    let sound = diagnostics.len() == before;
    let all_there = names_known && compiled.len() == methods.0.len();
    all_there.then(|| Auth::new(compiled, registry, roll, booth, sound))
}

/// What methods other than those by keys are made of.
struct Rest<'a> {
    methods: &'a MethodsConfig,
    consumers: &'a ConsumersConfig,
    previous: Option<&'a Auth>,
    read_file: ReadText<'a>,
    certificates: Option<Certificates>,
    booth: Arc<Booth>,
    registry: &'a Arc<Registry>,
}

impl Rest<'_> {
    fn method(
        &mut self,
        name: &str,
        kind: &Kind<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Method> {
        let at = At::root().key("auth").key(name);
        let (consumers, registry, read_text) = (self.consumers, self.registry, self.read_file);
        match kind {
            Kind::ApiKey(..) => None,
            Kind::Mtls => by_certificate(self.certificates.take(), &at, diagnostics),
            Kind::Basic(config) => {
                self.is_only(name, &at, |method| method.basic.is_some(), "passwords", diagnostics)?;
                let (at, booth) = (at.key("basic"), &self.booth);
                let made = Basic::compile(config, consumers, registry, booth, &at, diagnostics);
                made.map(|basic| Method::Basic(Box::new(basic)))
            }
            Kind::Signature(config) => {
                let is_one = |method: &MethodConfig| method.signature.is_some();
                self.is_only(name, &at, is_one, "signatures", diagnostics)?;
                let at = at.key("signature");
                let known = self.previous.and_then(Auth::signatures);
                let made = Signatures::compile(
                    config,
                    consumers,
                    registry,
                    known,
                    read_text,
                    &at,
                    diagnostics,
                );
                made.map(|signatures| Method::Signature(Box::new(signatures)))
            }
            Kind::Service(config) => {
                let at = at.key("forward_auth");
                let made = Service::compile(name, config, registry, &at, diagnostics);
                made.map(|service| Method::Service(Box::new(service)))
            }
            Kind::Jwt(config) => {
                let at = at.key("jwt");
                let reader = jwt::Compiler { name, config, at: &at, read_text, diagnostics };
                let previous = self.previous;
                let before = |name: &str, wish: &jwt::Wish| previous?.fetched(name, wish);
                reader.compile(registry, before).map(|jwt| Method::Jwt(Box::new(jwt)))
            }
        }
    }

    /// None if a method before this one is of its kind, and knows all that it could know.
    fn is_only(
        &self,
        name: &str,
        at: &At,
        kind: impl Fn(&MethodConfig) -> bool,
        what: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        if !self.methods.0.iter().any(|(other, method)| **other < *name && kind(method)) {
            return Some(());
        }
        diagnostics.error(
            at.clone(),
            format!("there is another method for {what} already"),
            "one is enough: it knows all consumers",
        );
        None
    }
}

fn by_certificate(
    certificates: Option<Certificates>,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Method> {
    if certificates.is_none() {
        diagnostics.error(
            at.clone(),
            "there is another method for certificates already",
            "one is enough: it knows the certificates of all consumers",
        );
    }
    certificates.map(Method::Mtls)
}

/// A header with a key in it belongs to one method; tokens of several issuers may share one.
fn refuse_shared_headers(methods: &[(String, Arc<Method>)], diagnostics: &mut Diagnostics) {
    for (index, (name, method)) in methods.iter().enumerate() {
        let is_key = |method: &Method| matches!(method, Method::ApiKey(_));
        let mut before = methods[..index].iter();
        let shared = |other: &Method| {
            let ours = method.places().0;
            ours.iter().find(|header| other.places().0.contains(header))
        };
        let clash = before.find_map(|(known, other)| {
            shared(other).filter(|_| is_key(method) || is_key(other)).map(|header| (known, header))
        });
        if let Some((other, header)) = clash {
            let at = At::root().key("auth").key(name);
            let at = match **method {
                Method::ApiKey(_) => at.key("api_key").key("header"),
                Method::Jwt(_) => at.key("jwt").key("header"),
                Method::Service(_) => at.key("forward_auth").key("send"),
                Method::Basic(_) | Method::Mtls(_) | Method::Signature(_) => at,
            };
            diagnostics.error(
                at,
                format!("header \"{header}\" is that of the method \"{other}\" already"),
                "give each method its own header",
            );
        }
    }
}

/// No consumer may have a name that bearers of tokens are given.
fn refuse_taken_names(
    methods: &[(String, Arc<Method>)],
    registry: &Registry,
    diagnostics: &mut Diagnostics,
) {
    for (name, method) in methods {
        let Some(prefix) = method.prefix() else { continue };
        if let Some(taken) = registry.all().iter().find(|known| known.name().starts_with(&prefix)) {
            diagnostics.error(
                At::root().key("auth").key(name),
                format!(
                    "callers by this method are named {prefix} and their subject, and a consumer is named {:?}",
                    taken.name()
                ),
                "rename the method or the consumer: somebody else could be taken for that consumer",
            );
        }
    }
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
    Jwt(&'a JwtConfig),
    Basic(&'a BasicConfig),
    Service(&'a ForwardAuthConfig),
    Signature(&'a SignatureConfig),
}

/// Of how many kinds a method is.
fn of_kinds(config: &MethodConfig) -> usize {
    let MethodConfig { api_key, mtls, jwt, basic, forward_auth, signature } = config;
    let kinds = [
        api_key.is_some(),
        mtls.is_some(),
        jwt.is_some(),
        basic.is_some(),
        forward_auth.is_some(),
        signature.is_some(),
    ];
    kinds.into_iter().filter(|is| *is).count()
}

fn kind<'a>(
    name: &str,
    config: &'a MethodConfig,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Kind<'a>> {
    if name == "none" || name == "all" || name.is_empty() {
        diagnostics.error(
            at.clone(),
            format!("{name:?} can't be the name of an auth method"),
            "`auth: none` opens a route; use another name, such as `key`",
        );
    }
    let MethodConfig { api_key, mtls, jwt, basic, forward_auth, signature } = config;
    match of_kinds(config) {
        1 => {}
        0 => {
            diagnostics.error(
                at.clone(),
                format!("the auth method \"{name}\" does not say of what kind it is"),
                "write `api_key: {}` for keys in the header x-api-key, or one of `mtls`, `jwt`, `basic`, \
                 `signature` and `forward_auth`",
            );
            return None;
        }
        _ => {
            diagnostics.error(
                at.clone(),
                format!("the auth method \"{name}\" is of two kinds"),
                "make two methods of them; a route that names both is content with one",
            );
            return None;
        }
    }
    if mtls.is_some() {
        return Some(Kind::Mtls);
    }
    if let Some(config) = jwt {
        return Some(Kind::Jwt(config));
    }
    if let Some(config) = basic {
        return Some(Kind::Basic(config));
    }
    if let Some(config) = signature {
        return Some(Kind::Signature(config));
    }
    if let Some(config) = forward_auth {
        return Some(Kind::Service(config));
    }
    let config = api_key.as_ref()?;
    match header(&config.header) {
        Ok(header) => Some(Kind::ApiKey(header, config)),
        Err((what, help)) => {
            diagnostics.error(at.key("api_key").key("header"), what, help);
            None
        }
    }
}

/// Headers that mean something else, and which it would be a mistake to remove from a request.
pub(super) fn header(written: &str) -> Result<HeaderName, (String, &'static str)> {
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
        read_file: ReadText<'_>,
        (registry, roll): (&mut Registry, &mut Roll),
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
        keys_file::read(&text, registry, roll, &mut self.entries, &mut report);
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
