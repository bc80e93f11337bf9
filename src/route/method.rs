//! The methods a route takes.

use http::{HeaderValue, Method};

use crate::diagnostic::{At, Diagnostics};

/// A set of methods. GET brings HEAD (RFC 9110, section 9.3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MethodSet {
    /// One bit for each of [`KNOWN`].
    known: u8,
    custom: Box<[Method]>,
}

const KNOWN: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

const fn bit(method: &Method) -> u8 {
    match *method {
        Method::GET => 1,
        Method::HEAD => 1 << 1,
        Method::POST => 1 << 2,
        Method::PUT => 1 << 3,
        Method::PATCH => 1 << 4,
        Method::DELETE => 1 << 5,
        Method::OPTIONS => 1 << 6,
        _ => 0,
    }
}

impl MethodSet {
    pub(crate) fn new(methods: impl IntoIterator<Item = Method>) -> Self {
        let mut known = 0;
        let mut custom = Vec::new();
        for method in methods {
            match bit(&method) {
                0 if custom.contains(&method) => {}
                0 => custom.push(method),
                get @ 1 => known |= get | bit(&Method::HEAD),
                other => known |= other,
            }
        }
        Self { known, custom: custom.into() }
    }

    /// Whether it is empty: the route takes all methods.
    pub(super) const fn is_all(&self) -> bool {
        self.known == 0 && self.custom.is_empty()
    }

    /// Whether it has this one, as it is or as all.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.is_all() || self.known & bit(method) != 0 || self.custom.contains(method)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.is_all()
            || other.is_all()
            || self.known & other.known != 0
            || self.custom.iter().any(|method| other.custom.contains(method))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let known = KNOWN.iter().filter(|method| self.known & bit(method) != 0);
        known.chain(&self.custom).map(Method::as_str)
    }

    /// The value of `Allow` (RFC 9110, section 10.2.1) for all of these together, sorted.
    pub(super) fn allow<'a>(sets: impl Iterator<Item = &'a Self>) -> HeaderValue {
        let mut names: Vec<&str> = sets.flat_map(Self::names).collect();
        names.sort_unstable();
        names.dedup();
        // Methods are tokens, so this never fails; an empty Allow would be a valid one too.
        HeaderValue::try_from(names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

pub(super) fn compile(
    methods: &[String],
    at: &At,
    diagnostics: &mut Diagnostics,
) -> Option<MethodSet> {
    let mut compiled = Vec::with_capacity(methods.len());
    for (index, text) in methods.iter().enumerate() {
        match parse(text) {
            Ok(method) => compiled.push(method),
            Err((what, help)) => diagnostics.error(at.index(index), what, help),
        }
    }
    (compiled.len() == methods.len()).then(|| MethodSet::new(compiled))
}

/// A method that may be forwarded; else what is wrong, and what helps.
pub(crate) fn parse(text: &str) -> Result<Method, (String, String)> {
    let upper = text.to_ascii_uppercase();
    let not_a_method = || format!("{text:?} is not a method");
    match Method::from_bytes(upper.as_bytes()) {
        // It would be a valid token, but nobody means it as one.
        _ if text == "*" => {
            Err((not_a_method(), "leave `methods` out to take all methods".to_owned()))
        }
        Err(_) => Err((not_a_method(), "write a method like GET, POST or PURGE".to_owned())),
        Ok(_) if upper != text => {
            Err((not_a_method(), format!("methods are written in upper case: {upper}")))
        }
        Ok(Method::CONNECT | Method::TRACE) => Err((
            format!("{text} is never forwarded"),
            "remove it: a gateway is no tunnel, and TRACE would show its credentials".to_owned(),
        )),
        Ok(method) => Ok(method),
    }
}
