//! How many connections there may be.

use tokio::net::TcpStream;

use super::{ECHO, House, ask, comes_to};
use crate::support::{Client, eventually};

/// Whether a connection is served or closed at once.
async fn is_served(client: &mut Client) -> bool {
    client.try_write(b"GET /echo HTTP/1.1\r\nHost: one.test\r\n\r\n").await;
    client.read_any(false).await.is_some_and(|answer| answer.status == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_closed_until_another_has_gone() {
    let yaml = format!(
        "connections: {{ max: 3 }}\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\nroutes:\n{ECHO}"
    );
    let gateway = House::with(&[]).open(&yaml).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(gateway.address()).await;
        assert!(is_served(&mut client).await);
        open.push(client);
    }
    assert!(!is_served(&mut Client::connect(gateway.address()).await).await);
    let refused = "portcullis_connections_refused_total{listener=\"public\",reason=\"too_many\"}";
    comes_to(gateway.admin(), refused, 1).await;
    assert_eq!(ask(&mut open[0], "one.test", "/echo").await.0, 200);
    open.pop();
    eventually("there is room again", async || {
        is_served(&mut Client::connect(gateway.address()).await).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_so_many_and_a_trusted_proxy_any_number() {
    let yaml = |trusted: &str| {
        format!(
            "trusted_proxies: [ {trusted} ]\nconnections: {{ per_client: 2 }}\n\
             listeners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\nroutes:\n{ECHO}"
        )
    };
    for (trusted, served) in [("", 2), ("127.0.0.1", 5)] {
        let gateway = House::with(&[]).open(&yaml(trusted)).await;
        let (mut open, mut count) = (Vec::new(), 0u64);
        for _ in 0..5 {
            let mut client = Client::connect(gateway.address()).await;
            count += u64::from(is_served(&mut client).await);
            open.push(client);
        }
        assert_eq!(count, served, "{trusted}");
        let series = "portcullis_connections_refused_total{listener=\"public\",reason=\"too_many_of_client\"}";
        let refused = 5 - served;
        comes_to(gateway.admin(), series, refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_closes_those_who_never_said_anything() {
    let yaml = format!("listeners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\nroutes:\n{ECHO}");
    let gateway = House::with(&[]).open(&yaml).await;
    let _silent = TcpStream::connect(gateway.address()).await.unwrap();
    let mut halfway = Client::connect(gateway.address()).await;
    halfway.write(b"PRI * HT").await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(8), gateway.stop()).await;
    assert_eq!(stopped, Ok(true));
}
