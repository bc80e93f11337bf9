use http::header::{ACCEPT, ALLOW, CONTENT_SECURITY_POLICY};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

fn problem(detail: &str) -> Problem<'_> {
    Problem {
        status: 404,
        code: "no_route",
        title: "No such route",
        detail,
        request_id: "req-1",
        retry_after: None,
        faults: &[],
    }
}

fn value<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let (_, value) = reply.headers.iter().find(|(n, _)| n == name)?;
    value.to_str().ok()
}

fn accepting(accept: &str) -> Wanted {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header value"));
    wanted(&headers)
}

#[test]
fn a_problem_for_programs_has_the_members_of_the_rfc_and_ours() {
    let reply = Problem { retry_after: Some(7), ..problem("no \"route\"\n") }.reply(Wanted::Json);
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("valid JSON");
    assert_eq!(
        body,
        serde_json::json!({
            "type": "urn:portcullis:problem:no_route",
            "title": "No such route",
            "status": 404,
            "detail": "no \"route\"\n",
            "code": "no_route",
            "request_id": "req-1",
        })
    );
    assert_eq!(value(&reply, "content-type"), Some("application/problem+json"));
    assert_eq!(value(&reply, "cache-control"), Some("no-store"));
    assert_eq!(value(&reply, "retry-after"), Some("7"));
}

#[test]
fn a_status_that_is_none_becomes_500_in_the_head_and_in_the_body() {
    let reply = Problem { status: 7, ..problem("") }.reply(Wanted::Json);
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("valid JSON");
    assert_eq!(body["status"], 500);
}

#[test]
fn a_page_shows_the_text_and_runs_none_of_it() {
    let reply = problem("<script>alert('&\"')</script>\0").reply(Wanted::Html);
    let page = std::str::from_utf8(&reply.body).expect("text");
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt; </p>"));
    assert!(!page.contains("<script") && !page.contains('\0'));
    assert!(page.contains("<h1>No such route</h1>") && page.contains("req-1"));
    assert_eq!(value(&reply, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(value(&reply, "x-content-type-options"), Some("nosniff"));
    assert_eq!(value(&reply, "cache-control"), Some("no-store"));
}

#[test]
fn the_policy_of_the_page_allows_its_own_style_sheet_and_nothing_else() {
    let digest = base64(&Sha256::digest(html::STYLE.as_bytes()));
    assert!(html::POLICY.contains(&format!("style-src 'sha256-{digest}'")), "wanted {digest}");
    assert!(html::POLICY.starts_with("default-src 'none';"));
    let reply = problem("x").reply(Wanted::Html);
    assert_eq!(value(&reply, CONTENT_SECURITY_POLICY.as_str()), Some(html::POLICY));
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[test]
fn a_grpc_caller_gets_a_status_and_no_body() {
    let reply = problem("50% of é\n").reply(Wanted::Grpc);
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.is_empty());
    assert_eq!(value(&reply, "content-type"), Some("application/grpc"));
    assert_eq!(value(&reply, "grpc-status"), Some("12"));
    assert_eq!(value(&reply, "grpc-message"), Some("50%25 of %C3%A9%0A"));
}

#[test]
fn every_status_of_ours_has_its_grpc_status() {
    let table = [
        (400, "13"),
        (401, "16"),
        (403, "7"),
        (404, "12"),
        (405, "12"),
        (408, "4"),
        (413, "8"),
        (414, "8"),
        (421, "2"),
        (429, "8"),
        (431, "8"),
        (500, "13"),
        (502, "14"),
        (503, "14"),
        (504, "4"),
    ];
    for (status, grpc) in table {
        let reply = Problem { status, ..problem("x") }.reply(Wanted::Grpc);
        assert_eq!(value(&reply, "grpc-status"), Some(grpc), "for {status}");
    }
}

#[test]
fn browsers_want_a_page_and_programs_want_json() {
    for html in [
        "text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "TEXT/HTML;charset=utf-8, application/json;q=0.9",
        "*/*, text/html",
        "application/json;q=0.5, text/html;q=0.6",
        "text/html, application/json",
    ] {
        assert_eq!(accepting(html), Wanted::Html, "{html}");
    }
    for json in [
        "",
        "*/*",
        "text/*",
        "application/json",
        "application/json, text/html",
        "application/json, text/plain, */*",
        "text/html;q=0",
        "text/html;q=0.5, */*",
        "text/html;q=0.5, application/problem+json",
        "text/html;q=nonsense",
        "text/htmlx",
        ",;,;q=",
    ] {
        assert_eq!(accepting(json), Wanted::Json, "{json}");
    }
    assert_eq!(wanted(&HeaderMap::new()), Wanted::Json);
}

#[test]
fn grpc_is_known_by_its_content_type() {
    let of = |content_type: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        wanted(&headers)
    };
    for grpc in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=1"] {
        assert_eq!(of(grpc), Wanted::Grpc, "{grpc}");
    }
    for other in ["application/grpcx", "application/json", "application/grp"] {
        assert_eq!(of(other), Wanted::Html, "{other}");
    }
}

#[test]
fn a_reply_takes_more_headers() {
    let reply = Reply::new(StatusCode::METHOD_NOT_ALLOWED)
        .with(ALLOW, HeaderValue::from_static("GET, HEAD"));
    assert_eq!(value(&reply, "allow"), Some("GET, HEAD"));
}

proptest! {
    #[test]
    fn no_text_breaks_a_face(detail in any::<String>(), request_id in any::<String>()) {
        let problem = Problem { request_id: &request_id, ..problem(&detail) };
        let json = problem.reply(Wanted::Json).body;
        let json: serde_json::Value = serde_json::from_slice(&json).expect("valid JSON");
        prop_assert_eq!(json["detail"].as_str(), Some(detail.as_str()));
        prop_assert_eq!(json["request_id"].as_str(), Some(request_id.as_str()));
        let page = problem.reply(Wanted::Html).body;
        let empty = super::tests::problem("").reply(Wanted::Html).body;
        let tags = |page: &[u8]| memchr::memchr_iter(b'<', page).count();
        prop_assert_eq!(tags(&page), tags(&empty));
        let grpc = problem.reply(Wanted::Grpc);
        let message = super::tests::value(&grpc, "grpc-message").expect("ASCII");
        prop_assert_eq!(message.is_empty(), detail.is_empty());
    }

    #[test]
    fn any_accept_is_survived(accept in "[ -~]{0,60}") {
        let _ = accepting(&accept);
    }
}
