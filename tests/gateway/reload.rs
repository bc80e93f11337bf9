//! Another configuration is put in force while the gateway serves, and nobody notices but by what it says.

mod load;
mod program;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use portcullis::reload::Trigger;
use serde_json::Value;

use crate::support::{Answer, Client, Origin, Reloading, eventually, get, origin, send};

/// A route to each of these upstreams, as text.
fn to(targets: &[SocketAddr], more: &str, header: &str) -> String {
    let targets: Vec<String> = targets.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "upstreams: {{ users: {{ targets: [ {} ], health: none{more} }} }}\n\
         routes: {{ users: {{ path: /, to: users, auth: none, \
         response_headers: {{ set: {{ X-Config: \"{header}\" }} }} }} }}\n",
        targets.join(", ")
    )
}

/// What `/upstreams` says of the targets of `users`.
async fn targets(gateway: &Reloading) -> Vec<Value> {
    let upstreams = get(gateway.admin(), "/upstreams", &[("Host", "localhost")]).await.json();
    upstreams["upstreams"][0]["targets"].as_array().unwrap().clone()
}

async fn ready(gateway: &Reloading) -> Value {
    get(gateway.admin(), "/readyz", &[("Host", "localhost")]).await.json()
}

async fn x_config(gateway: &Reloading) -> String {
    get(gateway.address(), "/", &[]).await.header("x-config").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_changes_nothing_and_is_named() {
    let users = Origin::start("users").await;
    let gateway = Reloading::start(&to(&[users.address], "", "one")).await;
    gateway.write(&to(&[users.address], "", "two").replace("to: users", "to: user"));
    let answer = send(gateway.admin(), "POST", "/reload", &[("Host", "localhost")], b"").await;
    assert_eq!(answer.status, 422);
    assert!(answer.json()["report"].as_str().unwrap().contains("no upstream \"user\""));
    assert_eq!(x_config(&gateway).await, "one");
    let ready = ready(&gateway).await;
    assert_eq!((&ready["status"], &ready["config"]["refused"]), (&"ready".into(), &1.into()));
    assert_eq!(ready["refused_reload"]["mistake"]["at"], "routes.users.to");
    assert!(ready["refused_reload"]["mistake"]["line"].as_u64().is_some());
    // A good one clears it.
    gateway.change_to(&to(&[users.address], "", "two")).await;
    assert_eq!(x_config(&gateway).await, "two");
    let ready = self::ready(&gateway).await;
    assert_eq!((&ready["refused_reload"], &ready["config"]["reloads"]), (&Value::Null, &1.into()));
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_the_file_that_does_not_hold_blocks_the_reload() {
    let users = Origin::start("users").await;
    let gateway = Reloading::start(&to(&[users.address], "", "one")).await;
    let tests = "tests: [ { when: GET /x, expect: { status: 404 } } ]\n";
    gateway.write(&(to(&[users.address], "", "two") + tests));
    let outcome = gateway.reload().await;
    assert!(!outcome.accepted);
    assert!(outcome.report.contains("tests[0]"), "{}", outcome.report);
    assert_eq!(x_config(&gateway).await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_says_so_and_nothing_else_is_applied() {
    let users = Origin::start("users").await;
    let gateway = Reloading::start(&to(&[users.address], "", "one")).await;
    let text = std::fs::read_to_string(&gateway.file).unwrap().replace("\"one\"", "\"two\"");
    for (key, from, to) in [
        ("workers", "workers: 2", "workers: 3"),
        ("listeners", "public: {", "private: {"),
        ("admin", "admin: { address: \"127.0.0.1:0\" }", ""),
        ("logs.access", "access: \"off\"", "access: stdout"),
    ] {
        assert!(text.contains(from));
        gateway.write_all(&text.replace(from, to));
        let outcome = gateway.reload().await;
        assert!(!outcome.accepted, "{key}");
        let mistake = outcome.first_mistake().unwrap();
        assert_eq!(mistake.at.to_string(), key);
        assert!(mistake.help.contains("restart to change it"), "{}", mistake.help);
        assert_eq!(x_config(&gateway).await, "one", "{key}");
    }
    gateway.write_all(&format!("{text}drain: 7s\n"));
    assert!(gateway.reload().await.accepted);
    assert_eq!(x_config(&gateway).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_by_the_configuration_it_began_with() {
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Barrier::new(2)));
    let (seen, wait) = (begun.clone(), go.clone());
    let slow = Origin::with(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        tokio::task::block_in_place(|| wait.wait());
        Response::new(Full::new(Bytes::from_static(b"slow")))
    })
    .await;
    let other = Origin::start("other").await;
    let gateway = Reloading::start(&to(&[slow.address], "", "one")).await;
    let mut client = Client::connect(gateway.address()).await;
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the origin has it", async || begun.load(Ordering::SeqCst) == 1).await;
    gateway.change_to(&to(&[other.address], "", "two")).await;
    assert_eq!(x_config(&gateway).await, "two");
    tokio::task::block_in_place(|| go.wait());
    let old = client.read(false).await;
    assert_eq!((old.text(), old.header("x-config")), ("slow", "one"));
    // The same connection goes on, by the new one.
    let new = client.ask("GET", "/", &[]).await;
    assert_eq!((new.text(), new.header("x-config")), ("other", "two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_targets_survives() {
    let alive = Origin::start("alive").await;
    let dead = origin::listen("127.0.0.1:0".parse().unwrap()).local_addr().unwrap();
    let both = [alive.address, dead];
    let gateway = Reloading::start(&to(&both, "", "one")).await;
    let state = async || -> Vec<String> {
        let all = targets(&gateway).await;
        all.iter().map(|target| target["state"].as_str().unwrap().to_owned()).collect()
    };
    eventually("the dead one is found out", async || {
        assert_eq!(get(gateway.address(), "/", &[]).await.text(), "alive");
        state().await == ["in_rotation", "ejected"]
    })
    .await;
    let until = targets(&gateway).await[1]["ejected_until"].clone();
    assert!(until.is_string());
    // The upstream stays as it is; then it changes, and its addresses stay.
    for (more, header) in [("", "two"), (", timeouts: { read: 7s }", "three")] {
        gateway.change_to(&to(&both, more, header)).await;
        assert_eq!(state().await, ["in_rotation", "ejected"], "{header}");
    }
    let another = Origin::start("another").await;
    gateway.change_to(&to(&[alive.address, another.address], "", "four")).await;
    assert_eq!(state().await, ["in_rotation", "in_rotation"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_turn_goes_on_where_it_was_and_connections_are_kept() {
    let all = [Origin::start("a").await, Origin::start("b").await, Origin::start("c").await];
    let addresses: Vec<_> = all.iter().map(|origin| origin.address).collect();
    let gateway = Reloading::start(&to(&addresses, "", "0")).await;
    let mut turns = Vec::new();
    for n in 1..=9 {
        turns.push(get(gateway.address(), "/", &[]).await.text().to_owned());
        gateway.change_to(&to(&addresses, "", &n.to_string())).await;
    }
    let first = turns[..3].to_vec();
    assert_eq!(turns, [&first[..], &first, &first].concat(), "a reload must not begin a new turn");
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_target_rests_until_it_is_taken_back() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let both = [a.address, b.address];
    let gateway = Reloading::start(&to(&both, "", "one")).await;
    let word = async |label: SocketAddr, word: &str| -> Answer {
        let path = format!("/upstreams/users/targets/{label}/{word}");
        send(gateway.admin(), "POST", &path, &[("Host", "localhost")], b"").await
    };
    let served = async || -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..6 {
            names.push(get(gateway.address(), "/", &[]).await.text().to_owned());
        }
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(served().await, ["a", "b"]);
    assert_eq!(word(a.address, "drain").await.status, 200);
    assert_eq!(served().await, ["b"]);
    assert_eq!(targets(&gateway).await[0]["state"], "drained");
    for (more, header) in [("", "two"), (", timeouts: { read: 7s }", "three")] {
        gateway.change_to(&to(&both, more, header)).await;
        assert_eq!(served().await, ["b"], "{header}");
    }
    // Nothing overrules the operator, not even that everything else is gone.
    gateway.change_to(&to(&both, ", when_all_down: try_anyway", "four")).await;
    word(b.address, "drain").await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 503);
    assert_eq!(word(a.address, "undrain").await.json()["drained"], false);
    assert_eq!(served().await, ["a"]);
    assert_eq!(word("127.0.0.1:1".parse().unwrap(), "drain").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_noticed_without_being_told() {
    let users = Origin::start("users").await;
    let folder = tempfile::tempdir().unwrap();
    // As Kubernetes lays out a volume: files are links through one that is swapped.
    let link = std::os::unix::fs::symlink::<&std::path::Path, std::path::PathBuf>;
    for version in ["v1", "v2"] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        std::fs::write(folder.path().join(version).join("value"), version).unwrap();
    }
    link("v1".as_ref(), folder.path().join("..data")).unwrap();
    link("..data/value".as_ref(), folder.path().join("value")).unwrap();
    let admin = "admin: { address: \"127.0.0.1:0\" }";
    let yaml = to(&[users.address], "", "${file:value}");
    let gateway = Reloading::start_in(folder, admin, &yaml).await;
    assert_eq!(x_config(&gateway).await, "v1");
    let next = gateway.path("..next");
    link("v2".as_ref(), next.clone()).unwrap();
    std::fs::rename(next, gateway.path("..data")).unwrap();
    eventually("the swapped link is noticed", async || x_config(&gateway).await == "v2").await;
    // As editors do: a new file takes the name.
    gateway.write(&to(&[users.address], "", "renamed"));
    eventually("the new file is noticed", async || x_config(&gateway).await == "renamed").await;
    // As a shell does: in place.
    let text = std::fs::read_to_string(&gateway.file).unwrap();
    std::fs::write(&gateway.file, text.replace("renamed", "written")).unwrap();
    eventually("the write is noticed", async || x_config(&gateway).await == "written").await;
    // A file that is gone is refused, once, and taken as soon as it is back.
    let away = gateway.path("away");
    std::fs::rename(&gateway.file, &away).unwrap();
    eventually("it is missed", async || ready(&gateway).await["config"]["refused"] == 1).await;
    assert_eq!(x_config(&gateway).await, "written");
    std::fs::write(&away, text.replace("renamed", "back")).unwrap();
    std::fs::rename(&away, &gateway.file).unwrap();
    eventually("it is found again", async || x_config(&gateway).await == "back").await;
    assert_eq!(ready(&gateway).await["config"]["refused"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_wishes_is_served_by_few_reloads_and_all_are_answered() {
    let users = Origin::start("users").await;
    let gateway = Reloading::start(&to(&[users.address], "", "one")).await;
    gateway.write(&to(&[users.address], "", "two"));
    let wishes = (0..500).map(|_| gateway.reloader.reload(Trigger::Admin));
    let outcomes = futures::future::join_all(wishes).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().accepted));
    let done = ready(&gateway).await["config"]["reloads"].as_u64().unwrap();
    assert!(done < 100, "500 wishes made {done} reloads");
    assert_eq!(x_config(&gateway).await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_from_a_file_that_changed() {
    let users = Origin::start("users").await;
    let folder = tempfile::tempdir().unwrap();
    let line = |key: &str| format!("{} app\n", portcullis::auth::Digest::of(key.as_bytes()));
    std::fs::write(folder.path().join("keys.txt"), line("first")).unwrap();
    let yaml = format!(
        "upstreams: {{ users: {{ targets: [ \"{}\" ] }} }}\n\
         auth: {{ key: {{ api_key: {{ keys_file: keys.txt }} }} }}\n\
         routes: {{ users: {{ path: /, to: users }} }}\n",
        users.address
    );
    let gateway = Reloading::start_in(folder, "admin: { address: \"127.0.0.1:0\" }", &yaml).await;
    let ask = async |key: &str| get(gateway.address(), "/", &[("X-Api-Key", key)]).await.status;
    assert_eq!((ask("first").await, ask("second").await), (200, 401));
    std::fs::write(gateway.path("keys.txt"), line("second")).unwrap();
    eventually("the new key is good", async || ask("second").await == 200).await;
    assert_eq!(ask("first").await, 401);
}
