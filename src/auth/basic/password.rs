//! Digests of passwords, by argon2id and bcrypt: slow to compute, and bounded, since a request can ask for one.

use std::io;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bcrypt::HashParts;

/// The most that a digest may cost: memory in KiB, passes, and lanes of argon2.
const MOST: [u32; 3] = [64 << 10, 10, 8];
/// The most rounds of bcrypt, as a power of two.
const MOST_ROUNDS: u32 = 14;
/// The length of a bcrypt digest.
const BCRYPT: usize = 60;
/// The longest password that bcrypt looks at as a whole.
const LONGEST_OF_BCRYPT: usize = 72;

/// The digest of a password.
pub(in crate::auth) enum PasswordDigest {
    Argon2 { params: Params, salt: Box<[u8]>, hash: Box<[u8]> },
    Bcrypt { text: Box<str>, rounds: u32 },
}

/// Why a text is not such a digest. It never holds the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// It is none that is known here.
    #[error(
        "this is not a digest by argon2id or bcrypt, and a password itself must not stand in a file"
    )]
    Plaintext,
    /// It is cut off, or has something in it that does not belong there.
    #[error("this digest cannot be read")]
    Broken,
    /// A request could cost too much.
    #[error(
        "this digest costs too much to verify: argon2id may have m=65536 (64 MiB), t=10 and p=8, and bcrypt a cost of 14"
    )]
    Costly,
}

/// How to mend an [`InvalidPassword`].
pub(in crate::auth) const PASSWORD_HELP: &str =
    "`portcullis key password` reads a password from standard input and prints its digest";

impl PasswordDigest {
    /// Whether it is that of this password; none if that cannot be found out. It takes its time.
    pub(super) fn is_of(&self, password: &[u8]) -> Option<bool> {
        match self {
            Self::Argon2 { params, salt, hash } => {
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
                let mut made = vec![0; hash.len()];
                argon2.hash_password_into(password, salt, &mut made).ok()?;
                // All of it is looked at, wherever the first difference is.
                Some(made.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b)) == 0)
            }
            Self::Bcrypt { text, .. } => {
                // What is beyond would not count, and neither may it be cut off and be right.
                let whole = password.len() <= LONGEST_OF_BCRYPT && !password.contains(&0);
                Some(bcrypt::verify(password, text).ok()? && whole)
            }
        }
    }

    /// A number that is higher for what takes longer.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Argon2 { params, .. } => u64::from(params.m_cost()) * u64::from(params.t_cost()),
            Self::Bcrypt { rounds, .. } => 1 << rounds,
        }
    }
}

impl std::fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for PasswordDigest {
    type Err = InvalidPassword;

    fn from_str(text: &str) -> Result<Self, InvalidPassword> {
        match text.strip_prefix("$argon2id$") {
            Some(rest) => argon2id(rest),
            None if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind)) => {
                by_bcrypt(text)
            }
            None => Err(InvalidPassword::Plaintext),
        }
    }
}

/// `v=19$m=19456,t=2,p=1$SALT$HASH`
fn argon2id(rest: &str) -> Result<PasswordDigest, InvalidPassword> {
    use InvalidPassword::{Broken, Costly};
    let mut parts = rest.split('$');
    let mut next = || parts.next().ok_or(Broken);
    let (version, costs, salt, hash) = (next()?, next()?, next()?, next()?);
    let bytes = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| Broken);
    let (salt, hash) = (bytes(salt)?, bytes(hash)?);
    if version != "v=19" || parts.next().is_some() {
        return Err(Broken);
    }
    if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&hash.len()) {
        return Err(Broken);
    }
    let mut numbers = [0_u32; 3];
    let mut written = costs.split(',');
    for (number, name) in numbers.iter_mut().zip(["m=", "t=", "p="]) {
        let digits = written.next().and_then(|one| one.strip_prefix(name)).ok_or(Broken)?;
        *number = digits.parse().map_err(|_| Broken)?;
    }
    if written.next().is_some() {
        return Err(Broken);
    }
    if numbers.iter().zip(MOST).any(|(number, most)| *number > most) {
        return Err(Costly);
    }
    let [memory, passes, lanes] = numbers;
    let params = Params::new(memory, passes, lanes, Some(hash.len())).map_err(|_| Broken)?;
    Ok(PasswordDigest::Argon2 { params, salt: salt.into(), hash: hash.into() })
}

fn by_bcrypt(text: &str) -> Result<PasswordDigest, InvalidPassword> {
    if text.len() != BCRYPT || !text.is_ascii() {
        return Err(InvalidPassword::Broken);
    }
    let parts: HashParts = text.parse().map_err(|_| InvalidPassword::Broken)?;
    match parts.get_cost() {
        rounds @ 4..=MOST_ROUNDS => Ok(PasswordDigest::Bcrypt { text: text.into(), rounds }),
        0..4 => Err(InvalidPassword::Broken),
        _ => Err(InvalidPassword::Costly),
    }
}

/// The digest of a password as the configuration wants it, by argon2id with 19 MiB and two passes.
///
/// # Errors
/// The operating system has no random numbers, or no memory, to give.
pub fn digest_password(password: &str) -> io::Result<String> {
    let refuse = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| refuse(&error))?;
    let params = Params::DEFAULT;
    let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), &salt, &mut hash)
        .map_err(|error| refuse(&error))?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_password() {
        // The second is a known answer of bcrypt's own test suite.
        let made = digest_password("open sesame").expect("random");
        let known = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
        for (text, password) in [(&*made, "open sesame"), (known, "a")] {
            let digest: PasswordDigest = text.parse().expect(text);
            assert_eq!(digest.is_of(password.as_bytes()), Some(true));
            for other in ["", "b", "Open sesame", "open sesame "] {
                assert_eq!(digest.is_of(other.as_bytes()), Some(false), "{other}");
            }
            assert!(!format!("{digest:?}").contains('$'));
        }
        // What bcrypt would cut off is not passed over.
        let long = bcrypt::hash("x".repeat(72), 4).expect("a digest");
        let digest: PasswordDigest = long.parse().expect("a digest");
        assert_eq!(digest.is_of("x".repeat(72).as_bytes()), Some(true));
        assert_eq!(digest.is_of("x".repeat(73).as_bytes()), Some(false));
    }

    #[test]
    fn what_is_none_or_costs_too_much_is_refused() {
        use InvalidPassword::{Broken, Costly, Plaintext};
        let (salt, hash) = ("c2FsdHNhbHQ", "aGFzaGhhc2hoYXNoaGFzaGhhc2g");
        let argon = |costs: &str| format!("$argon2id$v=19${costs}${salt}${hash}");
        let bcrypt = |cost: &str| {
            format!("$2b${cost}$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe")
        };
        assert!(argon("m=65536,t=10,p=8").parse::<PasswordDigest>().is_ok());
        assert!(bcrypt("14").parse::<PasswordDigest>().is_ok());
        for (text, error) in [
            ("hunter2".to_owned(), Plaintext),
            (String::new(), Plaintext),
            ("$1$abc$def".to_owned(), Plaintext),
            ("$2x$04$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe".to_owned(), Plaintext),
            (argon("m=65536,t=1,p=1").replace("id$", "i$"), Plaintext),
            (argon("m=65537,t=1,p=1"), Costly),
            (argon("m=65536,t=11,p=1"), Costly),
            (argon("m=65536,t=1,p=9"), Costly),
            (bcrypt("15"), Costly),
            (bcrypt("31"), Costly),
            (bcrypt("03"), Broken),
            (bcrypt("xx"), Broken),
            (bcrypt("10")[..59].to_owned(), Broken),
            (argon("m=65536,t=1"), Broken),
            (argon("t=1,m=65536,p=1"), Broken),
            (argon("m=65536,t=1,p=1,x=1"), Broken),
            (argon("m=65536,t=0,p=1"), Broken),
            (argon("m=1,t=1,p=1"), Broken),
            (argon("m=99999999999,t=1,p=1"), Broken),
            (argon("m=65536,t=1,p=1") + "$", Broken),
            (argon("m=65536,t=1,p=1").replace("v=19", "v=16"), Broken),
            (argon("m=65536,t=1,p=1").replace(hash, "aGFzaA"), Broken),
            (argon("m=65536,t=1,p=1").replace(salt, "c2Fs"), Broken),
        ] {
            assert_eq!(text.parse::<PasswordDigest>().err(), Some(error), "{text}");
            assert!(!format!("{error} {PASSWORD_HELP}").contains("hunter2"));
        }
    }
}
