//! Five small HTTP services to stand in front of: for `portcullis demo`, and for the tests.
//!
//! They are what the gateway is for: two instances of a user service, two of an order service, and one
//! product service, each refusing with 403 whoever does not bring the gateway's secret. They hold real
//! data, instances of one service the same data, as if there were a database behind them. Every answer
//! tells which instance gave it, so that balancing and failover can be watched with curl.
//!
//! They serve HTTP/1.1 on hyper, in this process, and share nothing with the gateway but the port.

mod openapi;
mod service;
mod shape;

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use service::Instance;
pub use service::Service;
pub use shape::Kind;

/// The key that the demo's one consumer calls with.
pub const CLIENT_KEY: &str = "secret002oUdaRJA";

/// The gateway secret that stands in the demo's configuration, unless `DEMO_GATEWAY_SECRET` is set.
pub const GATEWAY_SECRET: &str = "demo-gateway-secret";

/// The demo's configuration, as it stands in `conf/demo.yaml`.
const CONFIGURATION: &str = include_str!("../conf/demo.yaml");

/// The ports of the services on 127.0.0.1; 0 means any that is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Of the two instances of the user service.
    pub users: [u16; 2],
    /// Of the two instances of the order service.
    pub orders: [u16; 2],
    /// Of the product service.
    pub products: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { users: [8001, 8011], orders: [8002, 8012], products: 8003 }
    }
}

impl Ports {
    /// Any ports that are free.
    pub const ANY: Self = Self { users: [0; 2], orders: [0; 2], products: 0 };

    /// The services, with the names of their instances and the ports of those.
    fn instances(&self) -> [(Kind, &'static str, u16); 5] {
        [
            (Kind::Users, "users-1", self.users[0]),
            (Kind::Users, "users-2", self.users[1]),
            (Kind::Orders, "orders-1", self.orders[0]),
            (Kind::Orders, "orders-2", self.orders[1]),
            (Kind::Products, "products-1", self.products),
        ]
    }

    /// The ports on which these five services, as [`start_all`] gave them, listen.
    #[must_use]
    pub fn of(running: &[Running]) -> Self {
        let port = |name| running.iter().find(|r| r.name == name).map_or(0, |r| r.addr.port());
        Self {
            users: [port("users-1"), port("users-2")],
            orders: [port("orders-1"), port("orders-2")],
            products: port("products-1"),
        }
    }
}

/// A service that listens. Dropping it closes its port and cuts its connections, as a crash would.
#[derive(Debug)]
pub struct Running {
    /// The name of the instance, as its answers tell it.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops it, and waits until its port is free and its connections are closed.
    pub async fn stop(mut self) {
        self.task.abort();
        // Its only end is the one just asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts one instance, with data of its own.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(kind: Kind, name: &str, addr: SocketAddr, secret: &str) -> io::Result<Running> {
    Service::new(kind, secret).start(name, addr).await
}

/// Starts the five services of the demo on 127.0.0.1.
///
/// # Errors
/// One of the ports cannot be listened on; none is then.
pub async fn start_all(ports: Ports, secret: &str) -> io::Result<Vec<Running>> {
    let services =
        [Kind::Users, Kind::Orders, Kind::Products].map(|kind| (kind, Service::new(kind, secret)));
    let mut running = Vec::with_capacity(5);
    for (kind, name, port) in ports.instances() {
        for (_, service) in services.iter().filter(|(other, _)| *other == kind) {
            running.push(service.start(name, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?);
        }
    }
    Ok(running)
}

/// The demo's configuration for a gateway and services that may listen elsewhere than in the file.
#[must_use]
pub fn configuration(gateway: SocketAddr, ports: &Ports) -> String {
    let mut text = CONFIGURATION.replace("\"127.0.0.1:8000\"", &format!("\"{gateway}\""));
    for ((_, _, usual), (_, _, port)) in Ports::default().instances().iter().zip(ports.instances())
    {
        // The new text has a mark in it, so that no later step takes it for a port of the file.
        text =
            text.replace(&format!("\"127.0.0.1:{usual}\""), &format!("\"127.0.0.1\u{0}:{port}\""));
    }
    text.replace('\0', "")
}

/// What to try, as lines to copy into a shell.
#[must_use]
pub fn banner(gateway: SocketAddr, ports: &Ports) -> String {
    let key = format!("-H 'x-api-key: {CLIENT_KEY}'");
    let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.users[0]));
    let lines = [
        ("A user, an order, the products. Repeat: the instances take turns.", "", None),
        ("", "/users/1", Some((gateway, key.as_str()))),
        ("", "/orders/1", Some((gateway, key.as_str()))),
        ("", "/api/products", Some((gateway, key.as_str()))),
        ("Without a key: 401.", "/users/1", Some((gateway, "-i"))),
        ("Past the gateway, straight to a backend: 403.", "/1", Some((backend, "-i"))),
    ];
    let mut text = format!(
        "The gateway listens on http://{gateway}.\n\n\
         In a browser, its APIs to read and to try (Authorize takes the key below):\n\n  \
         http://{gateway}/docs\n\nIn another shell:\n"
    );
    for (remark, path, call) in lines {
        // Writing to a String cannot fail.
        if !remark.is_empty() {
            let _ = writeln!(text, "\n  # {remark}");
        }
        if let Some((address, options)) = call {
            let _ = writeln!(text, "  curl {options} http://{address}{path}");
        }
    }
    text.push_str("\nCtrl-C stops it all.\n");
    text
}

impl Service {
    /// Starts an instance of this service; instances share its data.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(&self, name: &str, addr: SocketAddr) -> io::Result<Running> {
        let listener = TcpListener::bind(addr).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{name} cannot listen on {addr}: {error}"))
        })?;
        let addr = listener.local_addr()?;
        let instance = Arc::new(self.instance(name));
        let task = tokio::spawn(accept(listener, instance));
        Ok(Running { name: name.to_owned(), addr, task })
    }
}

/// Accepts for ever. The connections end with this task, as it owns them.
async fn accept(listener: TcpListener, instance: Arc<Instance>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&instance)));
                }
                // A connection that was gone again, or no descriptor left: neither is ours to mend.
                Err(error) => {
                    log::debug!("demo: cannot accept a connection: {error}");
                    tokio::task::yield_now().await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, instance: Arc<Instance>) {
    // Best effort: without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let instance = Arc::clone(&instance);
        async move { Ok::<_, std::convert::Infallible>(instance.answer(request).await) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    {
        log::debug!("demo: a connection ended early: {error}");
    }
}

#[cfg(test)]
mod tests;
