//! Targets and hosts: what passes can be read in one way only, and reading it again changes nothing.

use portcullis::hygiene::{CleanTarget, clean_host};

pub fn run(data: &[u8]) {
    target(data);
    if let Ok(text) = std::str::from_utf8(data) {
        host(text);
    }
}

fn target(raw: &[u8]) {
    let Ok(clean) = CleanTarget::parse(raw) else { return };
    let (path, query) = (clean.path(), clean.query());
    is_plain(path);
    is_no_longer(raw, path, query);

    let mut again = path.to_owned();
    if let Some(query) = query {
        assert!(query.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b'#'), "{query:?}");
        again = format!("{path}?{query}");
    }
    let read = CleanTarget::parse(again.as_bytes());
    let read = read.unwrap_or_else(|why| panic!("{again:?} is refused the second time: {why}"));
    assert_eq!((read.path(), read.query()), (path, query));
    assert!(!read.was_tidied() && read.authority().is_none(), "{again:?}");
    if let Some(authority) = clean.authority() {
        assert!(clean_host(authority).is_ok(), "{authority:?}");
    }
}

/// No byte of it, as it stands or decoded, leads anywhere else.
fn is_plain(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
    assert!(path.bytes().all(|b| matches!(b, 0x21..=0x7e) && !b"?#\\".contains(&b)), "{path:?}");
    let decoded = decode(path);
    let text = String::from_utf8(decoded).unwrap_or_else(|_| panic!("{path:?} is no text"));
    assert!(!text.contains(|c| matches!(c, '\0'..='\x1f' | '\x7f' | '\\')), "{path:?}");
    // Read as a server does that decodes first, and as one that strips parameters, before or after.
    let stripped = |text: &str| {
        let pieces = text.split('/').map(|s| s.split(';').next().unwrap_or_default());
        pieces.collect::<Vec<_>>().join("/")
    };
    let after = String::from_utf8_lossy(&decode(&stripped(path))).into_owned();
    for reading in [path.to_owned(), text.clone(), stripped(&text), stripped(path), after] {
        assert!(reading.split('/').all(|segment| !matches!(segment, "." | "..")), "{path:?}");
    }
}

/// Normalising takes away and adds nothing, and the query stays as it is.
fn is_no_longer(raw: &[u8], path: &str, query: Option<&str>) {
    let raw_query = raw.iter().position(|byte| *byte == b'?').map(|at| &raw[at + 1..]);
    assert_eq!(query.map(str::as_bytes), raw_query, "the query has changed");
    assert!(path.len() <= raw.len().max(1), "{path:?}");
}

/// Decoded once.
fn decode(path: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (path.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(value.unwrap_or_else(|| panic!("a broken encoding in {path:?}")));
        at += 3;
    }
    out
}

fn host(text: &str) {
    let Ok(clean) = clean_host(text) else { return };
    assert!(!clean.is_empty() && clean.len() <= text.len().max(41), "{clean:?}");
    assert_eq!(clean_host(&clean).as_deref(), Ok(&*clean), "it changes the second time");
    let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let is_name = clean.bytes().all(known) && clean.split('.').all(|label| !label.is_empty());
    let inside = clean.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = inside.is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
    assert!(is_name || is_address, "{clean:?}");
}
