//! A record put into words: one line, ended by the only line feed in it.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Format, Record};
use crate::reply::json;

/// Writes lines of one format, with what can be kept from line to line.
#[derive(Debug)]
pub(super) struct Lines {
    format: Format,
    clock: Clock,
    scratch: String,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        Self { format, clock: Clock::default(), scratch: String::new() }
    }

    /// Appends the line for `record`, before which `dropped` lines were lost.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        match self.format {
            Format::Json => self.json(out, record, dropped),
            Format::Text => self.text(out, record, dropped),
        }
    }

    fn json(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        out.extend_from_slice(b"{\"time\":\"");
        self.clock.write(out, record.time);
        out.extend_from_slice(b"\",\"request_id\":\"");
        json::escape(out, &record.request_id);
        out.extend_from_slice(b"\",\"client\":\"");
        address(out, record.client);
        out.push(b'"');
        let mut fields = Json(out);
        fields.optional("method", record.method.as_ref().map(http::Method::as_str));
        fields.optional("host", record.host.as_deref());
        fields.optional("path", record.path.as_deref());
        if let Some(query) = &record.query {
            self.scratch.clear();
            redact(&mut self.scratch, query);
            fields.text("query", &self.scratch);
        }
        fields.optional("protocol", record.protocol);
        rest(&mut fields, record, dropped);
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        self.clock.write(out, record.time);
        out.push(b' ');
        number(out, record.status.into());
        out.push(b' ');
        word(out, record.method.as_ref().map_or("-", http::Method::as_str));
        out.push(b' ');
        self.scratch.clear();
        self.scratch.push_str(record.path.as_deref().unwrap_or("-"));
        if let Some(query) = &record.query {
            self.scratch.push('?');
            redact(&mut self.scratch, query);
        }
        word(out, &self.scratch);
        out.push(b' ');
        millis(out, record.timings.total);
        out.extend_from_slice(b"ms ");
        address(out, record.client);
        out.push(b' ');
        word(out, &record.request_id);
        let mut fields = Text(out);
        fields.optional("host", record.host.as_deref());
        fields.optional("protocol", record.protocol);
        rest(&mut fields, record, dropped);
        out.push(b'\n');
    }
}

/// The fields that both formats show as pairs of name and value, in their order.
fn rest(fields: &mut impl Fields, record: &Record, dropped: u64) {
    fields.optional("route", record.route.as_deref());
    fields.optional("consumer", record.consumer.as_deref());
    fields.optional("upstream", record.upstream.as_deref());
    fields.optional("target", record.target.as_deref());
    if record.tries > 0 {
        fields.number("tries", record.tries.into());
    }
    if !fields.has_head() {
        fields.number("status", record.status.into());
    }
    fields.number("bytes_in", record.bytes_in);
    fields.number("bytes_out", record.bytes_out);
    if !fields.has_head() {
        fields.millis("duration_ms", Some(record.timings.total));
    }
    fields.millis("gateway_ms", record.timings.gateway);
    fields.millis("connect_ms", record.timings.connect);
    fields.millis("first_byte_ms", record.timings.first_byte);
    fields.millis("upstream_ms", record.timings.upstream);
    fields.optional("why", record.why);
    fields.optional("detail", record.detail);
    if dropped > 0 {
        fields.number("dropped", dropped);
    }
}

/// Pairs of name and value, in one format or the other.
trait Fields {
    /// Whether status and duration stand at the head of the line already.
    fn has_head(&self) -> bool;
    /// Begins a pair and gives the place for its value.
    fn name(&mut self, name: &'static str) -> &mut Vec<u8>;
    fn text(&mut self, name: &'static str, value: &str);

    fn optional(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &'static str, value: u64) {
        number(self.name(name), value);
    }

    fn millis(&mut self, name: &'static str, value: Option<Duration>) {
        if let Some(value) = value {
            millis(self.name(name), value);
        }
    }
}

struct Json<'a>(&'a mut Vec<u8>);

impl Fields for Json<'_> {
    fn has_head(&self) -> bool {
        false
    }

    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0
    }

    fn text(&mut self, name: &'static str, value: &str) {
        let out = self.name(name);
        out.push(b'"');
        json::escape(out, value);
        out.push(b'"');
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl Fields for Text<'_> {
    fn has_head(&self) -> bool {
        true
    }

    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.0.push(b' ');
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0
    }

    fn text(&mut self, name: &'static str, value: &str) {
        word(self.name(name), value);
    }
}

/// Text as one word: as it is if it is plain, else as a JSON string.
fn word(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
    if !text.is_empty() && text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(b'"');
        json::escape(out, text);
        out.push(b'"');
    }
}

/// The query with its names and without its values. A part without `=` may as well be a value.
pub(super) fn redact(out: &mut String, query: &str) {
    for (position, part) in query.split('&').enumerate() {
        if position > 0 {
            out.push('&');
        }
        match part.split_once('=') {
            Some((name, _)) => {
                out.push_str(name);
                out.push_str("=***");
            }
            None if part.is_empty() => {}
            None => out.push_str("***"),
        }
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}", address.to_canonical());
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(value % 10);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Milliseconds with three decimals.
fn millis(out: &mut Vec<u8>, value: Duration) {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    out.push(b'.');
    three(out, micros % 1000);
}

fn three(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&[digit(value / 100), digit(value / 10 % 10), digit(value % 10)]);
}

/// The digit for a number below ten.
fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

/// Times in RFC 3339; the text up to the second is kept, as it serves thousands of lines.
#[derive(Debug, Default)]
struct Clock {
    second: Option<u64>,
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            self.second = Some(since.as_secs());
            let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            let stamp = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
            self.text = stamp.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
        }
        out.extend_from_slice(self.text.as_bytes());
        three(out, since.subsec_millis().into());
        out.push(b'Z');
    }
}
