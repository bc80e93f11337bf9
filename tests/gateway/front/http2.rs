//! HTTP/2 at the front door: over TLS and without, and those who only make work.

mod abuse;
mod cases;
mod ends;
mod floods;
mod frames;
mod steady;
mod untaken;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ECHO, House, metric};
use crate::support::pki::{Authority, TlsClient};
use crate::support::{Client, Origin, PATIENCE, Reloading, eventually, http2_over};

type Requests = SendRequest<Full<Bytes>>;

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Requests {
    http2_over(stream).await
}

async fn send(requests: &mut Requests, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let answer = tokio::time::timeout(PATIENCE, requests.send_request(request)).await;
    let (head, body) = answer.unwrap().unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

/// A gateway before an origin that tells what it saw, with TLS (`secure`) and without (`public`).
async fn house(origin: &Origin) -> (Reloading, TlsClient) {
    let authority = Authority::new();
    let pair = authority.sign(&["one.test"]);
    let house = House::with(&[("one.pem", &pair.cert), ("one.key", &pair.key)]);
    let gateway = house
        .open(&format!(
            r#"
listeners:
  public: {{ address: "127.0.0.1:0" }}
  secure: {{ address: "127.0.0.1:0", tls: {{ certificates: [ {{ cert: one.pem, key: one.key }} ] }} }}
upstreams: {{ a: {{ targets: [ "{}" ] }} }}
routes:
{ECHO}  a: {{ path: /a, to: a, auth: none }}
"#,
            origin.address
        ))
        .await;
    (gateway, TlsClient::h2(&authority))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_over_tls_and_by_prior_knowledge() {
    let origin = Origin::with(|seen| Response::new(Full::new(seen.body.clone()))).await;
    let (gateway, client) = house(&origin).await;
    let secure = client.connect(gateway.addresses["secure"], "one.test").await.unwrap();
    let plain = TcpStream::connect(gateway.address()).await.unwrap();
    for (mut requests, scheme) in [(speak(secure).await, "https"), (speak(plain).await, "http")] {
        let url = |path: &str| format!("{scheme}://one.test{path}");
        let answer = send(&mut requests, get(&url("/echo"))).await;
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert!(answer.body().starts_with(scheme.as_bytes()));

        let body = Bytes::from(vec![b'x'; 3 << 20]);
        let request = Request::post(url("/a/b?c=d"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(Full::new(body.clone()))
            .unwrap();
        let answer = send(&mut requests, request).await;
        assert_eq!((answer.status().as_u16(), answer.body()), (200, &body));
        assert!(!answer.headers().contains_key("connection"));
        let seen = origin.last();
        assert_eq!((seen.target.as_str(), seen.header("host")), ("/a/b?c=d", "one.test"));
        assert_eq!(seen.header("x-forwarded-proto"), scheme);
        assert_eq!(seen.header("x-forwarded-host"), "one.test");
        assert_eq!(seen.header("cookie"), "a=1; b=2");
        assert_eq!(seen.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(seen.header("via"), "2 portcullis");

        let refused = send(&mut requests, get(&url("/none"))).await;
        assert_eq!(refused.status().as_u16(), 404);
        let many = (0..50).map(|_| {
            let (mut requests, request) = (requests.clone(), get(&url("/a")));
            async move { send(&mut requests, request).await.status().as_u16() }
        });
        let statuses = futures::future::join_all(many).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_short_beginning_hangs_nobody() {
    let origin = Origin::start("a").await;
    let (gateway, _) = house(&origin).await;
    // The preface in pieces, and then a request.
    let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
    slow.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        slow.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    slow.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut settings = [0; 9];
    slow.read_exact(&mut settings).await.unwrap();
    assert_eq!(settings[3], 4);
    // What begins like it and is something else.
    let mut other = Client::connect(gateway.address()).await;
    other.write(b"P").await;
    other.write(b"RI").await;
    other.write(b"NT /echo HTTP/1.1\r\nHost: one.test\r\n\r\n").await;
    assert_eq!(other.read(false).await.status, 200);
    // One that ends halfway.
    let mut short = TcpStream::connect(gateway.address()).await.unwrap();
    short.write_all(b"PRI * HT").await.unwrap();
    short.shutdown().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, short.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok());
    let admin = gateway.admin();
    drop((slow, other));
    let open = "portcullis_connections_open{listener=\"public\"}";
    eventually("all are gone", async || metric(admin, open).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_open_streams_end() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::with(move |_| {
        // Other tasks of this thread go on meanwhile.
        let _ = tokio::task::block_in_place(|| wait.lock().unwrap().recv_timeout(PATIENCE));
        Response::new(Full::new(Bytes::from_static(b"late")))
    })
    .await;
    let (mut gateway, client) = house(&origin).await;
    let stream = client.connect(gateway.addresses["secure"], "one.test").await.unwrap();
    let mut requests = speak(stream).await;
    let mut more = requests.clone();
    let late = tokio::spawn(async move { send(&mut more, get("https://one.test/a")).await });
    let admin = gateway.admin();
    let busy = "portcullis_requests_in_flight{route=\"a\"}";
    eventually("it is under way", async || metric(admin, busy).await == 1).await;
    gateway.ask_to_stop();
    eventually("no new one is taken", async || {
        requests.ready().await.is_err()
            || requests.send_request(get("https://one.test/echo")).await.is_err()
    })
    .await;
    release.send(()).unwrap();
    assert_eq!(late.await.unwrap().body(), "late");
    assert!(gateway.stop().await);
}
