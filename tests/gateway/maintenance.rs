//! A route in maintenance tells its clients to come back later, until a reload puts it back.

use crate::support::{Gateway, Origin, Reloading, get};

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_to_come_back_before_they_are_asked_for_a_key() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
trusted_proxies: [ 127.0.0.1 ]
defaults: {{ maintenance: {{ allow: [ 192.0.2.0/24 ] }} }}
routes:
  users: {{ path: /users, to: users, auth: none }}
  own:
    path: /own
    to: users
    auth: none
    maintenance: {{ message: We move house., retry_after: 1m30s }}
  serves: {{ path: /serves, to: users, auth: none, maintenance: false }}
  alive: {{ path: /healthz, auth: none, health: true }}
"#,
        users.address
    ))
    .await;
    let answer = get(gateway.address(), "/users", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "maintenance"));
    assert_eq!(answer.header("retry-after"), "300");
    let answer = get(gateway.address(), "/own", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "90"));
    assert_eq!(answer.json()["detail"], "We move house.");
    let page = get(gateway.address(), "/own", &[("Accept", "text/html")]).await;
    assert!(page.text().contains("We move house."), "{}", page.text());
    let grpc = get(gateway.address(), "/own", &[("Content-Type", "application/grpc")]).await;
    assert_eq!(grpc.header("grpc-status"), "14");
    for (path, from) in [("/users", "192.0.2.7"), ("/serves", ""), ("/healthz", "")] {
        let answer = get(gateway.address(), path, &[("X-Forwarded-For", from)]).await;
        assert_eq!(answer.status, 200, "{path} from {from:?}");
    }
    let answer = get(gateway.address(), "/users", &[("X-Forwarded-For", "192.0.3.7")]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(users.seen().len(), 2);
    let lines = gateway.log(8).await;
    let line = lines.iter().find(|line| line["path"] == "/own").unwrap();
    assert_eq!((&line["why"], &line["route"]), (&"maintenance".into(), &"own".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_it_on_and_off() {
    let users = Origin::start("users").await;
    let text = |more: &str| {
        format!(
            "upstreams: {{ users: {{ targets: [ \"{}\" ] }} }}\n\
             routes: {{ users: {{ path: /, to: users, auth: none{more} }} }}\n",
            users.address
        )
    };
    let gateway = Reloading::start(&text("")).await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 200);
    gateway.change_to(&text(", maintenance: true")).await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 503);
    let ready = get(gateway.admin(), "/readyz", &[("Host", "localhost")]).await;
    assert_eq!(ready.status, 200);
    gateway.change_to(&text("")).await;
    assert_eq!(get(gateway.address(), "/", &[]).await.status, 200);
}
