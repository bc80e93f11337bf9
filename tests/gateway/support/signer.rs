//! Signs tokens with the keys of `tests/data/jwt`.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::{hmac, signature};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// The secret of the stories, with the mark of all secrets.
pub const SECRET: &str =
    "hmac-secret-7q3z-with-more-than-sixty-four-bytes-for-every-hash-0123456789";

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Where a file with a key is.
pub fn path(name: &str) -> String {
    format!("{}/tests/data/jwt/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn der(name: &str) -> Vec<u8> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(&std::fs::read(path(name)).unwrap()).unwrap();
    key.secret_pkcs8_der().to_vec()
}

/// The JWK of a key, under a name.
pub fn jwk(name: &str, kid: &str) -> Value {
    use ring::signature::KeyPair as _;
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match name {
        "rsa" | "other" => {
            let key = signature::RsaKeyPair::from_pkcs8(&der(&format!("{name}.key"))).unwrap();
            let public = signature::RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
            let (n, e) = (public.n, public.e);
            json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": text(&n), "e": text(&e) })
        }
        "p256" => {
            let alg = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let key =
                signature::EcdsaKeyPair::from_pkcs8(alg, &der("p256.key"), &SystemRandom::new());
            let key = key.unwrap();
            let point = key.public_key().as_ref();
            json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": text(&point[1..33]), "y": text(&point[33..]) })
        }
        _ => {
            let key =
                signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der("ed25519.key")).unwrap();
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(key.public_key().as_ref()) })
        }
    }
}

/// What signs: a key pair by its file, or a secret.
pub fn signature(key: &str, algorithm: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match (key, algorithm) {
        ("rsa" | "other", _) => {
            let pair = signature::RsaKeyPair::from_pkcs8(&der(&format!("{key}.key"))).unwrap();
            let encoding: &dyn signature::RsaEncoding = match algorithm {
                "RS384" => &signature::RSA_PKCS1_SHA384,
                "RS512" => &signature::RSA_PKCS1_SHA512,
                "PS256" => &signature::RSA_PSS_SHA256,
                "PS384" => &signature::RSA_PSS_SHA384,
                "PS512" => &signature::RSA_PSS_SHA512,
                _ => &signature::RSA_PKCS1_SHA256,
            };
            let mut out = vec![0; pair.public().modulus_len()];
            pair.sign(encoding, &random, message, &mut out).unwrap();
            out
        }
        ("p256" | "p384", _) => {
            let scheme = if key == "p256" {
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING
            } else {
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING
            };
            let der = der(&format!("{key}.key"));
            let pair = signature::EcdsaKeyPair::from_pkcs8(scheme, &der, &random).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        }
        ("ed25519", _) => {
            let der = der("ed25519.key");
            let pair = signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
            pair.sign(message).as_ref().to_vec()
        }
        (secret, _) => {
            let hash = match algorithm {
                "HS384" => hmac::HMAC_SHA384,
                "HS512" => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            hmac::sign(&hmac::Key::new(hash, secret.as_bytes()), message).as_ref().to_vec()
        }
    }
}

/// A token of these texts, letter by letter.
pub fn raw(key: &str, algorithm: &str, header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let made = signature(key, algorithm, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(made))
}

/// A token by this algorithm, with what every one needs and these claims besides.
pub fn token(key: &str, algorithm: &str, kid: Option<&str>, more: impl Into<Value>) -> String {
    let more: Value = more.into();
    let mut header = json!({ "alg": algorithm, "typ": "JWT" });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let mut claims = claims();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    raw(key, algorithm, &header.to_string(), &claims.to_string())
}

/// What every token of the stories says. The subject holds the mark that must not be told: the name of a caller is
/// told, but no token.
pub fn claims() -> Value {
    json!({ "iss": "https://id.test/", "aud": "api", "sub": "alice", "exp": now() + 600, "jti": "7q3z-7q3z" })
}
