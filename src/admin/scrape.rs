//! `/metrics`: the process's numbers, in the format that the scraper asks for.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

use crate::live::Live;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Format, Metrics};

/// All that has numbers.
#[derive(Debug)]
pub struct Scrape {
    live: Arc<Live>,
    log: Arc<AccessLog>,
    metrics: Arc<Metrics>,
}

impl Scrape {
    /// The numbers of these.
    #[must_use]
    pub fn new(live: Arc<Live>, log: Arc<AccessLog>, metrics: Arc<Metrics>) -> Self {
        Self { live, log, metrics }
    }

    /// The numbers now, with their media type. With thousands of routes this takes milliseconds.
    #[must_use]
    pub fn encode(&self, format: Format) -> (HeaderValue, Vec<u8>) {
        let snapshot = Arc::clone(&self.live.now());
        let text = self.metrics.encode(&snapshot.view(), self.log.dropped(), format);
        (HeaderValue::from_static(format.media_type()), text)
    }
}

/// Answers a scraper. The work is done beside the workers, which have requests to serve.
pub(super) async fn answer(headers: &HeaderMap, scrape: Arc<Scrape>) -> Response<Full<Bytes>> {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::wanted(accept);
    let encoded = tokio::task::spawn_blocking(move || scrape.encode(format)).await;
    let Ok((media_type, text)) = encoded else {
        let mut failed = Response::new(Full::default());
        *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return failed;
    };
    let mut response = Response::new(Full::new(text.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}
