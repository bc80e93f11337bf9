mod cookbook;

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use ring::hmac;
use serde_json::json;

use super::algorithm::Algorithms;
use super::jwks::KeySet;
use super::key::{InvalidKey, Key};
use super::token::Token;
use super::*;
use crate::diagnostic::{At, Diagnostics};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a-secret-of-more-than-32-bytes-for-tests";

fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::fs::read(folder.join(name)).expect(name)
}

fn set(jwk: &Value) -> KeySet {
    let text = json!({ "keys": [jwk] }).to_string();
    KeySet::read(text.as_bytes(), Algorithms::of(&[]), true).expect("a set").keys
}

/// The payload that a signature vouches for.
fn verify(token: &str, keys: &KeySet) -> Result<Vec<u8>, Reason> {
    Token::read(token.as_bytes()).and_then(|token| token.payload(keys))
}

#[test]
fn the_examples_of_the_standards_are_read_as_they_say() {
    // RFC 7515, appendix A.1 (and RFC 7519, section 3.1).
    let a1 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let k1 = json!({ "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" });
    // A.2.
    let a2 = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let k2 = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    // A.3.
    let a3 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let k3 = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    for (token, key) in [(a1, &k1), (a2, &k2), (a3, &k3)] {
        let payload = verify(token, &set(key)).expect("vouched for");
        let claims = strict::object(&payload).expect("claims");
        assert_eq!((&claims["iss"], &claims["exp"]), (&"joe".into(), &1_300_819_380_u64.into()));
        for (other, _) in
            [(a1, &k1), (a2, &k2), (a3, &k3)].iter().filter(|(other, _)| *other != token)
        {
            assert!(verify(other, &set(key)).is_err());
        }
    }
    // A.5 and RFC 7519, section 6.1: not signed at all, which is never enough.
    let a5 = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";
    assert_eq!(verify(a5, &set(&k1)).err(), Some(Reason::Algorithm));
    // RFC 8037, appendix A.4.
    let ed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(verify(ed, &set(&key)).as_deref(), Ok(&b"Example of Ed25519 signing"[..]));
}

/// Vectors that are valid there and refused here, with the reason; docs/auth.md lists them, too.
const STRICTER: [(u64, &str); 6] = [
    (346, "a key that says PS256 is used for PS384"),
    (347, "a key that says PS256 is used for PS384"),
    (350, "P-521 is not served"),
    (351, "P-521 is not served"),
    (372, "characters that are not of base64url are not passed over"),
    (373, "characters that are not of base64url are not passed over"),
];
/// Vectors that shall be invalid, and are byte for byte the valid vector 357.
const CONTRADICTED: [u64; 2] = [367, 370];

#[test]
fn the_vectors_of_wycheproof_are_judged_as_they_say() {
    let all: Value =
        serde_json::from_slice(&data("wycheproof/json_web_signature_test.json")).expect("JSON");
    let (mut good, mut bad, mut stricter) = (0, 0, Vec::new());
    for group in all["testGroups"].as_array().expect("groups") {
        let key = if group["public"].is_object() { &group["public"] } else { &group["private"] };
        let keys = set(key);
        for test in group["tests"].as_array().expect("tests") {
            let id = test["tcId"].as_u64().expect("a number");
            let jws = test["jws"].as_str();
            let verdict = jws.ok_or(Reason::Malformed).and_then(|jws| verify(jws, &keys));
            match (test["result"].as_str(), verdict) {
                (_, Ok(_)) if CONTRADICTED.contains(&id) => good += 1,
                (Some("valid"), Ok(_)) => good += 1,
                (Some("valid"), Err(_)) => stricter.push(id),
                (_, Err(_)) => bad += 1,
                (_, Ok(_)) => panic!("{test} must be refused"),
            }
        }
    }
    assert_eq!(stricter, STRICTER.map(|(id, _)| id));
    assert_eq!(good + bad + stricter.len(), 401);
    assert!(good > 40 && bad > 300, "{good} {bad}");
}

#[test]
fn a_key_is_what_it_is_and_strong_enough() {
    let all = Algorithms::of(&[]);
    let read = |name: &str, wanted| Key::from_pem(&data(&format!("jwt/{name}")), wanted);
    for (name, algorithm) in [
        ("rsa.pem", Algorithm::Ps512),
        ("p256.pem", Algorithm::Es256),
        ("p384.pem", Algorithm::Es384),
        ("ed25519.pem", Algorithm::EdDsa),
    ] {
        assert!(read(name, all).expect(name).algorithms.has(algorithm), "{name}");
        assert!(!read(name, all).expect(name).algorithms.has(Algorithm::Hs256), "{name}");
        let secret = read(name, Algorithms::one(Algorithm::Hs256)).map(|_| ());
        assert_eq!(secret, Err(InvalidKey::Algorithm), "{name}");
    }
    for (name, error) in [
        ("weak.pem", InvalidKey::Weak(1024)),
        ("k1.pem", InvalidKey::Kind),
        ("rsa.key", InvalidKey::Private),
        ("p256.key", InvalidKey::Private),
        ("README.md", InvalidKey::NotPem),
    ] {
        assert_eq!(read(name, all).map(|_| ()), Err(error), "{name}");
    }
    for (length, algorithm, good) in [
        (31, Algorithm::Hs256, false),
        (32, Algorithm::Hs256, true),
        (47, Algorithm::Hs384, false),
        (64, Algorithm::Hs512, true),
        (63, Algorithm::Hs512, false),
    ] {
        let made = Key::secret(&vec![b'x'; length], Algorithms::one(algorithm));
        assert_eq!(made.is_ok(), good, "{length} {algorithm:?}");
    }
    let public = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    let text = json!({ "keys": [public] }).to_string();
    let fetched = KeySet::read(text.as_bytes(), all, false).expect("a set");
    assert_eq!((fetched.keys.0.len(), fetched.skipped.len()), (0, 1));
}

#[test]
fn a_key_that_is_named_is_tried_before_those_without_a_name() {
    let unnamed = (0..6).map(|n: u8| json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([n; 32]) }));
    let named = json!({ "kty": "oct", "kid": "mine", "k": URL_SAFE_NO_PAD.encode(SECRET) });
    let text = json!({ "keys": unnamed.chain([named]).collect::<Vec<_>>() }).to_string();
    let keys = KeySet::read(text.as_bytes(), Algorithms::of(&[]), true).expect("a set").keys;
    let mine = sign(r#"{"alg":"HS256","kid":"mine"}"#, "{}");
    assert_eq!(verify(&mine, &keys).as_deref(), Ok(&b"{}"[..]));
    // Of those without a name some are tried, and no more.
    assert_eq!(verify(&sign(r#"{"alg":"HS256"}"#, "{}"), &keys).err(), Some(Reason::Signature));
}

fn sign(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn method(yaml: &str) -> Jwt {
    let config: JwtConfig = serde_yaml::from_str(yaml).expect(yaml);
    let mut diagnostics = Diagnostics::new();
    let mut registry = Registry::default();
    registry.intern("partner", false);
    registry.intern("gone", true);
    let at = At::root().key("auth").key("login").key("jwt");
    let read = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let compiler = Compiler {
        name: "login",
        config: &config,
        at: &at,
        read_text: &read,
        diagnostics: &mut diagnostics,
    };
    let made = compiler.compile(&Arc::new(registry), |_, _| None);
    made.unwrap_or_else(|| panic!("{}", diagnostics.render("")))
}

/// Who the bearer is, or the reason.
fn judge(method: &Jwt, token: &str, second: u64) -> Result<String, &'static str> {
    let mut headers = HeaderMap::new();
    headers
        .insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).expect("value"));
    match method.identify(&headers, UNIX_EPOCH + Duration::from_secs(second)) {
        Ok(identity) => Ok(identity.consumer.map(|c| c.name().to_owned()).unwrap_or_default()),
        Err(Unverified::Refused(reason) | Unverified::KeysAwaited(reason)) => Err(reason.as_str()),
    }
}

#[test]
#[allow(clippy::too_many_lines)] // one table
fn claims_are_held_to_who_issued_them_for_whom_and_when() {
    let method = method(&format!(
        "{{ issuer: [ me, us ], audience: api, keys: [ {{ secret: {SECRET} }} ], consumer: azp }}"
    ));
    for (claims, verdict) in [
        (json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": "a" }), Ok("login:a")),
        (
            json!({ "iss": "us", "aud": ["x", "api"], "exp": NOW + 1, "sub": "a b|ü" }),
            Ok("login:a%20b|%C3%BC"),
        ),
        (json!({ "iss": "me", "aud": "api", "exp": NOW + 1 }), Ok("")),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": "a", "azp": "partner" }),
            Ok("partner"),
        ),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": "partner", "azp": "x" }),
            Ok("login:partner"),
        ),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": "a", "azp": "gone" }),
            Err("credential_disabled"),
        ),
        (json!({ "iss": "me", "aud": "api", "exp": NOW - 59, "sub": "a" }), Ok("login:a")),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW - 60, "sub": "a" }),
            Err("credential_expired"),
        ),
        (json!({ "iss": "me", "aud": "api", "exp": 0, "sub": "a" }), Err("credential_expired")),
        (json!({ "iss": "me", "aud": "api", "sub": "a" }), Err("token_claims")),
        (json!({ "iss": "me", "aud": "api", "exp": "2999", "sub": "a" }), Err("token_claims")),
        (json!({ "iss": "me", "aud": "api", "exp": null, "sub": "a" }), Err("token_claims")),
        (json!({ "iss": "me", "aud": "api", "exp": -1, "sub": "a" }), Err("token_claims")),
        (json!({ "iss": "me", "aud": "api", "exp": 1e300, "sub": "a" }), Err("token_claims")),
        (json!({ "iss": "me", "aud": "api", "exp": 1_800_000_000.5, "sub": "a" }), Ok("login:a")),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "nbf": NOW + 60, "sub": "a" }),
            Ok("login:a"),
        ),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 99, "nbf": NOW + 61 }),
            Err("credential_not_yet_valid"),
        ),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 99, "iat": NOW + 61 }),
            Err("credential_not_yet_valid"),
        ),
        (json!({ "iss": "me", "aud": "api", "exp": NOW + 99, "nbf": "now" }), Err("token_claims")),
        (json!({ "iss": "Me", "aud": "api", "exp": NOW + 1 }), Err("token_issuer")),
        (json!({ "iss": ["me"], "aud": "api", "exp": NOW + 1 }), Err("token_issuer")),
        (json!({ "aud": "api", "exp": NOW + 1 }), Err("token_issuer")),
        (json!({ "iss": "me", "aud": "API", "exp": NOW + 1 }), Err("token_audience")),
        (json!({ "iss": "me", "aud": [], "exp": NOW + 1 }), Err("token_audience")),
        (json!({ "iss": "me", "aud": ["api", 1], "exp": NOW + 1 }), Err("token_audience")),
        (json!({ "iss": "me", "exp": NOW + 1 }), Err("token_audience")),
        (json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": 7 }), Err("token_claims")),
        (
            json!({ "iss": "me", "aud": "api", "exp": NOW + 1, "sub": "x".repeat(256) }),
            Err("token_claims"),
        ),
    ] {
        let token = sign(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string());
        let found = judge(&method, &token, NOW);
        assert_eq!(found.as_deref(), verdict.as_ref().copied(), "{claims}");
        // What is remembered is judged alike.
        assert_eq!(judge(&method, &token, NOW).as_deref(), found.as_deref(), "{claims}");
    }
    let token = sign(
        r#"{"alg":"HS256"}"#,
        &json!({ "iss": "me", "aud": "api", "exp": NOW, "sub": "a" }).to_string(),
    );
    assert_eq!(judge(&method, &token, NOW).as_deref(), Ok("login:a"));
    assert_eq!(judge(&method, &token, NOW + 59).as_deref(), Ok("login:a"));
    assert_eq!(judge(&method, &token, NOW + 60), Err("credential_expired"));
}

#[test]
fn headers_that_bring_keys_or_ask_for_more_are_refused() {
    let method = method(&format!(
        "{{ issuer: none, audience: none, keys: [ {{ secret: {SECRET}, kid: one }} ] }}"
    ));
    let claims = json!({ "exp": NOW + 1, "sub": "a" }).to_string();
    for (header, verdict) in [
        (r#"{"alg":"HS256"}"#, Ok("login:a")),
        (r#"{"alg":"HS256","kid":"one","typ":"at+JWT","cty":"x"}"#, Ok("login:a")),
        (r#"{"alg":"HS256","kid":"two"}"#, Err("key_unknown")),
        (r#"{"alg":"HS256","kid":1}"#, Err("token_header")),
        (r#"{"alg":"HS256","kid":"../../dev/null"}"#, Err("key_unknown")),
        (r#"{"alg":"HS256","kid":"' OR 1=1 --"}"#, Err("key_unknown")),
        (r#"{"alg":"none"}"#, Err("token_algorithm")),
        (r#"{"alg":"None"}"#, Err("token_algorithm")),
        (r#"{"alg":"hs256"}"#, Err("token_algorithm")),
        (r#"{"alg":"HS384"}"#, Err("token_algorithm")),
        (r#"{"alg":"RS256"}"#, Err("token_algorithm")),
        (r#"{"alg":["HS256"]}"#, Err("credential_malformed")),
        (r#"{"typ":"JWT"}"#, Err("credential_malformed")),
        (r#"{"alg":"HS256","alg":"HS256"}"#, Err("credential_malformed")),
        (r#"{"alg":"HS256","alg":"none"}"#, Err("credential_malformed")),
        (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#, Err("token_header")),
        (r#"{"alg":"HS256","jku":"https://evil.test/"}"#, Err("token_header")),
        (r#"{"alg":"HS256","x5u":"https://evil.test/"}"#, Err("token_header")),
        (r#"{"alg":"HS256","x5c":["AAAA"]}"#, Err("token_header")),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, Err("token_header")),
        (r#"{"alg":"HS256","crit":[]}"#, Err("token_header")),
        (r#"{"alg":"HS256","b64":false}"#, Err("token_header")),
        (r#"{"alg":"HS256","zip":"DEF"}"#, Err("token_header")),
        (r#"{"alg":"HS256","enc":"A128GCM"}"#, Err("token_header")),
        (r#"{"alg":"HS256","typ":"logout+jwt"}"#, Err("token_header")),
        (r#"{"alg":"HS256","typ":1}"#, Err("token_header")),
        ("[]", Err("credential_malformed")),
        ("", Err("credential_malformed")),
    ] {
        let found = judge(&method, &sign(header, &claims), NOW);
        assert_eq!(found.as_deref(), verdict.as_ref().copied(), "{header}");
    }
    let good = sign(r#"{"alg":"HS256"}"#, &claims);
    let (head, tag) = good.rsplit_once('.').expect("dots");
    for bad in [
        head.to_owned(),
        format!("{head}."),
        format!("{good}."),
        format!("{good}.x"),
        format!("{good}="),
        format!(" {good} x"),
        format!("{head}.{}", tag.replace(['-', '_'], "+")),
        format!("{head}.{}B", &tag[..tag.len() - 1]),
        "..".to_owned(),
        "x".repeat(token::LONGEST + 1),
    ] {
        assert!(bad == good || judge(&method, &bad, NOW).is_err(), "{bad}");
    }
    for claims in ["[]", "1", "null", "", "{\"exp\":1,\"exp\":2}", "{\"exp\":1e9999}"] {
        let found = judge(&method, &sign(r#"{"alg":"HS256"}"#, claims), NOW);
        assert_eq!(found, Err("credential_malformed"), "{claims}");
    }
}

#[test]
fn a_claim_is_found_and_written_as_text() {
    let object = json!({
        "sub": "a", "scope": "r w", "list": ["x", "y"], "n": 7, "yes": true, "bad": "a\r\nb",
        "deep": { "roles": ["z"] }, "a.b": 1, "a": { "b": 2 }, "mixed": ["x", {}],
    });
    let Value::Object(object) = object else { panic!("an object") };
    let claims = Claims(object);
    for (name, text) in [
        ("sub", "a"),
        ("list", "x,y"),
        ("n", "7"),
        ("yes", "true"),
        ("deep.roles", "z"),
        ("a.b", "1"),
        ("bad", ""),
        ("mixed", ""),
        ("deep", ""),
        ("none", ""),
        ("deep.none", ""),
        ("sub.x", ""),
    ] {
        let mut out = b"<".to_vec();
        claims.write(name, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!("<{text}"), "{name}");
    }
    for (name, word, holds) in [
        ("scope", "r", true),
        ("scope", "r w", false),
        ("scope", "x", false),
        ("sub", "a", true),
        ("list", "y", true),
        ("n", "7", true),
        ("yes", "true", true),
        ("deep.roles", "z", true),
        ("none", "", false),
    ] {
        assert_eq!(claims.holds(name, word), holds, "{name} {word}");
    }
}
