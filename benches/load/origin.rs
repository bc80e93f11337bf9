//! The service behind the proxies: as little work as an honest HTTP/1.1 server can do.

use std::io::{self, Write as _};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

/// What every request gets.
pub const BODY: &str = concat!(
    r#"{"id":4711,"name":"Ada Lovelace","email":"ada@example.com","roles":["admin","editor"],"#,
    r#""created":"2026-01-17T09:30:00Z","active":true}"#,
);

/// A request for a path with this ending is answered with its own head, so that one can see what came through.
pub const ECHO: &str = "/echo";

/// The longest head that is read.
const MAX_HEAD: usize = 64 * 1024;

fn answer(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ndate: Fri, 20 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nx-powered-by: origin\r\n\
         cache-control: no-store\r\nvary: Accept-Encoding\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Serves on one thread until the process is ended. The address is told on standard output.
pub fn run() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut out = io::stdout();
        writeln!(out, "{}", listener.local_addr()?)?;
        out.flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A proxy that closes a connection, or a health check, is no reason to end.
            tokio::spawn(async move { serve(stream).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let usual = answer(BODY);
    let mut buffer = Vec::with_capacity(MAX_HEAD);
    loop {
        let end = loop {
            if let Some(at) = memmem::find(&buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if buffer.len() >= MAX_HEAD || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = &buffer[..end];
        if wants_echo(head) {
            stream.write_all(&answer(&String::from_utf8_lossy(head))).await?;
        } else {
            stream.write_all(&usual).await?;
        }
        buffer.drain(..end);
    }
}

fn wants_echo(head: &[u8]) -> bool {
    let mut words = head.splitn(3, |byte| *byte == b' ');
    words.nth(1).is_some_and(|target| target.ends_with(ECHO.as_bytes()))
}
