//! The way back for whole families of paths: from a path template of an upstream's `OpenAPI` document, such as
//! `/people/{id}`, to the template under which clients find it.

use super::{Forwarding, How, Part};
use crate::hygiene::decode;
use crate::route::pattern::{PathPattern, Segment};

/// The public form of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// The template that clients see.
    pub path: String,
    /// The parameters of the upstream's template that the route leaves no choice for.
    pub fixed: Vec<String>,
    /// The parameters that only the public path has: captures of which the upstream sees nothing.
    pub added: Vec<String>,
}

/// What an upstream sees in the place of one segment.
enum Seen {
    Literal(Vec<u8>),
    Capture(usize),
    /// Text and captures in one segment, of a rewritten path.
    Mixed(Vec<Part>),
}

/// What a capture stands for in the template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    /// Anything; the template does not say.
    Free,
    /// This segment of the template.
    Segment(String),
}

impl Forwarding {
    /// Where clients find what the upstream calls `template`; none if a route with this pattern and this forwarding
    /// never asks for it, or if the rewriting cannot be undone.
    #[must_use]
    pub fn invert(&self, pattern: &PathPattern, template: &str) -> Option<Public> {
        let segments: Vec<&str> = template.strip_prefix('/')?.split('/').collect();
        let seen = self.seen(pattern);
        let rest = match (&seen[..], &segments[..]) {
            ([], [""]) => &[][..],
            (seen, segments) => segments.get(seen.len()..)?,
        };
        if pattern.is_exact() && !rest.is_empty() {
            return None;
        }
        let captures = pattern.captures().count();
        let mut way = Way { bound: vec![Bound::Free; captures], fixed: Vec::new() };
        for (seen, segment) in seen.iter().zip(&segments) {
            way.meet(seen, segment)?;
        }
        Some(way.public(pattern, &segments, rest))
    }

    /// The segments that the upstream sees before what is kept.
    fn seen(&self, pattern: &PathPattern) -> Vec<Seen> {
        let skipped = match &self.0 {
            How::Keep => 0,
            How::StripWhole => pattern.segments().len(),
            How::StripSegments(count) => *count,
            How::Replace(parts) => return replaced(parts),
        };
        let mut captures = 0..;
        let seen = pattern.segments().iter().filter_map(|segment| match segment {
            Segment::Literal(text) => Some(Seen::Literal(text.to_vec())),
            Segment::Capture => captures.next().map(Seen::Capture),
        });
        // Captures are counted in what is skipped too.
        seen.collect::<Vec<_>>().into_iter().skip(skipped).collect()
    }
}

/// The segments of a rewritten path.
fn replaced(parts: &[Part]) -> Vec<Seen> {
    let mut segments: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        let Part::Text(text) = part else {
            segments.last_mut().into_iter().for_each(|last| last.push(part.clone()));
            continue;
        };
        for (index, piece) in text.split('/').enumerate() {
            if index > 0 {
                segments.push(Vec::new());
            }
            if !piece.is_empty()
                && let Some(last) = segments.last_mut()
            {
                last.push(Part::Text(piece.into()));
            }
        }
    }
    let seen = |parts: Vec<Part>| match &parts[..] {
        [Part::Text(text)] => Seen::Literal(decode(text).into()),
        [Part::Capture(number)] => Seen::Capture(*number),
        _ => Seen::Mixed(parts),
    };
    segments.into_iter().map(seen).collect()
}

/// A template on its way back.
struct Way {
    bound: Vec<Bound>,
    fixed: Vec<String>,
}

impl Way {
    /// Takes in that the upstream sees `seen` where its template has `segment`. None if the two exclude each other.
    fn meet(&mut self, seen: &Seen, segment: &str) -> Option<()> {
        match seen {
            Seen::Literal(text) if parameters(segment).next().is_none() => {
                (decode(segment)[..] == text[..]).then_some(())
            }
            Seen::Literal(text) => {
                let text = std::str::from_utf8(text).ok()?;
                fits(segment, text).then(|| self.fix(segment))
            }
            Seen::Capture(number) => self.bind(*number, segment),
            Seen::Mixed(parts) => self.undo(parts, segment),
        }
    }

    fn fix(&mut self, segment: &str) {
        self.fixed.extend(parameters(segment).map(str::to_owned));
    }

    /// A capture takes segments that are not empty.
    fn bind(&mut self, number: usize, segment: &str) -> Option<()> {
        if segment.is_empty() {
            return None;
        }
        let bound = self.bound.get_mut(number)?;
        let Bound::Segment(before) = bound.clone() else {
            *bound = Bound::Segment(segment.to_owned());
            return Some(());
        };
        // The same text stands in two places: the one that leaves less choice decides.
        match (parameters(&before).next(), parameters(segment).next()) {
            (None, None) => (decode(&before) == decode(segment)).then_some(()),
            (_, Some(_)) => fits(segment, &before).then(|| self.fix(segment)),
            (Some(_), None) => {
                *bound = Bound::Segment(segment.to_owned());
                fits(&before, segment).then(|| self.fix(&before))
            }
        }
    }

    /// A segment that is put together of text and captures.
    fn undo(&mut self, parts: &[Part], segment: &str) -> Option<()> {
        if is_parameter(segment) {
            // Whatever the captures take makes a value of it.
            self.fix(segment);
            return Some(());
        }
        let (before, number, after): (_, usize, _) = match parts {
            [Part::Text(before), Part::Capture(number)] => (&**before, *number, ""),
            [Part::Capture(number), Part::Text(after)] => ("", *number, &**after),
            [Part::Text(before), Part::Capture(number), Part::Text(after)] => {
                (&**before, *number, &**after)
            }
            _ => return None,
        };
        let inside = segment.strip_prefix(before)?.strip_suffix(after)?;
        self.bind(number, inside)
    }

    fn public(self, pattern: &PathPattern, segments: &[&str], rest: &[&str]) -> Public {
        let Self { bound, fixed } = self;
        let taken: Vec<&str> = segments.iter().flat_map(|segment| parameters(segment)).collect();
        let (mut path, mut added) = (String::new(), Vec::new());
        let mut captures = pattern.captures().zip(bound);
        for written in pattern.as_str().split('/').filter(|segment| !segment.is_empty()) {
            path.push('/');
            let capture = if is_parameter(written) { captures.next() } else { None };
            match capture {
                None => path.push_str(written),
                Some((_, Bound::Segment(segment))) => path.push_str(&segment),
                Some((name, Bound::Free)) => {
                    let mut name = name.to_owned();
                    while taken.contains(&name.as_str()) || added.contains(&name) {
                        name.push('_');
                    }
                    path.push('{');
                    path.push_str(&name);
                    path.push('}');
                    added.push(name);
                }
            }
        }
        for segment in rest {
            path.push('/');
            path.push_str(segment);
        }
        if path.is_empty() {
            path.push('/');
        }
        // A parameter that stands elsewhere too is still one.
        let left: Vec<&str> = parameters(&path).collect();
        let fixed = fixed.into_iter().filter(|name| !left.contains(&name.as_str())).collect();
        Public { path, fixed, added }
    }
}

/// Whether a segment is a parameter and nothing else.
fn is_parameter(segment: &str) -> bool {
    segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| !name.contains(['{', '}']))
}

/// The names of the parameters in a template or a segment of one.
pub(crate) fn parameters(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|piece| piece.split_once('}')).map(|(name, _)| name)
}

/// Whether a segment with parameters can be this text. A parameter stands for at least one character.
fn fits(segment: &str, text: &str) -> bool {
    let mut texts = segment.split('{').map(|piece| match piece.split_once('}') {
        Some((_, after)) => after,
        None => piece,
    });
    let Some(mut rest) = texts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut texts = texts.peekable();
    while let Some(piece) = texts.next() {
        let mut letters = rest.chars();
        if letters.next().is_none() {
            return false;
        }
        let behind = letters.as_str();
        rest = if texts.peek().is_none() {
            return behind.ends_with(piece);
        } else {
            match behind.find(piece) {
                Some(at) => &behind[at + piece.len()..],
                None => return false,
            }
        };
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{At, Diagnostics};
    use crate::route::StripPrefix;

    /// Public path, fixed and added parameters, or `-`.
    fn inverted(path: &str, exact: bool, strip: &str, rewrite: &str, template: &str) -> String {
        let mut diagnostics = Diagnostics::new();
        let at = At::root();
        let pattern = PathPattern::compile(path, exact, &at, &mut diagnostics).unwrap();
        let strip = match strip {
            "" => None,
            "true" => Some(StripPrefix::Whole),
            part => Some(StripPrefix::Part(part.to_owned())),
        };
        let rewrite = Some(rewrite).filter(|text| !text.is_empty());
        let forwarding =
            Forwarding::compile(strip.as_ref(), rewrite, &pattern, &at, &mut diagnostics).unwrap();
        match forwarding.invert(&pattern, template) {
            None => "-".to_owned(),
            Some(public) => {
                let list = |mark: &str, names: &[String]| {
                    names.iter().fold(String::new(), |told, name| told + " " + mark + name)
                };
                format!("{}{}{}", public.path, list("-", &public.fixed), list("+", &public.added))
            }
        }
    }

    #[test]
    fn templates_are_led_back_through_the_rules_of_their_route() {
        for (path, exact, strip, rewrite, template, public) in [
            ("/", false, "", "", "/users/{id}", "/users/{id}"),
            ("/", false, "", "", "/", "/"),
            ("/users", false, "", "", "/users/{id}", "/users/{id}"),
            ("/users", false, "", "", "/users/", "/users/"),
            ("/users", false, "", "", "/orders", "-"),
            ("/users", true, "", "", "/users/{id}", "-"),
            ("/users", false, "", "", "/{kind}/x", "/users/x -kind"),
            ("/us%65rs", false, "", "", "/users/x", "/us%65rs/x"),
            ("/v1.json", false, "", "", "/{name}.json", "/v1.json -name"),
            ("/v1.json", false, "", "", "/{name}.xml", "-"),
            ("/{tenant}/users", false, "", "", "/{t}/users/{id}", "/{t}/users/{id}"),
            ("/{tenant}/users", false, "", "", "/acme/users", "/acme/users"),
            ("/users", false, "true", "", "/", "/users"),
            ("/users", false, "true", "", "/{id}", "/users/{id}"),
            ("/users", false, "true", "", "/{id}/", "/users/{id}/"),
            ("/users", true, "true", "", "/{id}", "-"),
            ("/{tenant}/users", false, "true", "", "/{id}", "/{tenant}/users/{id} +tenant"),
            ("/{id}/users", false, "true", "", "/{id}", "/{id_}/users/{id} +id_"),
            ("/api/products", false, "/api", "", "/products/{id}", "/api/products/{id}"),
            ("/api/products", false, "/api", "", "/products", "/api/products"),
            ("/api/products", false, "/api", "", "/health", "-"),
            ("/api", false, "/api", "", "/", "/api"),
            ("/api/{kind}", false, "/api", "", "/users/{id}", "/api/users/{id}"),
            ("/u", false, "", "/v2/people", "/v2/people/{id}", "/u/{id}"),
            ("/u", false, "", "/v2/people", "/v2/people", "/u"),
            ("/u", false, "", "/v2/people", "/v2/other", "-"),
            ("/u", false, "", "/", "/x", "/u/x"),
            ("/u/{id}", false, "", "/people/${path.id}", "/people/{person}", "/u/{person}"),
            ("/u/{id}", false, "", "/people/${path.id}", "/people/me", "/u/me"),
            ("/u/{id}", false, "", "/p/${path.id}/x/${path.id}", "/p/{a}/x/{b}", "/u/{a} -b"),
            ("/u/{id}", false, "", "/p/${path.id}/x/${path.id}", "/p/{a}/x/7", "/u/7 -a"),
            ("/u/{id}", false, "", "/p/${path.id}/x/${path.id}", "/p/6/x/7", "-"),
            ("/u/{id}", false, "", "/people", "/people/x", "/u/{id}/x +id"),
            ("/u/{v}", false, "", "/v${path.v}/people", "/v2/people", "/u/2"),
            ("/u/{v}", false, "", "/v${path.v}/people", "/{version}/people", "/u/{v} -version +v"),
            ("/u/{v}", false, "", "/v${path.v}/people", "/x2/people", "-"),
            ("/u/{a}/{b}", false, "", "/${path.a}-${path.b}", "/x-y", "-"),
            ("/{a}/{b}", false, "", "/${path.b}/${path.a}", "/{one}/{two}", "/{two}/{one}"),
        ] {
            let found = inverted(path, exact, strip, rewrite, template);
            assert_eq!(found, public, "{path} {strip} {rewrite}: {template}");
        }
    }
}
