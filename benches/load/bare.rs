//! The yardstick: the smallest Pingora proxy that forwards, on Pingora's own server.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::ListenerConfig;
use pingora::prelude::{HttpPeer, Result, Server};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::configuration::ServerConf;

/// As the gateway's own: no buffer before the session's, and a head and a small body leave in one write.
const READ_BUFFER: usize = 0;
const WRITE_BUFFER: usize = 4096;

struct Bare {
    origin: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _x: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }
}

/// The same with every timeout set that Pingora leaves open: what nobody can do without who serves strangers.
struct Guarded(Bare);

#[async_trait]
impl ProxyHttp for Guarded {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, session: &mut Session, _x: &mut ()) -> Result<()> {
        let downstream = session.as_downstream_mut();
        if downstream.get_keepalive().is_some() {
            downstream.set_keepalive(Some(75));
        }
        downstream.set_read_timeout(Some(Duration::from_secs(60)));
        downstream.set_write_timeout(Some(Duration::from_secs(60)));
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, x: &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = self.0.upstream_peer(session, x).await?;
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_secs(30));
        peer.options.write_timeout = Some(Duration::from_secs(30));
        peer.options.idle_timeout = Some(Duration::from_secs(60));
        Ok(peer)
    }
}

/// Serves until the process is ended.
pub fn run(listen: SocketAddr, origin: SocketAddr, timeouts: bool, stealing: bool) -> ! {
    let conf = ServerConf { threads: 1, work_stealing: stealing, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let bare = Bare { origin };
    if timeouts { serve(server, Guarded(bare), listen) } else { serve(server, bare, listen) }
}

fn serve<P>(mut server: Server, proxy: P, listen: SocketAddr) -> !
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let mut service = http_proxy_service(&server.configuration, proxy);
    let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
    service.add_listener(ListenerConfig::tcp(listen.to_string()).l4_buffer(buffers));
    server.add_service(service);
    server.run_forever()
}
