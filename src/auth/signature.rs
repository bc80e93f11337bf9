//! Signatures of requests themselves (HTTP message signatures, RFC 9421): the subset that lets somebody in.
//!
//! What must be signed is not the client's choice: the method, the target, the body if there is one, and the headers that
//! the file names. What a key is used for follows from the key. All that is signed is what the client sent, before
//! anything of it is rewritten.

mod base;
mod body;
mod config;
mod nonces;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashMap;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::cache::second;
use super::compile::ReadText;
use super::config::ConsumersConfig;
use super::consumer::{Consumer, Registry};
use super::jwt::{Algorithm, Algorithms, InvalidKey, Key};
use super::keyring::Reason;
use super::method::Identity;
use super::place::joined;
use super::presented::{Presented, Sent};
use crate::diagnostic::{At, Diagnostics, unreadable};
use crate::units::OneOrMany;
pub use body::{BodyCheck, SignedBody};
pub use config::{SignatureConfig, SignatureKeyConfig};
use nonces::{Nonces, Once};

/// Longer headers are refused without a look.
const LONGEST: usize = 4 << 10;
/// So many signatures of one request are looked at.
const MOST_SIGNATURES: usize = 4;
/// So many seconds clocks may differ.
const LEEWAY: i64 = 60;

/// The two headers of a signature.
pub(super) static HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("signature-input"), HeaderName::from_static("signature")];

/// The algorithms that signatures have names for (RFC 9421, section 6.2.2), each for one kind of key.
const NAMES: [(&str, Algorithm); 5] = [
    ("hmac-sha256", Algorithm::Hs256),
    ("ed25519", Algorithm::EdDsa),
    ("ecdsa-p256-sha256", Algorithm::Es256),
    ("ecdsa-p384-sha384", Algorithm::Es384),
    ("rsa-pss-sha512", Algorithm::Ps512),
];

/// A method: signatures by keys of consumers.
#[derive(Debug)]
pub(super) struct Signatures {
    cover: Box<[HeaderName]>,
    max_age: i64,
    /// Whether a signature lets in one request only.
    once: bool,
    keys: HashMap<Box<str>, Signer>,
    consumers: Arc<Registry>,
}

#[derive(Debug)]
struct Signer {
    consumer: u32,
    algorithm: &'static str,
    by: Algorithm,
    key: Key,
    used: Arc<Nonces>,
}

/// What a signature says of itself.
struct Params<'a> {
    created: i64,
    expires: Option<i64>,
    keyid: &'a str,
    algorithm: Option<&'a str>,
    nonce: Option<&'a str>,
}

impl Signatures {
    /// Whom a request proves to be from, and the body that was signed with it. What may be used once is yet to be.
    pub(super) fn identify(
        &self,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<(Identity, Option<Once>), Reason> {
        let headers = presented.headers;
        let sent = presented.request.as_ref().ok_or(Reason::Missing)?;
        let (inputs, signatures) =
            match (joined(headers, &HEADERS[0]), joined(headers, &HEADERS[1])) {
                (None, None) => return Err(Reason::Missing),
                (Some(inputs), Some(signatures)) => (inputs, signatures),
                _ => return Err(Reason::Malformed),
            };
        if inputs.len() > LONGEST || signatures.len() > LONGEST {
            return Err(Reason::Malformed);
        }
        let read =
            |text: &[u8]| Parser::new(text).parse::<Dictionary>().map_err(|_| Reason::Malformed);
        let (inputs, signatures) = (read(&inputs)?, read(&signatures)?);
        if inputs.len() > MOST_SIGNATURES || signatures.len() > MOST_SIGNATURES {
            return Err(Reason::Malformed);
        }
        for (label, input) in &inputs {
            let ListEntry::InnerList(covered) = input else { return Err(Reason::Malformed) };
            let params = params(covered)?;
            // Others may have signed it, too, for others.
            let Some(signer) = self.keys.get(params.keyid) else { continue };
            let Some(ListEntry::Item(item)) = signatures.get(label) else {
                return Err(Reason::Malformed);
            };
            let BareItem::ByteSequence(signature) = &item.bare_item else {
                return Err(Reason::Malformed);
            };
            if !item.params.is_empty() {
                return Err(Reason::Malformed);
            }
            let second = self.in_time(&params, now)?;
            let nonce = if self.once { Some(params.nonce.ok_or(Reason::Claims)?) } else { None };
            let identity = self.check(signer, &params, covered, signature, sent, headers)?;
            let until = params.created.saturating_add(self.max_age);
            return Ok((identity, nonce.map(|nonce| signer.used.once(nonce, until, second))));
        }
        Err(Reason::KeyUnknown)
    }

    /// The second that it is, if a signature is of an age to be good.
    fn in_time(&self, params: &Params<'_>, now: SystemTime) -> Result<i64, Reason> {
        let second = second(now);
        let second = i64::try_from(second).unwrap_or(i64::MAX);
        if params.created > second.saturating_add(LEEWAY) {
            return Err(Reason::Early);
        }
        let over = params.created.saturating_add(self.max_age) < second;
        if over || params.expires.is_some_and(|expires| expires <= second) {
            return Err(Reason::Expired);
        }
        Ok(second)
    }

    fn check(
        &self,
        signer: &Signer,
        params: &Params<'_>,
        covered: &InnerList,
        signature: &[u8],
        sent: &Sent<'_>,
        headers: &HeaderMap,
    ) -> Result<Identity, Reason> {
        if params.algorithm.is_some_and(|name| name != signer.algorithm) {
            return Err(Reason::Algorithm);
        }
        let names = base::components(covered)?;
        let vouched = self.body(&names, sent, headers)?;
        let text = base::base(&names, covered, sent, headers).ok_or(Reason::Malformed)?;
        if !signer.key.verify(signer.by, &text, signature) {
            return Err(Reason::Signature);
        }
        let consumer = self.consumers.get(signer.consumer);
        if consumer.is_disabled() {
            return Err(Reason::Disabled);
        }
        Ok(Identity { body: Some(vouched), ..Identity::from(consumer) })
    }

    /// The body that is signed, if all is covered that must be.
    fn body(
        &self,
        names: &[&str],
        sent: &Sent<'_>,
        headers: &HeaderMap,
    ) -> Result<SignedBody, Reason> {
        let has = |name: &str| names.contains(&name);
        let (_, query) = base::parts(sent.written.target()).ok_or(Reason::Malformed)?;
        let target = has("@target-uri")
            || has("@authority") && has("@path") && (query.is_none() || has("@query"));
        if !has("@method") || !target || !self.cover.iter().all(|name| has(name.as_str())) {
            return Err(Reason::Covers);
        }
        // What `Connection` names is for the gateway, and the upstream would not get it.
        if let Some(hops) = joined(headers, &CONNECTION)
            && hops.split(|byte| *byte == b',').any(|hop| {
                let hop = hop.trim_ascii();
                names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(hop))
            })
        {
            return Err(Reason::Covers);
        }
        if has("content-digest") {
            return SignedBody::of(headers);
        }
        // Where no digest is signed, no body is; HTTP/2 may send one without saying so before.
        let length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        if length || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Reason::Covers);
        }
        Ok(SignedBody::Empty)
    }

    /// Whether this consumer has a key.
    pub(super) fn has(&self, consumer: &Consumer) -> Result<(), Reason> {
        if !self.keys.values().any(|signer| Some(signer.consumer) == consumer.id()) {
            return Err(Reason::Missing);
        }
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(()) }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

/// The parameters of a signature, of which none may be that is not known.
fn params(covered: &InnerList) -> Result<Params<'_>, Reason> {
    let (mut created, mut expires) = (None, None);
    let (mut keyid, mut algorithm, mut nonce) = (None, None, None);
    for (name, value) in &covered.params {
        match (name.as_str(), value) {
            ("created", BareItem::Integer(second)) => created = Some(i64::from(*second)),
            ("expires", BareItem::Integer(second)) => expires = Some(i64::from(*second)),
            ("keyid", BareItem::String(text)) => keyid = Some(text.as_str()),
            ("alg", BareItem::String(text)) => algorithm = Some(text.as_str()),
            ("nonce", BareItem::String(text)) => nonce = Some(text.as_str()),
            ("tag", BareItem::String(_)) => {}
            _ => return Err(Reason::Malformed),
        }
    }
    let (Some(created), Some(keyid)) = (created, keyid) else { return Err(Reason::Claims) };
    Ok(Params { created, expires, keyid, algorithm, nonce })
}

impl Signatures {
    /// Reads the method, and the keys of all consumers, which are in the registry already. What keys of the same name have
    /// signed for the `previous` one is known.
    pub(super) fn compile(
        config: &SignatureConfig,
        consumers: &ConsumersConfig,
        registry: &Arc<Registry>,
        previous: Option<&Self>,
        read_text: ReadText<'_>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let cover = cover(&config.cover, &at.key("cover"), diagnostics);
        let max_age = i64::try_from(config.max_age.get().as_secs()).unwrap_or(i64::MAX);
        if !(1..=3600).contains(&max_age) {
            let what = format!("{} is out of bounds", config.max_age);
            let help = "from 1s to 1h: so long somebody who saw a signature could use it again";
            diagnostics.error(at.key("max_age"), what, help);
        }
        let mut keys: HashMap<Box<str>, Signer> = HashMap::new();
        for (name, consumer) in &consumers.0 {
            let Some(id) = registry.find(name).and_then(|consumer| consumer.id()) else { continue };
            for (index, written) in consumer.signature_keys.iter().enumerate() {
                let at = At::root().key("consumers").key(name).key("signature_keys").index(index);
                if written.keyid.is_empty() || keys.contains_key(&*written.keyid) {
                    diagnostics.error(
                        at.key("keyid"),
                        format!("{:?} is no name, or that of another key", written.keyid),
                        "give each key a name of its own, such as partner-1",
                    );
                    continue;
                }
                if let Some(mut signer) = signer(written, id, read_text, &at, diagnostics) {
                    if let Some(known) =
                        previous.and_then(|previous| previous.keys.get(&*written.keyid))
                    {
                        signer.used = Arc::clone(&known.used);
                    }
                    keys.insert(written.keyid.as_str().into(), signer);
                }
            }
        }
        let consumers = Arc::clone(registry);
        (diagnostics.len() == before).then(|| Self {
            cover,
            max_age,
            once: config.once,
            keys,
            consumers,
        })
    }
}

fn cover(written: &OneOrMany, at: &At, diagnostics: &mut Diagnostics) -> Box<[HeaderName]> {
    let mut all = Vec::new();
    for name in &written.0 {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => all.push(name),
            Err(_) => diagnostics.error(
                at.clone(),
                format!("{name:?} is not a header's name"),
                "name headers, such as x-tenant: method, target and body must be covered anyway",
            ),
        }
    }
    all.into()
}

fn signer(
    written: &SignatureKeyConfig,
    consumer: u32,
    read_text: ReadText<'_>,
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<Signer> {
    let all = NAMES.iter().fold(Algorithms::NONE, |all, (_, one)| all.and(*one));
    let (read, at) = match (&written.pem, &written.file, &written.secret) {
        (Some(pem), None, None) => (Key::from_pem(pem.as_bytes(), all), at.key("pem")),
        (None, Some(file), None) => {
            let at = at.key("file");
            match read_text(file) {
                Ok(text) => (Key::from_pem(text.as_bytes(), all), at),
                Err(error) => {
                    let what = format!("{} can't be read: {}", file.display(), unreadable(&error));
                    let help = "the file must exist; a relative path starts at the configuration file's folder";
                    diagnostics.error(at, what, help);
                    return None;
                }
            }
        }
        (None, None, Some(secret)) => {
            (Key::secret(secret.expose().as_bytes(), all), at.key("secret"))
        }
        _ => {
            diagnostics.error(
                at.clone(),
                "a key is one of `pem`, `file` and `secret`",
                "write one of them, such as { keyid: partner-1, file: partner.pem }",
            );
            return None;
        }
    };
    match read {
        Ok(key) => {
            let (name, by) = NAMES.iter().find(|(_, one)| key.algorithms.has(*one))?;
            Some(Signer { consumer, algorithm: name, by: *by, key, used: Arc::default() })
        }
        Err(error) => {
            let help = match error {
                InvalidKey::Private => {
                    "write the public key, such as `openssl pkey -in key.pem -pubout` prints it"
                }
                InvalidKey::Short(..) => {
                    "make a long one, such as `openssl rand -base64 48` prints"
                }
                _ => {
                    "keys are RSA of 2048 bits or more, EC on P-256 or P-384, Ed25519, or a secret"
                }
            };
            diagnostics.error(at, error.to_string(), help);
            None
        }
    }
}

impl ConsumersConfig {
    /// The files that they name.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let keys = self.0.values().flat_map(|consumer| &consumer.signature_keys);
        keys.filter_map(|key| key.file.clone())
    }
}

#[cfg(test)]
mod tests;
