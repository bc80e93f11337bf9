//! Path tricks: none leads from an open route to what a protected one covers.

use super::*;
use crate::route::Forwarding;

/// `open` takes all that is not taken otherwise; `admin`, `secret` and `user` are protected.
fn gateway() -> Table<String> {
    table(&[
        route("open", "/"),
        route("admin", "/admin"),
        route("secret", "/api/secret").exact(),
        route("user", "/api/users/{id}/keys"),
        route("api", "/api"),
        route("post", "/upload").methods("POST"),
        route("inner", "/admin.internal").hosts("admin.example.com"),
    ])
}

fn try_trick(table: &Table<String>, raw: &str) -> String {
    let Ok(target) = CleanTarget::parse(raw.as_bytes()) else { return "400".to_owned() };
    let method = Method::GET;
    let headers = HeaderMap::new();
    match table.find(&Request {
        host: "example.com",
        method: &method,
        target: &target,
        headers: &headers,
    }) {
        Found::Route(matched) => {
            let sent = Forwarding::KEEP.apply(&target, &matched.captures, matched.matched_len);
            format!("{} {}", matched.value, sent.path)
        }
        Found::NoRoute => "404".to_owned(),
        Found::WrongMethod { .. } => "405".to_owned(),
        Found::Ambiguous => "400 ambiguous".to_owned(),
    }
}

const TRICKS: &[(&str, &str)] = &[
    // As they are meant.
    ("/", "open /"),
    ("/admin", "admin /admin"),
    ("/admin/", "admin /admin/"),
    ("/admin/x?y=/open", "admin /admin/x"),
    ("/api/secret", "secret /api/secret"),
    ("/api/users/7/keys", "user /api/users/7/keys"),
    ("/upload", "405"),
    // Whole segments, and case.
    ("/admin2", "open /admin2"),
    ("/adminx/y", "open /adminx/y"),
    ("/Admin", "open /Admin"),
    ("/ADMIN/x", "open /ADMIN/x"),
    ("/admin.", "open /admin."),
    ("/admin~", "open /admin~"),
    ("/admin,x", "open /admin,x"),
    ("/admin%20", "open /admin%20"),
    ("/admin%3fx", "open /admin%3fx"),
    ("/admin%23", "open /admin%23"),
    ("/api/secret/", "api /api/secret/"),
    ("/api/secret/x", "api /api/secret/x"),
    // Letters that are encoded.
    ("/%61dmin", "admin /%61dmin"),
    ("/%61%64%6D%69%6e/x", "admin /%61%64%6D%69%6e/x"),
    ("/api/%73ecret", "secret /api/%73ecret"),
    ("/%41dmin", "open /%41dmin"),
    ("/%2561dmin", "open /%2561dmin"),
    // Repeated slashes.
    ("//admin", "admin /admin"),
    ("///admin//x", "admin /admin/x"),
    ("/api//secret", "secret /api/secret"),
    ("//host/admin", "open /host/admin"),
    ("/x//admin", "open /x/admin"),
    ("/api/users//keys", "api /api/users/keys"),
    // Dot segments.
    ("/x/../admin", "admin /admin"),
    ("/x/../admin/", "admin /admin/"),
    ("/./admin", "admin /admin"),
    ("/admin/.", "admin /admin/"),
    ("/admin/./", "admin /admin/"),
    ("/admin/..", "open /"),
    ("/admin/../x", "open /x"),
    ("/admin/../admin/x", "admin /admin/x"),
    ("/x/y/../../admin", "admin /admin"),
    ("/x//..//admin", "admin /admin"),
    ("/api/x/../secret", "secret /api/secret"),
    ("/api/secret/.", "api /api/secret/"),
    ("/api/secret/../secret", "secret /api/secret"),
    ("/api/users/../secret", "secret /api/secret"),
    ("/.../admin", "open /.../admin"),
    ("/..admin", "open /..admin"),
    ("/../admin", "400"),
    ("/x/../../admin", "400"),
    ("/..", "400"),
    // Encoded dots.
    ("/x/%2e%2e/admin", "admin /admin"),
    ("/x/%2E%2E/admin", "admin /admin"),
    ("/x/.%2e/admin", "admin /admin"),
    ("/x/%2e./admin", "admin /admin"),
    ("/%2e/admin", "admin /admin"),
    ("/%2e%2e/admin", "400"),
    ("/%252e%252e/admin", "open /%252e%252e/admin"),
    // Encoded slashes.
    ("/%2fadmin", "400 ambiguous"),
    ("/%2Fadmin", "400 ambiguous"),
    ("/admin%2fx", "400 ambiguous"),
    ("/admin%2f", "400 ambiguous"),
    ("/x%2fadmin", "open /x%2fadmin"),
    ("/x%2f..%2fadmin", "400"),
    ("/x%2F..%2Fadmin", "400"),
    ("/x%2f%2e%2e%2fadmin", "400"),
    ("/..%2fadmin", "400"),
    ("/x/..%2f..%2fadmin", "400"),
    ("/.%2fadmin", "400"),
    ("/api%2fsecret", "400 ambiguous"),
    ("/api/%2fsecret", "400 ambiguous"),
    ("/api/x%2fy", "api /api/x%2fy"),
    ("/api/users/a%2fb/keys", "400 ambiguous"),
    ("/api/users/7%2fkeys", "400 ambiguous"),
    ("/admin/x%2fy", "admin /admin/x%2fy"),
    ("/admin/%2f", "admin /admin/%2f"),
    ("/upload%2fx", "400 ambiguous"),
    ("/x%252fadmin", "open /x%252fadmin"),
    // Parameters.
    ("/admin;x", "400 ambiguous"),
    ("/admin;x=1/y", "400 ambiguous"),
    ("/admin;/y", "400 ambiguous"),
    ("/admin%3bx", "400 ambiguous"),
    ("/admin%3Bx/y", "400 ambiguous"),
    (";/admin", "400"),
    ("/;/admin", "400 ambiguous"),
    ("/;x/admin", "400 ambiguous"),
    ("/;%2fx/admin", "400 ambiguous"),
    ("/;%2f..;%2fadmin", "400"),
    ("/x/..;/admin", "400"),
    ("/x/..;y=z/admin", "400"),
    ("/x/.;/admin", "400"),
    ("/x/%2e%2e;/admin", "400"),
    ("/x/..%3b/admin", "400"),
    ("/api/secret;x", "400 ambiguous"),
    ("/api;x/secret", "400 ambiguous"),
    ("/x;y/z", "open /x;y/z"),
    ("/admin/x;y", "admin /admin/x;y"),
    // Backslashes, control characters, broken encodings.
    ("/x\\..\\admin", "400"),
    ("\\admin", "400"),
    ("/\\admin", "400"),
    ("/%5cadmin", "400"),
    ("/x%5C..%5Cadmin", "400"),
    ("/admin%00", "400"),
    ("/admin\0", "400"),
    ("/admin%0a", "400"),
    ("/admin%0d%0aX: y", "400"),
    ("/\tadmin", "400"),
    ("/%09admin", "400"),
    ("/admin%7f", "400"),
    ("/admin %2f", "400"),
    ("/admin%", "400"),
    ("/admin%2", "400"),
    ("/%g1dmin", "400"),
    ("/%u0061dmin", "400"),
    ("/%c1%a1dmin", "400"),
    ("/x/%c0%ae%c0%ae/admin", "400"),
    ("/x%c0%afadmin", "400"),
    ("/x/%e0%80%ae./admin", "400"),
    ("/%ff", "400"),
    ("/\u{ff0e}\u{ff0e}/admin", "400"),
    ("/%ef%bc%8e%ef%bc%8e/admin", "open /%ef%bc%8e%ef%bc%8e/admin"),
    ("/admin#x", "400"),
    ("/x#/../admin", "400"),
    // Forms.
    ("http://example.com/admin", "admin /admin"),
    ("HTTP://example.com//x/../admin", "admin /admin"),
    ("https://example.com:443/admin", "admin /admin"),
    ("http://example.com", "open /"),
    ("http://example.com?/admin", "open /"),
    ("http://example.com/..", "400"),
    ("http://example.com\\admin", "400"),
    ("http://example.com@admin/", "400"),
    ("http:/admin", "400"),
    ("http:admin", "400"),
    ("ftp://example.com/admin", "400"),
    ("example.com:80", "400"),
    ("admin", "400"),
    ("*", "400"),
    ("", "400"),
    ("?/admin", "400"),
    ("/?/../admin", "open /"),
    ("/x?/../admin", "open /x"),
    ("/x/..?/admin", "open /"),
];

#[test]
fn no_trick_leads_past_a_protected_route() {
    assert!(TRICKS.len() >= 80);
    let table = gateway();
    for (raw, expected) in TRICKS {
        assert_eq!(try_trick(&table, raw), *expected, "{raw:?}");
    }
}

#[test]
fn a_reading_that_one_order_of_decoding_shows_is_enough() {
    // Who strips first sees /p/q; who decodes first sees /p/z/q, which nobody protects.
    let strips = table(&[route("open", "/"), route("protected", "/p/q")]);
    assert_eq!(find(&strips, "/p;%2fz/q"), "400");
    // Who decodes and never strips sees /p/;/q.
    let keeps = table(&[route("open", "/"), route("protected", "/p/{x}/q")]);
    assert_eq!(find(&keeps, "/p%2f;/q"), "400");
    assert_eq!(find(&keeps, "/p%2f;"), "open");
}

#[test]
fn an_encoded_slash_is_data_where_no_other_route_is_in_question() {
    let files = table(&[route("file", "/files/{name}").exact(), route("admin", "/admin")]);
    assert_eq!(find(&files, "/files/a%2fb"), "file");
    assert_eq!(find(&files, "/files/a%2fb;c"), "file");
    let hosts = table(&[route("file", "/files/{name}").exact().hosts("a.com"), route("all", "/")]);
    assert_eq!(find(&hosts, "a.com/files/a%2fb"), "400");
}
