//! Requests that are signed, and what becomes of them when anything of them is another's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest as _, Sha256};

use crate::support::origin;
use crate::support::signer::{self, SECRET, now};
use crate::support::{Client, Gateway, Origin, Reloading, http2, python, send};

/// One request, and what its signature says of it.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    target: String,
    /// Name and value of what is signed, in order.
    covered: Vec<(&'static str, String)>,
    params: String,
    key: &'static str,
    algorithm: &'static str,
    body: &'static str,
}

impl Asked {
    fn new(key: &'static str, keyid: &str, algorithm: &'static str, body: &'static str) -> Self {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
        let mut covered: Vec<_> =
            [("@method", "POST"), ("@target-uri", "http://a.test/svc?a=b"), ("x-tenant", "blue")]
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec();
        if !body.is_empty() {
            covered.push(("content-digest", digest));
        }
        let params = format!(";created={};keyid=\"{keyid}\"", now());
        Self {
            method: "POST",
            target: "/svc?a=b".to_owned(),
            covered,
            params,
            key,
            algorithm,
            body,
        }
    }

    /// The two headers of the signature.
    fn headers(&self) -> [String; 2] {
        let names: Vec<_> = self.covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let list = format!("({}){}", names.join(" "), self.params);
        let mut base = String::new();
        for (name, value) in &self.covered {
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {list}"));
        let made = signer::signature(self.key, self.algorithm, base.as_bytes());
        [format!("sig={list}"), format!("sig=:{}:", STANDARD.encode(made))]
    }

    fn digest(&self) -> String {
        format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(self.body)))
    }

    async fn send(&self, gateway: &Gateway) -> u16 {
        self.send_to(gateway.address()).await
    }

    async fn send_to(&self, at: SocketAddr) -> u16 {
        let [input, signature] = self.headers();
        self.send_there(at, &input, &signature, self.body).await
    }

    async fn send_with(&self, gateway: &Gateway, input: &str, signature: &str, body: &str) -> u16 {
        self.send_there(gateway.address(), input, signature, body).await
    }

    async fn send_there(&self, at: SocketAddr, input: &str, signature: &str, body: &str) -> u16 {
        let digest = self.digest();
        let headers = [
            ("Host", "a.test"),
            ("X-Tenant", "blue"),
            ("Content-Digest", &*digest),
            ("Signature-Input", input),
            ("Signature", signature),
        ];
        send(at, self.method, &self.target, &headers, body.as_bytes()).await.status
    }
}

async fn gateway(origin: &Origin) -> Gateway {
    gateway_with(origin.address, "http1", "none").await
}

async fn gateway_with(origin: SocketAddr, protocol: &str, failures: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
failed_credentials: {failures}
upstreams: {{ svc: {{ targets: [ "{0}" ], protocol: {protocol} }} }}
auth: {{ signed: {{ signature: {{ cover: x-tenant }} }} }}
consumers:
  partner:
    signature_keys:
      - {{ keyid: rsa, file: "{rsa}" }}
      - {{ keyid: p256, file: "{p256}" }}
      - {{ keyid: p384, file: "{p384}" }}
      - {{ keyid: ed, file: "{ed}" }}
      - {{ keyid: secret, secret: {SECRET} }}
  gone: {{ disabled: true, signature_keys: [ {{ keyid: gone, secret: {SECRET} }} ] }}
routes: {{ svc: {{ path: /svc, to: svc, rewrite: /inside }} }}
"#,
        origin,
        rsa = signer::path("rsa.pem"),
        p256 = signer::path("p256.pem"),
        p384 = signer::path("p384.pem"),
        ed = signer::path("ed25519.pem"),
    ))
    .await
}

const BODY: &str = "{\"hello\": \"world\"}";

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_passes_with_the_body_that_was_signed() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    for (key, keyid, algorithm) in [
        ("rsa", "rsa", "PS512"),
        ("p256", "p256", "ES256"),
        ("p384", "p384", "ES384"),
        ("ed25519", "ed", "EdDSA"),
        (SECRET, "secret", "HS256"),
    ] {
        for body in ["", BODY] {
            let asked = Asked::new(key, keyid, algorithm, body);
            assert_eq!(asked.send(&gateway).await, 200, "{keyid} {body:?}");
            let seen = origin.last();
            assert_eq!((&*seen.target, &*seen.body), ("/inside?a=b", body.as_bytes()));
            assert_eq!(seen.header("x-consumer-name"), "partner");
            assert_eq!((seen.header("signature"), seen.header("signature-input")), ("", ""));
        }
    }
    let asked = Asked::new("ed25519", "ed", "EdDSA", BODY);
    let [input, signature] = asked.headers();
    // Others have signed it, too.
    let input = format!("other=(\"@method\");created=1;keyid=\"other\", {input}");
    let signature = format!("other=:AAAA:, {signature}");
    assert_eq!(asked.send_with(&gateway, &input, &signature, BODY).await, 200);
    // The parts of the target in place of the whole, and what only says more.
    let mut parts = Asked::new("ed25519", "ed", "EdDSA", "");
    parts.covered = [
        ("@query", "?a=b"),
        ("@path", "/svc"),
        ("@authority", "a.test"),
        ("@method", "POST"),
        ("@scheme", "http"),
        ("x-tenant", "blue"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    parts
        .params
        .push_str(&format!(";expires={};nonce=\"n\";tag=\"t\";alg=\"ed25519\"", now() + 60));
    assert_eq!(parts.send(&gateway).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of attacks")]
async fn a_request_of_which_anything_is_another_is_refused() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let good = Asked::new("ed25519", "ed", "EdDSA", BODY);
    let [input, signature] = good.headers();
    assert_eq!(good.send(&gateway).await, 200);
    let mut cases: Vec<(&str, Asked)> = Vec::new();
    let mut case = |what: &'static str, change: &dyn Fn(&mut Asked)| {
        let mut asked = good.clone();
        change(&mut asked);
        cases.push((what, asked));
    };
    let params = |more: &str| format!(";created={};keyid=\"ed\"{more}", now());
    case("another method was signed", &|a| a.covered[0].1 = "GET".to_owned());
    case("another target was signed", &|a| a.covered[1].1 = "http://a.test/svc?a=c".to_owned());
    case("the inner target was signed", &|a| {
        a.covered[1].1 = "http://a.test/inside?a=b".to_owned();
    });
    case("another scheme was signed", &|a| a.covered[1].1 = "https://a.test/svc?a=b".to_owned());
    case("another header was signed", &|a| a.covered[2].1 = "red".to_owned());
    case("another digest was signed", &|a| a.covered[3].1 = "sha-256=:AAAA:".to_owned());
    case("no method is covered", &|a| drop(a.covered.remove(0)));
    case("no target is covered", &|a| drop(a.covered.remove(1)));
    case("no header is covered", &|a| drop(a.covered.remove(2)));
    case("no body is covered", &|a| drop(a.covered.remove(3)));
    case("nothing is covered", &|a| a.covered.clear());
    case("one is covered twice", &|a| a.covered.push(("@method", "POST".to_owned())));
    case("a header is not there", &|a| a.covered.push(("x-none", String::new())));
    case("a component is not known", &|a| a.covered.push(("@status", "200".to_owned())));
    case("capital letters", &|a| a.covered.push(("X-Tenant", "blue".to_owned())));
    case("it is old", &|a| a.params = format!(";created={};keyid=\"ed\"", now() - 400));
    case("it is to come", &|a| a.params = format!(";created={};keyid=\"ed\"", now() + 400));
    case("it is over", &|a| a.params = params(&format!(";expires={}", now() - 1)));
    case("it says no time", &|a| a.params = ";keyid=\"ed\"".to_owned());
    case("it says no key", &|a| a.params = format!(";created={}", now()));
    case("a time in words", &|a| a.params = ";created=\"now\";keyid=\"ed\"".to_owned());
    case("an unknown key", &|a| a.params = params("").replace("\"ed\"", "\"ed2\""));
    case("another's key", &|a| a.params = params("").replace("\"ed\"", "\"p256\""));
    case("another algorithm", &|a| a.params = params(";alg=\"hmac-sha256\""));
    case("an unknown parameter", &|a| a.params = params(";x=1"));
    case("another signer", &|a| a.key = SECRET);
    case("a consumer that is switched off", &|a| {
        a.key = SECRET;
        a.algorithm = "HS256";
        a.params = params("").replace("\"ed\"", "\"gone\"");
    });
    case("a key as a secret", &|a| {
        a.key = SECRET;
        a.algorithm = "HS256";
        a.params = params(";alg=\"hmac-sha256\"");
    });
    case("another request", &|a| a.target = "/svc?a=c".to_owned());
    let seen = origin.seen().len();
    for (what, asked) in &cases {
        // What was signed and what is sent differ where the case changes only one of them.
        assert_eq!(asked.send(&gateway).await, 401, "{what}");
    }
    for (what, input, signature) in [
        ("no input", "", &*signature),
        ("no signature", &*input, ""),
        ("another label", &*input, &*signature.replace("sig=", "gis=")),
        ("no bytes", &*input, "sig=\"abc\""),
        ("cut", &*input, &signature[..signature.len() - 9]),
        ("no list", "sig=1;created=1;keyid=\"ed\"", &*signature),
        ("no structure", "sig=((", &*signature),
        ("a parameter", &*input.replace("\"@method\"", "\"@method\";req"), &*signature),
        ("long", &*format!("{input}, x=({})", "\"a\" ".repeat(2000)), &*signature),
        ("many", &*format!("{input}, a=(), b=(), c=(), d=()"), &*signature),
    ] {
        assert_eq!(good.send_with(&gateway, input, signature, BODY).await, 401, "{what}");
    }
    assert_eq!(origin.seen().len(), seen);

    // Another body: of the same length, shorter, and one where none was signed.
    for body in ["{\"hello\": \"World\"}", "{\"hello\"}", "{\"hello\": \"world\"} "] {
        assert_eq!(good.send_with(&gateway, &input, &signature, body).await, 400, "{body}");
    }
    let empty = Asked::new("ed25519", "ed", "EdDSA", "");
    let [input, signature] = empty.headers();
    assert_eq!(empty.send_with(&gateway, &input, &signature, "x").await, 401);
    // What is signed would not reach the upstream.
    for connection in ["x-tenant", "close, X-Tenant", "\tx-tenant\t,"] {
        let headers = [
            ("Host", "a.test"),
            ("Connection", connection),
            ("X-Tenant", "blue"),
            ("Signature-Input", &*input),
            ("Signature", &*signature),
        ];
        let mut client = Client::connect(gateway.address()).await;
        assert_eq!(client.ask("POST", "/svc?a=b", &headers).await.status, 401, "{connection}");
    }
    let mut client = Client::connect(gateway.address()).await;
    client
        .write(
            format!(
                "POST /svc?a=b HTTP/1.1\r\nHost: a.test\r\nX-Tenant: blue\r\nSignature-Input: {input}\r\n\
                 Signature: {signature}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            )
            .as_bytes(),
        )
        .await;
    assert_eq!(client.read(false).await.status, 401);
    let whole = origin.seen().split_off(seen);
    assert!(whole.iter().all(|seen| seen.body.is_empty()), "{whole:?}");
    let log = gateway.log(cases.len() + 18).await;
    let details: Vec<_> = log.iter().filter_map(|line| line["detail"].as_str()).collect();
    for word in
        ["signature_covers_too_little", "signature_wrong", "key_unknown", "credential_expired"]
    {
        assert!(details.contains(&word), "{word}: {details:?}");
    }
}

/// What an upstream of HTTP/2 sees: the paths.
async fn h2_origin() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = origin::listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let noted = noted.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let noted = noted.clone();
                async move {
                    let body = request.into_body().collect().await.map(Collected::to_bytes);
                    let body = body
                        .map_or("cut".to_owned(), |body| String::from_utf8(body.to_vec()).unwrap());
                    noted.lock().unwrap().push(body);
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_empty_body_takes_the_place_of_the_one_that_was_signed() {
    let (address, bodies) = h2_origin().await;
    let origin = Origin::start("svc").await;
    let http2 = gateway_with(address, "h2", "none").await;
    let http1 = gateway_with(origin.address, "http1", "none").await;
    let asked = Asked::new("ed25519", "ed", "EdDSA", BODY);
    let [input, signature] = asked.headers();
    for gateway in [&http1, &http2] {
        assert_eq!(asked.send_with(gateway, &input, &signature, "").await, 400);
        assert_eq!(asked.send(gateway).await, 200);
        // By HTTP/2, which says only at its end that a body is empty.
        for (pieces, status) in [(&[][..], 400), (&[""], 400), (&["", BODY], 200), (&[BODY], 200)] {
            let told = by_http2(gateway, &asked, pieces).await;
            assert_eq!(told, status, "{pieces:?}");
        }
    }
    assert_eq!(*bodies.lock().unwrap(), [BODY; 3]);
    let seen: Vec<_> = origin.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(seen, [BODY.as_bytes(); 3]);
}

/// The status of a request whose body comes in these pieces, after its head.
async fn by_http2(gateway: &Gateway, asked: &Asked, pieces: &[&'static str]) -> u16 {
    let mut requests = http2(gateway.address()).await;
    let frames: Vec<_> = pieces
        .iter()
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))))
        .collect();
    let [input, signature] = asked.headers();
    let request = Request::post("http://a.test/svc?a=b")
        .header("x-tenant", "blue")
        .header("content-digest", asked.digest())
        .header("signature-input", input)
        .header("signature", signature)
        .body(StreamBody::new(futures::stream::iter(frames)))
        .unwrap();
    requests.send_request(request).await.unwrap().status().as_u16()
}

/// Each request is signed anew, and is still of one caller.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_is_known_by_the_key() {
    let origin = Origin::start("svc").await;
    let gateway = gateway_with(origin.address, "http1", "2/hour").await;
    let good = |number: u32| {
        let mut asked = Asked::new("ed25519", "ed", "EdDSA", "");
        asked.params.push_str(&format!(";nonce=\"{number}\""));
        asked
    };
    assert_eq!(good(1).send(&gateway).await, 200);
    for _ in 0..2 {
        assert_eq!(Asked::new(SECRET, "p256", "HS256", "").send(&gateway).await, 401);
    }
    assert_eq!(Asked::new(SECRET, "p256", "HS256", "").send(&gateway).await, 429);
    assert_eq!(Asked::new("p384", "p384", "ES384", "").send(&gateway).await, 429);
    assert_eq!(good(2).send(&gateway).await, 200);
}

/// A gateway of which each signature lets in one request.
fn once(origin: SocketAddr) -> String {
    format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{origin}" ] }} }}
auth:
  signed: {{ signature: {{ cover: x-tenant, once: true }} }}
  key: {{ api_key: {{}} }}
  slow: {{ basic: {{}} }}
consumers:
  partner:
    api_keys: "{}"
    basic: {{ password: "{}" }}
    signature_keys: [ {{ keyid: ed, file: "{}" }}, {{ keyid: p256, file: "{}" }} ]
routes:
  svc: {{ path: /svc, to: svc, auth: signed }}
  all: {{ path: /all, to: svc, auth: {{ all: [ signed, slow ] }} }}
"#,
        portcullis::auth::digest("partner-key-7q3z"),
        bcrypt::hash("open sesame-7q3z", 4).unwrap(),
        signer::path("ed25519.pem"),
        signer::path("p256.pem"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_good_once_lets_in_one_request() {
    let origin = Origin::start("svc").await;
    let gateway = Reloading::start(&once(origin.address)).await;
    let with = |keyid: &str, nonce: &str| {
        let (key, algorithm) = if keyid == "ed" { ("ed25519", "EdDSA") } else { ("p256", "ES256") };
        let mut asked = Asked::new(key, keyid, algorithm, BODY);
        asked.params.push_str(nonce);
        asked
    };
    let send = async |asked: &Asked| asked.send_to(gateway.address()).await;
    let first = with("ed", ";nonce=\"a\"");
    // However many at once, it is one.
    let crowd: Vec<u16> = futures::future::join_all((0..20).map(|_| send(&first))).await;
    assert_eq!(crowd.iter().filter(|status| **status == 200).count(), 1, "{crowd:?}");
    assert!(crowd.iter().all(|status| matches!(status, 200 | 401)));
    // Signed anew with the same nonce it is no other.
    let mut again = with("ed", ";nonce=\"a\";tag=\"t\"");
    assert_eq!(send(&again).await, 401);
    // What somebody else made up uses nothing.
    again.params = again.params.replace("\"a\"", "\"b\"");
    again.key = "other";
    again.algorithm = "RS256";
    assert_eq!(send(&again).await, 401);
    assert_eq!(send(&with("ed", ";nonce=\"b\"")).await, 200);
    assert_eq!(send(&with("p256", ";nonce=\"b\"")).await, 200, "each key has its own");
    assert_eq!(send(&with("ed", "")).await, 401, "without one");
    // After a reload that makes all methods anew, too.
    let text = once(origin.address).replace("consumers:", "consumers:\n  more: {}");
    gateway.change_to(&text).await;
    assert_eq!(send(&first).await, 401);
    assert_eq!(send(&with("ed", ";nonce=\"c\"")).await, 200);
    assert_eq!(origin.seen().len(), 4);
}

/// Who has to be waited for besides is asked for a signature once.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_used_once_by_a_request_that_waits() {
    let origin = Origin::start("svc").await;
    let gateway = Reloading::start(&once(origin.address)).await;
    let ask = async |nonce: &str| {
        let mut asked = Asked::new("ed25519", "ed", "EdDSA", "");
        asked.target = "/all".to_owned();
        asked.covered[1].1 = "http://a.test/all".to_owned();
        asked.params.push_str(&format!(";nonce=\"{nonce}\""));
        let [input, signature] = asked.headers();
        let login = format!("Basic {}", STANDARD.encode("partner:open sesame-7q3z"));
        let headers = [
            ("Host", "a.test"),
            ("X-Tenant", "blue"),
            ("Authorization", &*login),
            ("Signature-Input", &*input),
            ("Signature", &*signature),
        ];
        send(gateway.address(), "POST", "/all", &headers, b"").await.status
    };
    for (nonce, status) in [("a", 200), ("a", 401), ("b", 200)] {
        assert_eq!(ask(nonce).await, status, "{nonce}");
    }
}

/// Another's implementation signs, and what it signs is taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_implementation_signs_is_taken() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin).await;
    let private = std::fs::read_to_string(signer::path("ed25519.key")).unwrap();
    for (keyid, algorithm, key) in [("secret", "hmac-sha256", SECRET), ("ed", "ed25519", &*private)]
    {
        for body in ["", BODY] {
            let url = format!("http://{}/svc?a=b&c=%20d", gateway.address());
            let signed: std::collections::BTreeMap<String, String> = python::answer(
                "sign.py",
                &serde_json::json!({
                    "method": "POST", "url": url, "headers": { "X-Tenant": "blue" }, "body": body,
                    "keyid": keyid, "algorithm": algorithm, "key": key,
                    "cover": ["@method", "@target-uri", "x-tenant"],
                }),
            );
            let host = gateway.address().to_string();
            let signed = signed.iter().map(|(name, value)| (&**name, &**value));
            let headers: Vec<_> = [("Host", &*host)].into_iter().chain(signed).collect();
            let target = "/svc?a=b&c=%20d";
            let told =
                send(gateway.address(), "POST", target, &headers, body.as_bytes()).await.status;
            assert_eq!(told, 200, "{algorithm} {body:?} {headers:?}");
            let seen = origin.last();
            assert_eq!(seen.header("x-consumer-name"), "partner");
            assert_eq!(seen.body, body.as_bytes());
            let other = send(gateway.address(), "POST", "/svc?a=c", &headers, body.as_bytes());
            assert_eq!(other.await.status, 401);
        }
    }
}
