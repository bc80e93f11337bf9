//! What each worker serves by: Pingora's proxy around the gateway, with the streams of a connection in their turns.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::Gateway;
use crate::listen::Facts;

/// The proxy of one worker.
pub struct Front(Arc<HttpProxy<Gateway>>);

impl Front {
    /// Serves by this proxy.
    #[must_use]
    pub fn new(proxy: HttpProxy<Gateway>) -> Self {
        Self(Arc::new(proxy))
    }
}

#[async_trait]
impl HttpServerApp for Front {
    // By hand, so that nothing stands around Pingora's future for HTTP/1, of which there is one for each idle
    // connection.
    fn process_new_http<'a, 'b, 'c>(
        self: &'a Arc<Self>,
        session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let crowd = Facts::crowd(session.digest()).map(Arc::clone);
        let request = self.0.process_new_http(session, shutdown);
        match crowd {
            Some(crowd) => Box::pin(crowd.in_turn(request)),
            None => request,
        }
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }
}
