//! PROXY headers: what is read depends on the header alone, and on all of it.

use std::net::SocketAddr;

use portcullis::listen::proxy_protocol::{Said, parse};

/// The longest header that may be waited for.
const LONGEST: usize = 4096;

pub fn run(data: &[u8]) {
    match parse(data) {
        Ok(Some((said, length))) => {
            assert!(length <= data.len(), "read over the end");
            let header = &data[..length];
            assert_eq!(parse(header), Ok(Some((said, length))), "what follows is looked at");
            assert_eq!(parse(&[header, b"\0GET / "].concat()), Ok(Some((said, length))));
            for cut in (0..length).step_by(1 + length / 128) {
                assert_eq!(parse(&header[..cut]), Ok(None), "read before it is whole, at {cut}");
            }
            said_again(said);
        }
        Ok(None) => {
            assert!(data.len() < LONGEST, "waits for ever");
            for cut in (0..data.len()).step_by(1 + data.len() / 128) {
                assert_eq!(parse(&data[..cut]), Ok(None), "refused, then not, at {cut}");
            }
        }
        Err(_) => {
            assert!(parse(&[data, b"\r\n"].concat()).is_err(), "refused, then not");
            assert!(parse(&[data, &[0; 64]].concat()).is_err(), "refused, then not");
        }
    }
}

/// What was read, written as version 1 has it, is read the same.
fn said_again(said: Said) {
    let line = match said {
        Said::Nothing => "PROXY UNKNOWN\r\n".to_owned(),
        Said::Ends(from, to) => {
            assert_eq!(from.is_ipv4(), to.is_ipv4(), "ends of two families");
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            let (a, b) = (from.ip(), to.ip());
            format!("PROXY {family} {a} {b} {} {}\r\n", from.port(), to.port())
        }
    };
    // A scope, which no header has, would be lost.
    let plain = |end: SocketAddr| SocketAddr::new(end.ip(), end.port()) == end;
    assert!(!matches!(said, Said::Ends(a, b) if !plain(a) || !plain(b)));
    assert_eq!(parse(line.as_bytes()), Ok(Some((said, line.len()))), "{line:?}");
}
