//! User names and passwords (HTTP basic, RFC 7617).
//!
//! A password is something that people choose, so what the file holds is a digest that is slow to compute. It is
//! computed beside the event loops, by few at once; a password that was right is remembered for a while by a keyed
//! digest, so that each request does not pay for it. A user who is not known costs as much time as one who is.

mod booth;
mod config;
mod password;

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashMap;
use http::HeaderMap;
use ring::hmac;
use tokio::task::spawn_blocking;

use super::cache::{Cache, second};
use super::config::ConsumersConfig;
use super::consumer::{Consumer, Registry};
use super::key::Digest;
use super::keyring::Reason;
use super::method::Identity;
use super::place::Place;
use crate::diagnostic::{At, Diagnostics};
pub(super) use booth::Booth;
pub use config::{BasicConfig, PasswordConfig, UserConfig};
pub(super) use password::PASSWORD_HELP;
use password::PasswordDigest;
pub use password::{InvalidPassword, digest_password};

/// The longest credential, in base64.
const LONGEST: usize = 1024;
/// So many seconds a password that was right is remembered.
const REMEMBERED: u64 = 5 * 60;

/// A method: user names and passwords.
#[derive(Debug)]
pub(super) struct Basic {
    pub(super) challenge: String,
    users: HashMap<Box<str>, User>,
    /// The digests of all, for users who are not known.
    decoys: Box<[Arc<PasswordDigest>]>,
    key: hmac::Key,
    verified: Cache<Identity>,
    consumers: Arc<Registry>,
    booth: Arc<Booth>,
}

#[derive(Debug)]
struct User {
    consumer: u32,
    password: Arc<PasswordDigest>,
}

/// A name and a password that nobody has verified yet.
pub(super) struct Login {
    user: String,
    password: String,
    digest: Digest,
}

/// What is known at once of what a request shows.
pub(super) enum Look {
    Known(Identity),
    New(Login),
}

impl Basic {
    /// What a request shows.
    pub(super) fn look(&self, headers: &HeaderMap, now: SystemTime) -> Result<Look, Reason> {
        let sent = Place::Scheme("Basic").find(headers)?;
        if sent.len() > LONGEST {
            return Err(Reason::Malformed);
        }
        let text = STANDARD.decode(sent).map_err(|_| Reason::Malformed)?;
        let text = String::from_utf8(text).map_err(|_| Reason::Malformed)?;
        let (user, password) = text.split_once(':').ok_or(Reason::Malformed)?;
        if text.chars().any(char::is_control) {
            return Err(Reason::Malformed);
        }
        // A name holds no colon, so no two pairs are alike in this.
        let digest = Digest::keyed(&self.key, text.as_bytes());
        match self.verified.get(&digest, second(now), 0) {
            Some(identity) => Ok(Look::Known(identity)),
            None => Ok(Look::New(Login { user: user.into(), password: password.into(), digest })),
        }
    }

    /// Whom a name and a password prove somebody to be.
    pub(super) async fn verify(&self, login: Login, now: SystemTime) -> Result<Identity, Reason> {
        let seat = self.booth.enter().await.ok_or(Reason::Busy)?;
        // Another request with the same may have been before this one.
        if let Some(identity) = self.verified.get(&login.digest, second(now), 0) {
            return Ok(identity);
        }
        let user = self.users.get(&*login.user);
        let digest = user.map_or_else(|| self.decoy(&login.user), |user| Some(&user.password));
        let digest = Arc::clone(digest.ok_or(Reason::Unknown)?);
        let Login { password, digest: shown, .. } = login;
        let right = spawn_blocking(move || {
            // It is left when the work is done, whether or not anybody waits for it still.
            let _seat = seat;
            digest.is_of(password.as_bytes())
        });
        let right = right.await.ok().flatten().ok_or(Reason::Busy)?;
        let user = user.filter(|_| right).ok_or(Reason::Unknown)?;
        let consumer = self.consumers.get(user.consumer);
        if consumer.is_disabled() {
            return Err(Reason::Disabled);
        }
        let (identity, second) = (Identity::from(consumer), second(now));
        self.verified.put(shown, identity.clone(), second + REMEMBERED, second, 0);
        Ok(identity)
    }

    /// A digest for a user who is not known: always the same for a name, and spread as those of the known are, which may
    /// differ in how long they take.
    fn decoy(&self, user: &str) -> Option<&Arc<PasswordDigest>> {
        let count = self.decoys.len().max(1);
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let index = Digest::keyed(&self.key, user.as_bytes()).head() as usize % count;
        self.decoys.get(index)
    }

    /// Whether this consumer has a password.
    pub(super) fn has(&self, consumer: &Consumer) -> Result<(), Reason> {
        if !self.users.values().any(|user| Some(user.consumer) == consumer.id()) {
            return Err(Reason::Missing);
        }
        if consumer.is_disabled() { Err(Reason::Disabled) } else { Ok(()) }
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// Reads the method, and the passwords of all consumers, which are in the registry already.
    pub(super) fn compile(
        config: &BasicConfig,
        consumers: &ConsumersConfig,
        registry: &Arc<Registry>,
        booth: &Arc<Booth>,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let plain = |c: char| c == ' ' || c.is_ascii_graphic() && c != '"' && c != '\\';
        if config.realm.is_empty() || !config.realm.chars().all(plain) {
            diagnostics.error(
                at.key("realm"),
                "a realm is a text of ASCII without quotes",
                "write a word that users know, such as the name of the API",
            );
        }
        let mut users: HashMap<Box<str>, User> = HashMap::new();
        for (name, consumer) in &consumers.0 {
            let Some(written) = &consumer.basic else { continue };
            let Some(id) = registry.find(name).and_then(|consumer| consumer.id()) else {
                continue;
            };
            let at = At::root().key("consumers").key(name).key("basic");
            let user = written.user.as_deref().unwrap_or(name);
            if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
                diagnostics.error(
                    at.key("user"),
                    format!("{user:?} can't be a user's name"),
                    "a name has at least one character, and no colon in it",
                );
            }
            let password = match written.password.read() {
                Ok(password) => Arc::new(password),
                Err(error) => {
                    diagnostics.error(at.key("password"), error.to_string(), PASSWORD_HELP);
                    continue;
                }
            };
            if let Some(other) = users.insert(user.into(), User { consumer: id, password }) {
                diagnostics.error(
                    at.key("user"),
                    format!(
                        "{user:?} is the user of {:?} already",
                        registry.get(other.consumer).name()
                    ),
                    "a user is one consumer; give the other one a `user` of its own",
                );
            }
        }
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            diagnostics.error(at.clone(), "the system has no random numbers to give", "try again");
        }
        let mut decoys: Vec<_> = users.values().map(|user| Arc::clone(&user.password)).collect();
        decoys.sort_by_key(|digest| digest.cost());
        (diagnostics.len() == before).then(|| Self {
            challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", config.realm),
            users,
            decoys: decoys.into(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            verified: Cache::new(),
            consumers: Arc::clone(registry),
            booth: Arc::clone(booth),
        })
    }
}

#[cfg(test)]
mod tests;
