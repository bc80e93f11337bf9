//! A problem as a page: self-contained, readable on a phone, in light and dark.
//!
//! The page can run nothing and load nothing: its Content-Security-Policy allows one style sheet, named
//! by its digest, and nothing else. So even a mistake in the escaping below could not become a script.

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::{Problem, Reply};

/// The style sheet. [`POLICY`] holds its digest; a test keeps the two together.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2129;--soft:#5c6470;--page:#f6f7f9;--card:#fff;--line:#e1e4e9}\
@media(prefers-color-scheme:dark){:root{--ink:#e8eaee;--soft:#9aa3b0;--page:#14171c;--card:#1c2027;\
--line:#2d333d}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--page);\
color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
main{width:100%;max-width:34rem;padding:2rem;background:var(--card);border:1px solid var(--line);\
border-radius:.75rem}\
.status{margin:0;color:var(--soft);font-size:.875rem;letter-spacing:.04em}\
h1{margin:.25rem 0 .75rem;font-size:1.5rem;line-height:1.25}\
p{margin:0;overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1.5rem 0 0;padding-top:1rem;\
border-top:1px solid var(--line);color:var(--soft);font-size:.875rem}\
dd{margin:0;font-family:ui-monospace,monospace;overflow-wrap:anywhere}";

/// The page's Content-Security-Policy.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-U294q0nHbvFHNQPb3h0f6Y+KAProyceymvguarsmbwk='; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'";

/// The problem as a whole response.
pub(super) fn page(problem: &Problem<'_>, status: StatusCode) -> Reply {
    let texts = 2 * problem.title.len() + problem.detail.len() + problem.request_id.len();
    let mut out = Vec::with_capacity(STYLE.len() + texts + 512);
    let number = status.as_str();
    out.extend_from_slice(
        b"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
          <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
          <meta name=\"robots\" content=\"noindex\">\n<title>",
    );
    out.extend_from_slice(number.as_bytes());
    out.push(b' ');
    escape(&mut out, problem.title);
    out.extend_from_slice(b"</title>\n<style>");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"</style>\n</head>\n<body>\n<main>\n<p class=\"status\">");
    out.extend_from_slice(number.as_bytes());
    out.extend_from_slice(b"</p>\n<h1>");
    escape(&mut out, problem.title);
    out.extend_from_slice(b"</h1>\n<p>");
    escape(&mut out, problem.detail);
    out.extend_from_slice(b"</p>\n<dl>\n<dt>Code</dt><dd>");
    escape(&mut out, problem.code);
    out.extend_from_slice(b"</dd>\n<dt>Request</dt><dd>");
    escape(&mut out, problem.request_id);
    out.extend_from_slice(b"</dd>\n</dl>\n</main>\n</body>\n</html>\n");
    let mut headers = Vec::with_capacity(9);
    headers.push((CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")));
    headers.push((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)));
    headers.push((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
    headers.push((REFERRER_POLICY, HeaderValue::from_static("no-referrer")));
    Reply { status, headers, body: Bytes::from(out) }
}

/// Appends `text` so that it is text and nothing else, inside an element as inside quotes.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            // Control characters mean nothing on a page, and NUL is an error there.
            0..=0x1F | 0x7F => out.push(b' '),
            _ => out.push(byte),
        }
    }
}
