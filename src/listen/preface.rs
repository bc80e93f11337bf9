//! HTTP/2 without TLS: a client that knows beforehand begins with a fixed preface (RFC 9113, section 3.4).
//!
//! The bytes are looked at without taking them, and only as far as they agree with the preface. So a client of
//! HTTP/1 waits for nothing, and one that stops halfway is let go by whoever holds the time.

use std::io;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What a client of HTTP/2 sends first.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for the first bytes. Returns whether they are the preface, and those that had to be taken to tell.
pub(super) async fn is_http2(stream: &mut TcpStream) -> io::Result<(bool, Bytes)> {
    let mut heard = [0; PREFACE.len()];
    let mut taken = 0;
    loop {
        let seen = stream.peek(&mut heard[taken..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let whole = &heard[..taken + seen];
        if whole != &PREFACE[..whole.len()] || whole.len() == PREFACE.len() {
            let is_http2 = whole == PREFACE;
            return Ok((is_http2, Bytes::copy_from_slice(&heard[..taken])));
        }
        // To wait for more, what is there has to be taken.
        stream.read_exact(&mut heard[taken..taken + seen]).await?;
        taken += seen;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_is_told_however_the_bytes_come_and_none_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let preface = String::from_utf8(PREFACE.to_vec()).unwrap();
        for (text, expected) in [
            (format!("{preface}rest"), true),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), false),
            ("PROPFIND / HTTP/1.1\r\n\r\n".to_owned(), false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\t".to_owned(), false),
            ("PRI * HTTP/1.1\r\n\r\n".to_owned(), false),
        ] {
            for size in [1, 5, 100] {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.set_nodelay(true).unwrap();
                let (mut ours, _) = listener.accept().await.unwrap();
                let sent = text.clone();
                let sending = tokio::spawn(async move {
                    for piece in sent.as_bytes().chunks(size) {
                        client.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                });
                let (is_http2, taken) = is_http2(&mut ours).await.unwrap();
                sending.await.unwrap();
                let mut rest = taken.to_vec();
                ours.read_to_end(&mut rest).await.unwrap();
                assert_eq!(
                    (is_http2, rest),
                    (expected, text.clone().into_bytes()),
                    "{text} {size}"
                );
            }
        }
        let client = TcpStream::connect(address).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        drop(client);
        assert!(is_http2(&mut ours).await.is_err());
    }
}
