use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;

fn ends(from: &str, to: &str) -> Said {
    Said::Ends(from.parse().unwrap(), to.parse().unwrap())
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

#[test]
fn version_1_names_both_ends() {
    for (line, said) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443",
            ends("192.0.2.1:56324", "198.51.100.1:443"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535",
            ends("[2001:db8::1]:1", "[2001:db8::2]:65535"),
        ),
        ("PROXY TCP4 0.0.0.0 255.255.255.255 0 0", ends("0.0.0.0:0", "255.255.255.255:0")),
        ("PROXY UNKNOWN", Said::Nothing),
        ("PROXY UNKNOWN ffff::1 ffff::2 1 2", Said::Nothing),
    ] {
        let whole = format!("{line}\r\n");
        let with_more = format!("{whole}GET / HTTP/1.1\r\n");
        assert_eq!(parse(with_more.as_bytes()), Ok(Some((said, whole.len()))), "{line}");
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole.as_bytes()[..cut]), Ok(None), "{line} cut at {cut}");
        }
    }
}

#[test]
fn version_2_names_both_ends_and_may_say_more() {
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    let mut v6 = [0; 36];
    v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    v6[15] = 1;
    v6[31] = 2;
    v6[32..].copy_from_slice(&[0, 1, 0xff, 0xff]);
    let more = [&v4[..], &[0x04, 0, 2, 7, 7]].concat();
    for (header, said) in [
        (v2(0x21, 0x11, &v4), ends("192.0.2.1:56324", "198.51.100.1:443")),
        (v2(0x21, 0x11, &more), ends("192.0.2.1:56324", "198.51.100.1:443")),
        (v2(0x21, 0x21, &v6), ends("[2001:db8::1]:1", "[::2]:65535")),
        (v2(0x20, 0x00, &[]), Said::Nothing),
        (v2(0x20, 0x11, &v4), Said::Nothing),
        (v2(0x21, 0x00, &[1, 2, 3]), Said::Nothing),
        (v2(0x21, 0x31, &[0; 216]), Said::Nothing),
    ] {
        let with_more = [&header[..], b"\x16\x03\x01"].concat();
        assert_eq!(parse(&with_more), Ok(Some((said, header.len()))));
        for cut in 0..header.len() {
            assert_eq!(parse(&header[..cut]), Ok(None), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    for line in [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY \r\n",
        &long,
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
    let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    for header in [
        v2(0x11, 0x11, &v4),
        v2(0x22, 0x11, &v4),
        v2(0x21, 0x11, &v4[..11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x12, &v4),
        v2(0x21, 0x99, &v4),
        v2(0x21, 0x11, &[0; LONGEST_V2]),
    ] {
        assert!(parse(&header).is_err(), "{header:?}");
    }
}

#[tokio::test]
async fn not_a_byte_behind_the_header_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut ours, _) = listener.accept().await.unwrap();
    let mut header = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2]);
    let more = [vec![7; 1000], b"hello".to_vec()].concat();
    header[14..16].copy_from_slice(&u16::to_be_bytes(1012));
    let all = [header, more].concat();
    let sending = tokio::spawn(async move {
        for piece in all.chunks(100) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(read(&mut ours).await.unwrap(), ends("192.0.2.1:1", "198.51.100.1:2"));
    sending.await.unwrap();
    let mut rest = String::new();
    ours.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "hello");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_or_read_too_far(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for start in [&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE] {
            let bytes = [start, &bytes].concat();
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_written_is_read(from: [u8; 4], to: [u8; 4], a: u16, b: u16) {
        let (from, to) = (SocketAddr::from((from, a)), SocketAddr::from((to, b)));
        let line = format!("PROXY TCP4 {} {} {a} {b}\r\n", from.ip(), to.ip());
        prop_assert_eq!(parse(line.as_bytes()), Ok(Some((Said::Ends(from, to), line.len()))));
    }
}
