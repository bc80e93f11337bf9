//! What a portal serves: the page, its files, and the document.
//!
//! Nothing of the page comes from elsewhere, and its policy says so to the browser: no script, style or picture but
//! those of this route, no script in the page itself, and requests to the gateway's own hosts alone.

mod assets;
mod document;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use super::Portal;
use super::config::Show;
use crate::auth::{Presented, Settled};
use crate::reply::{Reply, html};
use assets::{Asset, BUNDLE, ICON, STYLE, VERSION};

pub(super) use document::{Document, Documents};

const PAGE: &str = include_str!("page/page.html");
const SCRIPT: &str = include_str!("page/portal.js");
const OWN_STYLE: &str = include_str!("page/portal.css");

/// Which file of the portal is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    /// The portal's path without a slash: relative addresses need one.
    Slash,
    Page,
    Json,
    Yaml,
    Bundle,
    Style,
    Icon,
    Script,
    OwnStyle,
    Logo,
}

impl File {
    /// The file at what follows the portal's own path.
    fn at(rest: &str) -> Option<Self> {
        Some(match rest {
            "" => Self::Slash,
            "/" => Self::Page,
            "/openapi.json" => Self::Json,
            "/openapi.yaml" => Self::Yaml,
            "/swagger-ui-bundle.js" => Self::Bundle,
            "/swagger-ui.css" => Self::Style,
            "/favicon.png" => Self::Icon,
            "/portal.js" => Self::Script,
            "/portal.css" => Self::OwnStyle,
            "/logo" => Self::Logo,
            _ => return None,
        })
    }

    const fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// A picture for the top of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logo {
    pub media_type: &'static str,
    pub bytes: Bytes,
}

/// Something that is asked of a portal.
#[derive(Debug, Clone)]
pub struct Ask {
    portal: Arc<Portal>,
    file: File,
    /// The last segment of the portal's own path.
    name: String,
    /// Whether the address names the version, so that what it leads to never changes.
    versioned: bool,
    if_none_match: Vec<HeaderValue>,
    gzip: bool,
    /// Of a caller who is shown what it may call.
    caller: Option<Caller>,
    now: SystemTime,
}

/// What is known of a caller, by each method.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    nothing: HeaderMap,
    known: Vec<Settled>,
}

impl Caller {
    /// The same for a guard, for whom there is nothing else to look at.
    pub(super) fn presented(&self) -> Presented<'_> {
        let (headers, settled) = (&self.nothing, &*self.known);
        Presented { headers, certificate: None, request: None, settled }
    }
}

impl Portal {
    /// What a request asks for; none if there is nothing. `taken` is the portal's own path, `rest` what follows it.
    #[must_use]
    pub fn ask(
        self: &Arc<Self>,
        taken: &str,
        rest: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Option<Ask> {
        // The root takes its slash along.
        let rest = if taken.is_empty() && rest.is_empty() { "/" } else { rest };
        let file = File::at(rest)?;
        if file == File::Logo && self.logo.is_none() {
            return None;
        }
        let by_caller = file.is_document() && self.show == Show::Allowed;
        Some(Ask {
            portal: Arc::clone(self),
            file,
            name: taken.rsplit('/').next().unwrap_or_default().to_owned(),
            versioned: query.is_some_and(|query| query == format!("v={VERSION}-{}", own_version())),
            if_none_match: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            gzip: headers.get_all(ACCEPT_ENCODING).iter().any(takes_gzip),
            caller: by_caller.then(Caller::default),
            now,
        })
    }
}

impl Ask {
    /// Whether the answer depends on who asks.
    #[must_use]
    pub const fn is_for_caller(&self) -> bool {
        self.caller.is_some()
    }

    /// Tells what is known of who asks.
    pub fn show_to(&mut self, known: Vec<Settled>) {
        self.caller = Some(Caller { known, ..Caller::default() });
    }

    /// Whether the answer may take its time to be made, so that a worker had better not wait for it.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        match self.file {
            File::Json | File::Yaml => {
                self.caller.is_some() || !self.portal.is_ready(self.file == File::Yaml)
            }
            File::Bundle => !self.gzip,
            _ => false,
        }
    }

    /// The answer.
    #[must_use]
    pub fn answer(self) -> Reply {
        match self.file {
            File::Slash => {
                let to = HeaderValue::try_from(format!("./{}/", self.name));
                Reply::new(StatusCode::PERMANENT_REDIRECT)
                    .with(LOCATION, to.unwrap_or(HeaderValue::from_static("./")))
                    .with(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            }
            File::Page => self.page(),
            File::Json | File::Yaml => self.document(),
            File::Bundle => self.asset(&BUNDLE, "text/javascript; charset=utf-8"),
            File::Style => self.asset(&STYLE, "text/css; charset=utf-8"),
            File::Icon => self.asset(&ICON, "image/png"),
            File::Script => self.file(SCRIPT.into(), "text/javascript; charset=utf-8"),
            File::OwnStyle => self.file(OWN_STYLE.into(), "text/css; charset=utf-8"),
            File::Logo => match &self.portal.logo {
                Some(logo) => self.file(logo.bytes.clone(), logo.media_type),
                None => Reply::new(StatusCode::NOT_FOUND),
            },
        }
    }

    fn page(&self) -> Reply {
        let portal = &self.portal;
        let show = match portal.show {
            Show::All => "all",
            Show::Allowed => "allowed",
        };
        let logo = if portal.logo.is_some() {
            "<header class=\"portal-logo\"><img src=\"logo\" alt=\"\"></header>\n"
        } else {
            ""
        };
        let mut title = Vec::new();
        html::escape(&mut title, &portal.about.title);
        let page = PAGE
            .replace("{version}", &format!("{VERSION}-{}", own_version()))
            .replace("{show}", show)
            .replace("{logo}", logo)
            .replace("{title}", &String::from_utf8_lossy(&title));
        self.file(page.into(), "text/html; charset=utf-8")
            .with(CONTENT_SECURITY_POLICY, policy(&portal.hosts()))
            .with(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
            .with(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
    }

    fn asset(&self, asset: &Asset, media_type: &'static str) -> Reply {
        match asset.gzip().filter(|_| self.gzip) {
            Some((gzip, tag)) => {
                let reply = self.reply(Bytes::new(), Some(gzip.clone()), media_type, tag.clone());
                self.lasting(reply)
            }
            None => self.file(asset.plain(), media_type),
        }
    }

    /// A file that changes with the program or the configuration only.
    fn file(&self, plain: Bytes, media_type: &'static str) -> Reply {
        let tag = tag(&plain);
        let reply = self.reply(plain, None, media_type, tag);
        self.lasting(reply)
    }

    fn lasting(&self, reply: Reply) -> Reply {
        let how_long = match self.file {
            File::Page | File::Logo => "no-cache",
            _ if self.versioned => "public, max-age=31536000, immutable",
            _ => "no-cache",
        };
        reply.with(CACHE_CONTROL, HeaderValue::from_static(how_long))
    }

    fn document(&self) -> Reply {
        let document = self.portal.document(self.caller.as_ref(), self.now);
        let (text, media_type) = match self.file {
            File::Yaml => (document.yaml(), "application/yaml"),
            _ => (document.json(), "application/json"),
        };
        let gzip = if self.gzip { text.gzip.clone() } else { None };
        let tag = if gzip.is_some() { &text.gzip_tag } else { &text.tag };
        let plain = if gzip.is_some() { Bytes::new() } else { text.plain.clone() };
        let reply = self.reply(plain, gzip, media_type, tag.clone());
        let for_all = self.portal.is_for_everybody && self.caller.is_none();
        let cached = if for_all { "no-cache" } else { "private, no-cache" };
        reply.with(CACHE_CONTROL, HeaderValue::from_static(cached))
    }

    fn vary(&self) -> HeaderValue {
        let by_caller = self.portal.vary.as_ref().filter(|_| self.caller.is_some());
        by_caller.cloned().unwrap_or(HeaderValue::from_static("Accept-Encoding"))
    }

    /// The file, or that it is still the one that the client has.
    fn reply(
        &self,
        plain: Bytes,
        gzip: Option<Bytes>,
        media_type: &'static str,
        tag: HeaderValue,
    ) -> Reply {
        let same = self.if_none_match.iter().any(|known| matches(known, &tag));
        let status = if same { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut reply = Reply::new(status)
            .with(ETAG, tag)
            .with(VARY, self.vary())
            .with(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if same {
            return reply;
        }
        reply = reply.with(CONTENT_TYPE, HeaderValue::from_static(media_type));
        // Whatever a picture or a document holds, opened alone it runs nothing.
        if self.file != File::Page {
            let nothing = HeaderValue::from_static("default-src 'none'; sandbox");
            reply = reply.with(CONTENT_SECURITY_POLICY, nothing);
        }
        reply.body = match gzip {
            Some(gzip) => {
                reply = reply.with(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip
            }
            None => plain,
        };
        reply
    }
}

/// What the page may do, for requests to these hosts beside its own.
fn policy(hosts: &[String]) -> HeaderValue {
    let mut connect = "'self'".to_owned();
    for host in hosts {
        connect.push(' ');
        connect.push_str(host);
    }
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {connect}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Hosts are names; without them the policy is only stricter.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self'",
    ))
}

/// Changes when one of our own files does.
fn own_version() -> u32 {
    const fn sum(text: &[u8], mut hash: u32) -> u32 {
        // FNV-1a.
        let mut i = 0;
        while i < text.len() {
            hash = (hash ^ text[i] as u32).wrapping_mul(0x0100_0193);
            i += 1;
        }
        hash
    }
    const SUM: u32 = sum(OWN_STYLE.as_bytes(), sum(SCRIPT.as_bytes(), 0x811c_9dc5));
    SUM
}

/// An entity tag (RFC 9110, section 8.8.3) for these bytes.
fn tag(bytes: &[u8]) -> HeaderValue {
    use std::fmt::Write as _;
    let digest = Sha256::digest(bytes);
    let mut text = String::from("\"");
    for byte in digest.iter().take(12) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether `If-None-Match` names this tag (RFC 9110, section 13.1.2).
fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let known = known.to_str().unwrap_or_default();
    known
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes())
}

/// Whether a value of `Accept-Encoding` allows gzip.
fn takes_gzip(value: &HeaderValue) -> bool {
    let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
    value.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.trim().parse::<f32>().ok())
            .is_some_and(|q| q <= 0.0);
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && !refused
    })
}

/// The picture in a file, by the end of its name.
pub(super) fn media_type(file: &str) -> Option<&'static str> {
    let end = file.rsplit('.').next().map(str::to_ascii_lowercase);
    Some(match end.as_deref()? {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => return None,
    })
}

/// A credential's headers, as `Vary` names them.
pub(super) fn vary(headers: &[http::HeaderName]) -> Option<HeaderValue> {
    let names: Vec<Cow<'_, str>> = headers.iter().map(|name| name.as_str().into()).collect();
    let names = names.join(", ");
    HeaderValue::try_from(format!("Accept-Encoding, {names}")).ok().filter(|_| !headers.is_empty())
}

#[cfg(test)]
mod tests;
