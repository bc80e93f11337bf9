//! Bodies pass whole or not at all: limits, framing, and what happens when one side leaves.

mod cuts;
mod framing;
mod hops;
mod limits;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::{Client, Gateway, PATIENCE, eventually};

/// A gateway whose one open route forwards all to this address.
async fn before(address: SocketAddr) -> Gateway {
    with_limit(address, "10MiB").await
}

async fn with_limit(address: SocketAddr, limit: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{ origin: {{ targets: [ \"{address}\" ] }} }}\n\
         routes: {{ all: {{ path: /, to: origin, auth: none, body_limit: {limit} }} }}\n"
    ))
    .await
}

/// A connection on which this has been sent.
async fn sending(gateway: &Gateway, bytes: &[u8]) -> Client {
    let mut client = Client::connect(gateway.address()).await;
    client.write(bytes).await;
    client
}

/// What an origin read after a request's head, and whether the other side has ended the connection.
#[derive(Clone, Default)]
struct Rest(Arc<Mutex<(Vec<u8>, bool)>>);

impl Rest {
    /// Reads until the end of the connection.
    async fn read(&self, stream: &mut TcpStream) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let mut rest = self.0.lock().unwrap();
            if read == 0 {
                rest.1 = true;
                return;
            }
            rest.0.extend_from_slice(&buffer[..read]);
        }
    }

    /// What was read, once the connection has ended.
    async fn ended(&self) -> Vec<u8> {
        eventually("the gateway ends its connection to the origin", async || {
            self.0.lock().unwrap().1
        })
        .await;
        self.0.lock().unwrap().0.clone()
    }
}

/// Reads a request body of known length off an origin's socket.
async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut body = vec![0; length];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut body)).await.unwrap().unwrap();
    body
}
