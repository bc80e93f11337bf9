//! Whether a request that is to be sent on is one that the service documents, as far as its head says; and what a
//! refusal by that becomes.

use std::fmt::Write as _;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;

use super::send_on;
use crate::exchange::{Exchange, Kind};
use crate::observe::metrics::{Observed, Validated};
use crate::reject::Rejection;
use crate::snapshot::Route;
use crate::validate::{Check, Head, MOST_BODY, Matched, Refused, Validation};

/// Holds the head of a request to the document of its route, if it has one, and tells how its body is to be checked, if it
/// is. `has_body`: whether one follows, if that is known.
///
/// # Errors
/// It is none that is documented, and the route does not only observe.
pub fn validate(
    head: &RequestHeader,
    has_body: Option<bool>,
    x: &mut Exchange,
) -> Result<Option<Check>, Rejection> {
    let Some(validation) = x.route.as_deref().and_then(|route| route.validation.clone()) else {
        return Ok(None);
    };
    let judged = judge(&validation, head, has_body, x);
    match judged {
        Ok(Some(check)) => Ok(Some(check)),
        Ok(None) => {
            note(x, Validated::Passed);
            Ok(None)
        }
        Err(refused) => told(&validation, &refused, x).map(|()| None),
    }
}

/// Holds a whole body to its check.
///
/// # Errors
/// It is none that is documented, and the route does not only observe.
pub fn validate_body(check: &Check, body: &[u8], x: &mut Exchange) -> Result<(), Rejection> {
    let Some(validation) = x.route.as_deref().and_then(|route| route.validation.clone()) else {
        return Ok(());
    };
    match check.judge(body) {
        Ok(()) => {
            note(x, Validated::Passed);
            Ok(())
        }
        Err(refused) => told(&validation, &refused, x),
    }
}

/// The same of a body that is larger than can be checked.
///
/// # Errors
/// The route does not only observe.
pub fn too_large(x: &mut Exchange) -> Result<(), Rejection> {
    let Some(validation) = x.route.as_deref().and_then(|route| route.validation.clone()) else {
        return Ok(());
    };
    told(&validation, &Refused::TooLarge, x)
}

fn judge(
    validation: &Validation,
    head: &RequestHeader,
    has_body: Option<bool>,
    x: &Exchange,
) -> Result<Option<Check>, Refused> {
    let asked = asked(&head.method, has_body, x);
    let Some(matched) = validation.find(&asked)? else { return Ok(None) };
    let seen;
    let headers = if matched.wants_headers() {
        seen = as_seen(head, x);
        &seen
    } else {
        &head.headers
    };
    let check = matched.judge(&asked, headers, &head.headers)?;
    if check.is_some() && announced(&head.headers).is_some_and(|length| length > MOST_BODY as u64) {
        return Err(Refused::TooLarge);
    }
    Ok(check)
}

/// The operation that a request is for, for explanations.
#[must_use]
pub fn operation<'v, 'a>(
    validation: &'v Validation,
    method: &'a Method,
    x: &'a Exchange,
) -> Option<Matched<'v, 'a>> {
    validation.find(&asked(method, None, x)).ok().flatten()
}

/// The head as the upstream sees it, but for its headers.
fn asked<'a>(method: &'a Method, has_body: Option<bool>, x: &'a Exchange) -> Head<'a> {
    let (path, query) = match x.onward.target.as_deref() {
        Some(target) => match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        },
        None => (&*x.line.path, x.line.query.as_deref()),
    };
    Head { method, path, query, has_body }
}

/// The headers as the upstream sees them. Which target it is makes no difference to what a document describes.
fn as_seen(head: &RequestHeader, x: &Exchange) -> HeaderMap {
    let mut seen = head.clone();
    match send_on(&mut seen, head, &HeaderValue::from_static("upstream.invalid"), x) {
        Ok(()) => seen.headers.clone(),
        // It will not be sent on either.
        Err(_) => HeaderMap::new(),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Counts and notes a refusal, which is one unless the route only observes.
fn told(validation: &Validation, refused: &Refused, x: &mut Exchange) -> Result<(), Rejection> {
    let (found, rejection) = rejection(refused);
    note(x, found);
    if validation.observe {
        x.observe(Observed::Validate, rejection.code());
        return Ok(());
    }
    x.detail = Some(refused.word());
    Err(rejection)
}

fn note(x: &Exchange, found: Validated) {
    if let Some(meter) = meter(x) {
        meter.validated(found);
    }
}

fn meter(x: &Exchange) -> Option<&crate::observe::metrics::RouteMeter> {
    let route: Option<&Route> = x.route.as_deref().filter(|_| x.kind == Kind::Real);
    route.map(|route| &route.meter)
}

fn rejection(refused: &Refused) -> (Validated, Rejection) {
    let one = |detail: &str| -> Arc<[crate::reply::Fault]> {
        let (pointer, detail) = ("".into(), detail.into());
        Arc::from([crate::reply::Fault { parameter: None, pointer, detail }])
    };
    let media = |text: String| (Validated::MediaType, Rejection::UnsupportedMediaType(text.into()));
    match refused {
        Refused::Unknown => (Validated::Operation, Rejection::UnknownOperation),
        Refused::OtherMethods(methods) => {
            (Validated::Operation, Rejection::MethodNotAllowed { allow: allow(methods) })
        }
        Refused::Parameters(faults) | Refused::Unreadable(faults) => {
            (Validated::Request, Rejection::InvalidRequest(faults.as_slice().into()))
        }
        Refused::NoBody => (Validated::Request, Rejection::InvalidRequest(one("is missing"))),
        Refused::UnknownBody => media("This operation takes no body.".to_owned()),
        Refused::MediaType(accepted) => media(format!(
            "The body is of a type that this operation does not take; it takes {accepted}."
        )),
        Refused::Encoded => {
            media("The body is in a Content-Encoding, and none is taken here.".to_owned())
        }
        Refused::Charset => media("The body is in another charset than UTF-8.".to_owned()),
        Refused::TooLarge => (Validated::Size, Rejection::UncheckedBody),
        Refused::Body(faults) => {
            (Validated::Body, Rejection::InvalidBody(faults.as_slice().into()))
        }
    }
}

/// The methods that would do; GET brings HEAD.
fn allow(methods: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    names.sort_unstable();
    let mut text = String::new();
    for name in names {
        let between = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{between}{name}");
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
