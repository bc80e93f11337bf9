//! Tokens as an attacker would write them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{ask, configuration};
use crate::support::signer::{SECRET, claims, jwk, now, path, raw, signature, token};
use crate::support::{Gateway, Origin};

/// Headers with which a good key has signed good claims.
fn headers() -> Vec<(String, bool)> {
    let rsa = jwk("other", "x").to_string();
    let mut all: Vec<(String, bool)> = [
        (r#"{"alg":"RS256"}"#, true),
        (r#"{"alg":"RS256","typ":"jwt"}"#, true),
        (r#"{"alg":"RS256","typ":"application/at+jwt"}"#, true),
        (r#"{"alg":"RS256","kid":"rsa"}"#, true),
        (r#" { "alg" : "RS256" } "#, true),
        (r#"{"\u0061lg":"RS256"}"#, true),
        (r#"{"alg":"RS256","kid":"p256"}"#, false),
        (r#"{"alg":"none"}"#, false),
        (r#"{"alg":"NONE"}"#, false),
        (r#"{"alg":"nOnE"}"#, false),
        (r#"{"alg":""}"#, false),
        (r#"{"alg":null}"#, false),
        (r#"{"alg":"RS256 "}"#, false),
        (r#"{"alg":"rs256"}"#, false),
        (r#"{"alg":"RS255"}"#, false),
        (r#"{"alg":"PS256"}"#, false),
        (r#"{"alg":"RS512"}"#, false),
        (r#"{"alg":"ES256"}"#, false),
        (r#"{"alg":"EdDSA"}"#, false),
        (r#"{"alg":"ES256K"}"#, false),
        (r#"{"alg":["RS256"]}"#, false),
        ("{}", false),
        (r#"{"ALG":"RS256"}"#, false),
        (r#"{"alg":"RS256","alg":"RS256"}"#, false),
        (r#"{"alg":"none","alg":"RS256"}"#, false),
        (r#"{"alg":"RS256","\u0061lg":"none"}"#, false),
        (r#"{"alg":"RS256","kid":["rsa"]}"#, false),
        (r#"{"alg":"RS256","kid":"rsa\u0000"}"#, false),
        (r#"{"alg":"RS256","jku":"https://evil.test/jwks.json"}"#, false),
        (r#"{"alg":"RS256","x5u":"https://evil.test/cert.pem"}"#, false),
        (r#"{"alg":"RS256","x5c":["MIIB"]}"#, false),
        (r#"{"alg":"RS256","crit":["b64"],"b64":true}"#, false),
        (r#"{"alg":"RS256","crit":["exp"],"exp":99999999999}"#, false),
        (r#"{"alg":"RS256","crit":[]}"#, false),
        (r#"{"alg":"RS256","crit":null}"#, false),
        (r#"{"alg":"RS256","b64":false}"#, false),
        (r#"{"alg":"RS256","zip":"DEF"}"#, false),
        (r#"{"alg":"RS256","enc":"A256GCM"}"#, false),
        (r#"{"alg":"RS256","typ":"logout+jwt"}"#, false),
        (r#"{"alg":"RS256","typ":"dpop+jwt"}"#, false),
        (r#"{"alg":"RS256","typ":7}"#, false),
        (r#"["RS256"]"#, false),
        (r#""RS256""#, false),
        ("{\"alg\":\"RS256\"", false),
        ("", false),
    ]
    .map(|(header, good)| (header.to_owned(), good))
    .to_vec();
    all.push((format!(r#"{{"alg":"RS256","jwk":{rsa}}}"#), false));
    all
}

/// Claims under a good signature.
fn said() -> Vec<(String, bool)> {
    let with = |more: Value| {
        let mut all = claims();
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.to_string()
    };
    let without = |name: &str| {
        let mut all = claims();
        all.as_object_mut().unwrap().remove(name);
        all.to_string()
    };
    let good = claims().to_string();
    let inner = &good[1..];
    vec![
        (good.clone(), true),
        (with(json!({ "aud": ["x", "web"] })), true),
        (with(json!({ "exp": now() - 30 })), true),
        (with(json!({ "nbf": now() + 30 })), true),
        (with(json!({ "exp": now() - 90 })), false),
        (with(json!({ "exp": 0 })), false),
        (with(json!({ "exp": -5 })), false),
        (with(json!({ "exp": "99999999999" })), false),
        (with(json!({ "exp": true })), false),
        (with(json!({ "exp": null })), false),
        (with(json!({ "exp": [99_999_999_999_u64] })), false),
        (with(json!({ "exp": 1e300 })), false),
        (without("exp"), false),
        (with(json!({ "nbf": now() + 300 })), false),
        (with(json!({ "iat": now() + 300 })), false),
        (with(json!({ "nbf": "0" })), false),
        (with(json!({ "iss": "https://id.test" })), false),
        (with(json!({ "iss": "https://id.test/\u{0}" })), false),
        (with(json!({ "iss": ["https://id.test/"] })), false),
        (without("iss"), false),
        (with(json!({ "aud": "API" })), false),
        (with(json!({ "aud": "api " })), false),
        (with(json!({ "aud": { "api": 1 } })), false),
        (with(json!({ "aud": [["api"]] })), false),
        (with(json!({ "aud": [] })), false),
        (without("aud"), false),
        (with(json!({ "sub": 1 })), false),
        (with(json!({ "sub": "" })), false),
        (with(json!({ "sub": "x".repeat(300) })), false),
        (format!("{{\"exp\":99999999999,{inner}"), false),
        (format!("{{\"a\":{{\"b\":1,\"b\":2}},{inner}"), false),
        (format!("[{good}]"), false),
        (format!("{good}{good}"), false),
        (good[..good.len() - 1].to_owned(), false),
        ("null".to_owned(), false),
        (format!("{}{}", "[".repeat(5000), "]".repeat(5000)), false),
    ]
}

/// Texts that are no tokens, or whose signature is another's.
fn texts() -> Vec<(String, bool)> {
    let good = token("rsa", "RS256", None, json!({}));
    let (head, tag) = good.rsplit_once('.').unwrap();
    let (first, body) = head.split_once('.').unwrap();
    let padded = |text: &str, engine: base64::engine::GeneralPurpose| {
        engine.encode(URL_SAFE_NO_PAD.decode(text).unwrap())
    };
    let public = std::fs::read_to_string(path("rsa.pem")).unwrap();
    let text = format!("{}.{body}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
    let confused = |key: &str| {
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature(key, "HS256", text.as_bytes())))
    };
    let es = token("p256", "ES256", None, json!({}));
    let (es_head, es_tag) = es.rsplit_once('.').unwrap();
    let (r, s) = (URL_SAFE_NO_PAD.decode(es_tag).unwrap()[..32].to_vec(), [0_u8; 32]);
    let zero = URL_SAFE_NO_PAD.encode([0_u8; 64]);
    let half = URL_SAFE_NO_PAD.encode([&r[..], &s[..]].concat());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    vec![
        (good.clone(), true),
        (es.clone(), true),
        (token("other", "RS256", None, json!({})), false),
        (token("other", "RS256", Some("rsa"), json!({})), false),
        // The public key as the secret of an HMAC.
        (confused(&public), false),
        (confused(public.trim_end()), false),
        (confused(""), false),
        (confused("a secret"), false),
        (format!("{none}.{body}."), false),
        (format!("{none}.{body}.{tag}"), false),
        (format!("{none}.{body}"), false),
        (format!("{head}."), false),
        (head.to_owned(), false),
        (format!("{first}..{tag}"), false),
        (format!(".{body}.{tag}"), false),
        ("..".to_owned(), false),
        (format!("{good}.{tag}"), false),
        (format!("{head}.{}", &tag[..tag.len() - 4]), false),
        (format!("{head}.{}", padded(tag, URL_SAFE)), false),
        (format!("{head}.{}", padded(tag, STANDARD)), false),
        (format!("{}.{body}.{tag}", padded(first, STANDARD)), padded(first, STANDARD) == first),
        (format!("{es_head}.{zero}"), false),
        (format!("{es_head}.{half}"), false),
        (format!("{es_head}.{}", &es_tag[..43]), false),
        (format!("{head}.{es_tag}"), false),
        (format!("{es_head}.{tag}"), false),
        (format!("{good},{good}"), false),
        (format!("{good} {good}"), false),
        (format!("\"{good}\""), false),
        (format!("{head}%2e{tag}"), false),
        (good.to_uppercase(), false),
        ("x".repeat(17 << 10), false),
        (format!("{first}.{}.{tag}", "A".repeat(20 << 10)), false),
        // Five parts, as of encrypted ones.
        (format!("{first}.{body}.{body}.{body}.{tag}"), false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_tokens_are_refused_without_a_word_why() {
    let origin = Origin::start("svc").await;
    let gateway = Gateway::start(&configuration(&origin)).await;
    let body = claims().to_string();
    let mut all: Vec<(String, bool, String)> = Vec::new();
    for (header, good) in headers() {
        all.push((raw("rsa", "RS256", &header, &body), good, header));
    }
    for (claims, good) in said() {
        all.push((raw("p256", "ES256", r#"{"alg":"ES256"}"#, &claims), good, claims));
    }
    for (text, good) in texts() {
        all.push((text.clone(), good, text));
    }
    for key in ["short", SECRET] {
        let made = raw(key, "HS256", r#"{"alg":"HS256","kid":"hs"}"#, &body);
        all.push((made, key == SECRET, key.to_owned()));
    }
    assert!(all.iter().filter(|(_, good, _)| !good).count() >= 90);
    let mut passed = 0;
    for (token, good, what) in &all {
        let before = origin.seen().len();
        let (status, challenge) = ask(&gateway, "/svc", token, &[]).await;
        passed += usize::from(*good);
        if *good {
            assert_eq!(status, 200, "{what}");
        } else {
            let told = (status, &*challenge);
            assert_eq!(told, (401, "Bearer error=\"invalid_token\""), "{what}");
            assert_eq!(origin.seen().len(), before, "{what}");
        }
    }
    assert_eq!(origin.seen().len(), passed);
    let missing =
        crate::support::get(gateway.address(), "/svc", &[("Authorization", "Basic x7q3z")]).await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, "Bearer"));
}
