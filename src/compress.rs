//! Compression of answers on their way to the client: gzip, br or zstd, by `Accept-Encoding`.
//!
//! It is off unless a route asks for it, for two reasons: it costs CPU for every answer, and an answer that holds
//! a secret beside something an attacker chooses tells the secret by its length (the attack named BREACH).
//! `docs/browsers.md` says where it does no harm.
//!
//! This is a station of the gateway's own, and not Pingora's module, since that one looks at no q-values
//! (`gzip;q=0` is compressed with gzip), takes the client's first coding for its favourite, compresses partial
//! answers, ignores `no-transform`, never flushes a stream before its end, and leaves a brotli stream without
//! its last block. A test of this folder shows each of these, and will fail when one is mended.
//!
//! What is left alone: answers that are encoded already, without a body (204, 304), partial (206), marked
//! `no-transform` by either side, streams of events, gRPC, types that do not shrink, and bodies known to be small. An
//! answer that is changed loses `Content-Length` and digests of its bytes, and its `ETag` becomes weak; one that
//! *could* have been changed says `Vary: Accept-Encoding`, whoever asked. HEAD has the headers of GET.
//!
//! Each piece of a body is flushed as it comes, so nothing of a slow stream is held back. The work is bounded: fast
//! levels, windows of 256 KiB, so that a long body needs about 1 MiB of memory, and no piece is larger than what was
//! read at once.

mod accept;
mod config;
mod encoder;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
};
use http::{HeaderMap, StatusCode};

use crate::diagnostic::{At, Diagnostics};
use crate::rewrite::vary;

pub use config::{Algorithm, Config, Setting};
pub use encoder::Encoder;

/// Digests of what was sent, which is then something else (RFC 9530; RFC 9110, section 14 of its forerunners).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// How the answers of a route are compressed.
#[derive(Debug, PartialEq, Eq)]
pub struct Compress {
    types: Box<[MediaType]>,
    min_size: u64,
    /// The best first.
    algorithms: Box<[Algorithm]>,
}

/// One media type, or many.
#[derive(Debug, PartialEq, Eq)]
enum MediaType {
    /// `application/json`
    One(Box<str>),
    /// `text/*`, as `text/`
    All(Box<str>),
    /// `application/*+json`, as `application/` and `+json`
    Suffix(Box<str>, Box<str>),
}

impl MediaType {
    fn parse(text: &str) -> Option<Self> {
        let token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
        };
        let text = text.to_ascii_lowercase();
        let (kind, subtype) = text.split_once('/').filter(|(kind, _)| token(kind))?;
        match subtype.strip_prefix('*') {
            Some("") => Some(Self::All(format!("{kind}/").into())),
            Some(suffix) if suffix.starts_with('+') && token(&suffix[1..]) => {
                Some(Self::Suffix(format!("{kind}/").into(), suffix.into()))
            }
            None if token(subtype) => Some(Self::One(text.into())),
            _ => None,
        }
    }

    /// Whether a media type, in lower case and without parameters, is meant.
    fn has(&self, other: &str) -> bool {
        match self {
            Self::One(one) => **one == *other,
            Self::All(kind) => other.starts_with(&**kind),
            Self::Suffix(kind, suffix) => other.starts_with(&**kind) && other.ends_with(&**suffix),
        }
    }
}

/// An answer that may be compressed.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// The length of its body, if that is known.
    pub length: Option<u64>,
    /// Its headers.
    pub headers: &'a mut HeaderMap,
}

impl Compress {
    /// Reads what is written.
    pub fn compile(config: &Config, at: &At, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.len();
        let mut types = Vec::with_capacity(config.types.len());
        for (index, text) in config.types.iter().enumerate() {
            match MediaType::parse(text) {
                Some(known) => types.push(known),
                None => diagnostics.error(
                    at.key("types").index(index),
                    format!("{text:?} is not a media type"),
                    "write it like application/json, text/* or application/*+json",
                ),
            }
        }
        for (key, is_empty) in
            [("types", config.types.is_empty()), ("algorithms", config.algorithms.is_empty())]
        {
            if is_empty {
                diagnostics.error(
                    at.key(key),
                    "the list is empty, so nothing would be compressed",
                    "take the key out to have its default, or write `compress: false`",
                );
            }
        }
        for (index, algorithm) in config.algorithms.iter().enumerate() {
            if config.algorithms[..index].contains(algorithm) {
                diagnostics.error(
                    at.key("algorithms").index(index),
                    format!("{} stands here twice", algorithm.name()),
                    "take one out",
                );
            }
        }
        (diagnostics.len() == before).then(|| Self {
            types: types.into(),
            min_size: config.min_size.bytes(),
            algorithms: config.algorithms.clone().into(),
        })
    }

    /// Decides about an answer and, if it is to be compressed, changes its headers to say so; the body then goes
    /// through the encoder. `sent` are the headers of the request.
    #[must_use]
    pub fn begin(&self, sent: &HeaderMap, answer: Answer<'_>) -> Option<Encoder> {
        let Answer { status, length, headers } = answer;
        let accepted = || self.choose(sent);
        if status == StatusCode::NOT_MODIFIED {
            // What it speaks of is in the client's hands compressed, with a weak tag.
            if accepted().is_some() {
                weaken(headers);
            }
            return None;
        }
        if !self.fits(status, length, headers) || is_final(sent) {
            return None;
        }
        vary(headers, "Accept-Encoding");
        let algorithm = accepted()?;
        let encoder = Encoder::new(algorithm, length).ok()?;
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(algorithm.name()));
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        for digest in &DIGESTS {
            headers.remove(digest);
        }
        weaken(headers);
        Some(encoder)
    }

    /// The coding that the sender of these headers gets, if it accepts one.
    #[must_use]
    pub fn accepted(&self, sent: &HeaderMap) -> Option<&'static str> {
        self.choose(sent).filter(|_| !is_final(sent)).map(Algorithm::name)
    }

    fn choose(&self, sent: &HeaderMap) -> Option<Algorithm> {
        accept::choose(sent.get_all(ACCEPT_ENCODING).iter(), &self.algorithms)
    }

    /// Whether an answer is one that this route compresses for who accepts it.
    fn fits(&self, status: StatusCode, length: Option<u64>, headers: &HeaderMap) -> bool {
        let has_body = !status.is_informational()
            && !matches!(
                status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
            );
        has_body
            && length.is_none_or(|length| length > 0 && length >= self.min_size)
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && !is_final(headers)
            && headers.get(CONTENT_TYPE).is_some_and(|value| self.shrinks(value))
    }

    fn shrinks(&self, content_type: &HeaderValue) -> bool {
        let text = content_type.to_str().unwrap_or_default();
        let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_stream =
            media_type == "text/event-stream" || media_type.starts_with("application/grpc");
        !is_stream && self.types.iter().any(|known| known.has(&media_type))
    }
}

/// Whether nobody may change the body (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
fn is_final(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut words = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Two bodies that decode to the same are the same by a weak tag only (RFC 9110, section 8.8.1).
fn weaken(headers: &mut HeaderMap) {
    let weak = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
        .and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

#[cfg(test)]
mod tests;
