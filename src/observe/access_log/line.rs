//! A record put into words: one line, ended by the only line feed in it; or an entry of fields for the journal.

mod combined;

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Format, Record};
use crate::reply::json;
use crate::units::write_ip;

/// From this status on, an entry in the journal is a warning.
const FAILED: u16 = 500;

/// What a record becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    Text,
    Combined,
    Journal,
}

impl From<Format> for Shape {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Text => Self::Text,
            Format::Combined => Self::Combined,
        }
    }
}

/// Writes records in one shape, with what can be kept from one to the next.
#[derive(Debug)]
pub(super) struct Lines {
    shape: Shape,
    clock: Clock,
    scratch: String,
}

impl Lines {
    pub(super) fn new(shape: Shape) -> Self {
        let clock = Clock::new(match shape {
            Shape::Combined => "%d/%b/%Y:%H:%M:%S +0000",
            Shape::Json | Shape::Text | Shape::Journal => "%Y-%m-%dT%H:%M:%S.",
        });
        Self { shape, clock, scratch: String::new() }
    }

    /// Appends what `record` becomes, before which `dropped` records were lost.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        match self.shape {
            Shape::Json => self.json(out, record, dropped),
            Shape::Text => self.text(out, record, dropped),
            Shape::Combined => combined::write(out, record, &mut self.clock),
            Shape::Journal => self.journal(out, record, dropped),
        }
    }

    fn json(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        out.extend_from_slice(b"{\"time\":\"");
        self.clock.write_millis(out, record.time);
        out.push(b'"');
        self.all(&mut Json(out), record, dropped);
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        self.clock.write_millis(out, record.time);
        out.push(b' ');
        number(out, record.status.into());
        out.push(b' ');
        word(out, record.method.as_ref().map_or("-", http::Method::as_str));
        out.push(b' ');
        self.target(record);
        word(out, &self.scratch);
        out.push(b' ');
        millis(out, record.timings.total);
        out.extend_from_slice(b"ms ");
        address(out, record.client);
        out.push(b' ');
        word(out, &record.request_id);
        let mut fields = Text(out);
        fields.text("trace_id", record.trace_id());
        fields.optional("host", record.host.as_deref());
        fields.optional("protocol", record.protocol);
        rest(&mut fields, record, dropped);
        out.push(b'\n');
    }

    fn journal(&mut self, out: &mut Vec<u8>, record: &Record, dropped: u64) {
        // A severity of syslog: a warning, or for information.
        let priority = if record.status >= FAILED { b'4' } else { b'6' };
        out.extend_from_slice(b"SYSLOG_IDENTIFIER=portcullis\nPRIORITY=");
        out.extend_from_slice(&[priority, b'\n']);
        out.extend_from_slice(b"MESSAGE=");
        word(out, record.method.as_ref().map_or("-", http::Method::as_str));
        out.push(b' ');
        self.target(record);
        word(out, &self.scratch);
        out.push(b' ');
        number(out, record.status.into());
        out.push(b' ');
        millis(out, record.timings.total);
        out.extend_from_slice(b"ms\nTIME=");
        self.clock.write_millis(out, record.time);
        self.all(&mut Journal(out), record, dropped);
        out.push(b'\n');
    }

    /// All fields but the time.
    fn all(&mut self, fields: &mut impl Fields, record: &Record, dropped: u64) {
        fields.text("request_id", &record.request_id);
        fields.text("trace_id", record.trace_id());
        fields.plain("client", |out| address(out, record.client));
        fields.optional("method", record.method.as_ref().map(http::Method::as_str));
        fields.optional("host", record.host.as_deref());
        fields.optional("path", record.path.as_deref());
        if let Some(query) = &record.query {
            self.scratch.clear();
            redact(&mut self.scratch, query);
            fields.text("query", &self.scratch);
        }
        fields.optional("protocol", record.protocol);
        rest(fields, record, dropped);
    }

    /// Puts path and query, its values redacted, into the scratch.
    fn target(&mut self, record: &Record) {
        self.scratch.clear();
        self.scratch.push_str(record.path.as_deref().unwrap_or("-"));
        if let Some(query) = &record.query {
            self.scratch.push('?');
            redact(&mut self.scratch, query);
        }
    }
}

/// The fields that all but the Combined format show as pairs of name and value, in their order.
fn rest(fields: &mut impl Fields, record: &Record, dropped: u64) {
    if let Some(tls) = &record.tls {
        fields.text("tls_version", tls.version.as_str());
        fields.text("tls_cipher", tls.cipher);
        fields.optional("tls_name", tls.name.as_deref());
        if let Some(client) = &tls.client {
            fields.text("tls_client", client.subject());
            fields.text("tls_client_fingerprint", client.fingerprint());
        }
    }
    fields.optional("route", record.route.as_deref());
    fields.optional("consumer", record.consumer());
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
    fields.optional("limit", record.limit.as_deref());
    fields.optional("observed", record.observed);
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
    /// A pair whose value has nothing in it that has to be escaped.
    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));

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

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let out = self.name(name);
        out.push(b'"');
        write(out);
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

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.name(name));
    }
}

/// Fields of the journal's protocol: each line `NAME=value`; or, of a value that is not one line, its length
/// and bytes after the name.
struct Journal<'a>(&'a mut Vec<u8>);

impl Journal<'_> {
    fn begin(&mut self, name: &'static str) {
        self.0.push(b'\n');
        self.0.extend(name.bytes().map(|byte| byte.to_ascii_uppercase()));
    }
}

impl Fields for Journal<'_> {
    fn has_head(&self) -> bool {
        false
    }

    fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.begin(name);
        self.0.push(b'=');
        self.0
    }

    fn text(&mut self, name: &'static str, value: &str) {
        if value.contains('\n') {
            self.begin(name);
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.name(name);
        }
        self.0.extend_from_slice(value.as_bytes());
    }

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.name(name));
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
    write_ip(out, address.to_canonical());
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

/// Times up to the second by a pattern; the text is kept, as it serves thousands of lines.
#[derive(Debug)]
struct Clock {
    pattern: &'static str,
    second: Option<u64>,
    text: String,
}

impl Clock {
    fn new(pattern: &'static str) -> Self {
        Self { pattern, second: None, text: String::new() }
    }

    fn write_second(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let second = since_epoch(time).as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            let second = i64::try_from(second).unwrap_or(i64::MAX);
            let stamp = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
            self.text = stamp.strftime(self.pattern).to_string();
        }
        out.extend_from_slice(self.text.as_bytes());
    }

    /// For a pattern that ends with the point after the seconds.
    fn write_millis(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        self.write_second(out, time);
        three(out, since_epoch(time).subsec_millis().into());
        out.push(b'Z');
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
