//! How many at once: places that are exact, a queue that is bounded, and who is let in first.

mod adaptive;
mod places;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::auth::Digest;
use portcullis::explain::{Question, explain};
use portcullis::loading::load_text;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::gateway::TestSources;
use crate::support::{Answer, Client, Gateway, RawOrigin, eventually, get};

/// An origin that answers when it is told to, and knows how many requests it has at once.
pub struct Held {
    origin: RawOrigin,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl Held {
    pub async fn start() -> Self {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let go = Arc::new(Semaphore::new(0));
        let shared = (now.clone(), most.clone(), go.clone());
        let origin = RawOrigin::with(move |mut stream: TcpStream| {
            let (now, most, go) = shared.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                go.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await;
        Self { origin, now, most, go }
    }

    pub fn address(&self) -> SocketAddr {
        self.origin.address
    }

    /// How many requests it has.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    /// The most that it ever had.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// Answers so many.
    pub fn answer(&self, count: usize) {
        self.go.add_permits(count);
    }

    pub async fn has(&self, count: usize) {
        eventually(&format!("{count} requests at the origin"), async || self.now() == count).await;
    }

    /// The paths that it was asked for, in their order.
    pub fn paths(&self) -> Vec<String> {
        let path = |head: &String| head.split(' ').nth(1).unwrap().to_owned();
        self.origin.heads().iter().map(path).collect()
    }
}

/// What a test's gateways have besides.
pub const ADMIN: &str = "admin: { address: \"127.0.0.1:0\" }";

/// The value of a series, 0 where it is not shown.
pub async fn series(admin: SocketAddr, name: &str) -> u64 {
    let text = get(admin, "/metrics", &[("Host", "localhost")]).await;
    assert_eq!(text.status, 200);
    let value = text.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until a series of a cap has this value.
pub async fn shows(admin: SocketAddr, what: &str, cap: &str, value: u64) {
    let name = format!("portcullis_concurrency_{what}{{cap=\"{cap}\"}}");
    eventually(&format!("{name} {value}"), async || series(admin, &name).await == value).await;
}

/// What a cap said to requests of this priority.
pub async fn said(admin: SocketAddr, cap: &str, priority: &str, word: &str) -> u64 {
    let labels = format!("cap=\"{cap}\",priority=\"{priority}\",said=\"{word}\"");
    series(admin, &format!("portcullis_concurrency_decisions_total{{{labels}}}")).await
}

/// A request on its way.
pub fn asks(address: SocketAddr, path: &str, key: Option<&str>) -> JoinHandle<Answer> {
    let (path, key) = (path.to_owned(), key.map(key_of));
    tokio::spawn(async move {
        let headers: Vec<_> = key.iter().map(|key| ("x-api-key", &**key)).collect();
        get(address, &path, &headers).await
    })
}

fn key_of(name: &str) -> String {
    format!("{name}-key-9f2c")
}

/// The digest of somebody's key.
pub fn digest(name: &str) -> String {
    Digest::of(key_of(name).as_bytes()).to_string()
}

fn admin(gateway: &Gateway) -> SocketAddr {
    gateway.addresses["admin"]
}

/// A client that has sent its request, and does not read the answer yet.
async fn sent(address: SocketAddr, path: &str) -> Client {
    let mut client = Client::connect(address).await;
    client.write(format!("GET {path} HTTP/1.1\r\nHost: gateway.test\r\n\r\n").as_bytes()).await;
    client
}

#[test]
fn an_explanation_tells_how_many_at_once() {
    let text = format!(
        r#"
version: 1
listeners: {{ public: {{ address: "127.0.0.1:8080" }} }}
upstreams:
  u: {{ targets: [ "127.0.0.1:8001" ], concurrency: {{ adaptive: true, max: 50, queue: 5 }} }}
plans: {{ p: {{ concurrency: 7 }} }}
consumers: {{ me: {{ api_keys: "{}", plan: p }} }}
routes: {{ all: {{ path: /, to: u, concurrency: {{ max: 30, queue: 0, observe: true }} }} }}
"#,
        digest("me")
    );
    let loaded = load_text(&text, &TestSources::default());
    let snapshot = loaded.compiled.unwrap().snapshot;
    let mut question = Question::new("GET", "/").unwrap();
    question.consumer = Some("me".to_owned());
    let told = explain(&snapshot, 8080, &question).unwrap().to_text();
    let limits = "
limits     7 of its requests at once (plans.p.concurrency)
           30 at once, which only looks on (routes.all.concurrency)
           as many at once as answer without delay, up to 50, and 5 wait for up to 100ms (upstreams.u.concurrency)
";
    assert!(told.contains(limits), "{told}");
}
