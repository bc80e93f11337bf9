//! Limits that several gateways count together, in a real Redis: exactly, or with units taken ahead; and what becomes of
//! them while it is stopped, hangs, or comes back.

mod quotas;
mod trouble;

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::crowd::{Crowd, REQUESTS};
use crate::support::gateway::TestSources;
use crate::support::pki::Authority;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::{Gateway, Reloading, eventually, get};

/// Long enough that a busy machine does not miss it.
const PATIENT: &str = "deadline: 5s";

/// The number of a series in the metrics of a gateway; 0 if it is not there.
async fn number(admin: SocketAddr, series: &str) -> u64 {
    let metrics = get(admin, "/metrics", &[("Host", "localhost")]).await;
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.map_or(0, |value| value.parse().unwrap())
}

/// How often the store was asked, with what outcome.
async fn asked(admin: SocketAddr, outcome: &str) -> u64 {
    number(admin, &format!("portcullis_store_requests_total{{outcome=\"{outcome}\"}}")).await
}

async fn up(admin: SocketAddr) -> bool {
    number(admin, "portcullis_store_up").await == 1
}

/// A gateway in this process, with an operators' listener.
async fn sharing(store: &str, routes: &str) -> Gateway {
    sharing_text(&format!("store: {{ {store} }}\nroutes: {{ {routes} }}\n")).await
}

/// The same by this text.
async fn sharing_text(text: &str) -> Gateway {
    let gateway = Gateway::start(&format!("admin: {{ address: \"127.0.0.1:0\" }}\n{text}")).await;
    let admin = gateway.addresses["admin"];
    eventually("the gateway serves", async || {
        get(admin, "/readyz", &[("Host", "localhost")]).await.status == 200
    })
    .await;
    gateway
}

/// The program in a process of its own.
struct Process {
    program: Program,
    _folder: tempfile::TempDir,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Process {
    async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.yaml");
        let head = "version: 1\nlisteners: { public: { address: \"127.0.0.1:0\" } }\n\
                    admin: { address: \"127.0.0.1:0\" }\nlogs: { access: \"off\" }\n";
        std::fs::write(&file, format!("{head}{text}")).unwrap();
        let arguments = ["run", file.to_str().unwrap()];
        let program = Program::told(&arguments, &[("PORTCULLIS_LOG", "info")]);
        let mut addresses = Vec::new();
        for mark in ["listener public: serving on ", "admin: serving on "] {
            program.says(mark).await;
            let errors = program.errors();
            let (_, rest) = errors.split_once(mark).unwrap();
            addresses.push(rest.split_whitespace().next().unwrap().parse().unwrap());
        }
        Self { program, _folder: folder, public: addresses[0], admin: addresses[1] }
    }
}

/// What became of a crowd at three processes, and how often the store was asked.
async fn crowd_of_three(more: &str) -> (Crowd, u64) {
    let redis = Redis::start().await;
    // Trouble with the store would be told, and be no reason to count otherwise.
    let text = format!(
        "store: {{ redis: \"{}\", {PATIENT}, on_error: deny{more} }}\n\
         routes: {{ a: {{ path: /, auth: none, respond: {{ status: 204 }}, limits: [ 100/s burst 50 ] }} }}\n",
        redis.url()
    );
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Process::start(&text).await);
    }
    let addresses: Vec<SocketAddr> = all.iter().map(|process| process.public).collect();
    let crowd = Crowd::at(&addresses).await;
    let mut answered = 0;
    for process in &mut all {
        assert!(process.program.runs());
        answered += asked(process.admin, "answered").await;
    }
    (crowd, answered)
}

/// Ten thousand requests by 64 clients at three processes: what passes is what the model says, and never more.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_let_through_what_one_would() {
    let (crowd, answered) = crowd_of_three("").await;
    crowd.fits(Duration::ZERO, 0.99);
    assert_eq!(answered, REQUESTS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_units_taken_ahead_few_requests_ask_and_the_bound_holds() {
    // A busy machine may take a good part of the usual 100ms for one answer.
    let (crowd, answered) = crowd_of_three(", lease: 1s").await;
    crowd.fits(Duration::from_secs(1), 0.8);
    // Each asks once for each unit that comes back, and a little more at the start and where an answer took its time.
    let most = 3 * (50 + 100 * (crowd.longest.as_secs() + 1)) + 300;
    assert!(answered < most, "the store was asked {answered} times in {:?}", crowd.longest);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_gateways_are_one_to_a_caller() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", {PATIENT}", redis.url());
    let routes = "a: { path: /a, auth: none, respond: { status: 204 }, limits: [ 4/hour, { rate: 2/hour, per: ip, \
                  methods: [ POST ] } ] }, \
                  watched: { path: /w, auth: none, respond: { status: 204 }, limits: [ { rate: 1/hour, observe: true } ] }, \
                  slow: { path: /slow, auth: none, respond: { status: 204 }, limits: [ { rate: 5/s burst 1, mode: { delay: 30s } } ] }";
    let (one, two) = (sharing(&store, routes).await, sharing(&store, routes).await);
    for (gateway, left) in [(&one, 3), (&two, 2), (&one, 1), (&two, 0)] {
        let answer = get(gateway.address(), "/a", &[]).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("ratelimit-policy"), "\"4/hour\";q=4;w=3600");
        let field = answer.header("ratelimit");
        assert!(field.starts_with(&format!("\"4/hour\";r={left};t=")), "{field}");
    }
    let refused = get(one.address(), "/a", &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((800..=900).contains(&wait), "{wait}");
    // What one bucket refuses takes nothing from the other.
    let posted = crate::support::send(two.address(), "POST", "/a", &[], b"").await;
    assert_eq!(posted.status, 429);
    assert!(posted.header("ratelimit").starts_with("\"4/hour\";r=0;"));
    let keys = redis.ask(&["KEYS", "portcullis:limit:*"]).await;
    assert!(keys.starts_with("*1\r\n"), "{keys}");
    assert!(!keys.contains("127.0.0.1") && keys.contains("limit:{"), "{keys}");
    // Who only looks on refuses nothing.
    for gateway in [&one, &two, &one] {
        assert_eq!(get(gateway.address(), "/w", &[]).await.status, 204);
    }
    let lines = two.log(4).await;
    assert!(lines.iter().any(|line| line["observed"] == "rate_limited"), "{lines:?}");
    // Who is held up stands in one line.
    let began = std::time::Instant::now();
    let asked = (0..4).map(|n| get([&one, &two][n % 2].address(), "/slow", &[]));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer.status == 204));
    assert!(began.elapsed() >= Duration::from_millis(600), "nobody was held up");
}

/// A server that speaks TLS, and lets one user in.
struct Guarded {
    redis: Redis,
    folder: tempfile::TempDir,
}

impl Guarded {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let pair = authority.sign(&["localhost"]);
        let other = Authority::new().pem();
        for (name, text) in [
            ("cert.pem", &pair.cert),
            ("key.pem", &pair.key),
            ("ca.pem", &authority.pem()),
            ("other.pem", &other),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (at("cert.pem"), at("key.pem"));
        let tls = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
        let pair = ["--tls-cert-file", &cert, "--tls-key-file", &key];
        let user = ["--user", "gateway", "on", ">word-7q3z", "~portcullis:*", "+@all"];
        let nobody = ["--user", "default", "off"];
        let redis = Redis::with(&[&tls[..], &pair, &user, &nobody].concat()).await;
        Self { redis, folder }
    }

    /// A gateway that comes with this user and believes this authority.
    async fn gateway(&self, user: &str, ca: &str) -> Gateway {
        let url = format!("rediss://{user}localhost:{}/3", self.redis.address.port());
        let env = [("REDIS_URL".to_owned(), url)];
        let sources = TestSources { env: env.into(), base: self.folder.path().to_owned() };
        let text = format!(
            "store: {{ redis: \"${{env:REDIS_URL}}\", ca: {ca}, {PATIENT}, on_error: deny }}\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             routes: {{ a: {{ path: /, auth: none, respond: {{ status: 204 }}, limits: [ 2/hour ] }} }}\n"
        );
        let gateway = Gateway::start_with(&text, sources).await;
        // It serves after it has tried.
        get(gateway.address(), "/", &[]).await;
        gateway
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reached_by_tls_with_a_password_and_a_database() {
    let guarded = Guarded::start().await;
    let gateway = guarded.gateway("gateway:word-7q3z@", "ca.pem").await;
    let ready = get(gateway.addresses["admin"], "/readyz", &[("Host", "localhost")]).await;
    assert!(up(gateway.addresses["admin"]).await, "{}", ready.text());
    let mut found = Vec::new();
    for _ in 0..2 {
        found.push(get(gateway.address(), "/", &[]).await.status);
    }
    assert_eq!(found, [204, 429]);
    for (user, ca, trouble) in [
        ("gateway:wrong-7q3z@", "ca.pem", "login failed"),
        ("", "ca.pem", "login failed"),
        ("gateway:word-7q3z@", "other.pem", "certificate"),
    ] {
        let gateway = guarded.gateway(user, ca).await;
        let admin = gateway.addresses["admin"];
        let ready = get(admin, "/readyz", &[("Host", "localhost")]).await;
        let told = ready.json()["store"]["trouble"].to_string();
        assert!(told.contains(trouble), "{told}");
        assert!(!up(admin).await);
        let refused = get(gateway.address(), "/", &[]).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "limit_unavailable"));
        assert_eq!(refused.header("retry-after"), "1");
    }
}

/// A cluster refuses a script whose keys lie in different slots, and each of several rules is in another one.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_each_limit_is_asked_by_itself() {
    let redis = Redis::with(&["--cluster-enabled", "yes"]).await;
    assert_eq!(redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await, "+OK\r\n");
    eventually("the cluster serves", async || {
        redis.ask(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
    })
    .await;
    let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
    let routes = "a: { path: /, auth: none, respond: { status: 204 }, limits: [ { rate: [ 5/hour, 100/day ] }, \
                  { rate: 3/hour, per: ip }, { rate: 1000/hour, per: route } ] }";
    let (one, two) = (sharing(&store, routes).await, sharing(&store, routes).await);
    let mut found = Vec::new();
    for gateway in [&one, &two, &one, &two] {
        found.push(get(gateway.address(), "/", &[]).await.status);
    }
    assert_eq!(found, [204, 204, 204, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_store_only_for_one_that_answers() {
    let (first, second) = (Redis::start().await, Redis::start().await);
    let text = |url: &str, more: &str| {
        format!(
            "store: {{ redis: \"{url}\", {PATIENT}{more} }}\n\
             routes:\n  a: {{ path: /, auth: none, respond: {{ status: 204 }}, limits: [ 2/hour ] }}\n"
        )
    };
    let gateway = Reloading::start(&text(&first.url(), "")).await;
    let status = async || get(gateway.address(), "/", &[]).await.status;
    assert_eq!([status().await, status().await, status().await], [204, 204, 429]);
    gateway.change_to(&text(&first.url(), ", on_error: allow")).await;
    assert_eq!(status().await, 429);
    // Nobody listens there, and the one before goes on.
    let nobody = format!("redis://127.0.0.1:{}", crate::support::process::free_ports(1));
    gateway.write(&text(&nobody, ""));
    let outcome = gateway.reload().await;
    assert!(!outcome.accepted, "{}", outcome.report);
    assert!(outcome.report.contains("store: it does not answer"), "{}", outcome.report);
    assert_eq!(status().await, 429);
    gateway.change_to(&text(&second.url(), "")).await;
    assert_eq!([status().await, status().await, status().await], [204, 204, 429]);
    // Without one, each has its own again.
    gateway
        .change_to(
            "routes:\n  a: { path: /, auth: none, respond: { status: 204 }, limits: [ 2/hour ] }\n",
        )
        .await;
    assert_eq!(status().await, 204);
}
