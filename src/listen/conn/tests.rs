//! What the session reads and writes, and what of it reaches the client.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::listen::accept::Connections;
use crate::listen::caps::{Caps, ConnectionsConfig};
use crate::listen::door::Door;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::diagnostic::{At, Diagnostics};

/// The session reads on beside an answer only until the first byte of a next request has come.
#[tokio::test]
async fn a_request_behind_the_first_holds_no_part_of_its_answer_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let (_stop, shutdown) = watch::channel(false);
    let connections = Connections::default();
    let open = Arc::new(crate::listen::Traffic::default()).accept();
    let clients = Arc::new(Clients::untold());
    let limits = ConnectionsConfig::default().compile(&At::root(), &mut Diagnostics::new());
    let place = Arc::new(Caps::default()).enter(&limits).unwrap();
    let held = Held { guard: connections.guard(), open, place };
    let arrived = Arrived {
        local: stream.local_addr().unwrap(),
        transport: stream.into(),
        peer,
        http2: false,
        facts: Facts { door: Arc::new(Door::plain()), tls: None },
        clients,
    };
    let mut conn = Conn::new(arrived, shutdown, held);

    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut probe = [0; 1];
    conn.read_exact(&mut probe).await.unwrap();
    conn.write_all(b"event").await.unwrap();
    let mut heard = [0; 5];
    let reading = client.read_exact(&mut heard);
    timeout(Duration::from_secs(5), reading).await.expect("it is on its way").unwrap();
    assert_eq!(&heard, b"event");

    // With the next request, head and body of an answer leave together again.
    let mut rest = [0; 64];
    assert!(conn.read(&mut rest).await.unwrap() > 1);
    conn.write_all(b"head").await.unwrap();
    assert_eq!(conn.stream.waiting(), b"head");
}
