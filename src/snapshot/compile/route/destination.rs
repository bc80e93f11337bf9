//! Where a redirect may lead: to a host that the configuration names, or to the one that was asked.
//!
//! A template whose variable could end up in the authority of the URL would send clients wherever the sender
//! of a link wants them: `https://example.com${header.x}` to `https://example.com.evil.test`, and
//! `/${request.path}` to `//evil.test`, which every browser reads as a host.

use crate::template::{Part, Template, Variable};

/// Why a destination is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is neither a URL nor an absolute path.
    Form,
    /// A variable could change its host.
    Host,
}

impl Doubt {
    pub(super) fn what(self, to: &str) -> String {
        match self {
            Self::Form => format!("{to:?} is neither a URL nor an absolute path"),
            Self::Host => format!("a variable in {to:?} could lead to another host"),
        }
    }

    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::Form => "begin it with https://, http:// or a single /",
            Self::Host => {
                "end the host with a slash before the first variable, such as https://example.com/${path.id}; \
                 begin a path with a word, such as /new/${path.id}, or let it be ${request.path} alone"
            }
        }
    }
}

/// Whether it leads to one host, whatever its variables are filled with.
pub(super) fn judge(to: &Template) -> Result<(), Doubt> {
    let parts: Vec<Part<'_>> = to.parts().collect();
    match parts[..] {
        [Part::Variable(Variable::RequestPath), ref rest @ ..] => after_path(rest),
        [Part::Text(text), ref rest @ ..] => {
            let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            match authority {
                Some(authority) => after_scheme(authority, rest),
                None => local(text, rest),
            }
        }
        _ => Err(Doubt::Form),
    }
}

/// A path of the same host, which must not begin like a host: `//`, or `/\\`, which browsers take for it.
fn local(text: &str, rest: &[Part<'_>]) -> Result<(), Doubt> {
    let Some(path) = text.strip_prefix('/') else { return Err(Doubt::Form) };
    if path.starts_with(['/', '\\']) {
        return Err(Doubt::Form);
    }
    match rest.first() {
        // What a capture caught is one segment, without a slash.
        Some(Part::Variable(variable)) if path.is_empty() && !is_capture(variable) => {
            Err(Doubt::Host)
        }
        _ => Ok(()),
    }
}

fn after_scheme(authority: &str, rest: &[Part<'_>]) -> Result<(), Doubt> {
    if authority.contains(['/', '?', '#']) {
        return if authority.starts_with(['/', '?', '#']) { Err(Doubt::Form) } else { Ok(()) };
    }
    match rest {
        // A host and no more, or with a path, which always begins with a slash.
        [] | [Part::Variable(Variable::RequestPath), ..] if !authority.is_empty() => Ok(()),
        // The host that was asked for is the client's own, and was read as one.
        [Part::Variable(Variable::RequestHost), rest @ ..] if authority.is_empty() => match rest {
            [] | [Part::Variable(Variable::RequestPath), ..] => Ok(()),
            [Part::Text(text), ..] if text.starts_with(['/', '?', '#']) => Ok(()),
            _ => Err(Doubt::Host),
        },
        [] => Err(Doubt::Form),
        _ => Err(Doubt::Host),
    }
}

/// The path of the request alone is clean, and never begins with two slashes. It may be one slash, so that what
/// comes next could make it two.
fn after_path(rest: &[Part<'_>]) -> Result<(), Doubt> {
    match rest.first() {
        None => Ok(()),
        Some(Part::Text(text)) if !text.starts_with(['/', '\\']) => Ok(()),
        Some(Part::Variable(variable)) if is_capture(variable) => Ok(()),
        Some(_) => Err(Doubt::Host),
    }
}

const fn is_capture(variable: &Variable) -> bool {
    matches!(variable, Variable::Path(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_reaches_the_host() {
        for (to, verdict) in [
            ("/users", Ok(())),
            ("/", Ok(())),
            ("/new/${request.path}", Ok(())),
            ("/new?from=${header.referer}", Ok(())),
            ("/?${request.query}", Ok(())),
            ("/${path.id}", Ok(())),
            ("${request.path}", Ok(())),
            ("${request.path}?${request.query}", Ok(())),
            ("https://example.com", Ok(())),
            ("https://example.com/${header.x}", Ok(())),
            ("https://example.com?x=${header.x}", Ok(())),
            ("https://example.com#${header.x}", Ok(())),
            ("https://example.com${request.path}", Ok(())),
            ("https://${request.host}${request.path}?${request.query}", Ok(())),
            ("https://${request.host}/new", Ok(())),
            ("https://${request.host}", Ok(())),
            ("users", Err(Doubt::Form)),
            ("", Err(Doubt::Form)),
            ("//evil.test", Err(Doubt::Form)),
            ("/\\evil.test", Err(Doubt::Form)),
            ("https://", Err(Doubt::Form)),
            ("https:///x", Err(Doubt::Form)),
            ("${header.x}", Err(Doubt::Form)),
            ("${request.host}/x", Err(Doubt::Form)),
            ("/${request.path}", Err(Doubt::Host)),
            ("/${header.x}", Err(Doubt::Host)),
            ("/${request.query}", Err(Doubt::Host)),
            ("${request.path}/x", Err(Doubt::Host)),
            ("${request.path}${header.x}", Err(Doubt::Host)),
            ("https://example.com${header.x}", Err(Doubt::Host)),
            ("https://example.com:${header.x}/", Err(Doubt::Host)),
            ("https://example.com${path.id}", Err(Doubt::Host)),
            ("https://${path.id}.example.com/", Err(Doubt::Host)),
            ("https://${header.host}/", Err(Doubt::Host)),
            ("https://${request.host}.example.com/", Err(Doubt::Host)),
            ("https://${request.host}${header.x}", Err(Doubt::Host)),
            ("https://me@${request.host}/", Err(Doubt::Host)),
        ] {
            let template = Template::parse(to, &["id"]).unwrap();
            assert_eq!(judge(&template), verdict, "{to}");
        }
    }
}
