//! A [`Fault`] is one thing that is wrong with a request, told to whoever sent it.

use super::json;

/// The most of them in one answer.
pub const MOST_FAULTS: usize = 20;
/// The longest pointer or name that is told, in bytes: both may come from the client.
const LONGEST: usize = 200;

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The parameter: where it stands (`query`, `path`, `header`, `cookie`), and its name. None: it is the body.
    pub parameter: Option<(&'static str, Box<str>)>,
    /// Where in it, as a JSON Pointer (RFC 6901); empty for the whole.
    pub pointer: Box<str>,
    /// What, without the value that was sent.
    pub detail: Box<str>,
}

impl Fault {
    /// Appends it as an object of JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some((place, name)) = &self.parameter {
            out.extend_from_slice(b"\"parameter\":{\"in\":\"");
            out.extend_from_slice(place.as_bytes());
            out.extend_from_slice(b"\",\"name\":\"");
            json::escape(out, short(name));
            out.extend_from_slice(b"\"},");
        }
        if self.parameter.is_none() || !self.pointer.is_empty() {
            out.extend_from_slice(b"\"pointer\":\"");
            json::escape(out, short(&self.pointer));
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(b"\"detail\":\"");
        json::escape(out, &self.detail);
        out.extend_from_slice(b"\"}");
    }
}

/// The beginning of a text, as far as it is told.
fn short(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_object_whatever_is_in_it() {
        let body = Fault { parameter: None, pointer: "/a~1b/\"".into(), detail: "x".into() };
        let mut out = Vec::new();
        body.write(&mut out);
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told, serde_json::json!({ "pointer": "/a~1b/\"", "detail": "x" }));
        let long = "é".repeat(LONGEST);
        let fault = Fault {
            parameter: Some(("query", long.as_str().into())),
            pointer: "".into(),
            detail: "is missing".into(),
        };
        out.clear();
        fault.write(&mut out);
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["parameter"]["in"], "query");
        assert_eq!(told["parameter"]["name"].as_str().unwrap().len(), LONGEST);
        assert!(told.get("pointer").is_none());
    }
}
