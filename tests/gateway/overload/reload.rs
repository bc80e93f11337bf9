use super::{Held, asks, digest, said, shows};
use crate::support::Reloading;

/// What a file says of routes, upstreams and plans.
struct Written<'a> {
    upstream: &'a str,
    route: &'a str,
    plan: &'a str,
    more: &'a str,
}

fn file(held: &Held, written: &Written<'_>) -> String {
    let Written { upstream, route, plan, more } = written;
    format!(
        r#"
upstreams: {{ u: {{ targets: [ "{}" ], health: none{upstream} }} }}
plans: {{ p: {{ {plan} }} }}
consumers:
  {more}
  me: {{ api_keys: "{}", plan: p }}
routes:
  all: {{ path: /all, to: u, auth: none{route} }}
  mine: {{ path: /mine, to: u }}
"#,
        held.address(),
        digest("me")
    )
}

const NOTHING: Written<'_> = Written { upstream: "", route: "", plan: "", more: "" };

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_flight_counts_on_after_a_reload() {
    for (is_of_route, cap) in [(true, "routes.all.concurrency"), (false, "upstreams.u.concurrency")]
    {
        let held = Held::start().await;
        let with = |max: usize| {
            let key = format!(", concurrency: {{ max: {max}, queue: 0 }}");
            let (route, upstream) = if is_of_route { (&*key, "") } else { ("", &*key) };
            file(&held, &Written { upstream, route, ..NOTHING })
        };
        let gateway = Reloading::start(&with(2)).await;
        let ask = || asks(gateway.address(), "/all", None);
        let mut passed = vec![ask(), ask()];
        held.has(2).await;
        gateway.change_to(&with(3)).await;
        passed.push(ask());
        held.has(3).await;
        assert_eq!(ask().await.unwrap().status, 503);
        gateway.change_to(&with(1)).await;
        shows(gateway.admin(), "in_flight", cap, 3).await;
        shows(gateway.admin(), "limit", cap, 1).await;
        held.answer(2);
        shows(gateway.admin(), "in_flight", cap, 1).await;
        assert_eq!(ask().await.unwrap().status, 503, "there is one still");
        held.answer(1);
        shows(gateway.admin(), "in_flight", cap, 0).await;
        passed.push(ask());
        held.has(1).await;
        // What is refused changes nothing.
        gateway.write(&file(&held, &Written { route: ", concurrency: 0", ..NOTHING }));
        assert!(!gateway.reload().await.accepted);
        assert_eq!(ask().await.unwrap().status, 503);
        held.answer(1);
        for one in passed {
            assert_eq!(one.await.unwrap().status, 200);
        }
        assert_eq!(said(gateway.admin(), cap, "normal", "shed").await, 3, "counted on");
        assert_eq!(held.most(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumers_requests_and_a_targets_count_on_too() {
    let held = Held::start().await;
    let one = |more, plan| file(&held, &Written { plan, more, ..NOTHING });
    let gateway = Reloading::start(&one("", "concurrency: 2")).await;
    let ask = || asks(gateway.address(), "/mine", Some("me"));
    let mut passed = vec![ask(), ask()];
    held.has(2).await;
    // Another consumer before it gives it another number.
    let other = format!("another: {{ api_keys: \"{}\" }}", digest("another"));
    gateway.change_to(&one(&other, "concurrency: 2, priority: high")).await;
    assert_eq!(ask().await.unwrap().status, 429);
    gateway.change_to(&one(&other, "concurrency: 3")).await;
    passed.push(ask());
    held.has(3).await;
    assert_eq!(ask().await.unwrap().status, 429);
    assert_eq!(said(gateway.admin(), "plans.p.concurrency", "normal", "shed").await, 2);

    // Of the three at the one target, which had no cap before, none is forgotten.
    let per_target = Written { upstream: ", concurrency: { per_target: 3, queue: 0 }", ..NOTHING };
    gateway.change_to(&file(&held, &per_target)).await;
    let refused = asks(gateway.address(), "/all", None).await.unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    held.answer(3);
    for one in passed {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(held.most(), 3);
}

/// Of a cap that several routes share, each reload has one, whatever routes there are.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_flight_on_routes_that_share_a_cap_counts_on() {
    let held = Held::start().await;
    let with = |max: usize, route: &str| {
        let more = format!("policies: {{ p: {{ concurrency: {{ max: {max}, queue: 0 }} }} }}\n");
        let origin = held.address();
        format!(
            "upstreams: {{ u: {{ targets: [ \"{origin}\" ], health: none }} }}\n{more}\
             defaults: {{ auth: none, use: p }}\n\
             routes: {{ all: {{ path: /all, to: u }}, {route}: {{ path: /{route}, to: u }} }}\n"
        )
    };
    let gateway = Reloading::start(&with(2, "one")).await;
    let ask = |path| asks(gateway.address(), path, None);
    let mut passed = vec![ask("/all"), ask("/one")];
    held.has(2).await;
    gateway.change_to(&with(3, "two")).await;
    shows(gateway.admin(), "in_flight", "policies.p.concurrency", 2).await;
    passed.push(ask("/two"));
    held.has(3).await;
    assert_eq!(ask("/all").await.unwrap().status, 503);
    held.answer(3);
    for one in passed {
        assert_eq!(one.await.unwrap().status, 200);
    }
}
