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

/// A connection, its client, and what would stop it.
async fn pair(clients: Clients) -> (Conn, TcpStream, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let (stop, shutdown) = watch::channel(false);
    let connections = Connections::default();
    let open = Arc::new(crate::listen::Traffic::default()).accept();
    let clients = Arc::new(clients);
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
    (Conn::new(arrived, shutdown, held), client, stop)
}

/// The session reads on beside an answer only until the first byte of a next request has come.
#[tokio::test]
async fn a_request_behind_the_first_holds_no_part_of_its_answer_back() {
    let (mut conn, mut client, _stop) = pair(Clients::untold()).await;

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

/// What the client has not taken yet buys it no time.
#[tokio::test]
async fn a_client_is_waited_for_as_long_as_what_it_took_allows() {
    const RATE: u64 = 1 << 20;
    tokio::time::pause();
    let mut clients = Clients::untold();
    clients.pace.min_rate = crate::units::Size(RATE);
    let whole = clients.pace.timeouts.stall.get();
    let large = vec![b'x'; 64 << 20];
    for vectored in [false, true] {
        let (mut conn, _client, _stop) = pair(clients.clone()).await;
        let start = tokio::time::Instant::now();
        assert_eq!(conn.patience.deadline(), start + whole);
        tokio::time::advance(whole).await;
        let wrote = if vectored {
            conn.write_vectored(&[std::io::IoSlice::new(&large)]).await.unwrap()
        } else {
            conn.write(&large).await.unwrap()
        };
        assert!(wrote > 0 && wrote < large.len() / 4, "{wrote}");
        let gained = Duration::from_nanos(wrote as u64 * 1_000_000_000 / RATE);
        assert_eq!(conn.patience.deadline() - tokio::time::Instant::now(), gained);
        // What waits in the buffer is not taken yet.
        conn.write_all(b"more").await.unwrap();
        assert_eq!(conn.stream.waiting(), b"more");
        assert_eq!(conn.patience.deadline() - tokio::time::Instant::now(), gained);
    }
}
