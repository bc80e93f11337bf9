//! From `strip_prefix` and `rewrite` as written to a [`Forwarding`].

use super::{Forwarding, How, Part, StripPrefix};
use crate::diagnostic::{At, Diagnostics, did_you_mean};
use crate::hygiene::{CleanTarget, decode};
use crate::route::pattern::{PathPattern, Segment};

/// What is wrong, and how to mend it.
type Mistake = (String, String);

impl Forwarding {
    /// Reads the `strip_prefix` and `rewrite` of a route with this path. `at` is the place of the route.
    pub fn compile(
        strip: Option<&StripPrefix>,
        rewrite: Option<&str>,
        pattern: &PathPattern,
        at: &At,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let strip = strip.filter(|strip| **strip != StripPrefix::Nothing);
        let (key, how) = match (strip, rewrite) {
            (Some(_), Some(_)) => {
                let help = "keep `rewrite` alone: what it does not name is stripped already";
                let what = "can't stand beside `strip_prefix`".to_owned();
                ("rewrite", Err((what, help.to_owned())))
            }
            (_, Some(template)) => ("rewrite", parse_rewrite(template, pattern)),
            (Some(StripPrefix::Part(part)), _) => ("strip_prefix", parse_part(part, pattern)),
            (Some(_), _) => ("strip_prefix", Ok(How::StripWhole)),
            (None, None) => return Some(Self::KEEP),
        };
        how.map_err(|(what, help)| diagnostics.error(at.key(key), what, help)).ok().map(Self)
    }
}

fn parse_part(part: &str, pattern: &PathPattern) -> Result<How, Mistake> {
    let path = pattern.as_str();
    let wrong = |help: String| Err((format!("{part:?} is no leading part of {path:?}"), help));
    if part == "/" {
        let help = "`strip_prefix: true` cuts off all that the path takes".to_owned();
        return Err((format!("{part:?} leaves nothing to strip"), help));
    }
    if !part.starts_with('/') {
        return wrong(format!("write \"/{part}\""));
    }
    if part.ends_with('/') {
        return wrong(format!(
            "write {:?}, without the slash at its end",
            part.trim_end_matches('/')
        ));
    }
    if part.contains(['{', '}']) {
        return wrong("name the segments before the first capture, or use `rewrite`".to_owned());
    }
    let segments: Vec<_> = part.split('/').skip(1).map(decode).collect();
    let leads = segments.len() <= pattern.segments().len()
        && segments.iter().zip(pattern.segments()).all(|(written, segment)| match segment {
            Segment::Literal(text) => **written == **text,
            Segment::Capture => false,
        });
    if leads {
        Ok(How::StripSegments(segments.len()))
    } else {
        wrong(format!("name whole segments from the beginning of {path:?}"))
    }
}

fn parse_rewrite(template: &str, pattern: &PathPattern) -> Result<How, Mistake> {
    if !template.starts_with('/') {
        let what = format!("{template:?} does not begin with a slash");
        return Err((what, format!("write \"/{template}\"")));
    }
    if template.contains('?') {
        let help = "write the path alone: the query of the request is kept as it is".to_owned();
        return Err((format!("{template:?} contains a query"), help));
    }
    let parts = parse_template(template, pattern)?;
    check_clean(template, &parts)?;
    // A lone `/` stands for nothing before what is kept, as in the prefixes.
    let parts = if template == "/" { Vec::new() } else { parts };
    Ok(How::Replace(parts.into()))
}

fn parse_template(template: &str, pattern: &PathPattern) -> Result<Vec<Part>, Mistake> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, opened)) = rest.split_once("${") {
        let (name, after) = opened.split_once('}').ok_or_else(|| {
            let help = "close it: ${path.name}".to_owned();
            (format!("{template:?} has a ${{ that is not closed"), help)
        })?;
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        parts.push(Part::Capture(capture(name, pattern)?));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    let braces = |part: &Part| matches!(part, Part::Text(text) if text.contains(['{', '}']));
    if parts.iter().any(braces) {
        let help =
            "write what a capture took as ${path.name}, and a brace as %7B or %7D".to_owned();
        return Err((format!("{template:?} has a brace outside of ${{...}}"), help));
    }
    Ok(parts)
}

fn capture(name: &str, pattern: &PathPattern) -> Result<usize, Mistake> {
    let Some(wanted) = name.strip_prefix("path.") else {
        let what = format!("${{{name}}} can't be used in a path");
        return Err((what, "only ${path.name} can, for a {name} in the route's path".to_owned()));
    };
    pattern.captures().position(|known| known == wanted).ok_or_else(|| {
        let what = format!("the path {:?} has no capture {wanted:?}", pattern.as_str());
        (what, did_you_mean(wanted, pattern.captures()))
    })
}

/// Whatever the captures take, the path that is sent must be a clean one. The worst that a capture can
/// bring is what other software sees as a separator; with `.${path.x}` that would make a dot segment.
fn check_clean(template: &str, parts: &[Part]) -> Result<(), Mistake> {
    for sample in ["x", ";", "%2f"] {
        let filled: String = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Capture(_) => sample,
            })
            .collect();
        let mistake = |help: String| (format!("{template:?} is not a clean path"), help);
        let clean =
            CleanTarget::parse(filled.as_bytes()).map_err(|why| mistake(why.detail().into()))?;
        if clean.was_tidied() {
            return Err(mistake("write it without repeated slashes and dot segments".to_owned()));
        }
    }
    if template.len() > 1 && template.ends_with('/') {
        let help = "leave it out: what follows the matched part brings its own".to_owned();
        return Err((format!("{template:?} ends with a slash"), help));
    }
    Ok(())
}
