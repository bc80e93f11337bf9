//! Requests of HTTP/1: what the guard lets pass is a request for every reader, and the same for each.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use portcullis::hygiene::{MAX_HEADERS, clean_host, is_framed_in_one_way};
use portcullis::listen::{Flaw, Guard};

pub fn run(data: &[u8]) {
    let whole = Seen::of([data]);
    assert_eq!(Seen::of(pieces(data)), whole, "it matters how it is cut");
    // Each piece is looked at from the head's beginning on, so that longer ones take long.
    if data.len() <= 2048 {
        assert_eq!(Seen::of(data.chunks(1)), whole, "it matters that it is cut");
    }
    let mut passed = whole.requests.concat();
    passed.extend_from_slice(&whole.rest);
    assert!(data.starts_with(&passed), "something else passes than came");
    for request in &whole.requests {
        read(request);
    }
}

/// What a session would see.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    requests: Vec<Vec<u8>>,
    /// What passed of a request that did not come to its end.
    rest: Vec<u8>,
    flaw: Option<Flaw>,
}

impl Seen {
    /// Shows a stream to a guard piece by piece, as a connection does.
    fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut guard, mut window) = (Guard::default(), Vec::new());
        let mut seen = Self { requests: Vec::new(), rest: Vec::new(), flaw: None };
        for piece in pieces {
            window.extend_from_slice(piece);
            while !window.is_empty() {
                match guard.feed(&window) {
                    Ok(0) => break,
                    Ok(passed) => seen.rest.extend(window.drain(..passed)),
                    Err(flaw) => {
                        seen.flaw = Some(flaw);
                        return seen;
                    }
                }
                if guard.is_complete() {
                    seen.requests.push(std::mem::take(&mut seen.rest));
                    guard.next();
                }
            }
        }
        seen
    }
}

/// The stream cut into pieces whose sizes its own bytes choose.
fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut state = data
        .iter()
        .fold(0x9e37_79b9_u32, |state, byte| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let mut pieces = Vec::new();
    while !data.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = 1 + (state >> 16) as usize % (1 + data.len().min(61));
        let (piece, rest) = data.split_at(size.min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}

/// A second reader, which follows the grammar of RFC 9112 word by word and knows nothing of the first.
fn read(request: &[u8]) {
    // One empty line may stand before a request.
    let request = request.strip_prefix(b"\r\n").unwrap_or(request);
    let end = find(request, b"\r\n\r\n").expect("a head has an end");
    let (head, body) = request.split_at(end + 4);
    let mut lines = split(&head[..end]);
    let line = lines.remove(0);
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { panic!("{}", line.escape_ascii()) };
    assert!(is_token(method) && !target.is_empty(), "{}", line.escape_ascii());
    let is_http10 = version == b"HTTP/1.0";
    assert!(is_http10 || version == b"HTTP/1.1", "{}", line.escape_ascii());
    assert!(lines.len() <= MAX_HEADERS);
    let fields: Vec<(String, &[u8])> = lines.into_iter().map(field).collect();

    as_pingora_reads(head, method, target, &fields);
    for_one_host(target, is_http10, &fields);
    ends_at_one_place(body, is_http10, &fields);
}

fn field(line: &[u8]) -> (String, &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    assert!(is_token(name), "{}", line.escape_ascii());
    let control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    assert!(!value.iter().any(control), "{}", line.escape_ascii());
    (String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii())
}

/// The parser under the session sees the same head, which ends at the same place.
fn as_pingora_reads(head: &[u8], method: &[u8], target: &[u8], fields: &[(String, &[u8])]) {
    let mut places = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut places);
    let status = request.parse(head);
    assert_eq!(status, Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
    assert_eq!(request.method.map(str::as_bytes), Some(method));
    assert_eq!(request.path.map(str::as_bytes), Some(target));
    let seen = request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.trim_ascii()));
    assert!(seen.eq(fields.iter().cloned()), "{}", head.escape_ascii());
}

fn for_one_host(target: &[u8], is_http10: bool, fields: &[(String, &[u8])]) {
    let hosts: Vec<&[u8]> = all(fields, "host");
    assert!(hosts.len() == 1 || (is_http10 && hosts.is_empty()), "{hosts:?}");
    let is_clean = |host: &[u8]| std::str::from_utf8(host).is_ok_and(|h| clean_host(h).is_ok());
    assert!(hosts.iter().all(|host| is_clean(host)), "{hosts:?}");
    if target.starts_with(b"/") || target == b"*" {
        return;
    }
    let text = std::str::from_utf8(target).expect("a target is ASCII");
    let (scheme, rest) = text.split_once("://").expect("an absolute target has a scheme");
    assert!(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"), "{text}");
    let authority = rest.split(['/', '?']).next().unwrap_or_default().as_bytes();
    assert!(is_clean(authority) && hosts.iter().all(|host| *host == authority), "{text}");
}

fn ends_at_one_place(body: &[u8], is_http10: bool, fields: &[(String, &[u8])]) {
    let (lengths, codings) = (all(fields, "content-length"), all(fields, "transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => assert!(body.is_empty()),
        ([length], []) => {
            assert!(length.iter().all(u8::is_ascii_digit), "{length:?}");
            let length = std::str::from_utf8(length).ok().and_then(|l| l.parse().ok());
            assert_eq!(length, Some(body.len()));
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && !is_http10);
            chunks(body);
        }
        _ => panic!("two readings: {lengths:?} {codings:?}"),
    }
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name is a token");
        let value = HeaderValue::from_bytes(value).expect("a value has no control characters");
        headers.append(name, value);
    }
    let version = if is_http10 { Version::HTTP_10 } else { Version::HTTP_11 };
    assert!(is_framed_in_one_way(&headers, version), "an answer framed so would be refused");
}

/// Reads chunks to the last one, behind whose trailers nothing may be left.
fn chunks(mut rest: &[u8]) {
    loop {
        let end = find(rest, b"\r\n").expect("a size has an end");
        let line = &rest[..end];
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(!digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit), "{digits:?}");
        let digits = std::str::from_utf8(digits).expect("digits are ASCII");
        let size = usize::from_str_radix(digits, 16).expect("a size fits");
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        assert_eq!(rest.get(size..size + 2), Some(&b"\r\n"[..]), "a chunk ends where it says");
        rest = &rest[size + 2..];
    }
    let framing = BTreeSet::from(["content-length", "host", "transfer-encoding"]);
    while rest != b"\r\n" {
        let end = find(rest, b"\r\n").expect("a trailer has an end");
        let (name, _) = field(&rest[..end]);
        assert!(!framing.contains(&*name), "a trailer that frames");
        rest = &rest[end + 2..];
    }
}

fn all<'a>(fields: &[(String, &'a [u8])], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The lines of a head, which nothing but whole line ends may part.
fn split(head: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), head);
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let bare = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\0');
    assert!(!lines.iter().any(|line| line.iter().any(bare)), "{}", head.escape_ascii());
    lines
}

fn is_token(text: &[u8]) -> bool {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(token)
}
