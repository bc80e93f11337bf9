//! A `FastAPI` service is used through the gateway as if there were none.

use super::{Service, in_front_of, python_client};
use crate::support::{Gateway, get};

#[tokio::test(flavor = "multi_thread")]
async fn httpx_works_with_a_fastapi_service() {
    everyday("httpx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_works_with_a_fastapi_service() {
    everyday("requests").await;
}

async fn everyday(client: &str) {
    let service = Service::start().await;
    let gateway = Gateway::start(&in_front_of(service.address)).await;
    python_client(client, "everyday", gateway.address()).await;
    // Nothing failed on the way that a client would not have noticed.
    for line in gateway.log(40).await {
        let why = line["why"].as_str().unwrap_or_default();
        assert!(matches!(why, "" | "unauthorized"), "{line}");
    }
    assert!(gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_answers_to_nobody_else() {
    let service = Service::start().await;
    assert_eq!(get(service.address, "/health", &[]).await.status, 403);
    assert_eq!(get(service.address, "/health", &[("x-api-key", super::KEY)]).await.status, 403);
    let gateway = Gateway::start(&in_front_of(service.address)).await;
    let key = ("x-api-key", super::KEY);
    assert_eq!(get(gateway.address(), "/api/v1/health", &[key]).await.status, 200);
    // What a client nominates as its connection's own cannot take away what the gateway sets.
    let nominated = ("connection", "x-api-key, x-consumer-name, x-gateway, x-request-id");
    let answer = get(gateway.address(), "/api/v1/echo", &[key, nominated]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = answer.json()["headers"].to_string();
    for set in ["x-consumer-name", "x-gateway", "x-request-id"] {
        assert!(seen.contains(&format!("[\"{set}\",")), "{set}: {seen}");
    }
}
