use http::header::{ALLOW, LOCATION};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

const SECRET: &str = "the gateway's";
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Answer = Response<bytes::Bytes>;

async fn send(to: SocketAddr, request: http::request::Builder, body: &str) -> Answer {
    let stream = TcpStream::connect(to).await.expect("connects");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("shakes hands");
    let driver = tokio::spawn(connection);
    let request = request
        .header("host", "demo")
        .body(Full::new(bytes::Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    driver.abort();
    Response::from_parts(head, body)
}

async fn call(to: &Running, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("x-api-key", SECRET);
    send(to.addr, request, body).await
}

async fn get(to: &Running, path: &str) -> (StatusCode, Value) {
    let answer = call(to, Method::GET, path, "").await;
    (answer.status(), json_of(&answer))
}

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(answer.body()).expect("valid JSON")
}

async fn service(kind: Kind) -> Running {
    start(kind, "one", ANY, SECRET).await.expect("starts")
}

#[tokio::test]
async fn only_the_gateway_may_call() {
    let users = service(Kind::Users).await;
    for path in ["/", "/1", "/health", "/openapi.json", "/nothing"] {
        for key in [None, Some(""), Some("the gateway"), Some("the gateway'S")] {
            let request = Request::builder().uri(path);
            let request = match key {
                Some(key) => request.header("x-api-key", key),
                None => request,
            };
            let answer = send(users.addr, request, "").await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} with {key:?}");
            assert_eq!(answer.headers()["x-instance"], "one");
            assert_eq!(json_of(&answer)["instance"], "one");
        }
    }
}

#[tokio::test]
async fn a_thing_is_read_with_what_the_gateway_told_of_the_request() {
    let users = service(Kind::Users).await;
    let request = Request::builder()
        .uri("/1?verbose=yes")
        .header("x-api-key", SECRET)
        .header("x-consumer-name", "demo")
        .header("x-gateway", "True");
    let body = json_of(&send(users.addr, request, "").await);
    assert_eq!(
        body,
        json!({
            "id": 1,
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "seen": {
                "X-Consumer-Name": "demo",
                "X-Forwarded-For": null,
                "X-Gateway": "True",
                "X-Request-Id": null,
            },
            "instance": "one",
        })
    );
    assert!(!body.to_string().contains(SECRET));
}

#[tokio::test]
async fn things_are_created_replaced_and_deleted() {
    let orders = service(Kind::Orders).await;
    let order = r#"{ "user": 1, "product": 1, "quantity": 5, "extra": true }"#;
    let created = call(&orders, Method::POST, "/", order).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(created.headers()[LOCATION], "/4");
    assert_eq!(get(&orders, "/4").await.1["quantity"], 5);

    let order = order.replace('5', "6");
    assert_eq!(call(&orders, Method::PUT, "/4", &order).await.status(), StatusCode::OK);
    assert_eq!(get(&orders, "/4").await.1["quantity"], 6);
    assert_eq!(get(&orders, "/").await.1["orders"].as_array().map(Vec::len), Some(4));

    let deleted = call(&orders, Method::DELETE, "/4", "").await;
    assert_eq!((deleted.status(), deleted.body().len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(get(&orders, "/4").await.0, StatusCode::NOT_FOUND);
    assert_eq!(call(&orders, Method::PUT, "/4", &order).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(call(&orders, Method::DELETE, "/4", "").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn mistakes_are_answered_in_json() {
    let products = service(Kind::Products).await;
    for path in ["/", "/nothing", "/productsx", "/products/x", "/products/1/2", "/products/99"] {
        assert_eq!(get(&products, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let refused = call(&products, Method::DELETE, "/products", "").await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[ALLOW], "GET, HEAD, POST");
    let wrong = call(&products, Method::POST, "/products", r#"{ "price": -1 }"#).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        json_of(&wrong)["detail"],
        json!([
            { "field": "name", "problem": "is required" },
            { "field": "price", "problem": "must be a number of at least 0" },
        ])
    );
    for body in ["", "{", "[]", "null"] {
        let wrong = call(&products, Method::POST, "/products", body).await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let large = " ".repeat((1 << 20) + 1);
    let refused = call(&products, Method::PUT, "/products/1", &large).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn every_service_publishes_what_it_serves() {
    for (kind, list, one) in
        [(Kind::Users, "/", "/{id}"), (Kind::Products, "/products", "/products/{id}")]
    {
        let service = service(kind).await;
        let (status, document) = get(&service, "/openapi.json").await;
        assert_eq!((status, &document["openapi"]), (StatusCode::OK, &json!("3.1.0")));
        let paths: Vec<&String> = document["paths"].as_object().expect("paths").keys().collect();
        assert_eq!(paths, [list, one, "/health"]);
        assert_eq!(get(&service, list).await.0, StatusCode::OK);
        assert_eq!(get(&service, &one.replace("{id}", "1")).await.0, StatusCode::OK);
        assert_eq!(get(&service, "/health").await.1["status"], "ok");
        let head = call(&service, Method::HEAD, list, "").await;
        assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    }
}

#[tokio::test]
async fn instances_of_a_service_share_its_data_and_tell_who_they_are() {
    let running = start_all(Ports::ANY, SECRET).await.expect("starts");
    let names: Vec<&str> = running.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["users-1", "users-2", "orders-1", "orders-2", "products-1"]);
    let user = r#"{ "name": "Edsger Dijkstra", "email": "ewd@example.com" }"#;
    assert_eq!(call(&running[0], Method::POST, "/", user).await.status(), StatusCode::CREATED);
    let (status, body) = get(&running[1], "/4").await;
    assert_eq!((status, &body["instance"]), (StatusCode::OK, &json!("users-2")));
    assert_eq!(get(&running[2], "/4").await.0, StatusCode::NOT_FOUND);
    let ports = Ports::of(&running);
    assert_eq!(ports.users, [running[0].addr.port(), running[1].addr.port()]);
    assert_eq!(ports.products, running[4].addr.port());
}

#[tokio::test]
async fn a_stopped_service_leaves_its_port_and_a_taken_port_is_an_error_that_names_it() {
    let users = service(Kind::Users).await;
    let addr = users.addr;
    let error = start(Kind::Users, "two", addr, SECRET).await.expect_err("the port is taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("two cannot listen on {addr}: ")));
    users.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[test]
fn the_configuration_follows_the_ports_and_holds_the_digest_of_the_key() {
    let usual: SocketAddr = "127.0.0.1:8000".parse().expect("an address");
    assert_eq!(configuration(usual, &Ports::default()), CONFIGURATION);

    let gateway: SocketAddr = "127.0.0.1:9000".parse().expect("an address");
    // Ports that other services have in the file must not be mixed up.
    let ports = Ports { users: [8011, 8002], orders: [8012, 8003], products: 8001 };
    let text = configuration(gateway, &ports);
    let read: Value = serde_yaml::from_str(&text).expect("valid YAML");
    assert_eq!(read["listeners"]["public"]["address"], "127.0.0.1:9000");
    let targets = |name: &str| read["upstreams"][name]["targets"].clone();
    assert_eq!(targets("users"), json!(["127.0.0.1:8011", "127.0.0.1:8002"]));
    assert_eq!(targets("orders"), json!(["127.0.0.1:8012", "127.0.0.1:8003"]));
    assert_eq!(targets("products"), json!(["127.0.0.1:8001"]));

    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(CLIENT_KEY) {
        let _ = write!(digest, "{byte:02x}");
    }
    assert_eq!(read["consumers"]["demo"]["api_keys"], json!([digest]));
    let secret = &read["upstreams"]["users"]["gateway_secret"]["value"];
    assert_eq!(secret, &json!(format!("${{env:DEMO_GATEWAY_SECRET:-{GATEWAY_SECRET}}}")));
}

#[test]
fn the_banner_has_lines_to_copy() {
    let gateway: SocketAddr = "127.0.0.1:8000".parse().expect("an address");
    let text = banner(gateway, &Ports::default());
    for line in [
        "  curl -H 'x-api-key: secret002oUdaRJA' http://127.0.0.1:8000/users/1\n",
        "  curl -H 'x-api-key: secret002oUdaRJA' http://127.0.0.1:8000/orders/1\n",
        "  curl -H 'x-api-key: secret002oUdaRJA' http://127.0.0.1:8000/api/products\n",
        "  # Without a key: 401.\n  curl -i http://127.0.0.1:8000/users/1\n",
        "  curl -i http://127.0.0.1:8001/1\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
