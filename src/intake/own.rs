//! What routes answer that ask nobody else.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::exchange::Exchange;
use crate::reject::Rejection;
use crate::reply::Reply;
use crate::snapshot::{Redirect, Respond, RespondBody};
use crate::template::{Fill, Part};

/// What a route with `health: true` answers.
#[must_use]
pub fn health(stopping: bool) -> Reply {
    let (status, body) = if stopping {
        (StatusCode::SERVICE_UNAVAILABLE, "{\"status\":\"stopping\"}\n")
    } else {
        (StatusCode::OK, "{\"status\":\"ready\"}\n")
    };
    json(status, body)
}

pub(super) fn respond_reply(respond: &Respond, x: &Exchange, headers: &HeaderMap) -> Reply {
    let body = match &respond.body {
        RespondBody::Fixed(bytes) => bytes.clone(),
        RespondBody::Filled(template, escape) => {
            let (mut out, mut value) = (Vec::new(), Vec::new());
            let fill = x.fill(headers);
            for part in template.parts() {
                match part {
                    Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Part::Variable(variable) => {
                        value.clear();
                        fill.fill(variable, &mut value);
                        escape.write(&value, &mut out);
                    }
                }
            }
            out.into()
        }
    };
    let mut reply = Reply::new(respond.status);
    if !body.is_empty() {
        const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
        // No value in it may make another type of it.
        reply = reply
            .with(http::header::CONTENT_TYPE, respond.content_type.clone())
            .with(http::header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
    Reply { body, ..reply }
}

pub(super) fn redirect_reply(
    redirect: &Redirect,
    x: &Exchange,
    headers: &HeaderMap,
) -> Result<Reply, Rejection> {
    let mut location = Vec::new();
    redirect.to.render(&x.fill(headers), &mut location);
    let location = HeaderValue::from_bytes(&location).map_err(|_| {
        Rejection::BadRequest("The redirect's target cannot be written in a header.")
    })?;
    Ok(Reply::new(redirect.status).with(http::header::LOCATION, location))
}

fn json(status: StatusCode, body: &'static str) -> Reply {
    let reply = Reply::new(status)
        .with(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .with(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Reply { body: body.into(), ..reply }
}
