//! TLS towards targets: who is believed, who is asked for, who we are, and who shares a connection.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::Version;
use pingora::tls::{
    CertificateDer, PrivateKeyDer, RootCertStore, ServerConfig, TlsAcceptor, WebPkiClientVerifier,
    install_default_crypto_provider,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::gateway::TestSources;
use crate::support::pki::{Authority, Pair};
use crate::support::stream::{Catch, serve};
use crate::support::{Answer, Gateway, eventually, get};

/// The server name that was asked for, and whether the client showed a certificate.
type Handshake = (Option<String>, bool);

/// A service behind TLS.
struct Service {
    address: SocketAddr,
    caught: Catch,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    _tasks: JoinSet<()>,
}

impl Service {
    /// With this certificate; it asks clients for one of `clients` if that is given.
    async fn start(pair: &Pair, clients: Option<&Authority>, h2: bool) -> Self {
        install_default_crypto_provider();
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(vec![der(&pair.cert)], key(&pair.key)).unwrap();
        config.alpn_protocols = if h2 { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (caught, handshakes) = (Catch::default(), Arc::<Mutex<Vec<_>>>::default());
        let (seen, noted) = (caught.clone(), handshakes.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, seen, noted) = (acceptor.clone(), seen.clone(), noted.clone());
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let session = stream.get_ref().1;
                    let name = session.server_name().map(ToOwned::to_owned);
                    let h2 = session.alpn_protocol() == Some(b"h2");
                    noted.lock().unwrap().push((name, session.peer_certificates().is_some()));
                    serve(stream, h2, "tls", number, seen).await;
                });
            }
        });
        Self { address, caught, handshakes, _tasks: tasks }
    }

    fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.caught.lock().unwrap().len()
    }
}

fn block(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64(&text)
}

/// Base64 (RFC 4648, section 4), for the few lines of a PEM block.
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let word = four.iter().fold(0u32, |word, byte| (word << 6) | u32::from(value(*byte)));
        let padding = four.iter().rev().take_while(|byte| **byte == b'=').count();
        bytes.extend_from_slice(&word.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from(block(pem))
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(block(pem)).unwrap()
}

/// The PEM files of a test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    /// A gateway whose upstreams and routes have the same names.
    async fn gateway(&self, upstreams: &[(&str, String)]) -> Gateway {
        let mut text = "upstreams:\n".to_owned();
        for (name, upstream) in upstreams {
            text.push_str(&format!("  {name}: {{ {upstream}, health: none }}\n"));
        }
        text.push_str("routes:\n");
        for (name, _) in upstreams {
            text.push_str(&format!("  {name}: {{ path: /{name}, to: {name}, auth: none }}\n"));
        }
        let base = PathBuf::from(self.0.path());
        Gateway::start_with(&text, TestSources { base, ..TestSources::default() }).await
    }
}

fn to(address: SocketAddr, tls: &str) -> String {
    format!("targets: [ \"https://{address}\" ], tls: {{ {tls} }}")
}

fn refused(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
    for word in ["certificate", "Unknown", "rustls", "tls", "127.0.0.1"] {
        assert!(!answer.text().contains(word), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified_against_the_named_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let service = Service::start(&ours.sign(&["127.0.0.1"]), None, false).await;
    let folder = Folder::with(&[("ours.pem", &ours.0.pem()), ("theirs.pem", &theirs.0.pem())]);
    let gateway = folder
        .gateway(&[
            ("ours", to(service.address, "ca: ours.pem")),
            ("theirs", to(service.address, "ca: theirs.pem")),
            ("system", to(service.address, "")),
            ("unverified", to(service.address, "verify: false")),
            ("misnamed", to(service.address, "ca: ours.pem, sni: users.internal")),
        ])
        .await;
    // The good ones come first, so that there are connections in the pool that the others must not get.
    for _ in 0..2 {
        for name in ["ours", "unverified"] {
            let answer = get(gateway.address(), &format!("/{name}"), &[]).await;
            assert_eq!((answer.status, answer.text()), (200, "tls"), "{name}");
        }
        for name in ["theirs", "system", "misnamed"] {
            refused(&get(gateway.address(), &format!("/{name}"), &[]).await);
        }
    }
    assert_eq!(service.requests(), 4);
    let caught = service.caught.lock().unwrap().clone();
    assert!(caught.iter().all(|c| c.version == Version::HTTP_11));
    // Who verifies never uses a connection that was opened by who does not.
    let connections = |path: &str| -> HashSet<usize> {
        caught.iter().filter(|c| c.path == path).map(|c| c.connection).collect()
    };
    assert!(connections("/ours").is_disjoint(&connections("/unverified")), "{caught:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_is_asked_for_is_the_one_that_is_verified() {
    let ours = Authority::new();
    let service = Service::start(&ours.sign(&["localhost", "users.internal"]), None, false).await;
    let port = service.address.port();
    let folder = Folder::with(&[("ours.pem", &ours.0.pem())]);
    let gateway = folder
        .gateway(&[
            (
                "named",
                format!("targets: [ \"https://localhost:{port}\" ], tls: {{ ca: ours.pem }}"),
            ),
            ("given", to(service.address, "ca: ours.pem, sni: users.internal")),
            ("address", to(service.address, "ca: ours.pem")),
            ("other", to(service.address, "ca: ours.pem, sni: orders.internal")),
        ])
        .await;
    assert_eq!(get(gateway.address(), "/named", &[]).await.status, 200);
    assert_eq!(get(gateway.address(), "/given", &[]).await.status, 200);
    refused(&get(gateway.address(), "/address", &[]).await);
    refused(&get(gateway.address(), "/other", &[]).await);
    let names: Vec<_> = service.handshakes().into_iter().map(|(name, _)| name.unwrap()).collect();
    assert_eq!(names, ["localhost", "users.internal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_and_its_connection_is_nobody_elses() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let service = Service::start(&ours.sign(&["127.0.0.1"]), Some(&ours), false).await;
    let (good, bad) = (ours.sign(&["gateway"]), theirs.sign(&["gateway"]));
    let folder = Folder::with(&[
        ("ours.pem", &ours.0.pem()),
        ("good.pem", &good.cert),
        ("good.key", &good.key),
        ("bad.pem", &bad.cert),
        ("bad.key", &bad.key),
    ]);
    let with = |pair: &str| {
        let cert = format!("client_certificate: {{ cert: {pair}.pem, key: {pair}.key }}");
        to(service.address, &format!("ca: ours.pem, {cert}"))
    };
    let gateway = folder
        .gateway(&[
            ("good", with("good")),
            ("bad", with("bad")),
            ("none", to(service.address, "ca: ours.pem")),
        ])
        .await;
    for _ in 0..2 {
        assert_eq!(get(gateway.address(), "/good", &[]).await.status, 200);
        refused(&get(gateway.address(), "/bad", &[]).await);
        refused(&get(gateway.address(), "/none", &[]).await);
    }
    assert!(service.handshakes().iter().all(|handshake| *handshake == (None, true)));
    assert_eq!(service.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_agreed_on_by_alpn() {
    let ours = Authority::new();
    let folder = Folder::with(&[("ours.pem", &ours.0.pem())]);
    let service = Service::start(&ours.sign(&["127.0.0.1"]), None, true).await;
    let upstream = format!("{}, protocol: h2", to(service.address, "ca: ours.pem"));
    let gateway = folder.gateway(&[("two", upstream)]).await;
    for _ in 0..3 {
        assert_eq!(get(gateway.address(), "/two", &[]).await.text(), "tls");
    }
    let caught = service.caught.lock().unwrap().clone();
    assert!(caught.iter().all(|c| c.version == Version::HTTP_2), "{caught:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_speaks_tls_as_traffic_does() {
    let ours = Authority::new();
    let pair = ours.sign(&["gateway"]);
    let service = Service::start(&ours.sign(&["127.0.0.1"]), Some(&ours), false).await;
    let folder = Folder::with(&[
        ("ours.pem", &ours.0.pem()),
        ("good.pem", &pair.cert),
        ("good.key", &pair.key),
    ]);
    let text = format!(
        r#"
upstreams:
  users:
    targets: [ "https://{}" ]
    tls: {{ ca: ours.pem, client_certificate: {{ cert: good.pem, key: good.key }} }}
    health: {{ path: /healthz, every: 100ms, unhealthy_after: 1 }}
routes: {{ all: {{ path: /, to: users, auth: none }} }}
"#,
        service.address
    );
    let base = PathBuf::from(folder.0.path());
    let sources = TestSources { base, ..TestSources::default() };
    let gateway = Gateway::start_with(&text, sources).await;
    eventually("three probes", async || service.requests() >= 3).await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 200);
    let caught = service.caught.lock().unwrap().clone();
    assert!(caught.iter().filter(|c| c.path == "/healthz").count() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_where_tls_is_expected_is_a_broken_answer() {
    let plain = crate::support::Origin::start("plain").await;
    let gateway = Folder::with(&[]).gateway(&[("x", to(plain.address, "verify: false"))]).await;
    refused(&get(gateway.address(), "/x", &[]).await);
}
