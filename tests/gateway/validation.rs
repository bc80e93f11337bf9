//! Requests that a service does not document never reach it, whatever way they come; what passes is what was sent.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::real::{GATEWAY_SECRET, Service};
use crate::support::gateway::TestSources;
use crate::support::{
    Answer, Client, Gateway, Origin, PATIENCE, RawOrigin, Reloading, get, http2, send,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A document of orders: a POST with a body, a GET with parameters.
const DOCUMENT: &str = r#"{
  "openapi": "3.1.0",
  "info": { "title": "Orders", "version": "1" },
  "paths": {
    "/": {
      "get": { "parameters": [
        { "name": "limit", "in": "query", "schema": { "type": "integer" } },
        { "name": "x-tenant", "in": "header", "required": true, "schema": { "type": "string", "minLength": 2 } }
      ] },
      "post": { "requestBody": { "required": true, "content": { "application/json": { "schema": {
        "type": "object", "required": ["qty"], "properties": { "qty": { "type": "integer", "minimum": 1 }, "note": { "type": "string" } }
      } } } } }
    },
    "/raw": { "put": { "requestBody": { "content": { "application/octet-stream": {} } } } }
  }
}"#;

fn written(document: &str) -> (tempfile::TempDir, TestSources) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("orders.json"), document).unwrap();
    let sources = TestSources { base: folder.path().into(), ..TestSources::default() };
    (folder, sources)
}

/// A gateway whose route `/orders` is held to the document; `more` stands in its `validate`.
async fn gateway(origin: &str, more: &str) -> Gateway {
    let (_folder, sources) = written(DOCUMENT);
    let text = format!(
        r#"
upstreams: {{ orders: {{ targets: [ "{origin}" ] }} }}
routes:
  orders:
    path: /orders
    to: orders
    auth: none
    strip_prefix: true
    request_headers: {{ set: {{ X-Tenant: "${{header.x-as}}" }} }}
    validate: {{ openapi: orders.json{more} }}
"#
    );
    Gateway::start_with(&text, sources).await
}

async fn post(gateway: &Gateway, body: &[u8]) -> Answer {
    send(gateway.address(), "POST", "/orders", &[JSON], body).await
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.code())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one request after the other")]
async fn only_what_is_documented_reaches_the_service() {
    let orders = Origin::start("orders").await;
    let gateway = gateway(&orders.address.to_string(), "").await;
    // Byte for byte, spaces and all.
    let body = "{ \"note\" :\"\\u00e4\\/ä\",\t\"qty\":1.0 }\r\n".as_bytes();
    let answer = post(&gateway, body).await;
    assert_eq!((answer.status, answer.text()), (200, "orders"));
    let seen = orders.last();
    assert_eq!((&seen.body[..], seen.target.as_str()), (body, "/"));
    assert_eq!(seen.header("content-length"), body.len().to_string());

    let answer = post(&gateway, br#"{"qty":0,"note":7}"#).await;
    assert_eq!(refused(&answer), (422, "invalid_body".to_owned()));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let mut errors = answer.json()["errors"].as_array().unwrap().clone();
    errors.sort_by_key(Value::to_string);
    assert_eq!(
        errors,
        [
            json!({ "pointer": "/note", "detail": "is not of type string" }),
            json!({ "pointer": "/qty", "detail": "is less than 1" }),
        ]
    );
    for (body, told) in [
        (&b"{\"qty\":1"[..], "is no JSON in UTF-8"),
        (b"{\"qty\":1,\"qty\":0}", "has two members of one name in an object"),
        (b"{\"qty\":1,\"note\":\"\xff\"}", "is no JSON in UTF-8"),
        (b"", "is missing"),
    ] {
        let answer = post(&gateway, body).await;
        assert_eq!(refused(&answer), (400, "invalid_request".to_owned()), "{told}");
        assert_eq!(answer.json()["errors"], json!([{ "pointer": "", "detail": told }]));
    }
    let address = gateway.address();
    for (method, target, headers, status, code) in [
        ("POST", "/orders", &[][..], 415, "unsupported_media_type"),
        ("POST", "/orders", &[("Content-Type", "text/plain")], 415, "unsupported_media_type"),
        ("POST", "/orders", &[JSON, ("Content-Encoding", "gzip")], 415, "unsupported_media_type"),
        ("GET", "/orders", &[("X-As", "me")], 415, "unsupported_media_type"),
        ("PUT", "/orders", &[JSON], 405, "method_not_allowed"),
        ("POST", "/orders/other", &[JSON], 404, "unknown_operation"),
    ] {
        let answer = send(address, method, target, headers, b"{\"qty\":1}").await;
        assert_eq!(refused(&answer), (status, code.to_owned()), "{method} {target} {headers:?}");
    }
    assert_eq!(orders.seen().len(), 1, "nothing but what is documented");
    // What the service is sent counts, and not what the client sent.
    for (target, headers, status, told) in [
        ("/orders?limit=5", &[("X-As", "me")][..], 200, Value::Null),
        (
            "/orders",
            &[("X-As", "m"), ("X-Tenant", "mine")],
            400,
            json!([{ "parameter": { "in": "header", "name": "x-tenant" }, "detail": "has fewer than 2 characters" }]),
        ),
        (
            "/orders?limit=x",
            &[("X-As", "me")],
            400,
            json!([{ "parameter": { "in": "query", "name": "limit" }, "detail": "is not of type integer" }]),
        ),
    ] {
        let answer = get(address, target, headers).await;
        assert_eq!(answer.status, status, "{target}");
        if status != 200 {
            assert_eq!(answer.json()["errors"], told);
        }
    }
    let lines = gateway.log(14).await;
    let line = lines.iter().find(|line| line["status"] == 422).unwrap();
    assert_eq!((&line["why"], &line["detail"]), (&json!("invalid_body"), &json!("body_schema")));
    assert_eq!(line["bytes_in"], 18);
    assert!(lines.iter().all(|line| !line.to_string().contains("note")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_in_pieces_are_whole_before_the_service_sees_them() {
    let orders = Origin::start("orders").await;
    let gateway = gateway(&orders.address.to_string(), "").await;
    let head = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    // Both over one connection, which is kept through a refusal.
    let mut client = Client::connect(gateway.address()).await;
    for (pieces, status) in [
        (&["{\"qt", "y\":", "7}"][..], 200),
        (&["{\"qt", "y\":", "0}"], 422),
        (&["{\"qty\":", "8}"], 200),
        (&[], 400),
        (&["{\"qty\":9}"], 200),
    ] {
        client.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await;
        for piece in pieces {
            client.write(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
            tokio::task::yield_now().await;
        }
        client.write(b"0\r\n\r\n").await;
        assert_eq!(client.read(false).await.status, status, "{pieces:?}");
    }
    let bodies: Vec<_> = orders.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["{\"qty\":7}", "{\"qty\":8}", "{\"qty\":9}"]);

    // Who asks before it sends is told to go on, once, and only if what it announces may pass.
    let mut client = Client::connect(gateway.address()).await;
    for (body, status) in [("{\"qty\":1}", 200), ("{\"qty\":0}", 422), ("{\"qty\":2}", 200)] {
        let expect =
            format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len());
        client.write(expect.as_bytes()).await;
        assert_eq!(client.read_head().await.status, 100);
        client.write(body.as_bytes()).await;
        assert_eq!(client.read(false).await.status, status);
    }
    assert_eq!(orders.last().header("expect"), "");
    let refused = head.replace("json", "xml") + "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    client.write(refused.as_bytes()).await;
    assert_eq!(client.read(false).await.status, 415);
    assert_eq!(orders.seen().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_be_checked_is_refused() {
    let orders = Origin::start("orders").await;
    let gateway = gateway(&orders.address.to_string(), "").await;
    let of_size = |size: usize| {
        let around = "{\"qty\":1,\"note\":\"\"}".len();
        format!("{{\"qty\":1,\"note\":\"{}\"}}", "x".repeat(size - around))
    };
    let largest = of_size(64 << 10);
    assert_eq!(post(&gateway, largest.as_bytes()).await.status, 200);
    assert_eq!(orders.last().body, largest);
    let chunked = |body: &str| {
        format!(
            "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    let mut client = Client::connect(gateway.address()).await;
    client.write(chunked(&largest).as_bytes()).await;
    assert_eq!(client.read(false).await.status, 200);
    let larger = of_size((64 << 10) + 1);
    let answer = post(&gateway, larger.as_bytes()).await;
    assert_eq!(refused(&answer), (413, "unchecked_body".to_owned()));
    let mut client = Client::connect(gateway.address()).await;
    client.try_write(chunked(&larger).as_bytes()).await;
    assert_eq!(refused(&client.read(false).await), (413, "unchecked_body".to_owned()));
    // A body of which only the type is checked streams as ever.
    let raw = [("Content-Type", "application/octet-stream")];
    let body = vec![b'x'; 1 << 20];
    assert_eq!(send(gateway.address(), "PUT", "/orders/raw", &raw, &body).await.status, 200);
    assert_eq!(orders.seen().len(), 3);
    assert_eq!(orders.last().body.len(), 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_over_http2_too() {
    let orders = Origin::start("orders").await;
    let gateway = gateway(&orders.address.to_string(), "").await;
    let mut requests = http2(gateway.address()).await;
    let large = format!("{{\"qty\":1,\"note\":\"{}\"}}", "x".repeat(64 << 10));
    for (pieces, status) in [
        (vec!["{\"qty\":", "7}"], 200),
        (vec!["{\"qty\":", "0}"], 422),
        (vec!["{\"qty\":", "8}", ""], 200),
        (vec![], 400),
        (vec![large.as_str()], 413),
        (vec!["{\"qty\":9}"], 200),
    ] {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| {
                Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from((*piece).to_owned())))
            })
            .collect();
        let body = StreamBody::new(futures::stream::iter(frames)).boxed();
        let url = format!("http://{}/orders", gateway.address());
        let request =
            Request::post(url).header("content-type", "application/json").body(body).unwrap();
        let answer = tokio::time::timeout(PATIENCE, requests.send_request(request)).await;
        let answer: Response<_> = answer.unwrap().unwrap();
        assert_eq!(answer.status(), status, "{} pieces", pieces.len());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status == 200 || serde_json::from_slice::<Value>(&body).is_ok());
    }
    let bodies: Vec<_> = orders.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["{\"qty\":7}", "{\"qty\":8}", "{\"qty\":9}"]);
}

/// HTTP/2 may say only after the head that no body follows, and some proxies in front always do.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_turns_out_to_be_empty_is_none() {
    let orders = Origin::start("orders").await;
    let gateway = gateway(&orders.address.to_string(), "").await;
    let mut requests = http2(gateway.address()).await;
    for (method, path, pieces, status) in [
        ("GET", "/orders", &[][..], 200),
        ("GET", "/orders", &[""], 200),
        ("GET", "/orders", &["x"], 415),
        ("GET", "/orders", &["", "x"], 415),
        ("PUT", "/orders/raw", &[], 200),
        ("PUT", "/orders/raw", &["ab", "", "c"], 200),
    ] {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece: &&'static str| {
                Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(piece.as_bytes())))
            })
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", gateway.address()))
            .header("x-as", "blue")
            .header("content-type", "application/octet-stream")
            .body(StreamBody::new(futures::stream::iter(frames)))
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, requests.send_request(request)).await;
        assert_eq!(answer.unwrap().unwrap().status(), status, "{method} {pieces:?}");
    }
    let bodies: Vec<_> = orders.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["", "", "", "abc"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stops_sending_is_told_so() {
    let orders = Origin::start("orders").await;
    let (_folder, sources) = written(DOCUMENT);
    let text = format!(
        "upstreams: {{ orders: {{ targets: [ \"{}\" ], timeouts: {{ read: 100ms }} }} }}\n\
         routes: {{ orders: {{ path: /, to: orders, auth: none, validate: {{ openapi: orders.json }} }} }}\n",
        orders.address
    );
    let gateway = Gateway::start_with(&text, sources).await;
    let mut requests = http2(gateway.address()).await;
    let piece = Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"{\"qty\":")));
    let frames =
        futures::StreamExt::chain(futures::stream::iter([piece]), futures::stream::pending());
    let request = Request::post(format!("http://{}/", gateway.address()))
        .header("content-type", "application/json")
        .body(StreamBody::new(frames))
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, requests.send_request(request)).await;
    let answer: Response<_> = answer.expect("the wait has an end").unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(gateway.log(1).await[0]["why"], "request_timeout");
    assert!(orders.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_read_for_a_request_without_a_place() {
    let orders = Origin::start("orders").await;
    let (_folder, sources) = written(DOCUMENT);
    let text = format!(
        "upstreams: {{ orders: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ orders: {{ path: /orders, strip_prefix: true, to: orders, auth: none, concurrency: {{ max: 1, queue: 0 }}, \
         validate: {{ openapi: orders.json }} }} }}\n",
        orders.address
    );
    let gateway = Gateway::start_with(&text, sources).await;
    let mut first = Client::connect(gateway.address()).await;
    // The gateway itself says to go on when it begins to read the body.
    let head = "POST /orders HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
                Expect: 100-continue\r\n\r\n";
    first.write(head.as_bytes()).await;
    assert_eq!(first.read_head().await.status, 100);
    let second = post(&gateway, b"{\"qty\":0}").await;
    assert_eq!((second.status, second.code().as_str()), (503, "overloaded"));
    first.write(b"{\"qty\":2}").await;
    assert_eq!(first.read(false).await.status, 200);
    // The place is free when the request is over, which is after its client has the answer.
    let freed = async {
        while post(&gateway, b"{\"qty\":0}").await.status == 503 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place becomes free");
    // One that is refused has given its place up.
    for _ in 0..2 {
        assert_eq!(post(&gateway, b"{\"qty\":0}").await.status, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_checked_is_sent_to_the_next_target_too() {
    let (dead, orders) = (RawOrigin::saying(b"").await, Origin::start("orders").await);
    let refusing = dead.address;
    drop(dead);
    let (_folder, sources) = written(DOCUMENT);
    let text = format!(
        r#"
upstreams: {{ orders: {{ targets: [ "{refusing}", "{}" ], health: none }} }}
routes:
  orders:
    path: /orders
    to: orders
    auth: none
    strip_prefix: true
    validate: {{ openapi: orders.json }}
"#,
        orders.address
    );
    let gateway = Gateway::start_with(&text, sources).await;
    for _ in 0..4 {
        assert_eq!(post(&gateway, b"{\"qty\":3}").await.status, 200);
    }
    let tries = gateway.log(4).await.iter().map(|line| line["tries"].as_u64().unwrap()).max();
    assert_eq!(tries, Some(2), "a target that refuses was tried");
    assert!(orders.seen().iter().all(|seen| seen.body == "{\"qty\":3}"));
    assert_eq!(orders.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_observes_is_told_and_refuses_nobody() {
    let orders = Origin::start("orders").await;
    let gateway = Reloading::start(&format!(
        r#"
upstreams: {{ orders: {{ targets: [ "{}" ] }} }}
routes: {{ orders: {{ path: /orders, to: orders, auth: none }} }}
"#,
        orders.address
    ))
    .await;
    std::fs::write(gateway.path("orders.json"), DOCUMENT).unwrap();
    gateway
        .change_to(&format!(
            r#"
upstreams: {{ orders: {{ targets: [ "{}" ] }} }}
routes:
  orders:
    path: /orders
    to: orders
    auth: none
    strip_prefix: true
    validate: {{ openapi: orders.json, observe: true }}
"#,
            orders.address
        ))
        .await;
    let large = vec![b'x'; (64 << 10) + 1];
    for body in [&b"{\"qty\":1}"[..], b"{\"qty\":0}", b"nonsense", &large] {
        let answer = send(gateway.address(), "POST", "/orders", &[JSON], body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(orders.last().body, body);
    }
    assert_eq!(get(gateway.address(), "/orders/other", &[]).await.status, 200);
    let metrics = get(gateway.admin(), "/metrics", &[("Host", "localhost")]).await;
    for line in [
        "portcullis_observed_total{route=\"orders\",rule=\"validate\"} 4",
        "portcullis_validations_total{route=\"orders\",found=\"passed\"} 1",
        "portcullis_validations_total{route=\"orders\",found=\"invalid_body\"} 1",
        "portcullis_validations_total{route=\"orders\",found=\"invalid_request\"} 1",
        "portcullis_validations_total{route=\"orders\",found=\"unchecked_body\"} 1",
        "portcullis_validations_total{route=\"orders\",found=\"unknown_operation\"} 1",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_changes_is_taken_over_and_a_broken_one_is_not() {
    let orders = Origin::start("orders").await;
    let gateway = Reloading::start(&format!(
        "upstreams: {{ orders: {{ targets: [ \"{}\" ] }} }}\n\
         routes: {{ orders: {{ path: /, to: orders, auth: none }} }}\n",
        orders.address
    ))
    .await;
    let file = gateway.path("orders.json");
    std::fs::write(&file, DOCUMENT).unwrap();
    gateway
        .change_to(&format!(
            "upstreams: {{ orders: {{ targets: [ \"{}\" ] }} }}\n\
             routes: {{ orders: {{ path: /, to: orders, auth: none, validate: {{ openapi: orders.json }} }} }}\n",
            orders.address
        ))
        .await;
    let one = async || send(gateway.address(), "POST", "/", &[JSON], b"{\"qty\":5}").await.status;
    assert_eq!(one().await, 200);
    std::fs::write(&file, DOCUMENT.replace("\"minimum\": 1", "\"minimum\": 6")).unwrap();
    gateway.reload().await;
    assert_eq!(one().await, 422);
    std::fs::write(&file, "{").unwrap();
    gateway.reload().await;
    assert_eq!(one().await, 422, "what was in force stays");
}

/// What the real service refuses by its schemas, the gateway refuses in front of it; what it takes passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_service_and_its_document_agree() {
    let shop = Service::start_script("shop.py").await;
    let secret = [("x-api-key", GATEWAY_SECRET)];
    let document = get(shop.address, "/openapi.json", &secret).await;
    let (_folder, sources) = written(document.text());
    let text = format!(
        r#"
upstreams: {{ shop: {{ targets: [ "{}" ], gateway_secret: {{ value: "{GATEWAY_SECRET}" }} }} }}
routes:
  shop: {{ path: /, to: shop, auth: none, validate: {{ openapi: orders.json }} }}
"#,
        shop.address
    );
    let gateway = Gateway::start_with(&text, sources).await;
    let order = |item: Value, count: Value, payment: Value| {
        json!({ "item": item, "count": count, "payment": payment }).to_string()
    };
    let card = json!({ "kind": "card", "number": "1234" });
    let invoice = json!({ "kind": "invoice", "days": 30 });
    let bodies = [
        order(json!("x"), json!(1), card.clone()),
        order(json!("é".repeat(20)), json!(99), invoice.clone()),
        json!({ "item": "x", "count": 1, "note": null, "payment": card, "more": 1 }).to_string(),
        order(json!(""), json!(1), card.clone()),
        order(json!("x".repeat(21)), json!(1), card.clone()),
        order(json!("x"), json!(0), card.clone()),
        order(json!("x"), json!(100), card.clone()),
        order(json!("x"), json!(1.5), card.clone()),
        order(json!(7), json!(1), card.clone()),
        order(json!("x"), json!(null), card.clone()),
        order(json!("x"), json!(1), json!({ "kind": "card", "number": "12345" })),
        order(json!("x"), json!(1), json!({ "kind": "invoice", "days": 61 })),
        order(json!("x"), json!(1), json!({ "kind": "cheque" })),
        order(json!("x"), json!(1), json!({})),
        json!({ "item": "x", "count": 1 }).to_string(),
        "[]".to_owned(),
        "null".to_owned(),
    ];
    let mut taken = 0;
    for body in &bodies {
        let all = [JSON, secret[0]];
        let own = send(shop.address, "POST", "/v2/t/orders", &all, body.as_bytes()).await.status;
        let ours = send(gateway.address(), "POST", "/v2/t/orders", &[JSON], body.as_bytes()).await;
        assert_eq!(ours.status, own, "{body}: {}", ours.text());
        assert!(own == 201 || ours.code() == "invalid_body", "{body}: {}", ours.text());
        taken += usize::from(own == 201);
    }
    assert_eq!(taken, 3);
    for (target, own, ours) in [
        ("/v2/t/orders", 200, 200),
        ("/v2/t/orders?limit=7", 200, 200),
        ("/v2/t/orders?limit=x", 422, 400),
        ("/v2/t/orders/7", 404, 404),
        ("/v2/t/orders/x", 422, 400),
    ] {
        assert_eq!(get(shop.address, target, &secret).await.status, own, "{target}");
        assert_eq!(get(gateway.address(), target, &[]).await.status, ours, "{target}");
    }
    let unknown = get(gateway.address(), "/openapi.json", &[]).await;
    assert_eq!(refused(&unknown), (404, "unknown_operation".to_owned()));
}
