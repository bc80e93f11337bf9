//! The store is killed, hangs, is not there at the start, and comes back: for each `on_error`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{asked, sharing, up};
use crate::support::process::free_ports;
use crate::support::redis::Redis;
use crate::support::{Client, Gateway, eventually, get};

const ROUTES: &str = "a: { path: /, auth: none, respond: { status: 204 }, limits: [ 2/hour ] }, \
     free: { path: /free, auth: none, respond: { status: 204 } }";

/// As often as may be late: three in a row for each of two workers. More are late only if they are under way together.
const FEW: u64 = 6;

async fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(get(gateway.address(), "/", &[]).await.status);
    }
    found
}

async fn comes_up(gateway: &Gateway) {
    let admin = gateway.addresses["admin"];
    eventually("the store is used again", async || up(admin).await).await;
}

async fn goes_down(gateway: &Gateway) {
    let admin = gateway.addresses["admin"];
    eventually("the store is given up", async || {
        // Somebody has to ask for that.
        get(gateway.address(), "/", &[]).await;
        !up(admin).await
    })
    .await;
}

/// What requests get without the store, when the gateway's own bucket has been emptied.
fn alone(on_error: &str) -> u16 {
    match on_error {
        "local" => 429,
        "allow" => 204,
        _ => 503,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_and_comes_back() {
    for on_error in ["local", "allow", "deny"] {
        let mut redis = Redis::start().await;
        let store = format!("redis: \"{}\", deadline: 2s, on_error: {on_error}", redis.url());
        let gateway = sharing(&store, ROUTES).await;
        let admin = gateway.addresses["admin"];
        assert_eq!(statuses(&gateway, 3).await, [204, 204, 429], "{on_error}");
        redis.kill();
        eventually("the loss is noticed", async || {
            super::number(admin, "portcullis_store_connections").await == 0
        })
        .await;
        let found = statuses(&gateway, 3).await;
        let expected = match on_error {
            // The gateway's own bucket is full.
            "local" => [204, 204, 429],
            "allow" => [204; 3],
            _ => [503; 3],
        };
        assert_eq!(found, expected, "{on_error}");
        // Nobody waited, since there was nothing to wait for.
        assert_eq!((asked(admin, "late").await, asked(admin, "away").await), (0, 3));
        assert_eq!(get(gateway.address(), "/free", &[]).await.status, 204);
        redis.restart().await;
        comes_up(&gateway).await;
        // It has forgotten everything, and counts anew.
        assert_eq!(statuses(&gateway, 3).await, [204, 204, 429], "{on_error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_costs_a_few_requests_its_deadline() {
    for on_error in ["local", "allow", "deny"] {
        let redis = Redis::start().await;
        let store = format!("redis: \"{}\", deadline: 200ms, on_error: {on_error}", redis.url());
        let gateway = sharing(&store, ROUTES).await;
        let admin = gateway.addresses["admin"];
        comes_up(&gateway).await;
        assert_eq!(statuses(&gateway, 3).await, [204, 204, 429], "{on_error}");
        redis.pause();
        goes_down(&gateway).await;
        let found = statuses(&gateway, 20).await;
        // Whichever of the workers a request comes to.
        let (late, away) = (asked(admin, "late").await, asked(admin, "away").await);
        assert!((3..=FEW).contains(&late) && away >= 14, "{late} were late, {away} did not wait");
        assert!(found.iter().all(|status| *status == alone(on_error)), "{on_error} {found:?}");
        redis.go_on();
        comes_up(&gateway).await;
        // It has forgotten nothing.
        assert_eq!(statuses(&gateway, 2).await, [429, 429], "{on_error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nobody_gets_anything_but_what_on_error_says() {
    for on_error in ["local", "allow", "deny"] {
        let mut redis = Redis::start().await;
        let store = format!("redis: \"{}\", deadline: 200ms, on_error: {on_error}", redis.url());
        let gateway = sharing(&store, ROUTES).await;
        let admin = gateway.addresses["admin"];
        comes_up(&gateway).await;
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (address, over) = (gateway.address(), over.clone());
                tokio::spawn(async move {
                    let (mut client, mut found) = (Client::connect(address).await, [0_u32; 3]);
                    while !over.load(Ordering::Relaxed) {
                        let status = client.ask("GET", "/", &[("Host", "a.test")]).await.status;
                        let place = [204, 429, 503].iter().position(|known| *known == status);
                        found[place.unwrap_or_else(|| panic!("{status}"))] += 1;
                    }
                    found
                })
            })
            .collect();
        let away = async || {
            let known = asked(admin, "away").await;
            eventually("requests go by themselves", async || {
                asked(admin, "away").await > known + 20
            })
            .await;
        };
        let used = async || {
            comes_up(&gateway).await;
            let known = asked(admin, "answered").await;
            eventually("the store is asked", async || asked(admin, "answered").await > known + 20)
                .await;
        };
        used().await;
        redis.pause();
        away().await;
        redis.go_on();
        used().await;
        redis.kill();
        away().await;
        redis.restart().await;
        used().await;
        over.store(true, Ordering::Relaxed);
        let mut found = [0; 3];
        for client in clients {
            let counts = client.await.unwrap();
            found = [0, 1, 2].map(|place| found[place] + counts[place]);
        }
        let [passed, refused, unavailable] = found;
        assert!(refused > 0);
        match on_error {
            // Two of the store in each of its lives, and two of the gateway's own.
            "local" => assert!((4..=6).contains(&passed) && unavailable == 0, "{found:?}"),
            "allow" => assert!(passed > 40 && unavailable == 0, "{found:?}"),
            _ => assert!(passed <= 4 && unavailable > 40, "{found:?}"),
        }
        // Three in a row for each worker each time, and those that were under way with them.
        let late = asked(admin, "late").await;
        assert!(late <= 2 * (FEW + 8), "{late} were late");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_store_and_finds_it_later() {
    let port = free_ports(1);
    let store = format!("redis: \"redis://127.0.0.1:{port}\", deadline: 2s, on_error: deny");
    let gateway = sharing(&store, ROUTES).await;
    let refused = get(gateway.address(), "/", &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "limit_unavailable"));
    assert_eq!(get(gateway.address(), "/free", &[]).await.status, 204);
    let admin = gateway.addresses["admin"];
    let ready = get(admin, "/readyz", &[("Host", "localhost")]).await;
    assert_eq!((ready.status, &ready.json()["store"]["up"]), (200, &false.into()));
    let _redis = Redis::at(port, &[]).await;
    comes_up(&gateway).await;
    assert_eq!(statuses(&gateway, 3).await, [204, 204, 429]);
    let ready = get(admin, "/readyz", &[("Host", "localhost")]).await.json();
    assert_eq!((&ready["store"]["up"], &ready["store"]["trouble"]), (&true.into(), &().into()));
}
