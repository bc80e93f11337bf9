//! gRPC-Web: gRPC as browsers speak it, who see neither the frames of HTTP/2 nor trailers.
//!
//! A [`Bridge`] stands between such a call and a service that speaks gRPC. The messages are the same on both sides;
//! what differs is around them:
//!
//! - The **head** names `application/grpc-web` where gRPC has `application/grpc`.
//! - **Trailers** come as the last frame of the body, marked by the highest bit of its first byte.
//! - In the **text** form (`application/grpc-web-text`) the body is base64, both ways. Each piece of an answer is
//!   encoded by itself, padding included, so that nothing of a stream is held back; requests may come so too.
//!
//! An answer that is trailers only (a call that failed at once) has its status in its headers on both sides.
//!
//! This is a station of the gateway's own, and not Pingora's module, since that one knows no text form, and would be set
//! up for every request of every route.

#[cfg(test)]
mod tests;
mod text;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderName, HeaderValue, TE,
};
use http::{HeaderMap, Method};

pub use text::NotText;
use text::{Decoder, encode};

const GRPC: &[u8] = b"application/grpc";
const X_GRPC_WEB: HeaderName = HeaderName::from_static("x-grpc-web");
/// What a page must see of an answer that is trailers only.
const STATUS_HEADERS: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");
/// The first byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// How the bytes of a body are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Binary,
    /// In base64.
    Text,
}

impl Form {
    /// The media type of gRPC-Web in this form.
    const fn media_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web",
            Self::Text => "application/grpc-web-text",
        }
    }

    /// The form of a content type, and what stands behind it, such as `+proto`.
    fn of(content_type: &[u8]) -> Option<(Self, &[u8])> {
        [Self::Text, Self::Binary]
            .into_iter()
            .find_map(|form| Some((form, behind(content_type, form.media_type().as_bytes())?)))
    }

    /// The form in which whoever sends these headers reads answers, if it speaks gRPC-Web: the one that it asks for,
    /// or else its own.
    #[must_use]
    pub fn wanted(headers: &HeaderMap) -> Option<Self> {
        let (own, _) = Self::of(headers.get(CONTENT_TYPE)?.as_bytes())?;
        let asked = headers.get(ACCEPT).and_then(|accept| Self::of(accept.as_bytes()));
        Some(asked.map_or(own, |(asked, _)| asked))
    }

    /// The media type of answers of our own.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        })
    }

    /// The body that ends an answer: these trailers, as a frame.
    #[must_use]
    pub fn trailers<'a>(
        self,
        trailers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    ) -> Bytes {
        const HEAD: usize = 5;
        let mut frame = BytesMut::with_capacity(256);
        frame.put_bytes(0, HEAD);
        for (name, value) in trailers {
            for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
                frame.extend_from_slice(part);
            }
        }
        // A list of headers is bounded far below that.
        let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
        frame[0] = TRAILERS;
        frame[1..HEAD].copy_from_slice(&length.to_be_bytes());
        self.write(frame.freeze())
    }

    fn write(self, bytes: Bytes) -> Bytes {
        match self {
            Self::Binary => bytes,
            Self::Text => encode(&bytes),
        }
    }
}

/// What stands behind a media type, where that ends there.
fn behind<'a>(content_type: &'a [u8], media_type: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = content_type.split_at_checked(media_type.len())?;
    let ends = rest.first().is_none_or(|next| b"+; \t".contains(next));
    (ends && begin.eq_ignore_ascii_case(media_type)).then_some(rest)
}

/// One call on its way through.
#[derive(Debug)]
pub struct Bridge {
    /// What is decoded of the request, in the text form.
    decoder: Option<Decoder>,
    answer: Form,
    /// Whether the answer is one of gRPC, and not an error page of something before the service.
    is_bridged: bool,
}

impl Bridge {
    /// The bridge for a request that needs one.
    #[must_use]
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<Box<Self>> {
        let (form, _) = Form::of(headers.get(CONTENT_TYPE)?.as_bytes())?;
        let answer = Form::wanted(headers).filter(|_| *method == Method::POST)?;
        let decoder = (form == Form::Text).then(Decoder::default);
        Some(Box::new(Self { decoder, answer, is_bridged: false }))
    }

    /// Makes a request's head one of gRPC.
    pub fn request(&self, headers: &mut HeaderMap) {
        let Some((_, suffix)) = headers.get(CONTENT_TYPE).and_then(|t| Form::of(t.as_bytes()))
        else {
            return;
        };
        if let Ok(content_type) = HeaderValue::from_bytes(&[GRPC, suffix].concat()) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.remove(X_GRPC_WEB);
        headers.remove(ACCEPT);
        headers.remove(CONTENT_LENGTH);
    }

    /// Begins the request's body, perhaps again.
    pub fn restart(&mut self) {
        if let Some(decoder) = &mut self.decoder {
            *decoder = Decoder::default();
        }
    }

    /// Makes a piece of the request's body one of gRPC.
    ///
    /// # Errors
    /// It is not base64, or ends within a group of it.
    pub fn body(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<(), NotText> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        if let Some(piece) = body {
            *piece = decoder.feed(piece)?;
        }
        if end { decoder.end() } else { Ok(()) }
    }

    /// Makes an answer's head one of gRPC-Web, if it is one of gRPC.
    pub fn answer(&mut self, headers: &mut HeaderMap) {
        let Some(suffix) = headers.get(CONTENT_TYPE).and_then(|t| behind(t.as_bytes(), GRPC))
        else {
            return;
        };
        self.is_bridged = true;
        let media_type = self.answer.media_type().as_bytes();
        if let Ok(content_type) = HeaderValue::from_bytes(&[media_type, suffix].concat()) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers.remove(CONTENT_LENGTH);
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, STATUS_HEADERS);
        }
    }

    /// Makes a piece of the answer's body one of gRPC-Web.
    pub fn piece(&self, body: &mut Option<Bytes>) {
        if self.is_bridged
            && let Some(piece) = body.take()
        {
            *body = Some(self.answer.write(piece));
        }
    }

    /// What is sent in the place of trailers.
    #[must_use]
    pub fn trailers(&self, trailers: &HeaderMap) -> Option<Bytes> {
        self.is_bridged.then(|| self.answer.trailers(trailers.iter()))
    }
}
