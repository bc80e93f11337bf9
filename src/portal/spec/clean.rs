//! Makes of a tree that says it is `OpenAPI` one that is: what does not belong where it stands is left out, every
//! reference leads to something that is there, and no text is more than text.
//!
//! A service's own document may be sloppy, and one wrong field must not cost the reader all the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::refs::{self, Target};
use super::variants::{Variants, chosen_from};
use super::{fix, upgrade};
use crate::portal::bounds::{Budget, Unique};
use crate::portal::shape::{Kind, PATH_ITEM, SCHEMA, SECTIONS, Shape, What};

/// So deep do copies of what is referred to contain others.
const MOST_NESTED: usize = 8;
/// So many values have all copies together.
const MOST_COPIED: usize = 200_000;

/// Stands where a reference leads nowhere.
const NOWHERE: &str = "What stands here refers to something that is not part of this document.";

/// Names of components: as written, and as they may be written.
type Names = BTreeMap<(&'static str, String), String>;

/// Cleans the parts of one document.
pub(super) struct Cleaner<'d> {
    document: &'d Value,
    /// Whether schemas are those of 3.0, or of Swagger 2.
    old: bool,
    names: Names,
    variants: Variants,
    copies: Budget,
    nested: usize,
    /// References that led nowhere.
    pub(super) lost: usize,
}

impl<'d> Cleaner<'d> {
    pub(super) fn new(document: &'d Value, old: bool) -> Self {
        Self {
            document,
            old,
            names: names(document),
            variants: Variants::new(document),
            copies: Budget::of(MOST_COPIED),
            nested: 0,
            lost: 0,
        }
    }

    /// All components, clean.
    pub(super) fn components(&mut self) -> Map<String, Value> {
        let mut clean = Map::new();
        for (section, shape) in SECTIONS {
            let mut entries = Map::new();
            let written = self.document["components"][section].as_object();
            for (written, value) in written.into_iter().flatten() {
                let Some(name) = self.names.get(&(section, written.clone())).cloned() else {
                    continue;
                };
                let discriminates = section == "schemas" && value.get("discriminator").is_some();
                let heirs = if discriminates { self.variants.of(written) } else { Vec::new() };
                let mut value = value.clone();
                let kind = if section == "schemas" { Kind::Schema } else { Kind::Object(shape) };
                // A name that others refer to has to stay.
                if self.clean(&mut value, kind) || placeholder(&mut value, shape.what) {
                    self.tell_apart(value.as_object_mut(), heirs);
                    entries.insert(name, value);
                }
            }
            refs::break_circles(section, &mut entries, |value| {
                placeholder(value, shape.what);
            });
            clean.insert(section.to_owned(), Value::Object(entries));
        }
        clean
    }

    /// A path item, which may stand elsewhere in the document.
    pub(super) fn path_item(&mut self, written: &Value) -> Option<Value> {
        let mut item = written;
        for _ in 0..MOST_NESTED {
            let Some(to) = item.get("$ref").and_then(Value::as_str) else {
                let counts = !std::ptr::eq(item, written);
                let mut item = (!counts || self.copies.take(item)).then(|| item.clone())?;
                return self.clean(&mut item, Kind::Object(&PATH_ITEM)).then_some(item);
            };
            item = Target::parse(to)?.find(self.document)?;
        }
        None
    }

    /// Cleans a value in its place. Whether it may stay.
    pub(super) fn clean(&mut self, value: &mut Value, kind: Kind) -> bool {
        match kind {
            Kind::Any => {
                fix::data(value);
                true
            }
            Kind::Text => value.is_string(),
            Kind::Flag => value.is_boolean(),
            Kind::Number => value.is_number(),
            Kind::Markdown => {
                value.as_str().map(|text| plain(text).into_owned()).is_some_and(|text| {
                    *value = text.into();
                    true
                })
            }
            Kind::Link => value.as_str().is_some_and(is_web_address),
            Kind::Texts => fix::texts(value),
            Kind::Schema if value.is_boolean() => true,
            Kind::Schema => self.object(value, &SCHEMA),
            Kind::Object(shape) => self.object(value, shape),
            Kind::Map(inner) => value.as_object_mut().is_some_and(|entries| {
                entries.retain(|_, entry| self.clean(entry, *inner));
                true
            }),
            Kind::List(inner) => value.as_array_mut().is_some_and(|items| {
                items.retain_mut(|item| self.clean(item, *inner));
                true
            }),
        }
    }

    fn object(&mut self, value: &mut Value, shape: &'static Shape) -> bool {
        let Some(object) = value.as_object_mut() else { return false };
        if let Some(Value::String(to)) = object.get("$ref")
            && shape.what.section().is_some()
        {
            let to = to.clone();
            return self.reference(value, &to, shape);
        }
        if shape.what == What::Schema && self.old {
            upgrade::schema(object);
        }
        let variants = if shape.what == What::Schema { chosen_from(object) } else { Vec::new() };
        self.fields(object, shape);
        self.tell_apart(Some(object), variants);
        match shape.what {
            What::Discriminator => {
                self.mapping(object);
                object.contains_key("propertyName")
            }
            what => fix::object(object, what),
        }
    }

    /// Names the schemas among which a schema's discriminator chooses.
    fn tell_apart(&mut self, schema: Option<&mut Map<String, Value>>, variants: Vec<String>) {
        let Some(schema) = schema.filter(|_| !variants.is_empty()) else { return };
        let names = &self.names;
        self.variants.name(schema, variants, |name| {
            names.get(&("schemas", name.to_owned())).map(|name| refs::to("schemas", name))
        });
    }

    fn fields(&mut self, object: &mut Map<String, Value>, shape: &'static Shape) {
        object.retain(|name, field| match shape.field(name) {
            Some(kind) => self.clean(field, kind),
            None => false,
        });
    }

    /// A reference is kept if it names a component of its kind. What it leads to otherwise is put in its place.
    fn reference(&mut self, value: &mut Value, to: &str, shape: &'static Shape) -> bool {
        let section = shape.what.section().unwrap_or_default();
        let Some(target) = Target::parse(to) else { return self.nowhere(value, shape.what) };
        if let Some(name) = target.component(section)
            && let Some(name) = self.names.get(&(section, name.to_owned()))
        {
            let to = refs::to(section, name);
            let object = value.as_object_mut().filter(|_| shape.what == What::Schema && !self.old);
            match object {
                // In 3.1 what stands beside a schema's reference counts too.
                Some(object) => {
                    object.remove("$ref");
                    self.fields(object, shape);
                    fix::object(object, shape.what);
                    object.insert("$ref".to_owned(), to.into());
                }
                None => *value = json!({ "$ref": to }),
            }
            return true;
        }
        let found = target.find(self.document);
        match found {
            Some(found) if self.nested < MOST_NESTED && self.copies.take(found) => {
                self.nested += 1;
                *value = found.clone();
                let kept = self.object(value, shape);
                self.nested -= 1;
                kept
            }
            _ => self.nowhere(value, shape.what),
        }
    }

    fn nowhere(&mut self, value: &mut Value, what: What) -> bool {
        self.lost += 1;
        placeholder(value, what)
    }

    /// A discriminator names schemas, in full or by their mere names.
    fn mapping(&mut self, discriminator: &mut Map<String, Value>) {
        let Some(mapping) = discriminator.get_mut("mapping").and_then(Value::as_object_mut) else {
            return;
        };
        mapping.retain(|_, to| {
            let Some(text) = to.as_str() else { return false };
            let target = Target::parse(text);
            let name = match &target {
                Some(target) => target.component("schemas"),
                None => Some(text),
            };
            let name = name.and_then(|name| self.names.get(&("schemas", name.to_owned())));
            match name {
                Some(name) => *to = refs::to("schemas", name).into(),
                None => self.lost += 1,
            }
            name.is_some()
        });
    }
}

/// Puts what says that something is missing in a value's place. Whether there is something to put.
fn placeholder(value: &mut Value, what: What) -> bool {
    *value = match what {
        What::Schema | What::Response => json!({ "description": NOWHERE }),
        What::Header => json!({ "description": NOWHERE, "schema": true }),
        _ => return false,
    };
    true
}

/// How the components of a document are called in a clean one: names may have letters, digits and `.-_` only.
fn names(document: &Value) -> Names {
    let mut names = Names::new();
    for (section, _) in SECTIONS {
        let mut unique = Unique::default();
        let written = document["components"][section].as_object();
        for name in written.into_iter().flat_map(Map::keys) {
            names.insert((section, name.clone()), unique.name(component_name(name)));
        }
    }
    names
}

/// A name with which a component can be called.
pub(in crate::portal) fn component_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let clean: String = name.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if clean.is_empty() { "_".to_owned() } else { clean }
}

/// Markdown without what could be live in a page: tags, pictures, which are fetched from wherever they say, and links
/// that lead elsewhere than to pages.
///
/// Pages are told by their policy, too, to load nothing from elsewhere, and clean what they render; this is so that
/// the text alone is harmless wherever else it is shown.
pub(in crate::portal) fn plain(text: &str) -> Cow<'_, str> {
    let live = |at: usize| {
        let rest = &text[at + 1..];
        match text.as_bytes()[at] {
            b'<' => rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '/' | '!' | '?')),
            b'!' => rest.starts_with('['),
            _ => rest.strip_prefix(['(', ':']).is_some_and(|to| !leads_to_page(to)),
        }
    };
    let marks = memchr::memchr3_iter(b'<', b'!', b']', text.as_bytes()).filter(|at| live(*at));
    let mut clean = String::new();
    let mut done = 0;
    for at in marks {
        clean.push_str(&text[done..at]);
        clean.push_str(match text.as_bytes()[at] {
            b'<' => "&lt;",
            b'!' => "!\\",
            _ => "&#93;",
        });
        done = at + 1;
    }
    if done == 0 {
        return text.into();
    }
    clean.push_str(&text[done..]);
    clean.into()
}

/// Whether a link of Markdown, here its address and what follows, leads to a page, or to somewhere in this one.
fn leads_to_page(to: &str) -> bool {
    let to = to.trim_start();
    // A colon ends the scheme; it, or a letter, may also be written as an entity.
    let Some(end) = to.find(|c: char| c.is_whitespace() || ":/?#&\\)".contains(c)) else {
        return true;
    };
    match to.as_bytes()[end] {
        b':' => ["http", "https", "mailto"].iter().any(|good| to[..end].eq_ignore_ascii_case(good)),
        b'&' | b'\\' => false,
        _ => true,
    }
}

/// Whether it is an address that a browser opens as a page, and no script.
fn is_web_address(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    (begins("https://") || begins("http://")) && !text.contains(['<', '>', '"', '\'', '\\', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        for (text, clean) in [
            ("a < b, 1<2 and <3", "a < b, 1<2 and <3"),
            ("List<String>", "List&lt;String>"),
            ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
            ("<!-- x --><?php", "&lt;!-- x -->&lt;?php"),
            ("wow! ![x](http://evil/x.png)", "wow! !\\[x](http://evil/x.png)"),
            ("[x](https://a.b/c) [x](/a:b) [x](#a) [x]( mailto:a@b ) [1]: HTTP://a", ""),
            ("[x](javascript:alert(1))", "[x&#93;(javascript:alert(1))"),
            ("[x\\](javascript:alert(1))", "[x\\&#93;(javascript:alert(1))"),
            ("[x]: \n vbscript:x", "[x&#93;: \n vbscript:x"),
            ("[x](java&#115;cript&colon;x)", "[x&#93;(java&#115;cript&colon;x)"),
            ("[x](&#106;avascript:x)", "[x&#93;(&#106;avascript:x)"),
            ("[x](java\\script:x)", "[x&#93;(java\\script:x)"),
            ("end <", "end <"),
            ("end !", "end !"),
        ] {
            // Nothing: it stays as it is.
            assert_eq!(plain(text), if clean.is_empty() { text } else { clean });
        }
    }

    #[test]
    fn links_lead_to_pages() {
        for good in ["https://example.com/a", "HTTP://example.com"] {
            assert!(is_web_address(good), "{good}");
        }
        for bad in ["javascript:alert(1)", "//example.com", "data:text/html,x", "https://a\"b"] {
            assert!(!is_web_address(bad), "{bad}");
        }
    }
}
