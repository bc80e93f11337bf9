//! How often: buckets by consumer, address and more, told by header fields, and asked together.
//!
//! Rates are slow here, so that nothing comes back while a test runs.

use portcullis::auth::Digest;
use serde_json::json;

use crate::support::crowd::Crowd;
use crate::support::signer::{SECRET, token};
use crate::support::{Answer, Client, Gateway, Origin, Reloading, get, send};

/// The digest of a key, as it stands in a file.
fn digest(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

fn key(name: &str) -> String {
    format!("{name}-key-5b8x")
}

async fn as_(gateway: &Gateway, name: &str, path: &str) -> Answer {
    get(gateway.address(), path, &[("x-api-key", &key(name))]).await
}

/// The statuses of so many requests, one after the other.
async fn statuses(
    gateway: &Gateway,
    count: usize,
    path: &str,
    headers: &[(&str, &str)],
) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(get(gateway.address(), path, headers).await.status);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_many_is_told_when_to_come_back() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes: {{ users: {{ path: /users, to: users, auth: none, limits: [ 3/hour ] }} }}
"#,
        users.address
    ))
    .await;
    for left in ["2", "1", "0"] {
        let answer = get(gateway.address(), "/users", &[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers("ratelimit-policy"), ["\"3/hour\";q=3;w=3600"]);
        let field = answer.header("ratelimit");
        assert!(field.starts_with(&format!("\"3/hour\";r={left};t=1")), "{field}");
        assert_eq!(answer.header("retry-after"), "");
    }
    let answer = get(gateway.address(), "/users", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    // A third of an hour, but for the moments that have passed.
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(answer.header("ratelimit"), format!("\"3/hour\";r=0;t={wait}"));
    let grpc = get(gateway.address(), "/users", &[("Content-Type", "application/grpc")]).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, "8"));
    assert_eq!(users.seen().len(), 3);
    let lines = gateway.log(5).await;
    let line = lines.iter().find(|line| line["status"] == 429).unwrap();
    assert_eq!(line["why"], "rate_limited");
    assert_eq!(line["limit"], "routes.users.limits[0]");
    let passed = lines.iter().filter(|line| line["limit"].is_null());
    assert_eq!(passed.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_a_bucket_of_its_own_and_a_plan_limits_it_everywhere() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
plans: {{ free: {{ limits: [ 3/hour, 100/day ] }}, gold: {{}} }}
consumers:
  a: {{ api_keys: "{}", plan: free }}
  b: {{ api_keys: "{}", plan: free }}
  c: {{ api_keys: "{}", plan: gold }}
routes:
  one: {{ path: /one, to: users }}
  two: {{ path: /two, to: users, limits: [ 2/hour ] }}
"#,
        users.address,
        digest(&key("a")),
        digest(&key("b")),
        digest(&key("c")),
    ))
    .await;
    // The route's own limit refuses first, and what it refuses takes nothing of the plan.
    for (status, left) in [(200, "1"), (200, "0"), (429, "0"), (429, "0")] {
        let answer = as_(&gateway, "a", "/two").await;
        assert_eq!(answer.status, status);
        assert!(answer.header("ratelimit").contains(&format!(";r={left};")));
    }
    assert_eq!(as_(&gateway, "a", "/one").await.status, 200);
    let refused = as_(&gateway, "a", "/one").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("ratelimit-policy"), "\"3/hour\";q=3;w=3600");
    assert_eq!(as_(&gateway, "b", "/one").await.status, 200);
    // Of a route's limit and a plan's, the tighter is told.
    assert_eq!(as_(&gateway, "b", "/one").await.status, 200);
    let both = as_(&gateway, "b", "/two").await;
    assert_eq!(both.header("ratelimit-policy"), "\"3/hour\";q=3;w=3600");
    assert!(both.header("ratelimit").starts_with("\"3/hour\";r=0;"), "{both:?}");
    let free = as_(&gateway, "c", "/one").await;
    assert_eq!((free.status, free.header("ratelimit")), (200, ""));
    let lines = gateway.log(10).await;
    let of_the_plan = lines.iter().filter(|line| line["limit"] == "plans.free.limits");
    assert_eq!(of_the_plan.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_lacks_is_replaced_by_its_address() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
trusted_proxies: [ 127.0.0.1 ]
defaults: {{ auth: none }}
routes:
  header: {{ path: /header, to: users, limits: [ {{ rate: 1/hour, per: {{ header: X-Tenant }} }} ] }}
  cookie: {{ path: /cookie, to: users, limits: [ {{ rate: 1/hour, per: {{ cookie: tenant }} }} ] }}
  both: {{ path: /both, to: users, limits: [ {{ rate: 1/hour, per: [ ip, {{ header: X-Tenant }} ] }} ] }}
  all: {{ path: /all, to: users, limits: [ {{ rate: 3/hour, per: route }} ] }}
"#,
        users.address
    ))
    .await;
    let from = |address: &'static str| ("X-Forwarded-For", address);
    let status = async |path: &str, headers: &[(&str, &str)]| {
        get(gateway.address(), path, headers).await.status
    };
    for (path, a, b) in [
        ("/header", ("X-Tenant", "a"), ("X-Tenant", "b")),
        ("/cookie", ("Cookie", "x=1; tenant=a"), ("Cookie", "tenant=b; x=1")),
    ] {
        assert_eq!(status(path, &[a]).await, 200);
        assert_eq!(status(path, &[a, from("192.0.2.1")]).await, 429, "wherever it comes from");
        assert_eq!(status(path, &[b]).await, 200);
        // Without it, with an empty one, and with two: the address counts.
        assert_eq!(status(path, &[from("192.0.2.1")]).await, 200);
        assert_eq!(status(path, &[(a.0, ""), from("192.0.2.1")]).await, 429, "{path}");
        let two = match path {
            "/header" => [("X-Tenant", "c"), ("X-Tenant", "d")],
            _ => [("Cookie", "tenant=c"), ("Cookie", "x=1; tenant=d")],
        };
        let two = [two[0], two[1], from("192.0.2.1")];
        assert_eq!(status(path, &two).await, 429, "{path}");
        // An address of IPv6 is its /64.
        assert_eq!(status(path, &[from("2001:db8:0:1::1")]).await, 200);
        assert_eq!(status(path, &[from("2001:db8:0:1:ffff::2")]).await, 429);
        assert_eq!(status(path, &[from("2001:db8:0:2::1")]).await, 200);
    }
    for (tenant, address, expected) in [
        ("a", "192.0.2.1", 200),
        ("a", "192.0.2.2", 200),
        ("b", "192.0.2.1", 200),
        ("a", "192.0.2.1", 429),
    ] {
        let headers = [("X-Tenant", tenant), from(address)];
        assert_eq!(status("/both", &headers).await, expected, "{tenant} {address}");
    }
    for (address, expected) in
        [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 200), ("192.0.2.4", 429)]
    {
        assert_eq!(status("/all", &[from(address)]).await, expected, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_costs_policies_and_what_only_looks_on() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
policies: {{ few: {{ limits: [ 2/hour ] }} }}
defaults: {{ auth: none, limits: [ 100/hour ] }}
routes:
  writes:
    path: /writes
    to: users
    cors: {{ origins: "*" }}
    limits: [ {{ rate: 10/hour, methods: [ POST ], cost: 4 }}, {{ rate: 2/hour, methods: [ GET ] }} ]
  a: {{ path: /a, to: users, use: few }}
  b: {{ path: /b, to: users, use: few }}
  free: {{ path: /free, to: users, limits: none }}
  usual: {{ path: /usual, to: users }}
  watched: {{ path: /watched, to: users, limits: [ {{ rate: 1/hour, observe: true }} ] }}
  alive: {{ path: /healthz, auth: none, health: true }}
"#,
        users.address
    ))
    .await;
    let at = gateway.address();
    // A preflight comes before all of it.
    for _ in 0..5 {
        let preflight = [("Origin", "https://a.test"), ("Access-Control-Request-Method", "POST")];
        let answer = send(at, "OPTIONS", "/writes", &preflight, b"").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (204, ""));
    }
    let mut posts = Vec::new();
    for _ in 0..3 {
        posts.push(send(at, "POST", "/writes", &[], b"").await);
    }
    assert_eq!(posts.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    assert!(posts[0].header("ratelimit").starts_with("\"10/hour\";r=6;"));
    // Two units are left, which are no request of four: two more take 12 minutes.
    assert!(
        posts[2].header("ratelimit").starts_with("\"10/hour\";r=2;t=7"),
        "{:?}",
        posts[2].headers
    );
    let head = send(at, "HEAD", "/writes", &[], b"").await;
    assert_eq!(head.status, 200);
    assert_eq!(statuses(&gateway, 2, "/writes", &[]).await, [200, 429]);
    assert_eq!(send(at, "DELETE", "/writes", &[], b"").await.header("ratelimit"), "");
    // The bucket of a policy is one for all who use it.
    assert_eq!(statuses(&gateway, 1, "/a", &[]).await, [200]);
    assert_eq!(statuses(&gateway, 2, "/b", &[]).await, [200, 429]);
    for (path, field) in [("/free", ""), ("/healthz", ""), ("/usual", "\"100/hour\";r=99;t=36")] {
        assert_eq!(get(at, path, &[]).await.header("ratelimit"), field, "{path}");
    }
    let watched = statuses(&gateway, 3, "/watched", &[("X-Request-Id", "w")]).await;
    assert_eq!(watched, [200, 200, 200]);
    assert_eq!(get(at, "/watched", &[]).await.header("ratelimit"), "");
    let lines = gateway.log(22).await;
    let watched: Vec<_> = lines.iter().filter(|line| line["path"] == "/watched").collect();
    let observed: Vec<_> =
        watched.iter().filter(|line| line["observed"] == "rate_limited").collect();
    assert_eq!((watched.len(), observed.len()), (4, 3));
    assert!(observed.iter().all(|line| line["limit"] == "routes.watched.limits[0]"));
    assert!(watched.iter().all(|line| line["why"].is_null()));
}

/// What the gateway answers by itself counts like what it passes on, each file of the portal for one; not where whoever asks
/// is to know whether it lives.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_gateways_own_are_counted_but_not_health() {
    let yaml = |limits: &str, more: &str| {
        format!(
            r"
{more}
defaults: {{ auth: none, limits: [ {limits} ] }}
routes:
  old: {{ path: /old, redirect: {{ to: /new }} }}
  said: {{ path: /said, respond: {{ status: 204 }} }}
  apis: {{ path: /apis, portal: true }}
  alive: {{ path: /alive, health: true }}
  often: {{ path: /often, health: true, limits: [ 2/hour ] }}
  free: {{ path: /free, respond: {{ status: 204 }}, limits: none }}
"
        )
    };
    let gateway = Gateway::start(&yaml("5/hour", "")).await;
    let at = gateway.address();
    let told = async |path: &str| {
        let answer = get(at, path, &[]).await;
        (answer.status, answer.header("ratelimit").split(";t=").next().unwrap().to_owned())
    };
    let counted = [
        ("/old", 307, 4),
        ("/said", 204, 3),
        ("/apis/", 200, 2),
        ("/apis/openapi.json", 200, 1),
        ("/said", 204, 0),
        ("/old", 429, 0),
        ("/said", 429, 0),
        ("/apis/", 429, 0),
    ];
    for (path, status, left) in counted {
        assert_eq!(told(path).await, (status, format!("\"5/hour\";r={left}")), "{path}");
    }
    // Neither these, nor what no route takes.
    for (path, status) in [("/alive", 200), ("/free", 204), ("/nowhere", 404), ("/apis/none", 404)]
    {
        for _ in 0..8 {
            assert_eq!(told(path).await, (status, String::new()), "{path}");
        }
    }
    for (status, left) in [(200, 1), (200, 0), (429, 0)] {
        assert_eq!(told("/often").await, (status, format!("\"2/hour\";r={left}")));
    }
    // A plan is none of the health's either.
    let plans = format!(
        "plans: {{ p: {{ limits: [ 2/hour ] }} }}\nconsumers: {{ a: {{ plan: p, api_keys: \"{}\" }} }}",
        digest(&key("a"))
    );
    let text = yaml("100/hour", &plans).replace("auth: none, ", "");
    let gateway = Gateway::start(&text).await;
    for (path, status) in [
        ("/alive", 200),
        ("/said", 204),
        ("/apis/", 200),
        ("/alive", 200),
        ("/old", 429),
        ("/alive", 200),
    ] {
        assert_eq!(as_(&gateway, "a", path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_up_gets_through_and_the_line_is_short() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes:
  users: {{ path: /, to: users, auth: none, limits: [ {{ rate: 5/s burst 1, mode: {{ delay: 500ms }} }} ] }}
"#,
        users.address
    ))
    .await;
    let began = std::time::Instant::now();
    let asked = (0..6).map(|_| get(gateway.address(), "/", &[]));
    let answers = futures::future::join_all(asked).await;
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    // One at once, and those whose turn comes within half a second; more if the machine is slow to send them.
    let bound = 3 + usize::try_from(began.elapsed().as_millis() / 200).unwrap();
    assert!((3..=bound).contains(&passed), "{passed}");
    // The third has come back two fifths of a second after the first was taken, however late the others were sent.
    assert!(began.elapsed() >= std::time::Duration::from_millis(400), "nobody was held up");
    let last =
        answers.iter().map(|answer| answer.header("ratelimit")).filter(|f| f.contains("r=0"));
    assert_eq!(last.count(), 6);
    let lines = gateway.log(6).await;
    let limited = lines.iter().filter(|line| line["limit"] == "routes.users.limits[0]").count();
    assert!(limited >= 5, "{lines:?}");
}

/// Holding it up would only have it fail later.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_held_up_for_longer_than_a_request_may_take() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ], timeouts: {{ total: 20s }} }} }}
routes:
  users: {{ path: /, to: users, auth: none, limits: [ {{ rate: 2/min burst 1, mode: {{ delay: 30s }} }} ] }}
"#,
        users.address
    ))
    .await;
    let first = get(gateway.address(), "/", &[]).await;
    let second = get(gateway.address(), "/", &[]).await;
    assert_eq!((first.status, second.status, second.code().as_str()), (200, 429, "rate_limited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_did_not_change_is_kept_by_a_reload() {
    let users = Origin::start("users").await;
    let text = |rate: &str, more: &str| {
        format!(
            "upstreams: {{ users: {{ targets: [ \"{}\" ] }} }}\n\
             routes:\n  users: {{ path: /, to: users, auth: none, limits: [ {rate} ]{more} }}\n",
            users.address
        )
    };
    let gateway = Reloading::start(&text("2/hour", "")).await;
    let status = async || get(gateway.address(), "/", &[]).await.status;
    assert_eq!((status().await, status().await, status().await), (200, 200, 429));
    gateway.change_to(&text("2/hour", ", body_limit: 1MiB")).await;
    assert_eq!(status().await, 429);
    let metrics = get(gateway.admin(), "/metrics", &[("Host", "localhost")]).await;
    let line =
        "portcullis_limit_decisions_total{limit=\"routes.users.limits[0]\",said=\"refused\"} 2";
    assert!(metrics.text().lines().any(|told| told == line), "{}", metrics.text());
    assert!(metrics.text().contains("portcullis_limit_keys 1\n"));
    gateway.change_to(&text("3/hour", "")).await;
    assert_eq!(status().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out_so_often_and_no_more() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
trusted_proxies: [ 127.0.0.1 ]
failed_credentials: 5/hour
consumers: {{ good: {{ api_keys: "{}" }}, late: {{ api_keys: "{}" }} }}
routes:
  users: {{ path: /users, to: users }}
  open: {{ path: /open, to: users, auth: none }}
"#,
        users.address,
        digest(&key("good")),
        digest(&key("late")),
    ))
    .await;
    let mut client = Client::connect(gateway.address()).await;
    let mut ask = async |key: &str, from: &str, path: &str| {
        let headers = [("Host", "a.test"), ("x-api-key", key), ("X-Forwarded-For", from)];
        let headers = if key.is_empty() { vec![headers[0], headers[2]] } else { headers.to_vec() };
        client.ask("GET", path, &headers).await
    };
    let (here, there) = ("192.0.2.1", "192.0.2.2");
    assert_eq!(ask(&key("good"), here, "/users").await.status, 200);
    // Nothing presented is nothing tried out.
    for _ in 0..10 {
        assert_eq!(ask("", here, "/users").await.status, 401);
    }
    for number in 0..5 {
        assert_eq!(ask(&format!("guess-{number}"), here, "/users").await.status, 401);
    }
    let refused = ask("guess-6", here, "/users").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((600..=720).contains(&wait), "{wait}");
    // Who was let in before is let in still; who was not has to wait, since it would have to be looked up.
    assert_eq!(ask(&key("good"), here, "/users").await.status, 200);
    assert_eq!(ask(&key("late"), here, "/users").await.status, 429);
    assert_eq!(ask(&key("late"), there, "/users").await.status, 200);
    assert_eq!(ask("guess-6", there, "/users").await.status, 401);
    assert_eq!(ask("guess-7", here, "/open").await.status, 200);
    let lines = gateway.log(22).await;
    let line = lines.iter().find(|line| line["status"] == 429).unwrap();
    assert_eq!(
        (&line["why"], &line["detail"]),
        (&"rate_limited".into(), &"failed_credentials".into())
    );
}

/// Ten thousand requests by 64 clients at once: what passes is what the model says, and never more.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_the_bucket_and_what_comes_back_and_no_more() {
    let gateway = Gateway::start(
        "routes: { a: { path: /, auth: none, respond: { status: 204 }, limits: [ 100/s burst 50 ] } }\n",
    )
    .await;
    Crowd::at(&[gateway.address()]).await.fits(std::time::Duration::ZERO, 0.99);
}

/// The number that follows a name in a field.
fn parameter(field: &str, name: &str) -> u64 {
    let rest = field.split(&format!(";{name}=")).nth(1).unwrap_or_else(|| panic!("{field}"));
    rest.split(';').next().unwrap().parse().unwrap()
}

/// A client that sends nothing while nothing is left, and waits as long as one unit takes to come back: it uses up all
/// that there is, and meets no 429.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_obeys_the_fields_is_never_refused() {
    let gateway = Gateway::start(
        "routes: { a: { path: /, auth: none, respond: { status: 204 }, limits: [ \"40/s burst 10\", 1000/day ] } }\n",
    )
    .await;
    let mut client = Client::connect(gateway.address()).await;
    let (mut waits, mut at_once) = (0_u32, 0_u32);
    for _ in 0..100 {
        let answer = client.ask("GET", "/", &[("Host", "a.test")]).await;
        assert_eq!(answer.status, 204, "{:?}", answer.headers);
        let policy = answer.header("ratelimit-policy");
        let (quota, window) = (parameter(policy, "q"), parameter(policy, "w"));
        let field = answer.header("ratelimit");
        if parameter(field, "r") > 0 {
            at_once += 1;
            continue;
        }
        // Never less than the seconds that are told, rounded up, would be.
        assert_eq!(parameter(field, "t"), 1);
        waits += 1;
        tokio::time::sleep(std::time::Duration::from_secs_f64(
            f64::from(u32::try_from(window).unwrap()) / f64::from(u32::try_from(quota).unwrap()),
        ))
        .await;
    }
    assert!(waits > 0 && at_once >= 9, "it never came to the limit: {waits} {at_once}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_says_tells_callers_apart() {
    let gateway = Gateway::start(&format!(
        r#"
auth: {{ login: {{ jwt: {{ issuer: "https://id.test/", audience: api, keys: [ {{ secret: {SECRET} }} ] }} }} }}
routes:
  a:
    path: /
    auth: login
    respond: {{ status: 204 }}
    limits: [ {{ rate: 1/hour, per: {{ claim: tenant }} }} ]
"#
    ))
    .await;
    let ask = async |more: serde_json::Value| {
        let bearer = format!("Bearer {}", token(SECRET, "HS256", None, more));
        get(gateway.address(), "/", &[("Authorization", &bearer)]).await.status
    };

    assert_eq!(ask(json!({ "tenant": "a", "sub": "x" })).await, 204);
    assert_eq!(ask(json!({ "tenant": "a", "sub": "y" })).await, 429);
    assert_eq!(ask(json!({ "tenant": "b" })).await, 204);
    // Without it, and with an empty one, the address counts.
    assert_eq!(ask(json!({})).await, 204);
    assert_eq!(ask(json!({ "tenant": "" })).await, 429);
}
