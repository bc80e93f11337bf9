//! Who may pass: [`Guard`] admits a request and gives out a [`Permit`], or denies it.
//!
//! A *method* is a way to prove who one is, a *consumer* is who one is then, and a route demands one of
//! some methods and perhaps one of some consumers. Auth is on unless a route says `auth: none`, and
//! every name in it is resolved at load: a misspelt one refuses the file, and never opens a route.
//!
//! A client learns two things only: 401, nobody that we know, and 403, somebody whom the route is not
//! for. Whether a key is missing, unknown, expired or switched off is for the access log. Keys are
//! looked up by their SHA-256 digest; [`keyring`] says why that needs no constant-time comparison.

mod basic;
mod cache;
mod certificate;
mod compile;
pub mod config;
mod consumer;
mod guard;
mod jwt;
pub mod key;
pub mod keyring;
mod keys_file;
mod method;
mod named;
mod place;
mod presented;
mod roll;
mod routes;
mod rules;
mod service;
mod signature;
mod wait;

pub use basic::{BasicConfig, InvalidPassword, PasswordConfig, UserConfig, digest_password};
pub use compile::compile;
pub use config::{
    Allow, ApiKeyConfig, ApiKeysConfig, ConsumerConfig, ConsumersConfig, KeyConfig, MethodConfig,
    MethodsConfig, MtlsConfig, RouteAuth,
};
pub use consumer::Consumer;
pub use guard::{Denied, Guard, Permit, Scheme};
pub use jwt::{Algorithm, Claims, JwtConfig, JwtKeyConfig, KeySetStatus};
pub use key::{Digest, InvalidDigest, digest, new_key};
pub use keyring::{Keyring, Reason};
pub use named::names_a_credential;
pub use place::{remove_cookies, single_cookie};
pub use presented::{Presented, Sent, Written};
pub use routes::Auth;
pub use service::ForwardAuthConfig;
pub use signature::{BodyCheck, SignatureConfig, SignatureKeyConfig, SignedBody};
pub use wait::{Settled, Wait};

#[cfg(test)]
mod tests;
