mod mistakes;
mod outside;
mod trees;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Places, Read, Sources, read};
use crate::diagnostic::{At, Diagnostics, Place};
use crate::units::{Period, Secret};

/// A file in miniature, with every shape of type that the real one has.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    version: u8,
    workers: Option<std::num::NonZeroU16>,
    upstreams: BTreeMap<String, Upstream>,
    routes: BTreeMap<String, Route>,
    logs: Logs,
    statuses: BTreeMap<u16, String>,
    pair: Option<(u8, u8)>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream {
    targets: Vec<Target>,
    #[serde(default)]
    balance: Balance,
    every: Option<Period>,
    secret: Option<Secret>,
    weight: Option<f64>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Balance {
    #[default]
    RoundRobin,
    Random,
    Hash(HashOn),
    Sticky {
        cookie: String,
    },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashOn {
    header: String,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Logs {
    json: bool,
    level: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    path: String,
    to: Option<String>,
    auth: Option<Auth>,
    #[serde(default)]
    strip: bool,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    headers: HashMap<String, String>,
    address: Option<std::net::SocketAddr>,
}

/// `host:port`, or a map.
#[derive(Debug, PartialEq)]
struct Target {
    url: String,
    weight: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetMap {
    url: String,
    weight: u16,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TargetVisitor;
        impl<'de> Visitor<'de> for TargetVisitor {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a map with a url")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Target, E> {
                if !url.contains(':') {
                    return Err(E::custom(format!("{url:?} has no port (write it as host:port)")));
                }
                Ok(Target { url: url.to_owned(), weight: 1 })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                let TargetMap { url, weight } =
                    TargetMap::deserialize(MapAccessDeserializer::new(map))?;
                if weight == 0 {
                    return Err(de::Error::custom(format!("{url} has the weight 0 (remove it)")));
                }
                Ok(Target { url, weight })
            }
        }
        deserializer.deserialize_any(TargetVisitor)
    }
}

/// `none`, or a list of names.
#[derive(Debug, PartialEq)]
enum Auth {
    None,
    Any(Vec<String>),
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AuthVisitor;
        impl<'de> Visitor<'de> for AuthVisitor {
            type Value = Auth;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("none or a list of names")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Auth, E> {
                match word {
                    "none" => Ok(Auth::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Auth, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Auth::Any)
            }
        }
        deserializer.deserialize_any(AuthVisitor)
    }
}

/// Sources that hold what a test gives them: `NAME` a variable, `/path` a file.
struct Fixed(&'static [(&'static str, &'static str)]);

impl Fixed {
    fn find(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
    }
}

impl Sources for Fixed {
    fn env(&self, name: &str) -> Option<String> {
        self.find(name)
    }

    fn data(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.file(path).map(String::into_bytes)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/locked") => Err(io::ErrorKind::PermissionDenied.into()),
            path => path.and_then(|p| self.find(p)).ok_or(io::ErrorKind::NotFound.into()),
        }
    }
}

const OUTSIDE: Fixed = Fixed(&[
    ("TOKEN", "hunter2"),
    ("PORT", "8080"),
    ("EMPTY", ""),
    ("YES", "true"),
    ("OPENS", "a${hunter2}b"),
    ("DOLLAR", "hunter2$"),
    ("REFERS", "${env:TOKEN}"),
    ("/token", "hunter2\n"),
    ("/crlf", "hunter2\r\n"),
    ("/lines", "one\ntwo\n\n"),
    ("/void", "\n"),
]);

fn settled<T: DeserializeOwned>(text: &str) -> (Option<T>, Places, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let Read { value, wrong, places } = read(text, &OUTSIDE, &mut diagnostics);
    assert_eq!(!wrong.is_empty(), diagnostics.has_errors(), "{text}");
    assert!(value.is_some() || !wrong.is_empty(), "{text}");
    diagnostics.settle(|at| places.of(at));
    (value.filter(|_| wrong.is_empty()), places, diagnostics)
}

fn report<T: DeserializeOwned>(text: &str) -> String {
    settled::<T>(text).2.render("f")
}

fn good<T: DeserializeOwned>(text: &str) -> T {
    let (value, _, diagnostics) = settled(text);
    value.unwrap_or_else(|| panic!("{text}\n{}", diagnostics.render("f")))
}

#[test]
fn a_good_file_is_read() {
    let file: File = good(
        "version: 1\nworkers: 4\nupstreams:\n  a:\n    targets: [ \"h:1\", { url: h, weight: 2 } ]\n    \
         balance: { hash: { header: X } }\n    every: 1m30s\n    secret: ${env:TOKEN}\n    weight: 2\n  \
         b: { targets: [], balance: random }\n  c: { targets: [], balance: { sticky: { cookie: c } } }\n\
         routes:\n  r:\n    path: /r\n    to:\n    auth: none\n    headers: { X: 1.10, Y: True, 200: ~x }\n    \
         strip: true\n    address: 127.0.0.1:80\n  s: { path: 1, auth: [ key ] }\n\
         statuses: { 200: fine, 404: gone }\npair: [ 1, 2 ]\n",
    );
    let a = &file.upstreams["a"];
    assert_eq!(a.targets[1], Target { url: "h".into(), weight: 2 });
    assert_eq!(a.balance, Balance::Hash(HashOn { header: "X".into() }));
    assert_eq!(a.secret.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(a.every, Some(Period::millis(90_000)));
    assert_eq!(file.upstreams["c"].balance, Balance::Sticky { cookie: "c".into() });
    let route = &file.routes["r"];
    assert_eq!((route.to.as_ref(), route.auth.as_ref()), (None, Some(&Auth::None)));
    // Numbers and booleans as written, where text is asked for.
    assert_eq!(route.headers["X"], "1.10");
    assert_eq!(route.headers["Y"], "True");
    assert_eq!(route.headers["200"], "~x");
    assert_eq!(file.routes["s"].path, "1");
    assert_eq!(file.routes["s"].auth, Some(Auth::Any(vec!["key".into()])));
    assert_eq!(file.statuses[&404], "gone");
}

#[test]
fn places_are_found_by_path() {
    let text = "version: 1\nroutes:\n  a.b:\n    path: /x\n    to:\n  s: { path: 1 }\nupstreams: { u: { targets: [ \"h:1\", { url: x, weight: 1 } ] } }\n";
    let (_, places, _) = settled::<File>(text);
    let at = At::root();
    let place = |line, column| Some(Place { line, column });
    assert_eq!(places.of(&at), place(1, 1));
    assert_eq!(places.of(&at.key("version")), place(1, 10));
    assert_eq!(places.of(&at.key("routes")), place(2, 1));
    assert_eq!(places.of(&at.key("routes").key("a.b")), place(3, 3));
    assert_eq!(places.of(&at.key("routes").key("a.b").key("path")), place(4, 11));
    assert_eq!(places.of(&at.key("routes").key("a.b").key("to")), place(5, 5));
    assert_eq!(places.of(&at.key("routes").key("a.b").key("nope").index(3)), place(3, 3));
    assert_eq!(places.of(&at.key("nope")), place(1, 1));
    let targets = at.key("upstreams").key("u").key("targets");
    assert_eq!(places.of(&targets.index(0)), place(7, 30));
    assert_eq!(places.of(&targets.index(1)), place(7, 37));
    assert_eq!(places.of(&targets.index(1).key("url")), place(7, 44));
    assert_eq!(Places::default().of(&targets), place(1, 1));
}
