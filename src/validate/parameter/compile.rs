//! From what a document says of a parameter to a [`Parameter`]. What cannot be checked refuses the document.

use std::sync::Arc;

use http::HeaderName;
use serde_json::Value;

use super::{Parameter, Place, Writing};
use crate::validate::document::Mistakes;
use crate::validate::media;
use crate::validate::schema::{Pointer, Schema, Schemas, Type, Types, escaped};

/// Header parameters of which `OpenAPI` says that they are not described as such.
const NOT_HERE: [&str; 3] = ["accept", "content-type", "authorization"];

/// Reads one, which is no reference. Outer none: it has a mistake; inner none: it is none of those that are checked.
#[expect(clippy::option_option, reason = "the outer one says whether it compiled")]
pub(in crate::validate) fn compile(
    value: &Value,
    names: &[&str],
    at: &Pointer,
    schemas: &mut Schemas<'_>,
    mistakes: &mut Mistakes,
) -> Option<Option<Parameter>> {
    let name = value["name"].as_str().filter(|name| !name.is_empty());
    let (Some(name), Some(word)) = (name, value["in"].as_str()) else {
        mistakes.add(at.clone(), "the parameter has no `name` or no `in`", "add both");
        return None;
    };
    let place = match place(name, word, names) {
        Ok(Some(place)) => place,
        Ok(None) => return Some(None),
        Err((what, help)) => {
            mistakes.add(at.clone(), what, help);
            return None;
        }
    };
    let (schema, is_json) = match value.get("content").and_then(Value::as_object) {
        None => {
            let schema = value.get("schema");
            let at = format!("{at}/schema");
            (schema.map(|schema| schemas.compile(schema, &at, mistakes)), false)
        }
        Some(content) => {
            let json = content.iter().find(|(name, _)| media::is_json_name(name));
            let Some((name, described)) = json.filter(|_| content.len() == 1) else {
                let help = "describe it with `schema`, or with `application/json` alone";
                mistakes.add(format!("{at}/content"), "only JSON is read from a parameter", help);
                return None;
            };
            let at = format!("{at}/content/{}/schema", escaped(name));
            (described.get("schema").map(|schema| schemas.compile(schema, &at, mistakes)), true)
        }
    };
    let schema = match schema {
        Some(None) => return None,
        Some(Some(schema)) => Some(schema),
        None => None,
    };
    let writing = if is_json {
        Writing::Json
    } else {
        writing(value, &place, schema.as_ref())
            .map_err(|(what, help)| mistakes.add(at.clone(), what, help))
            .ok()?
    };
    Some(Some(Parameter {
        required: matches!(place, Place::Path(_)) || value["required"] == Value::Bool(true),
        may_be_empty: value["allowEmptyValue"] == Value::Bool(true),
        name: name.into(),
        place,
        writing,
        schema,
    }))
}

/// Where it stands; none if `OpenAPI` does not count it as a parameter.
fn place(name: &str, word: &str, names: &[&str]) -> Result<Option<Place>, (String, &'static str)> {
    Ok(Some(match word {
        "path" => {
            let number = names.iter().position(|known| *known == name).ok_or_else(|| {
                let help = "put it into the path, or take the parameter out";
                (format!("the path has no {{{name}}}"), help)
            })?;
            Place::Path(number)
        }
        "query" => Place::Query,
        "cookie" => Place::Cookie,
        "header" if NOT_HERE.contains(&name.to_ascii_lowercase().as_str()) => return Ok(None),
        "header" => {
            let name = HeaderName::try_from(name)
                .map_err(|_| ("the name is none of a header".to_owned(), "write another"))?;
            Place::Header(name)
        }
        other => {
            let help = "write `in` as path, query, header or cookie";
            return Err((format!("a parameter in {other:?} is not checked here"), help));
        }
    }))
}

/// How it is written, by `style`, `explode`, and what it may be.
fn writing(
    value: &Value,
    place: &Place,
    schema: Option<&Arc<Schema>>,
) -> Result<Writing, (String, &'static str)> {
    const HELP: &str = "describe it otherwise, or leave `validate` out for this API";
    let usual = match place {
        Place::Path(_) | Place::Header(_) => "simple",
        Place::Query | Place::Cookie => "form",
    };
    let style = value["style"].as_str().unwrap_or(usual);
    let explode = value["explode"].as_bool().unwrap_or(style == "form");
    let types = schema.map_or(Types::ALL, |schema| schema.shape.types);
    let unknown = || (format!("a parameter of style {style:?} is not checked here"), HELP);
    let is_list = types.has(Type::Array);
    let is_map = types.has(Type::Object);
    let is_one = types.has(Type::String)
        || types.has(Type::Boolean)
        || types.has(Type::Integer)
        || types.has(Type::Number);
    if is_one && (is_list || is_map) && types != Types::ALL {
        return Err((
            "it may be one value, or a list or map, which cannot be told apart".into(),
            HELP,
        ));
    }
    let known = match place {
        Place::Path(_) | Place::Header(_) => style == "simple",
        Place::Query => matches!(style, "form" | "spaceDelimited" | "pipeDelimited" | "deepObject"),
        Place::Cookie => style == "form",
    };
    if !known || (style == "deepObject") != (is_map && !is_one) {
        return Err(if known {
            ("a map is checked in the query only, with `style: deepObject`".into(), HELP)
        } else {
            unknown()
        });
    }
    if style == "deepObject" {
        return Ok(Writing::Deep);
    }
    if is_one || !is_list {
        return Ok(Writing::One);
    }
    match (place, style, explode) {
        (Place::Query, _, true) => Ok(Writing::Repeated),
        (Place::Query, "spaceDelimited", false) => Ok(Writing::List(&["%20", "+", " "])),
        (Place::Query, "pipeDelimited", false) => Ok(Writing::List(&["%7C", "%7c", "|"])),
        (Place::Cookie, _, true) => {
            Err(("a list in cookies is checked with `explode: false` only".into(), HELP))
        }
        _ => Ok(Writing::List(&[","])),
    }
}
