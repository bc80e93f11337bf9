//! A request reaches the upstream that its host, path and method say, with the path that it says.

use crate::support::{Gateway, Origin, get, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_takes_whole_segments_and_may_be_stripped() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes:
  users: {{ path: /users, to: users, strip_prefix: true, auth: none }}
"#,
        users.address
    ))
    .await;
    for (asked, sent) in [
        ("/users", "/"),
        ("/users/", "/"),
        ("/users/profile", "/profile"),
        ("/users/a%2fb?q=%41&r=a+b", "/a%2fb?q=%41&r=a+b"),
        ("/users?x=1", "/?x=1"),
    ] {
        let answer = get(gateway.address(), asked, &[]).await;
        assert_eq!((answer.status, answer.text()), (200, "users"), "{asked}");
        assert_eq!(users.last().target, sent, "{asked}");
    }
    let answer = get(gateway.address(), "/users2", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));
    assert_eq!(users.seen().len(), 5);
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let users = Origin::start("users").await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams: {{ users: {{ targets: [ "{}" ] }} }}
routes:
  read: {{ path: /users, methods: [ GET ], to: users, auth: none }}
"#,
        users.address
    ))
    .await;
    let answer = send(gateway.address(), "POST", "/users", &[], b"{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"));
    let answer = send(gateway.address(), "HEAD", "/users", &[], b"").await;
    assert_eq!(answer.status, 200);
}
