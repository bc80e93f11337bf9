//! The abuses of HTTP/2, derived from RFC 9113 and RFC 7541, each with its end.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, fields, frame,
    string,
};

/// How a case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The request has this answer, and the connection goes on.
    Status(u16),
    /// Its stream is reset with this code, and the connection goes on.
    Reset(u32),
    /// The connection ends with GOAWAY and this code.
    GoAway(u32),
    /// The connection ends without one.
    Closed,
    /// It is no HTTP/2, and has an answer of HTTP/1.
    Http1(u16),
}

use End::{Closed, GoAway, Http1, Reset, Status};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const FRAME_SIZE: u32 = 6;
const CALM: u32 = 11;

/// What a client sends.
pub struct Case {
    /// What is wrong, in words of its own.
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// The stream that it is about.
    pub stream: u32,
    pub end: End,
    /// How many whole requests the origin gets.
    pub passes: usize,
}

type Line<'a> = (&'a [u8], &'a [u8]);

const METHOD: Line = (b":method", b"GET");
const POST: Line = (b":method", b"POST");
const SCHEME: Line = (b":scheme", b"http");
const PATH: Line = (b":path", b"/");
const AUTHORITY: Line = (b":authority", b"one.test");
const BASE: [Line; 4] = [METHOD, SCHEME, PATH, AUTHORITY];

/// What follows the beginning of a connection.
fn case(end: End, name: &'static str, frames: &[&[u8]]) -> Case {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    Case { name, bytes: [begin, frames.concat()].concat(), stream: 1, end, passes: 0 }
}

/// A request without a body.
fn get(lines: &[Line]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(lines))
}

/// The head of a request whose body is to come.
fn post(more: &[Line]) -> Vec<u8> {
    let lines = [&[POST, SCHEME, PATH, AUTHORITY], more].concat();
    frame(HEADERS, END_HEADERS, 1, &fields(&lines))
}

/// A request of these lines alone.
fn lines(end: End, name: &'static str, lines: &[Line]) -> Case {
    case(end, name, &[&get(lines)])
}

/// A request that would be good without one line more.
fn with(end: End, name: &'static str, line: &[Line]) -> Case {
    lines(end, name, &[&BASE, line].concat())
}

/// A request with another path.
fn path(end: End, name: &'static str, path: &[u8]) -> Case {
    lines(end, name, &[METHOD, SCHEME, (b":path", path), AUTHORITY])
}

/// A request with another authority.
fn authority(end: End, name: &'static str, authority: &[u8]) -> Case {
    lines(end, name, &[METHOD, SCHEME, PATH, (b":authority", authority)])
}

/// A header block that is none.
fn block(end: End, name: &'static str, block: &[u8]) -> Case {
    case(end, name, &[&frame(HEADERS, END_HEADERS | END_STREAM, 1, block)])
}

/// SETTINGS of one parameter.
fn setting(end: End, name: &'static str, id: u8, value: u32) -> Case {
    let payload = [&[0, id][..], &value.to_be_bytes()].concat();
    case(end, name, &[&frame(SETTINGS, 0, 0, &payload)])
}

impl Case {
    /// One that passes, and how many times the origin has it.
    fn passing(mut self, times: usize) -> Self {
        self.passes = times;
        self
    }

    fn on(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    [
        pseudo_headers(),
        targets(),
        hosts(),
        field_lines(),
        empty_frames(),
        lengths(),
        sizes(),
        streams(),
        frames(),
        windows_and_settings(),
        header_blocks(),
        compression(),
        unknown(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn pseudo_headers() -> Vec<Case> {
    vec![
        lines(Reset(PROTOCOL), "no :method", &[SCHEME, PATH, AUTHORITY]),
        lines(Reset(PROTOCOL), "no :scheme", &[METHOD, PATH, AUTHORITY]),
        lines(Reset(PROTOCOL), "no :path", &[METHOD, SCHEME, AUTHORITY]),
        with(Reset(PROTOCOL), "two :method", &[METHOD]),
        with(Reset(PROTOCOL), "two :scheme", &[SCHEME]),
        with(Reset(PROTOCOL), "two :path", &[(b":path", b"/other")]),
        with(Reset(PROTOCOL), "two :authority", &[(b":authority", b"two.test")]),
        with(GoAway(PROTOCOL), "an unknown pseudo-header", &[(b":version", b"2")]),
        with(Reset(PROTOCOL), ":status in a request", &[(b":status", b"200")]),
        with(Reset(PROTOCOL), ":protocol without CONNECT", &[(b":protocol", b"websocket")]),
        lines(
            Reset(PROTOCOL),
            ":path behind a field",
            &[METHOD, SCHEME, AUTHORITY, (b"a", b"b"), PATH],
        ),
        lines(
            Reset(PROTOCOL),
            "extended CONNECT that was not offered",
            &[(b":method", b"CONNECT"), SCHEME, PATH, AUTHORITY, (b":protocol", b"websocket")],
        ),
        lines(
            Reset(PROTOCOL),
            "CONNECT with a path",
            &[(b":method", b"CONNECT"), PATH, (b":authority", b"one.test:443")],
        ),
        lines(
            Status(405),
            "CONNECT",
            &[(b":method", b"CONNECT"), (b":authority", b"one.test:443")],
        ),
        lines(Status(405), "TRACE", &[(b":method", b"TRACE"), SCHEME, PATH, AUTHORITY]),
        lines(Status(400), "a small method", &[(b":method", b"get"), SCHEME, PATH, AUTHORITY]),
        lines(
            GoAway(PROTOCOL),
            "a method with a space",
            &[(b":method", b"GET /x"), SCHEME, PATH, AUTHORITY],
        ),
        lines(GoAway(PROTOCOL), "an empty method", &[(b":method", b""), SCHEME, PATH, AUTHORITY]),
        lines(
            Reset(PROTOCOL),
            "a scheme with a space",
            &[METHOD, (b":scheme", b"ht tp"), PATH, AUTHORITY],
        ),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        path(Reset(PROTOCOL), "an empty :path", b""),
        path(Reset(PROTOCOL), "a :path with a space", b"/a b"),
        path(Reset(PROTOCOL), "a :path with a tab", b"/a\tb"),
        path(Reset(PROTOCOL), "a :path with CR LF and a header", b"/a HTTP/1.1\r\nX: y"),
        path(Reset(PROTOCOL), "a :path with NUL", b"/a\0b"),
        path(Reset(PROTOCOL), "a :path with DEL", b"/a\x7fb"),
        path(GoAway(PROTOCOL), "a :path with a byte that is no UTF-8", b"/a\xff"),
        path(Status(400), "a :path with letters above ASCII", "/\u{e4}".as_bytes()),
        path(Status(200), "a :path with a fragment, which is cut off", b"/a#b").passing(1),
        path(Status(200), "a query with a fragment, which is cut off", b"/a?b#c").passing(1),
        path(Reset(PROTOCOL), "a :path without a slash", b"a"),
        path(Status(400), "an asterisk with GET", b"*"),
        path(Reset(PROTOCOL), "a URL in :path", b"http://two.test/"),
        path(
            Status(200),
            "a :path that begins like an authority, with one slash then",
            b"//two.test/",
        )
        .passing(1),
        path(Status(400), "a :path above the root", b"/../a"),
        path(Status(400), "a :path with an encoded NUL", b"/a%00"),
        path(Status(400), "a :path with a backslash", b"/a\\b"),
    ]
}

fn hosts() -> Vec<Case> {
    const NONE: [Line; 3] = [METHOD, SCHEME, PATH];
    let host = |end, name, hosts: &[&[u8]]| {
        let more: Vec<Line> = hosts.iter().map(|host| (&b"host"[..], *host)).collect();
        lines(end, name, &[&NONE[..], &more].concat())
    };
    vec![
        lines(Status(400), "neither :authority nor Host", &NONE),
        with(Status(400), "another Host than :authority", &[(b"host", b"two.test")]),
        with(Status(400), "a Host with a port that :authority lacks", &[(b"host", b"one.test:80")]),
        with(Status(400), "two Hosts", &[(b"host", b"one.test"), (b"host", b"one.test")]),
        host(Status(400), "two Hosts without :authority", &[b"one.test", b"two.test"]),
        host(Status(400), "an empty Host", &[b""]),
        host(Status(400), "a list in Host", &[b"one.test, two.test"]),
        host(Status(400), "a Host with a space behind it", &[b"one.test "]),
        host(Status(400), "user information in Host", &[b"a@one.test"]),
        host(Status(200), "Host in place of :authority", &[b"one.test"]).passing(1),
        authority(Reset(PROTOCOL), "an empty :authority", b""),
        authority(Status(400), "user information in :authority", b"a@one.test"),
        authority(Reset(PROTOCOL), "a list in :authority", b"one.test, two.test"),
        authority(Reset(PROTOCOL), "a path in :authority", b"one.test/a"),
        authority(Status(400), "a port that is none", b"one.test:99999"),
        authority(Reset(PROTOCOL), "CR LF in :authority", b"one.test\r\nX: y"),
    ]
}

fn field_lines() -> Vec<Case> {
    let trailers = |end, name, lines: &[Line]| {
        let last = frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(lines));
        case(end, name, &[&post(&[]), &frame(DATA, 0, 1, b"body"), &last])
    };
    vec![
        with(GoAway(PROTOCOL), "a capital letter in a name", &[(b"X-Upper", b"a")]),
        with(GoAway(PROTOCOL), "a space in a name", &[(b"x name", b"a")]),
        with(GoAway(PROTOCOL), "a colon in a name", &[(b"x:y", b"a")]),
        with(GoAway(PROTOCOL), "CR LF in a name", &[(b"x\r\ny", b"a")]),
        with(GoAway(PROTOCOL), "an empty name", &[(b"", b"a")]),
        with(GoAway(PROTOCOL), "NUL in a value", &[(b"x", b"a\0b")]),
        with(GoAway(PROTOCOL), "CR in a value", &[(b"x", b"a\rb")]),
        with(GoAway(PROTOCOL), "LF in a value", &[(b"x", b"a\nb")]),
        with(
            GoAway(PROTOCOL),
            "a request in a value",
            &[(b"x", b"a\r\n\r\nGET /b HTTP/1.1\r\nHost: b")],
        ),
        with(Reset(PROTOCOL), "Connection", &[(b"connection", b"close")]),
        with(Reset(PROTOCOL), "Keep-Alive", &[(b"keep-alive", b"timeout=5")]),
        with(Reset(PROTOCOL), "Proxy-Connection", &[(b"proxy-connection", b"keep-alive")]),
        with(Reset(PROTOCOL), "Transfer-Encoding", &[(b"transfer-encoding", b"chunked")]),
        with(Reset(PROTOCOL), "Upgrade", &[(b"upgrade", b"websocket")]),
        with(Reset(PROTOCOL), "TE other than trailers", &[(b"te", b"trailers, deflate")]),
        trailers(Status(200), "trailers", &[(b"x", b"a")]).passing(1),
        trailers(
            Status(200),
            "a pseudo-header in trailers, which go nowhere",
            &[(b":path", b"/b")],
        )
        .passing(1),
        trailers(Reset(PROTOCOL), "Connection in trailers", &[(b"connection", b"close")]),
        case(
            Reset(PROTOCOL),
            "trailers that do not end the stream",
            &[&post(&[]), &frame(HEADERS, END_HEADERS, 1, &fields(&[("x", "a")]))],
        ),
    ]
}

fn empty_frames() -> Vec<Case> {
    vec![
        // Its end is told by a frame of its own, as many libraries do.
        case(
            Status(200),
            "a body that an empty frame ends",
            &[&post(&[]), &frame(DATA, 0, 1, b"body"), &frame(DATA, END_STREAM, 1, &[])],
        )
        .passing(1),
        case(
            Status(200),
            "no body but an empty frame that ends it",
            &[&post(&[]), &frame(DATA, END_STREAM, 1, &[])],
        )
        .passing(1),
        case(
            Status(200),
            "an empty frame within a body",
            &[
                &post(&[]),
                &frame(DATA, 0, 1, b"bo"),
                &frame(DATA, 0, 1, &[]),
                &frame(DATA, END_STREAM, 1, b"dy"),
            ],
        )
        .passing(1),
    ]
}

fn lengths() -> Vec<Case> {
    const LENGTH: &[u8] = b"content-length";
    let body = |end, name, lengths: &[&[u8]], data: &[u8]| {
        let more: Vec<Line> = lengths.iter().map(|length| (LENGTH, *length)).collect();
        case(end, name, &[&post(&more), &frame(DATA, END_STREAM, 1, data)])
    };
    vec![
        body(Status(200), "an empty body of length 0", &[b"0"], b"").passing(1),
        body(Status(200), "a length that holds", &[b"4"], b"body").passing(1),
        body(Reset(PROTOCOL), "more than the length", &[b"3"], b"body"),
        body(Reset(PROTOCOL), "less than the length", &[b"5"], b"body"),
        body(Reset(PROTOCOL), "two lengths that differ", &[b"4", b"5"], b"body"),
        body(Status(400), "two lengths that agree", &[b"4", b"4"], b"body"),
        body(Reset(PROTOCOL), "a list of lengths", &[b"4, 4"], b"body"),
        body(Reset(PROTOCOL), "a length with a sign", &[b"+4"], b"body"),
        body(Reset(PROTOCOL), "a negative length", &[b"-4"], b"body"),
        body(Reset(PROTOCOL), "a length with a space", &[b" 4"], b"body"),
        body(Reset(PROTOCOL), "an empty length", &[b""], b"body"),
        body(Status(400), "a length with a zero in front", &[b"04"], b"body"),
        body(Reset(PROTOCOL), "a length beyond 64 bits", &[b"18446744073709551620"], b"body"),
        with(Reset(PROTOCOL), "a length without a body", &[(LENGTH, b"4")]),
        case(
            Reset(PROTOCOL),
            "more than the length in a second frame",
            &[
                &post(&[(LENGTH, b"5")]),
                &frame(DATA, 0, 1, b"body"),
                &frame(DATA, END_STREAM, 1, b"body"),
            ],
        ),
        case(
            Reset(PROTOCOL),
            "trailers before the length is there",
            &[
                &post(&[(LENGTH, b"5")]),
                &frame(DATA, 0, 1, b"body"),
                &frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&[("x", "a")])),
            ],
        ),
    ]
}

fn sizes() -> Vec<Case> {
    // As much as a frame may hold is split off.
    let long = |end, name, lines: &[Line]| {
        let block = fields(&[&BASE, lines].concat());
        let mut pieces = block.chunks(16_000).peekable();
        let mut frames = Vec::new();
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            frames.push(match frames.len() {
                0 => frame(HEADERS, END_STREAM | last, 1, piece),
                _ => frame(CONTINUATION, last, 1, piece),
            });
        }
        case(end, name, &[&frames.concat()])
    };
    let value = vec![b'x'; 7000];
    let line: Line = (b"x", &value);
    let path_of = |length: usize| [b"/".to_vec(), vec![b'a'; length]].concat();
    vec![
        path(Status(414), "a :path above 8 KiB", &path_of(8 << 10)),
        long(Status(431), "more than 100 fields", &[(&b"x"[..], &b"a"[..]); 101]),
        long(Status(431), "more than 64 KiB of fields", &[line; 10]),
        long(GoAway(CALM), "four times as many", &[line; 40]),
    ]
}

fn streams() -> Vec<Case> {
    let at = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&BASE));
    let data = |stream| frame(DATA, END_STREAM, stream, b"body");
    let cancel = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    vec![
        case(GoAway(PROTOCOL), "a request on stream 0", &[&at(0)]),
        case(GoAway(PROTOCOL), "a request on an even stream", &[&at(2)]),
        case(GoAway(PROTOCOL), "a stream below the last one", &[&at(5), &at(3)]),
        case(GoAway(PROTOCOL), "DATA on stream 0", &[&data(0)]),
        case(GoAway(PROTOCOL), "DATA on a stream that nobody opened", &[&data(1)]),
        case(GoAway(PROTOCOL), "DATA behind the end", &[&at(1), &data(1)]),
        case(GoAway(PROTOCOL), "HEADERS behind the end", &[&at(1), &at(1)]),
        case(GoAway(PROTOCOL), "RST_STREAM on stream 0", &[&cancel(0)]),
        case(GoAway(PROTOCOL), "RST_STREAM on a stream that nobody opened", &[&cancel(1)]),
        case(
            Status(200),
            "DATA behind a reset of its own",
            &[&post(&[]), &cancel(1), &data(1), &at(3)],
        )
        .on(3)
        .passing(1),
        case(GoAway(PROTOCOL), "PRIORITY on stream 0", &[&frame(PRIORITY, 0, 0, &[0; 5])]),
        case(
            Reset(PROTOCOL),
            "a stream that depends on itself",
            &[&frame(
                HEADERS,
                END_HEADERS | END_STREAM | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 16][..], &fields(&BASE)].concat(),
            )],
        ),
    ]
}

fn frames() -> Vec<Case> {
    let padded = |pad: u8, rest: &[u8]| [&[pad], rest].concat();
    vec![
        case(
            GoAway(FRAME_SIZE),
            "a frame above 16 KiB",
            &[&post(&[]), &frame(DATA, END_STREAM, 1, &[0; 16_385])],
        ),
        case(
            Status(200),
            "DATA of padding alone",
            &[&post(&[]), &frame(DATA, END_STREAM | PADDED, 1, &padded(4, b"body"))],
        )
        .passing(1),
        case(
            GoAway(PROTOCOL),
            "DATA with more padding than bytes",
            &[&post(&[]), &frame(DATA, END_STREAM | PADDED, 1, &padded(200, b"body"))],
        ),
        case(
            GoAway(PROTOCOL),
            "padded DATA without a byte",
            &[&post(&[]), &frame(DATA, END_STREAM | PADDED, 1, &[])],
        ),
        case(
            GoAway(PROTOCOL),
            "HEADERS with more padding than bytes",
            &[&frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &padded(255, &fields(&BASE)))],
        ),
        case(GoAway(PROTOCOL), "a short PING", &[&frame(PING, 0, 0, &[0; 7])]),
        case(GoAway(PROTOCOL), "PING on a stream", &[&frame(PING, 0, 1, &[0; 8])]),
        case(
            GoAway(PROTOCOL),
            "a short RST_STREAM",
            &[&post(&[]), &frame(RST_STREAM, 0, 1, &[0; 3])],
        ),
        case(GoAway(PROTOCOL), "a short PRIORITY", &[&frame(PRIORITY, 0, 1, &[0; 4])]),
        case(GoAway(PROTOCOL), "GOAWAY on a stream", &[&frame(GOAWAY, 0, 1, &[0; 8])]),
        case(GoAway(PROTOCOL), "a short GOAWAY", &[&frame(GOAWAY, 0, 0, &[0; 7])]),
        case(
            GoAway(PROTOCOL),
            "PUSH_PROMISE of a client",
            &[
                &post(&[]),
                &frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &fields(&BASE)].concat()),
            ],
        ),
    ]
}

fn windows_and_settings() -> Vec<Case> {
    const MOST: u32 = 0x7fff_ffff;
    let window = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let raw =
        |name, bytes: &[u8], end| Case { name, bytes: bytes.to_vec(), stream: 1, end, passes: 0 };
    vec![
        case(GoAway(PROTOCOL), "a window that grows by nothing", &[&window(0, 0)]),
        case(GoAway(PROTOCOL), "a stream's window by nothing", &[&post(&[]), &window(1, 0)]),
        case(GoAway(FLOW_CONTROL), "a window beyond 31 bits", &[&window(0, MOST)]),
        case(
            Reset(FLOW_CONTROL),
            "a stream's window beyond 31 bits",
            &[&post(&[]), &window(1, MOST)],
        ),
        case(GoAway(PROTOCOL), "a window of a stream that nobody opened", &[&window(1, 1)]),
        case(GoAway(PROTOCOL), "a short WINDOW_UPDATE", &[&frame(WINDOW_UPDATE, 0, 0, &[0; 3])]),
        case(GoAway(PROTOCOL), "short SETTINGS", &[&frame(SETTINGS, 0, 0, &[0; 5])]),
        case(
            GoAway(PROTOCOL),
            "SETTINGS that answer and say something",
            &[&frame(SETTINGS, ACK, 0, &[0; 6])],
        ),
        case(GoAway(PROTOCOL), "SETTINGS on a stream", &[&frame(SETTINGS, 0, 1, &[])]),
        setting(GoAway(PROTOCOL), "a push setting of 2", 2, 2),
        setting(GoAway(PROTOCOL), "a window setting beyond 31 bits", 4, MOST + 1),
        setting(GoAway(PROTOCOL), "a frame size below 16 KiB", 5, 16_383),
        setting(GoAway(PROTOCOL), "a frame size above 16 MiB", 5, 1 << 24),
        raw("a preface that goes wrong", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Http1(505)),
        raw("a request before SETTINGS", &[PREFACE, &get(&BASE)].concat(), Closed),
        raw(
            "HTTP/1 behind the preface",
            &[PREFACE, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            Closed,
        ),
    ]
}

fn header_blocks() -> Vec<Case> {
    let block = fields(&BASE);
    let begin = frame(HEADERS, END_STREAM, 1, &block[..20]);
    let rest = |stream| frame(CONTINUATION, END_HEADERS, stream, &block[20..]);
    vec![
        case(Status(200), "a block in two frames", &[&begin, &rest(1)]).passing(1),
        case(GoAway(PROTOCOL), "CONTINUATION without a beginning", &[&rest(1)]),
        case(GoAway(PROTOCOL), "CONTINUATION behind the end", &[&get(&BASE), &rest(1)]),
        case(GoAway(PROTOCOL), "CONTINUATION of another stream", &[&begin, &rest(3)]),
        case(GoAway(PROTOCOL), "CONTINUATION on stream 0", &[&begin, &rest(0)]),
        case(
            GoAway(PROTOCOL),
            "PING within a block",
            &[&begin, &frame(PING, 0, 0, &[0; 8]), &rest(1)],
        ),
        case(
            GoAway(PROTOCOL),
            "an unknown frame within a block",
            &[&begin, &frame(0x42, 0, 1, &[]), &rest(1)],
        ),
        case(
            GoAway(PROTOCOL),
            "another request within a block",
            &[&begin, &frame(HEADERS, END_HEADERS | END_STREAM, 3, &fields(&BASE)), &rest(1)],
        ),
    ]
}

fn compression() -> Vec<Case> {
    // One line of 4,000 bytes in the table, and a thousand references to it.
    let bomb = {
        let mut bytes = fields(&BASE);
        bytes.push(0x40);
        string(&mut bytes, b"x");
        string(&mut bytes, &[b'x'; 4000]);
        bytes.extend_from_slice(&[0xbe; 1000]);
        bytes
    };
    let good = fields(&BASE);
    let then = |more: &[u8]| [&good[..], more].concat();
    vec![
        block(GoAway(PROTOCOL), "index 0", &then(&[0x80])),
        block(GoAway(PROTOCOL), "an index beyond the table", &then(&[0xbe])),
        block(GoAway(PROTOCOL), "an index of many digits", &then(&[0xff; 12])),
        block(GoAway(PROTOCOL), "a string beyond the block", &then(&[0, 1, b'x', 100, b'a'])),
        block(GoAway(PROTOCOL), "half a line", &then(&[0, 1])),
        block(
            GoAway(PROTOCOL),
            "Huffman coding that ends nowhere",
            &then(&[0, 1, b'x', 0x84, 255, 255, 255, 255]),
        ),
        block(
            GoAway(PROTOCOL),
            "a larger table than allowed",
            &[&[0x3f, 0xe2, 0x1f][..], &good].concat(),
        ),
        block(GoAway(PROTOCOL), "a size of the table behind a line", &then(&[0x20])),
        block(GoAway(CALM), "a line that grows a thousandfold", &bomb),
    ]
}

/// What may come and means nothing to us.
fn unknown() -> Vec<Case> {
    let request = get(&BASE);
    let reserved = frame(HEADERS, END_HEADERS | END_STREAM, 1 | 1 << 31, &fields(&BASE));
    vec![
        case(Status(200), "an unknown frame", &[&frame(0x42, 0xff, 1, b"?"), &request]).passing(1),
        case(Status(200), "an unknown setting", &[&frame(SETTINGS, 0, 0, &[0x42; 6]), &request])
            .passing(1),
        case(Status(200), "the reserved bit", &[&reserved]).passing(1),
        case(
            Status(200),
            "a scheme that is not ours",
            &[&get(&[METHOD, (b":scheme", b"ftp"), PATH, AUTHORITY])],
        )
        .passing(1),
        case(Status(200), "GOAWAY, and a request", &[&frame(GOAWAY, 0, 0, &[0; 8]), &request])
            .passing(1),
    ]
}
