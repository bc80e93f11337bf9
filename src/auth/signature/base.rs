//! What a signature is of: the signature base (RFC 9421, section 2.5), of the components that are known here.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, FieldType as _, InnerList, ListEntry};

use super::super::keyring::Reason;
use super::super::place::joined;
use super::super::presented::Sent;

/// So many components may be covered.
const MOST_COMPONENTS: usize = 32;

/// The names of the covered components, in their order.
pub(super) fn components(covered: &InnerList) -> Result<Vec<&str>, Reason> {
    if covered.items.len() > MOST_COMPONENTS {
        return Err(Reason::Malformed);
    }
    let mut names = Vec::with_capacity(covered.items.len());
    for item in &covered.items {
        let BareItem::String(name) = &item.bare_item else { return Err(Reason::Malformed) };
        // Parameters would mean another form of the value, or a part of it; two of one name are not told apart.
        if !item.params.is_empty() || names.contains(&name.as_str()) {
            return Err(Reason::Malformed);
        }
        names.push(name.as_str());
    }
    Ok(names)
}

/// The text that was signed; none if something of it is not there, or not known here.
pub(super) fn base(
    names: &[&str],
    covered: &InnerList,
    sent: &Sent<'_>,
    headers: &HeaderMap,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(512);
    for name in names {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\": ");
        if name.starts_with('@') {
            derived(name, sent, &mut out)?;
        } else {
            let name = HeaderName::from_lowercase(name.as_bytes()).ok()?;
            out.extend_from_slice(&joined(headers, &name)?);
        }
        out.push(b'\n');
    }
    let list = vec![ListEntry::InnerList(covered.clone())];
    let params: Option<String> = list.serialize();
    out.extend_from_slice(b"\"@signature-params\": ");
    out.extend_from_slice(params?.as_bytes());
    Some(out)
}

/// A component that is derived from the request as the client sent it.
fn derived(name: &str, sent: &Sent<'_>, out: &mut Vec<u8>) -> Option<()> {
    let (path, query) = parts(sent.written.target())?;
    match name {
        "@method" => out.extend_from_slice(sent.method.as_str().as_bytes()),
        "@scheme" => out.extend_from_slice(sent.written.scheme().as_bytes()),
        "@authority" => out.extend_from_slice(authority(sent)?.as_bytes()),
        "@target-uri" => {
            out.extend_from_slice(sent.written.scheme().as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(authority(sent)?.as_bytes());
            out.extend_from_slice(sent.written.target());
        }
        "@path" => out.extend_from_slice(path),
        "@query" => {
            out.push(b'?');
            out.extend_from_slice(query.unwrap_or_default());
        }
        _ => return None,
    }
    Some(())
}

/// Path and query of a target in its usual form.
pub(super) fn parts(target: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if target.first() != Some(&b'/') {
        return None;
    }
    Some(match memchr::memchr(b'?', target) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    })
}

/// The host in small letters, with the port if that is not the scheme's own.
fn authority(sent: &Sent<'_>) -> Option<String> {
    let port = if sent.written.scheme() == "https" { ":443" } else { ":80" };
    let host = sent.written.authority();
    let host = host.strip_suffix(port).unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}
