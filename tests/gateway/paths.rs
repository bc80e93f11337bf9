//! Tricks with paths: what is matched is what is forwarded, and nothing gets behind a guard by another spelling.

use crate::support::{Answer, Client, Gateway, Origin, RawOrigin};

/// What becomes of a request target.
enum Fate {
    /// Forwarded without a key, as this.
    Open(&'static str),
    /// 401 without a key; with one, forwarded as this.
    Guarded(&'static str),
    /// 400 with this code; nobody is asked, key or not.
    Refused(&'static str),
}

use Fate::{Guarded, Open, Refused};

const UNCLEAN: Fate = Refused("bad_request");
const AMBIGUOUS: Fate = Refused("ambiguous_path");

const KEY: &str = "paths-key-7q3z";

/// The key's digest, as it stands in the file.
fn digest() -> String {
    portcullis::auth::Digest::of(KEY.as_bytes()).to_string()
}

/// Targets as sent to a file with an open `/`, a protected `/admin`, and a protected `/users` that is stripped.
const TARGETS: &[(&str, Fate)] = &[
    // Plain ones pass as they are, percent-encodings and the query included.
    ("/", Open("/")),
    ("/pub", Open("/pub")),
    ("/pub/", Open("/pub/")),
    ("/pub?", Open("/pub?")),
    ("/pub??a=?&b", Open("/pub??a=?&b")),
    ("/pub?x=%2f..%2fadmin&y=/../admin&z=\\", Open("/pub?x=%2f..%2fadmin&y=/../admin&z=\\")),
    ("/pub?%zz&%", Open("/pub?%zz&%")),
    ("/%41/%7Eu/%7eu", Open("/%41/%7Eu/%7eu")),
    ("/a%20b/c+d", Open("/a%20b/c+d")),
    ("/a%20b/%7eu/%E4%BD%A0", Open("/a%20b/%7eu/%E4%BD%A0")),
    ("/a:b@c!$&'()*,=-._~", Open("/a:b@c!$&'()*,=-._~")),
    ("/%E4%BD%A0/%f0%9f%98%80", Open("/%E4%BD%A0/%f0%9f%98%80")),
    ("/{id}/a|b", Open("/{id}/a|b")),
    // A name is a whole segment, and case counts.
    ("/users2", Open("/users2")),
    ("/userss/1", Open("/userss/1")),
    ("/user", Open("/user")),
    ("/Users", Open("/Users")),
    ("/ADMIN", Open("/ADMIN")),
    ("/Admin/x", Open("/Admin/x")),
    ("/admin2", Open("/admin2")),
    ("/adminx", Open("/adminx")),
    ("/admin.json", Open("/admin.json")),
    ("/admin-x", Open("/admin-x")),
    ("/admin%20", Open("/admin%20")),
    ("/admin.", Open("/admin.")),
    ("/admin%2e", Open("/admin%2e")),
    ("/admin..", Open("/admin..")),
    ("/.admin", Open("/.admin")),
    ("/x/admin", Open("/x/admin")),
    ("/.../admin", Open("/.../admin")),
    ("/users.", Open("/users.")),
    // Slashes are merged.
    ("//", Open("/")),
    ("///", Open("/")),
    ("//pub", Open("/pub")),
    ("/a//b///c//", Open("/a/b/c/")),
    ("//evil.example/x", Open("/evil.example/x")),
    ("//evil.example:80//admin", Open("/evil.example:80/admin")),
    ("/a//b?c//d=/../e", Open("/a/b?c//d=/../e")),
    // Dot segments are resolved, encoded ones too.
    ("/.", Open("/")),
    ("/a/./b", Open("/a/b")),
    ("/a/b/.", Open("/a/b/")),
    ("/a/b/..", Open("/a/")),
    ("/a/../b", Open("/b")),
    ("/a/%2e%2e/b", Open("/b")),
    ("/a/.%2E/b", Open("/b")),
    ("/a/%2E/b", Open("/a/b")),
    ("/admin/../pub", Open("/pub")),
    ("/admin/%2e%2e/pub", Open("/pub")),
    ("/users/1/../../pub?x=/admin", Open("/pub?x=/admin")),
    // Encoded slashes and parameters are data where all readings belong to the same route.
    ("/a%2fb", Open("/a%2fb")),
    ("/a%2Fadmin", Open("/a%2Fadmin")),
    ("/%2f", Open("/%2f")),
    ("/a;b", Open("/a;b")),
    ("/a;v=1/b;w=2", Open("/a;v=1/b;w=2")),
    ("/a%3Bb", Open("/a%3Bb")),
    ("/a;/admin", Open("/a;/admin")),
    ("/pub;admin", Open("/pub;admin")),
    // Encoded twice is data.
    ("/%252e%252e/admin", Open("/%252e%252e/admin")),
    ("/%2561dmin", Open("/%2561dmin")),
    ("/admin%252fx", Open("/admin%252fx")),
    // The absolute form is forwarded as a path.
    ("http://gateway.test/pub", Open("/pub")),
    ("http://gateway.test/pub?x=1", Open("/pub?x=1")),
    ("http://gateway.test", Open("/")),
    ("http://gateway.test?x=1", Open("/?x=1")),
    ("http://gateway.test//pub", Open("/pub")),
    ("http://gateway.test/admin/../pub", Open("/pub")),
    ("https://gateway.test/pub", Open("/pub")),
    // Every spelling of a protected path is protected.
    ("/admin", Guarded("/admin")),
    ("/admin/", Guarded("/admin/")),
    ("/admin?x=1", Guarded("/admin?x=1")),
    ("/admin/x", Guarded("/admin/x")),
    ("/admin/x?y", Guarded("/admin/x?y")),
    ("/%61dmin", Guarded("/%61dmin")),
    ("/%61%64%6d%69%6E/x", Guarded("/%61%64%6d%69%6E/x")),
    ("/adm%69n", Guarded("/adm%69n")),
    ("//admin", Guarded("/admin")),
    ("///admin//x", Guarded("/admin/x")),
    ("/admin//", Guarded("/admin/")),
    ("/./admin", Guarded("/admin")),
    ("/%2e/admin", Guarded("/admin")),
    ("/pub/../admin", Guarded("/admin")),
    ("/pub/%2e%2e/admin/x", Guarded("/admin/x")),
    ("/pub/.%2e/admin", Guarded("/admin")),
    ("/pub/%2E./admin", Guarded("/admin")),
    ("/a/b/../../admin", Guarded("/admin")),
    ("/pub//../admin", Guarded("/admin")),
    ("//pub//..//admin", Guarded("/admin")),
    ("/x;/../admin", Guarded("/admin")),
    ("/a%2fb/../admin", Guarded("/admin")),
    ("/admin/.", Guarded("/admin/")),
    ("/admin/x/..", Guarded("/admin/")),
    ("/admin/../admin", Guarded("/admin")),
    ("/admin/a%2fb", Guarded("/admin/a%2fb")),
    ("/admin/%2f", Guarded("/admin/%2f")),
    ("/admin/x;y", Guarded("/admin/x;y")),
    ("/admin/;x", Guarded("/admin/;x")),
    ("/admin/%252e%252e/pub", Guarded("/admin/%252e%252e/pub")),
    ("http://gateway.test/admin", Guarded("/admin")),
    ("http://gateway.test/pub/../admin", Guarded("/admin")),
    ("http://gateway.test//admin", Guarded("/admin")),
    ("/users", Guarded("/")),
    ("/users/", Guarded("/")),
    ("/users?x=1", Guarded("/?x=1")),
    ("/users/1", Guarded("/1")),
    ("/users//1", Guarded("/1")),
    ("/%75sers/1", Guarded("/1")),
    ("/users/a%2Fb?x", Guarded("/a%2Fb?x")),
    ("/users/;x", Guarded("/;x")),
    ("/pub/../users/profile", Guarded("/profile")),
    ("/users/users", Guarded("/users")),
    // Paths that another reader would take for a protected one.
    ("/admin;", AMBIGUOUS),
    ("/admin;x", AMBIGUOUS),
    ("/admin;x/y", AMBIGUOUS),
    ("/admin;x=1/y", AMBIGUOUS),
    ("/admin%3bx", AMBIGUOUS),
    ("/%61dmin;x", AMBIGUOUS),
    ("/users;x", AMBIGUOUS),
    ("/users;x/1", AMBIGUOUS),
    ("/;/admin", AMBIGUOUS),
    ("/;x/admin", AMBIGUOUS),
    ("/%3b/admin", AMBIGUOUS),
    ("//;//admin", AMBIGUOUS),
    ("/%2fadmin", AMBIGUOUS),
    ("/%2Fadmin/x", AMBIGUOUS),
    ("/%2f%2fadmin", AMBIGUOUS),
    ("/admin%2f", AMBIGUOUS),
    ("/admin%2Fx", AMBIGUOUS),
    ("/%61dmin%2fx", AMBIGUOUS),
    ("/users%2f1", AMBIGUOUS),
    ("/;%2fadmin", AMBIGUOUS),
    ("/%3b%2fadmin", AMBIGUOUS),
    ("/admin;%2fx", AMBIGUOUS),
    ("http://gateway.test/admin;x", AMBIGUOUS),
    // Hidden dot segments.
    ("/pub/..%2fadmin", UNCLEAN),
    ("/pub%2f..%2fadmin", UNCLEAN),
    ("/pub%2F%2e%2e%2Fadmin", UNCLEAN),
    ("/.%2fadmin", UNCLEAN),
    ("/..;/admin", UNCLEAN),
    ("/pub/..;/admin", UNCLEAN),
    ("/pub/..;x=1/admin", UNCLEAN),
    ("/pub/%2e%2e;/admin", UNCLEAN),
    ("/pub/..%3b/admin", UNCLEAN),
    ("/pub/.;/admin", UNCLEAN),
    ("/users;%2f../pub", UNCLEAN),
    ("/users/..%2f..%2fadmin", UNCLEAN),
    // Above the root.
    ("/..", UNCLEAN),
    ("/../admin", UNCLEAN),
    ("/%2e%2e/admin", UNCLEAN),
    ("/pub/../../admin", UNCLEAN),
    ("http://gateway.test/../admin", UNCLEAN),
    // Backslashes, NUL, control characters.
    ("/\\admin", UNCLEAN),
    ("/pub\\..\\admin", UNCLEAN),
    ("/%5cadmin", UNCLEAN),
    ("/pub%5C..%5cadmin", UNCLEAN),
    ("/admin%00", UNCLEAN),
    ("/%00/admin", UNCLEAN),
    ("/pub%0a", UNCLEAN),
    ("/pub%0d%0aX-Api-Key:%20x", UNCLEAN),
    ("/pub%0d%0aX:y", UNCLEAN),
    ("/pub%09", UNCLEAN),
    ("/pub%7f", UNCLEAN),
    // Broken encodings.
    ("/%", UNCLEAN),
    ("/%2", UNCLEAN),
    ("/%zz", UNCLEAN),
    ("/%%61dmin", UNCLEAN),
    ("/%u0061dmin", UNCLEAN),
    ("/%c0%afadmin", UNCLEAN),
    ("/%c0%ae%c0%ae/admin", UNCLEAN),
    ("/%e0%80%afadmin", UNCLEAN),
    ("/%ff", UNCLEAN),
    ("/%ed%a0%80", UNCLEAN),
    // Not a path, or more than one.
    ("/\u{e9}", UNCLEAN),
    ("/pub?\u{e9}", UNCLEAN),
    ("*", UNCLEAN),
    ("admin", UNCLEAN),
    ("gateway.test/admin", UNCLEAN),
    ("gateway.test:80", UNCLEAN),
    ("?x", UNCLEAN),
    ("ftp://gateway.test/pub", UNCLEAN),
    ("HTTP://GATEWAY.TEST/pub", UNCLEAN),
    ("http://gateway.test.:80/pub", UNCLEAN),
    ("http://gateway.test:0/admin", UNCLEAN),
    ("http:/admin", UNCLEAN),
    ("http:///admin", UNCLEAN),
    ("http://user@gateway.test/admin", UNCLEAN),
    ("http://gateway.test%2fadmin", UNCLEAN),
    ("http://gateway.test\\@other.test/pub", UNCLEAN),
    ("http://other.test/admin", UNCLEAN),
    ("http://other.test/pub", UNCLEAN),
    ("", UNCLEAN),
    // What the parser mends: a fragment is cut off, a raw space or control character becomes encoded.
    ("/pub#/../admin", UNCLEAN),
    ("/pub?x#y", UNCLEAN),
    ("/admin#", UNCLEAN),
    ("/pub /admin", UNCLEAN),
    ("/pub /../admin", UNCLEAN),
    ("/pub HTTP/1.1 /admin", UNCLEAN),
    ("/pub\t/admin", UNCLEAN),
    ("/pub\0", UNCLEAN),
    ("/pub\u{7f}", UNCLEAN),
];

/// The origin's answer; it closes, so that each request has its own recorded head.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

async fn ask(gateway: &Gateway, target: &str, key: bool) -> Answer {
    let mut client = Client::connect(gateway.address()).await;
    let key = if key { format!("X-Api-Key: {KEY}\r\n") } else { String::new() };
    let head = format!("GET {target} HTTP/1.1\r\nHost: gateway.test\r\n{key}\r\n");
    client.write(head.as_bytes()).await;
    client.read(false).await
}

/// The targets that an origin was asked for, byte for byte.
fn asked_for(origin: &RawOrigin) -> Vec<String> {
    let target = |head: &String| {
        let line = head.split("\r\n").next().unwrap();
        line.strip_prefix("GET ").unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned()
    };
    origin.heads().iter().map(target).collect()
}

fn code(answer: &Answer) -> String {
    serde_json::from_slice::<serde_json::Value>(&answer.body)
        .ok()
        .and_then(|problem| Some(problem["code"].as_str()?.to_owned()))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_reaches_another_route_than_the_one_whose_policy_was_applied() {
    assert!(TARGETS.len() >= 100);
    let open = RawOrigin::saying(OK).await;
    let guarded = RawOrigin::saying(OK).await;
    let gateway = Gateway::start(&format!(
        r#"
upstreams:
  open: {{ targets: [ "{}" ], health: none }}
  guarded: {{ targets: [ "{}" ], health: none }}
consumers: {{ tester: {{ api_keys: [ "{}" ] }} }}
routes:
  open: {{ path: /, to: open, auth: none }}
  admin: {{ path: /admin, to: guarded }}
  users: {{ path: /users, to: guarded, strip_prefix: true }}
"#,
        open.address,
        guarded.address,
        digest()
    ))
    .await;
    let (mut at_open, mut at_guarded, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (target, fate) in TARGETS {
        for key in [false, true] {
            let answer = ask(&gateway, target, key).await;
            let told = (answer.status, code(&answer));
            let (status, word) = match fate {
                Open(sent) => {
                    at_open.push(*sent);
                    (200, "")
                }
                Guarded(_) if !key => (401, "unauthorized"),
                Guarded(sent) => {
                    at_guarded.push(*sent);
                    (200, "")
                }
                Refused(word) => (400, *word),
            };
            if told != (status, word.to_owned()) {
                wrong.push(format!("{target:?}, key: {key}: {told:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Not one more than expected, and each byte for byte.
    assert_eq!(asked_for(&open), at_open);
    assert_eq!(asked_for(&guarded), at_guarded);
}

/// A step that some server takes when it reads a path.
type Step = fn(&str) -> String;

const STEPS: [Step; 5] = [decode, strip_parameters, cut_at_semicolon, resolve_dots, merge_slashes];

fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn strip_parameters(path: &str) -> String {
    let kept: Vec<&str> = path.split('/').map(|s| s.split(';').next().unwrap()).collect();
    kept.join("/")
}

fn cut_at_semicolon(path: &str) -> String {
    path.split(';').next().unwrap().to_owned()
}

fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fn merge_slashes(path: &str) -> String {
    let kept: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", kept.join("/"))
}

fn is_protected(path: &str) -> bool {
    ["/admin", "/users"].iter().any(|root| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The steps, in some order and none twice, by which a server would see a protected path in this one.
fn misreading(path: &str, steps: &mut Vec<usize>) -> bool {
    if is_protected(path) {
        return true;
    }
    for (index, step) in STEPS.iter().enumerate() {
        if !steps.contains(&index) {
            steps.push(index);
            if misreading(&step(path), steps) {
                return true;
            }
            steps.pop();
        }
    }
    false
}

fn assert_harmless(forwarded: &str, sent: &str) {
    let path = forwarded.split('?').next().unwrap();
    let mut steps = Vec::new();
    assert!(
        !misreading(path, &mut steps),
        "{sent:?} was forwarded as {forwarded:?}, which steps {steps:?} read as a protected path"
    );
}

#[test]
fn the_naive_readers_are_misled_where_they_should_be() {
    for path in [
        "/admin",
        "/admin;x",
        "/%61dmin",
        "/%2fadmin",
        "/admin%2fx",
        "/pub/..;/admin",
        "/pub%2f..%2fadmin",
        "/;/admin",
        "/%3b%2fadmin",
        "/users%3bx",
    ] {
        assert!(misreading(path, &mut Vec::new()), "{path}");
    }
    for path in ["/", "/pub", "/users2", "/x/admin", "/a%2fadmin", "/%2561dmin", "/pub;admin"] {
        assert!(!misreading(path, &mut Vec::new()), "{path}");
    }
}

/// Open and protected routes before one upstream, which sees whatever is let through.
async fn one_upstream_for_all(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        r#"
upstreams: {{ shared: {{ targets: [ "{}" ], health: none }} }}
consumers: {{ tester: {{ api_keys: [ "{}" ] }} }}
routes:
  open: {{ path: /, to: shared, auth: none }}
  admin: {{ path: /admin, to: shared }}
  users: {{ path: /users, to: shared }}
"#,
        origin.address,
        digest()
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_through_without_a_key_is_read_as_protected_by_no_server() {
    let origin = Origin::start("shared").await;
    let gateway = one_upstream_for_all(&origin).await;
    let mut passed = 0;
    for (target, fate) in TARGETS {
        let answer = ask(&gateway, target, false).await;
        assert_eq!(answer.status == 200, matches!(fate, Open(_)), "{target:?}");
        if answer.status == 200 {
            passed += 1;
            assert_eq!(origin.seen().len(), passed, "{target:?}");
            assert_harmless(&origin.last().target, target);
        }
    }
    assert_eq!(origin.seen().len(), passed);
    assert!(passed > 40, "{passed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_random_mixture_is_let_through_and_read_as_protected() {
    const PIECES: [&str; 26] = [
        "/", "/", "/", "//", "admin", "admin", "users", "pub", "%61dmin", "user%73", "..", ".",
        "%2e", "%2E%2e", "%2f", "%2F", ";", ";", "%3b", "%3B", "x", "%25", "ADMIN", "?", "=1",
        "..;",
    ];
    let origin = Origin::start("shared").await;
    let gateway = one_upstream_for_all(&origin).await;
    let mut client = Client::connect(gateway.address()).await;
    let mut state: u64 = 0x5EED;
    let mut draw = |below: usize| {
        // Knuth's generator: the same targets in every run.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut fates = std::collections::BTreeMap::<u16, usize>::new();
    for _ in 0..3000 {
        let length = 1 + draw(7);
        let target: String =
            std::iter::once("/").chain((0..length).map(|_| PIECES[draw(PIECES.len())])).collect();
        let answer = client.ask("GET", &target, &[]).await;
        *fates.entry(answer.status).or_default() += 1;
        match answer.status {
            200 => assert_harmless(&origin.last().target, &target),
            400 | 401 => {}
            other => panic!("{target:?}: {other}"),
        }
    }
    // All three happened, so that this tests something.
    assert!([200, 400, 401].iter().all(|status| fates[status] > 100), "{fates:?}");
    assert_eq!(origin.seen().len(), fates[&200]);
}
