//! Checking a token: with its signature, and once it is remembered.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use portcullis::auth::{self, ConsumersConfig, Guard, MethodsConfig, Presented};
use portcullis::diagnostic::{At, Diagnostics};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

fn path(name: &str) -> String {
    format!("{}/tests/data/jwt/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn sign(algorithm: &str, message: &[u8]) -> Vec<u8> {
    let (file, random) = match algorithm {
        "RS256" => ("rsa.key", SystemRandom::new()),
        "ES256" => ("p256.key", SystemRandom::new()),
        _ => ("ed25519.key", SystemRandom::new()),
    };
    let pem = std::fs::read(path(file)).expect("the key");
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).expect("PEM");
    let der = der.secret_pkcs8_der();
    match algorithm {
        "RS256" => {
            let pair = RsaKeyPair::from_pkcs8(der).expect("a key");
            let mut out = vec![0; pair.public().modulus_len()];
            pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out).expect("signed");
            out
        }
        "ES256" => {
            let scheme = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_pkcs8(scheme, der, &random).expect("a key");
            pair.sign(&random, message).expect("signed").as_ref().to_vec()
        }
        _ => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).expect("a key");
            pair.sign(message).as_ref().to_vec()
        }
    }
}

/// A request with a token of about 400 bytes.
fn request(algorithm: &str, number: u64) -> HeaderMap {
    let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{algorithm}\",\"typ\":\"JWT\"}}"));
    let claims = format!(
        "{{\"iss\":\"https://id.test/\",\"aud\":\"api\",\"sub\":\"user-{number}\",\"exp\":4102444800,\
         \"iat\":1700000000,\"scope\":\"openid profile orders:read orders:write\",\"azp\":\"app\"}}"
    );
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(algorithm, text.as_bytes())));
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a value");
    headers.insert(http::header::AUTHORIZATION, value);
    headers
}

fn jwt(c: &mut Criterion) {
    let methods = format!(
        "{{ login: {{ jwt: {{ issuer: \"https://id.test/\", audience: api, keys: [ {{ file: {} }}, \
         {{ file: {} }}, {{ file: {} }} ] }} }} }}",
        path("rsa.pem"),
        path("p256.pem"),
        path("ed25519.pem")
    );
    let methods: MethodsConfig = serde_yaml::from_str(&methods).expect("methods");
    let read = |path: &Path| std::fs::read_to_string(path);
    let mut told = Diagnostics::new();
    // A new one remembers nothing.
    let mut fresh = || {
        let auth = auth::compile(&methods, &ConsumersConfig::default(), None, &read, &mut told);
        let auth = auth.expect("sound");
        auth.guard(None, None, &At::root(), &mut told).expect("a guard")
    };
    let guard = fresh();
    let now = UNIX_EPOCH + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut group = c.benchmark_group("jwt");
    for algorithm in ["ES256", "RS256", "EdDSA"] {
        let headers = request(algorithm, 0);
        let presented =
            Presented { headers: &headers, certificate: None, request: None, settled: &[] };
        assert!(guard.admit(&presented, now).is_ok());
        group.bench_function(format!("{algorithm}/cached"), |b| {
            b.iter(|| guard.admit(black_box(&presented), now).is_ok());
        });
        group.bench_function(format!("{algorithm}/uncached"), |b| {
            let admit = |guard: &mut Arc<Guard>| guard.admit(black_box(&presented), now).is_ok();
            b.iter_batched_ref(&mut fresh, admit, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, jwt);
criterion_main!(benches);
