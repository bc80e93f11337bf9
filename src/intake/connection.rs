//! What a request meets because of the connection that it came on.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::Arriving;
use crate::exchange::Exchange;
use crate::hygiene::clean_host;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::snapshot::Route;

/// Sends a client that came without TLS to the same place with it. The method stays what it was.
pub(super) fn to_https(port: u16, x: &Exchange, headers: &HeaderMap) -> Result<Reply, Rejection> {
    const HTTPS: u16 = 443;
    let values = x.fill(headers);
    let host = clean_host(values.host()).unwrap_or_default();
    if host.is_empty() {
        return Err(Rejection::BadRequest("The request names no host to be redirected to."));
    }
    let mut location = format!("https://{host}");
    // Writing to a String cannot fail.
    if port != HTTPS {
        let _ = write!(location, ":{port}");
    }
    location.push_str(&x.line.path);
    if let Some(query) = &x.line.query {
        let _ = write!(location, "?{query}");
    }
    let location = HeaderValue::try_from(location).map_err(|_| {
        Rejection::BadRequest("The redirect's target cannot be written in a header.")
    })?;
    Ok(Reply::new(StatusCode::PERMANENT_REDIRECT).with(http::header::LOCATION, location))
}

/// Whether the client could show a certificate on a connection of its own for this host: the one at hand was
/// opened for another name, and without a certificate.
pub(super) fn is_misdirected(route: &Route, arriving: &Arriving<'_>, host: &str) -> bool {
    let Some(tls) = arriving.facts.and_then(|facts| facts.tls.as_ref()) else { return false };
    let elsewhere = tls.name.as_deref().is_some_and(|name| name != host);
    elsewhere && tls.client.is_none() && route.guard.asks_for_certificate()
}
