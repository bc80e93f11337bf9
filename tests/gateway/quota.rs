//! How much by the calendar: what was bought is counted for each consumer, outlives the process, and is told.

use std::path::Path;

use portcullis::auth::Digest;

use crate::support::process::Program;
use crate::support::{Answer, Gateway, Origin, Reloading, eventually, get};

fn digest(key: &str) -> String {
    Digest::of(key.as_bytes()).to_string()
}

fn configuration(origin: &Origin, file: &Path, plan: &str) -> String {
    format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
quota_file: "{}"
plans: {{ free: {plan} }}
consumers:
  a: {{ api_keys: "{}", plan: free }}
  b: {{ api_keys: "{}", plan: free }}
  c: {{ api_keys: "{}" }}
routes:
  users: {{ path: /users, to: users }}
  often: {{ path: /often, to: users, limits: [ 1/day ] }}
  open: {{ path: /open, to: users, auth: none }}
"#,
        origin.address,
        file.display(),
        digest("a-key-7x2p"),
        digest("b-key-7x2p"),
        digest("c-key-7x2p"),
    )
}

async fn as_(gateway: &Gateway, who: &str, path: &str) -> Answer {
    get(gateway.address(), path, &[("x-api-key", &format!("{who}-key-7x2p"))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_is_used_up_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotas.redb");
    let origin = Origin::start("users").await;
    // A month, so that no midnight falls into the test but for once a month.
    let text = configuration(&origin, &file, "{ quota: 3/month }");
    let gateway = Gateway::start(&text).await;
    for left in ["2", "1"] {
        let answer = as_(&gateway, "a", "/users").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers("ratelimit-policy"), ["\"3/month\";q=3;w=2592000"]);
        let field = answer.header("ratelimit");
        assert!(field.starts_with(&format!("\"3/month\";r={left};t=")), "{field}");
    }
    // Who is somebody else, or has no plan, or is nobody, uses nothing of it.
    assert_eq!(as_(&gateway, "b", "/users").await.status, 200);
    for path in ["/users", "/open"] {
        let answer = as_(&gateway, "c", path).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""));
    }
    // What a rate refuses uses nothing either.
    assert_eq!(as_(&gateway, "a", "/often").await.status, 200);
    let refused = as_(&gateway, "a", "/often").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let refused = as_(&gateway, "a", "/users").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "quota_exceeded"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=31 * 86_400).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), format!("\"3/month\";r=0;t={wait}"));
    let lines = gateway.log(8).await;
    let line = lines.iter().find(|line| line["why"] == "quota_exceeded").unwrap();
    assert_eq!(line["limit"], "plans.free.quota");
    assert!(gateway.stop().await);

    let gateway = Gateway::start(&text).await;
    assert_eq!(as_(&gateway, "a", "/users").await.status, 429);
    let answer = as_(&gateway, "b", "/users").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit").contains(";r=1;"), "{}", answer.header("ratelimit"));
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_only_looks_on_refuses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start("users").await;
    let plan = "{ quota: { rate: 1/month, timezone: Europe/Zurich, observe: true } }";
    let text = configuration(&origin, &folder.path().join("quotas.redb"), plan);
    let gateway = Gateway::start(&text).await;
    for _ in 0..2 {
        let answer = as_(&gateway, "a", "/users").await;
        assert_eq!((answer.status, answer.header("ratelimit")), (200, ""));
    }
    let lines = gateway.log(2).await;
    let watched = lines.iter().filter(|line| line["observed"] == "quota_exceeded");
    assert_eq!(watched.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_is_left_and_not_what_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotas.redb");
    let origin = Origin::start("users").await;
    let gateway = Reloading::start(&configuration(&origin, &file, "{ quota: 2/month }")).await;
    let ask = async || get(gateway.address(), "/users", &[("x-api-key", "a-key-7x2p")]).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask().await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    gateway.change_to(&configuration(&origin, &file, "{ quota: 4/month }")).await;
    let answer = ask().await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit").contains(";r=1;"), "{}", answer.header("ratelimit"));
    // A file that cannot be had changes nothing.
    let nowhere = folder.path().join("no/such/quotas.redb");
    gateway.write(&configuration(&origin, &nowhere, "{ quota: 9/month }"));
    let outcome = gateway.reload().await;
    assert!(!outcome.accepted);
    assert!(outcome.report.contains("quota_file"), "{}", outcome.report);
    assert_eq!(ask().await.status, 200);
    assert_eq!(ask().await.status, 429);
    // Another file knows nothing of it, and the first one is left to whoever comes back to it.
    let other = folder.path().join("other.redb");
    gateway.change_to(&configuration(&origin, &other, "{ quota: 4/month }")).await;
    assert_eq!(ask().await.status, 200);
    eventually("the first file is left", async || {
        gateway.write(&configuration(&origin, &file, "{ quota: 4/month }"));
        gateway.reload().await.accepted
    })
    .await;
    assert_eq!(ask().await.status, 429);
    let metrics = get(gateway.admin(), "/metrics", &[("Host", "localhost")]).await;
    let line = "portcullis_limit_decisions_total{limit=\"plans.free.quota\",said=\"refused\"} 2\n";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    assert!(metrics.text().contains("portcullis_quota_unsaved_seconds 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quotas.redb");
    let origin = Origin::start("users").await;
    let text = configuration(&origin, &file, "{ quota: 2/month }");
    let _gateway = Gateway::start(&text).await;
    let path = folder.path().join("other.yaml");
    let whole =
        format!("version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n{text}");
    std::fs::write(&path, whole).unwrap();
    let ended = Program::run(&["run", path.to_str().unwrap()]).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.errors.contains("another process has it open"), "{}", ended.errors);
}
