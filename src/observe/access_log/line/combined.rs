//! The Combined Log Format, as Apache writes it: `%h - %u [%t] "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.

use super::{Clock, address, number, redact};
use crate::observe::access_log::Record;

pub(super) fn write(out: &mut Vec<u8>, record: &Record, clock: &mut Clock) {
    address(out, record.client);
    out.extend_from_slice(b" - ");
    match record.consumer() {
        Some(consumer) => escape(out, consumer.as_bytes()),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    clock.write_second(out, record.time);
    out.extend_from_slice(b"] \"");
    request(out, record);
    out.extend_from_slice(b"\" ");
    number_or_none(out, record.status.into());
    out.push(b' ');
    number_or_none(out, record.bytes_out);
    let agent = record.agent.as_deref();
    out.extend_from_slice(b" \"");
    match agent.and_then(|agent| agent.referer.as_deref()) {
        Some(referer) => escape_referer(out, referer),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\" \"");
    match agent.and_then(|agent| agent.user_agent.as_deref()) {
        Some(agent) => escape(out, agent),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\"\n");
}

/// The request line; `-` where none could be read.
fn request(out: &mut Vec<u8>, record: &Record) {
    let (Some(method), Some(protocol)) = (&record.method, record.protocol) else {
        out.push(b'-');
        return;
    };
    escape(out, method.as_str().as_bytes());
    out.push(b' ');
    escape(out, record.path.as_deref().unwrap_or("-").as_bytes());
    if let Some(query) = &record.query {
        out.push(b'?');
        escape_redacted(out, query);
    }
    out.push(b' ');
    // The programs that read it know this version by a name with two numbers.
    let protocol = if protocol == "HTTP/2" { "HTTP/2.0" } else { protocol };
    out.extend_from_slice(protocol.as_bytes());
}

fn number_or_none(out: &mut Vec<u8>, value: u64) {
    if value == 0 {
        out.push(b'-');
    } else {
        number(out, value);
    }
}

fn escape_redacted(out: &mut Vec<u8>, query: &str) {
    let mut redacted = String::with_capacity(query.len());
    redact(&mut redacted, query);
    escape(out, redacted.as_bytes());
}

/// A URL without what may be secret in it: a name and password, the values of its query, its fragment.
fn escape_referer(out: &mut Vec<u8>, referer: &[u8]) {
    let end = memchr::memchr2(b'?', b'#', referer).unwrap_or(referer.len());
    let (before, rest) = referer.split_at(end);
    let authority = memchr::memmem::find(before, b"//").map_or(0, |slashes| slashes + 2);
    let end = memchr::memchr(b'/', &before[authority..]).map_or(before.len(), |at| authority + at);
    match memchr::memrchr(b'@', &before[authority..end]) {
        Some(at) => {
            escape(out, &before[..authority]);
            out.extend_from_slice(b"***");
            escape(out, &before[authority + at..]);
        }
        None => escape(out, before),
    }
    match rest.split_first() {
        Some((b'?', query)) => {
            out.push(b'?');
            escape_redacted(out, &String::from_utf8_lossy(query));
        }
        Some(_) => out.extend_from_slice(b"#***"),
        None => {}
    }
}

/// As Apache writes what a client sent: quotes, backslashes and what is not printable ASCII are escaped.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in text {
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0B => b'v',
            b' '..=b'~' => {
                out.push(*byte);
                continue;
            }
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn what_a_client_sent_is_escaped_as_apache_does() {
        let all = b"a b\"c\\d\n\r\t\x08\x0b\x00\x1b\x7f\xc3\xa9";
        let expected = r#"a b\"c\\d\n\r\t\b\v\x00\x1b\x7f\xc3\xa9"#;
        assert_eq!(written(|out| escape(out, all)), expected);
    }

    #[test]
    fn a_referer_is_written_without_its_secrets() {
        for (referer, expected) in [
            ("https://a.test/x", "https://a.test/x"),
            ("https://a.test/x?token=s3cret&b#s3cret", "https://a.test/x?token=***&***"),
            ("https://a.test/?s3cret", "https://a.test/?***"),
            ("https://a.test/#s3cret?x=s3cret", "https://a.test/#***"),
            ("https://me:s3cret@a.test/x@y", "https://***@a.test/x@y"),
            ("https://me:s3@cret@a.test", "https://***@a.test"),
            ("me:s3cret@a.test", "***@a.test"),
            ("/relative?x=s3cret", "/relative?x=***"),
            ("", ""),
            ("\"", "\\\""),
        ] {
            assert_eq!(written(|out| escape_referer(out, referer.as_bytes())), expected);
        }
    }
}
