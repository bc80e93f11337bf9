//! Quotas that several gateways count together: never more than was bought, whatever is killed and started anew in between.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis::auth::Digest;
use portcullis::limit::Quotas;
use portcullis::limit::quota::Verdict;
use portcullis::loading;
use portcullis::snapshot::Snapshot;
use tokio::runtime::Handle;

use super::{PATIENT, Process, asked, number, sharing_text, up};
use crate::support::crowd::{Crowd, REQUESTS};
use crate::support::gateway::TestSources;
use crate::support::redis::Redis;
use crate::support::{Answer, Gateway, Reloading, eventually, get};

/// All of a configuration but its beginning: one caller with this plan. Of a month, so that its end seldom falls into a test.
fn text(store: &str, plan: &str) -> String {
    let digest = Digest::of(b"a-key-7x2p");
    format!(
        "store: {{ {store} }}\n\
         plans: {{ free: {plan} }}\n\
         consumers: {{ a: {{ api_keys: \"{digest}\", plan: free }} }}\n\
         routes: {{ a: {{ path: /, respond: {{ status: 204 }} }} }}\n"
    )
}

const KEY: (&str, &str) = ("x-api-key", "a-key-7x2p");

async fn gateway(store: &str, plan: &str) -> Gateway {
    sharing_text(&text(store, plan)).await
}

async fn ask(gateway: &Gateway) -> Answer {
    get(gateway.address(), "/", &[KEY]).await
}

async fn statuses(gateways: &[&Gateway], count: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for gateway in gateways.iter().cycle().take(count) {
        found.push(ask(gateway).await.status);
    }
    found
}

/// What the store says that all gateways have; 0 if it says nothing.
async fn total(redis: &Redis) -> u64 {
    let keys = redis.ask(&["KEYS", "portcullis:quota:*"]).await;
    let Some(key) = keys.lines().find(|line| line.starts_with("portcullis:")) else { return 0 };
    let told = redis.ask(&["HGET", key, "t"]).await;
    told.lines().nth(1).map_or(0, |line| line.parse().unwrap())
}

/// Ten thousand requests by 64 clients at three processes: what was bought passes, to the last one, and few requests ask.
#[tokio::test(flavor = "multi_thread")]
async fn three_processes_use_up_what_was_bought_and_no_more() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
    let text = text(&store, "{ quota: 5000/month }");
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(Process::start(&text).await);
    }
    let addresses: Vec<_> = all.iter().map(|process| process.public).collect();
    let crowd = Crowd::with(&addresses, &[KEY]).await;
    assert_eq!(crowd.passed, 5000);
    assert_eq!(total(&redis).await, 5000);
    let mut questions = 0;
    for process in &all {
        questions += asked(process.admin, "answered").await;
    }
    assert!(questions < REQUESTS as u64 / 4, "the store was asked {questions} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_outlives_every_gateway_and_the_store() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
    let text = text(&store, "{ quota: 100/month }");
    let (one, two) = (Process::start(&text).await, Process::start(&text).await);
    let passed = async |process: &Process, count: usize| {
        let mut passed = 0;
        for _ in 0..count {
            passed += u32::from(get(process.public, "/", &[KEY]).await.status == 204);
        }
        passed
    };
    assert_eq!((passed(&one, 20).await, passed(&two, 20).await), (20, 20));
    // One is killed, and with it goes what it had ahead: a sixteenth of what was left at most.
    one.program.signal("KILL");
    one.program.ended().await;
    let one = Process::start(&text).await;
    assert_eq!((passed(&one, 5).await, passed(&two, 5).await), (5, 5));
    let (kept, lost) = (total(&redis).await, 5);
    assert!((50..=50 + 3 * lost).contains(&kept), "{kept}");
    // All stop, and the store with them; who stops gives back what it did not use.
    for process in [one, two] {
        process.program.signal("TERM");
        assert_eq!(process.program.ended().await.code, Some(0));
    }
    let kept = total(&redis).await;
    assert!((50..=50 + lost).contains(&kept), "{kept}");
    redis.kill();
    redis.restart().await;
    let (one, two) = (Process::start(&text).await, Process::start(&text).await);
    let mut more = 0;
    for _ in 0..30 {
        more += passed(&one, 1).await + passed(&two, 1).await;
    }
    assert_eq!(u64::from(more), 100 - kept);
    // Beside the total, the names of the killed one, of the two that stopped and of the two that run.
    let keys = redis.ask(&["KEYS", "portcullis:quota:*"]).await;
    assert!(keys.starts_with("*1\r\n") && !keys.contains("free"), "{keys}");
    let key = keys.lines().find(|line| line.starts_with("portcullis:")).unwrap();
    assert_eq!(redis.ask(&["HLEN", key]).await, ":6\r\n");
    let life = redis.ask(&["TTL", key]).await;
    let life: u64 = life.trim().trim_start_matches(':').parse().unwrap();
    assert!((86_000..=32 * 86_400).contains(&life), "{life}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_gateways_are_one_to_a_caller() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
    let plan = "{ limits: [ 1000/s ], quota: [ 5/month, { rate: 2/month, timezone: Asia/Tokyo, observe: true } ] }";
    let (one, two) = (gateway(&store, plan).await, gateway(&store, plan).await);
    for (gateway, left) in [(&one, 4), (&two, 3), (&two, 2), (&one, 1), (&two, 0)] {
        let answer = ask(gateway).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.headers("ratelimit-policy"), ["\"5/month\";q=5;w=2592000"]);
        let field = answer.header("ratelimit");
        assert!(field.starts_with(&format!("\"5/month\";r={left};t=")), "{field}");
    }
    for gateway in [&one, &two] {
        let refused = ask(gateway).await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "quota_exceeded"));
        let wait = refused.header("retry-after");
        assert_eq!(refused.header("ratelimit"), format!("\"5/month\";r=0;t={wait}"));
    }
    // What only looks on is told once a second, and known to all then.
    let lines = two.log(4).await;
    assert!(lines.iter().any(|line| line["why"] == "quota_exceeded"), "{lines:?}");
    let series = "portcullis_limit_decisions_total{limit=\"plans.free.quota\",said=\"refused\"}";
    for gateway in [&one, &two] {
        assert_eq!(number(gateway.addresses["admin"], series).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_forgets_and_learns_it_again() {
    for on_error in ["local", "allow", "deny"] {
        let mut redis = Redis::start().await;
        let store = format!("redis: \"{}\", deadline: 2s, on_error: {on_error}", redis.url());
        let (one, two) = (
            gateway(&store, "{ quota: 8/month }").await,
            gateway(&store, "{ quota: 8/month }").await,
        );
        let admins = [one.addresses["admin"], two.addresses["admin"]];
        assert_eq!(statuses(&[&one, &two], 6).await, [204; 6], "{on_error}");
        redis.kill();
        eventually("the loss is noticed", async || {
            super::number(admins[0], "portcullis_store_connections").await == 0
                && super::number(admins[1], "portcullis_store_connections").await == 0
        })
        .await;
        // Each knows what the others had when it last asked.
        let found = statuses(&[&one], 4).await;
        match on_error {
            "local" => assert_eq!(found, [204, 204, 204, 429]),
            // For a moment it remembers that there is nothing left.
            "allow" => {
                assert_eq!(found[..2], [204; 2]);
                eventually("nobody is limited", async || ask(&one).await.status == 204).await;
            }
            _ => assert_eq!(found, [503; 4]),
        }
        let unsaved = async || number(admins[0], "portcullis_quota_unsaved_seconds").await > 0;
        if on_error != "deny" {
            eventually("it is told that this is not kept", unsaved).await;
        }
        let passed = "portcullis_limit_decisions_total{limit=\"plans.free.quota\",said=\"passed\"}";
        let used = number(admins[0], passed).await + number(admins[1], passed).await;
        redis.restart().await;
        eventually("the store knows all of it again", async || total(&redis).await == used).await;
        eventually("it is kept again", async || !unsaved().await && up(admins[0]).await).await;
        eventually("the other one is there too", async || up(admins[1]).await).await;
        let left = 8_usize.saturating_sub(usize::try_from(used).unwrap());
        let found = statuses(&[&two, &one], 4).await;
        assert_eq!(
            found.iter().filter(|status| **status == 204).count(),
            left,
            "{on_error} {found:?}"
        );
        assert!(found.iter().all(|status| [204, 429].contains(status)), "{on_error} {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_costs_a_few_requests_its_deadline() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", deadline: 200ms, on_error: local", redis.url());
    let one = gateway(&store, "{ quota: 20/month }").await;
    let admin = one.addresses["admin"];
    eventually("the store is used", async || up(admin).await).await;
    assert_eq!(statuses(&[&one], 10).await, [204; 10]);
    redis.pause();
    let found = statuses(&[&one], 20).await;
    assert_eq!(found.iter().filter(|status| **status == 204).count(), 10, "{found:?}");
    // Three in a row for each of two workers, and what no request waits for.
    let late = asked(admin, "late").await;
    assert!((1..=8).contains(&late), "{late} were late");
    redis.go_on();
    eventually("the store is used again", async || up(admin).await).await;
    eventually("it knows all of it", async || total(&redis).await == 20).await;
    assert_eq!(statuses(&[&one], 3).await, [429; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_without_its_store_tells_it_later() {
    let port = crate::support::process::free_ports(1);
    let store = format!("redis: \"redis://127.0.0.1:{port}\", deadline: 2s");
    let one = gateway(&store, "{ quota: 5/month }").await;
    assert_eq!(statuses(&[&one], 3).await, [204; 3]);
    let redis = Redis::at(port, &[]).await;
    eventually("it is told", async || total(&redis).await == 3).await;
    let two = gateway(&format!("{store}, on_error: deny"), "{ quota: 5/month }").await;
    assert_eq!(statuses(&[&two, &one], 4).await, [204, 204, 429, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_is_left_and_not_what_was_used() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", {PATIENT}", redis.url());
    let gateway = Reloading::start(&text(&store, "{ quota: 2/month }")).await;
    let status = async || get(gateway.address(), "/", &[KEY]).await.status;
    assert_eq!([status().await, status().await, status().await], [204, 204, 429]);
    gateway.change_to(&text(&store, "{ quota: 4/month }")).await;
    assert_eq!(status().await, 204);
    // Another way to the same store.
    gateway.change_to(&text(&format!("{store}, on_error: deny"), "{ quota: 4/month }")).await;
    assert_eq!([status().await, status().await], [204, 429]);
    gateway.change_to(&text(&store, "{ quota: 3/month }")).await;
    assert_eq!(status().await, 429);
    // Where it is kept is one place.
    let file = gateway.folder.path().join("quotas.redb");
    let both = format!("{}quota_file: {}\n", text(&store, "{ quota: 9/month }"), file.display());
    gateway.write(&both);
    let outcome = gateway.reload().await;
    assert!(!outcome.accepted && outcome.report.contains("quota_file"), "{}", outcome.report);
    assert_eq!(status().await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_of_a_quota_that_was_gone_for_a_while_counts() {
    let redis = Redis::start().await;
    let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
    let (with, without) = (text(&store, "{ quota: 10/month }"), text(&store, "{}"));
    let gateway = Reloading::start(&with).await;
    let passed = async |of: usize| {
        let mut passed = 0;
        for _ in 0..of {
            passed += usize::from(get(gateway.address(), "/", &[KEY]).await.status == 204);
        }
        passed
    };
    assert_eq!(passed(6).await, 6);
    gateway.change_to(&without).await;
    assert_eq!(passed(20).await, 20);
    gateway.change_to(&with).await;
    assert_eq!(passed(20).await, 4);
}

/// A gateway that is told what time it is.
struct Replica {
    snapshot: Snapshot,
    quotas: std::sync::Arc<Quotas>,
}

impl Replica {
    async fn start(redis: &Redis, plan: &str) -> Self {
        let store = format!("redis: \"{}\", {PATIENT}, on_error: deny", redis.url());
        let head = "version: 1\nlisteners: { public: { address: \"127.0.0.1:0\" } }\n";
        let sources = TestSources { base: Path::new("/").to_owned(), ..TestSources::default() };
        let loaded = loading::load_text(&format!("{head}{}", text(&store, plan)), &sources);
        let snapshot = loaded.compiled.expect("compiles").snapshot;
        let store = snapshot.store.clone().unwrap();
        store.start(&[Handle::current()]);
        assert!(store.ready().await);
        let quotas = snapshot.limiter.quotas.clone().unwrap();
        Self { snapshot, quotas }
    }

    /// Whether a request passes at this second; if not, after which time there is more.
    async fn take(&self, second: u64) -> Result<(), u64> {
        let consumer = self.snapshot.auth.consumer("a").unwrap();
        let taken = self.quotas.take_shared(0, consumer, at(second)).await;
        match taken.expect("the store answers").expect("there is a quota").0 {
            Verdict::Pass => Ok(()),
            Verdict::Refuse(wait) => Err(wait.as_secs()),
            Verdict::Observed => panic!("nothing only looks on"),
        }
    }

    async fn takes(&self, second: u64, count: u64) -> u64 {
        let mut passed = 0;
        for _ in 0..count {
            passed += u64::from(self.take(second).await.is_ok());
        }
        passed
    }
}

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

/// 2096-11-24T00:00:00Z: the store forgets what is over by a clock of its own.
const MIDNIGHT: u64 = 4_004_467_200;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_window_begins_with_all_of_it() {
    let redis = Redis::start().await;
    let (one, two) = (
        Replica::start(&redis, "{ quota: 6/day }").await,
        Replica::start(&redis, "{ quota: 6/day }").await,
    );
    let last = MIDNIGHT - 1;
    assert_eq!(one.takes(last, 4).await + two.takes(last, 4).await, 6);
    assert_eq!((one.take(last).await, two.take(last).await), (Err(1), Err(1)));
    // One of them is a moment behind: each counts where its clock is.
    assert_eq!(one.takes(MIDNIGHT, 2).await, 2);
    assert_eq!(two.takes(last, 1).await, 0);
    assert_eq!(one.takes(MIDNIGHT, 3).await + two.takes(MIDNIGHT, 3).await, 4);
    assert_eq!(two.take(MIDNIGHT).await, Err(86_400));
    assert!(redis.ask(&["KEYS", "portcullis:quota:*"]).await.starts_with("*2\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_and_a_month_are_taken_together_or_not_at_all() {
    let redis = Redis::start().await;
    let plan = "{ quota: [ 4/day, 6/month ] }";
    let (one, two) = (Replica::start(&redis, plan).await, Replica::start(&redis, plan).await);
    assert_eq!(one.takes(MIDNIGHT, 3).await + two.takes(MIDNIGHT, 3).await, 4);
    let next = MIDNIGHT + 86_400;
    assert_eq!(two.takes(next, 3).await + one.takes(next, 3).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_ahead_and_does_not_use_is_there_for_the_others() {
    let redis = Redis::start().await;
    let plan = "{ quota: 1000/day }";
    let (one, two) = (Replica::start(&redis, plan).await, Replica::start(&redis, plan).await);
    one.quotas.save(at(MIDNIGHT)).await;
    assert_eq!(one.takes(MIDNIGHT, 100).await, 100);
    let ahead = total(&redis).await - 100;
    assert!((1..=1000 / 16).contains(&ahead), "{ahead}");
    let found = two.takes(MIDNIGHT, 1000).await;
    assert_eq!(found, 900 - ahead);
    one.quotas.save(at(MIDNIGHT + 4)).await;
    assert_eq!(two.takes(MIDNIGHT + 5, 100).await, 0);
    one.quotas.save(at(MIDNIGHT + 5)).await;
    assert_eq!(two.takes(MIDNIGHT + 10, 100).await, ahead);
    assert_eq!(one.takes(MIDNIGHT + 10, 10).await, 0);
}
