//! Clients that show a certificate: who is let in, as whom, and what services are told of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use rcgen::{DnType, SanType};

use super::{House, metric, write};
use crate::support::pki::{Authority, Pair, TlsClient};
use crate::support::{Answer, Client, Origin, Reloading, eventually, http2_over};

/// A house with an authority for its own name and one for its clients.
struct Partners {
    ours: Authority,
    theirs: Authority,
    origin: Origin,
    gateway: Reloading,
}

impl Partners {
    /// `client_auth` beside its `ca`, what else the consumers have, and a list of revoked certificates.
    async fn open(client_auth: &str, revoked: impl FnOnce(&Authority) -> String) -> Self {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let pair = ours.sign(&["one.test", "two.test"]);
        let origin = Origin::start("a").await;
        let house = House::with(&[
            ("one.pem", &pair.cert),
            ("one.key", &pair.key),
            ("theirs.pem", &theirs.pem()),
            ("revoked.pem", &revoked(&theirs)),
        ]);
        let gateway = house
            .open(&format!(
                r#"
listeners:
  public:
    address: "127.0.0.1:0"
    tls:
      certificates: [ {{ cert: one.pem, key: one.key }} ]
      client_auth: {{ ca: theirs.pem{client_auth} }}
upstreams: {{ a: {{ targets: [ "{}" ] }} }}
auth: {{ cert: {{ mtls: {{}} }}, key: {{ api_key: {{}} }} }}
consumers:
  acme: {{ certificates: [ "cn:acme", "uri:spiffe://acme/gateway" ] }}
  whole: {{ certificates: "subject:CN=a\\,b,O=Whole" }}
  off: {{ certificates: "cn:off", disabled: true }}
  me: {{ api_keys: [ "sha256:fa07946b996ae455463ff22d78f25da36e98425b4aa1360f46c030f4ceb315c6" ] }}
routes:
  cert:
    path: /cert
    to: a
    auth: cert
    request_headers:
      set:
        X-Subject: "${{client.cert.subject}}"
        X-San: "${{client.cert.san}}"
        X-Fingerprint: "${{client.cert.fingerprint}}"
  any: {{ path: /any, to: a }}
  acme: {{ path: /acme, to: a, auth: cert, allow: {{ consumers: [ acme ] }} }}
  open: {{ path: /open, to: a, auth: none }}
"#,
                origin.address
            ))
            .await;
        Self { ours, theirs, origin, gateway }
    }

    fn pair(&self, name: &str) -> Pair {
        self.theirs.sign_client(&[(DnType::CommonName, name)], Vec::new(), 7)
    }

    async fn ask(&self, pair: Option<&Pair>, target: &str, headers: &[(&str, &str)]) -> Answer {
        let client = TlsClient::build(&self.ours, pair, &[]);
        let stream = client.connect(self.gateway.address(), "one.test").await.unwrap();
        let mut all = vec![("Host", "one.test")];
        all.extend(headers);
        Client::over(stream).ask("GET", target, &all).await
    }

    /// Whether a client gets as far as an answer. With TLS 1.3 it hears of a refusal only then.
    async fn is_served(&self, pair: Option<&Pair>) -> bool {
        let client = TlsClient::build(&self.ours, pair, &[]);
        let Ok(stream) = client.connect(self.gateway.address(), "one.test").await else {
            return false;
        };
        let mut client = Client::over(stream);
        client.try_write(b"GET /open HTTP/1.1\r\nHost: one.test\r\n\r\n").await
            && client.read_any(false).await.is_some_and(|answer| answer.status == 200)
    }

    async fn refused(&self, reason: &str, count: u64) {
        let series = format!(
            "portcullis_connections_refused_total{{listener=\"public\",reason=\"{reason}\"}}"
        );
        let admin = self.gateway.admin();
        eventually(reason, async || metric(admin, &series).await == count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_its_consumer() {
    let house = Partners::open(", required: false", |_| String::new()).await;
    let uri = SanType::URI("spiffe://acme/gateway".try_into().unwrap());
    let dns = SanType::DnsName("Gate.acme.test".try_into().unwrap());
    let by_uri = house.theirs.sign_client(&[], vec![dns, uri], 1);
    let subject = [(DnType::OrganizationName, "Whole"), (DnType::CommonName, "a,b")];
    let by_subject = house.theirs.sign_client(&subject, Vec::new(), 2);
    for (pair, consumer, subject, san) in [
        (house.pair("acme"), "acme", "CN=acme", ""),
        (by_uri, "acme", "", "dns:gate.acme.test,uri:spiffe://acme/gateway"),
        (by_subject, "whole", "CN=a\\,b,O=Whole", ""),
    ] {
        let claims = [("X-Consumer-Name", "root"), ("X-Subject", "CN=root"), ("X-San", "root")];
        let answer = house.ask(Some(&pair), "/cert", &claims).await;
        assert_eq!(answer.status, 200, "{consumer}: {}", answer.text());
        let seen = house.origin.last();
        assert_eq!(seen.header("x-consumer-name"), consumer);
        assert_eq!((seen.header("x-subject"), seen.header("x-san")), (subject, san));
        assert_eq!(seen.header("x-fingerprint").len(), 64);
    }
    // Part of a subject is not the subject.
    for name in ["acme2", "a", "off"] {
        let answer = house.ask(Some(&house.pair(name)), "/cert", &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{name}");
    }
    assert_eq!(house.ask(None, "/cert", &[]).await.status, 401);
    assert_eq!(house.ask(Some(&house.pair("acme")), "/acme", &[]).await.status, 200);
    let whole = [(DnType::OrganizationName, "Whole"), (DnType::CommonName, "a,b")];
    let whole = house.theirs.sign_client(&whole, Vec::new(), 3);
    assert_eq!(house.ask(Some(&whole), "/acme", &[]).await.status, 403);
    // Of several methods one suffices.
    let key = [("x-api-key", "secret002oUdaRJA")];
    assert_eq!(house.ask(None, "/any", &key).await.status, 200);
    assert_eq!(house.ask(Some(&house.pair("acme")), "/any", &[]).await.status, 200);
    assert_eq!(house.ask(None, "/any", &[]).await.status, 401);
    assert_eq!(house.ask(None, "/open", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_must_show_one_and_does_not_is_not_served() {
    let house = Partners::open("", |_| String::new()).await;
    assert!(house.is_served(Some(&house.pair("acme"))).await);
    assert!(!house.is_served(None).await);
    house.refused("tls_certificate_missing", 1).await;
    let stranger = Authority::new().sign_client(&[(DnType::CommonName, "acme")], Vec::new(), 7);
    assert!(!house.is_served(Some(&stranger)).await);
    let expired = house.theirs.sign_until(&["acme"], 2020);
    assert!(!house.is_served(Some(&expired)).await);
    house.refused("tls_certificate_refused", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_believed_is_not_served_where_none_is_required_either() {
    let house = Partners::open(", required: false", |_| String::new()).await;
    let stranger = Authority::new().sign_client(&[(DnType::CommonName, "acme")], Vec::new(), 7);
    assert!(!house.is_served(Some(&stranger)).await);
    assert!(house.is_served(None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_is_refused_as_soon_as_the_list_says_so() {
    let house = Partners::open(", crl: revoked.pem", |theirs| theirs.revoke(&[99], 2100)).await;
    let pair = house.pair("acme");
    // One client, which would resume its session.
    let client = TlsClient::showing(&house.ours, &pair);
    let served = async || {
        let Ok(stream) = client.connect(house.gateway.address(), "one.test").await else {
            return false;
        };
        let mut client = Client::over(stream);
        client.try_write(b"GET /open HTTP/1.1\r\nHost: one.test\r\n\r\n").await
            && client.read_any(false).await.is_some_and(|answer| answer.status == 200)
    };
    assert!(served().await && served().await);
    write(&house.gateway.path("revoked.pem"), &house.theirs.revoke(&[99, 7], 2100));
    assert!(house.gateway.reload().await.accepted);
    assert!(!served().await);
    house.refused("tls_certificate_refused", 1).await;
    // A list that is out of date says nothing of who was revoked since.
    write(&house.gateway.path("revoked.pem"), &house.theirs.revoke(&[], 2025));
    let outcome = house.gateway.reload().await;
    assert!(outcome.accepted && outcome.report.contains("out of date"), "{}", outcome.report);
    assert!(!served().await);
    write(&house.gateway.path("revoked.pem"), &house.theirs.revoke(&[], 2100));
    assert!(house.gateway.reload().await.accepted);
    assert!(served().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_resumed_past_the_end_of_the_list() {
    let house = Partners::open(", crl: revoked.pem", |theirs| theirs.revoke(&[], 2100)).await;
    let client = TlsClient::showing(&house.ours, &house.pair("acme"));
    // Whether the session is resumed, and whether it is served.
    let came = async || {
        let stream = client.connect(house.gateway.address(), "one.test").await.unwrap();
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let mut client = Client::over(stream);
        let served = client.try_write(b"GET /open HTTP/1.1\r\nHost: one.test\r\n\r\n").await
            && client.read_any(false).await.is_some_and(|answer| answer.status == 200);
        (resumed, served)
    };
    // A list that ends in a moment.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let until = Duration::from_secs(now.as_secs() + 5);
    let list = house.theirs.revoke_until(&[], 1970, until);
    write(&house.gateway.path("revoked.pem"), &list);
    assert!(house.gateway.reload().await.accepted);
    assert_eq!([came().await, came().await], [(false, true), (true, true)]);
    let left = (UNIX_EPOCH + until).duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left).await;
    assert_eq!(came().await, (true, false));
    house.refused("tls_certificate_refused", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_connection_is_told_to_open_its_own() {
    let house = Partners::open(", required: false", |_| String::new()).await;
    for (pair, host, target, status) in [
        (None, "one.test", "/cert", 401),
        (None, "two.test", "/cert", 421),
        (None, "two.test", "/open", 200),
        (Some(house.pair("acme")), "two.test", "/cert", 200),
        (Some(house.pair("nobody")), "two.test", "/cert", 401),
    ] {
        let client = TlsClient::build(&house.ours, pair.as_ref(), &[b"h2"]);
        let stream = client.connect(house.gateway.address(), "one.test").await.unwrap();
        let mut requests = http2_over(stream).await;
        let request = Request::get(format!("https://{host}{target}"));
        let answer = requests.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await;
        let answer = answer.unwrap();
        let answered = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answered, status, "{host}{target}: {body:?}");
    }
}
