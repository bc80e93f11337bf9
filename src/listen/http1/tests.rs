//! The guard over whole streams, in every way that they can be cut into pieces.

#[path = "../../../tests/gateway/hygiene/cases.rs"]
mod cases;

use proptest::prelude::*;

use super::{Flaw, Guard, Verdict};
use cases::{BAD, Case, GOOD};

/// What a session would see: the bytes that passed, request by request, and what ended it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    requests: Vec<Vec<u8>>,
    /// What passed of a request that did not come to its end.
    rest: Vec<u8>,
    flaw: Option<Flaw>,
}

fn word(seen: &Seen) -> Option<&'static str> {
    seen.flaw.map(Flaw::word)
}

const fn of(verdict: Verdict) -> u16 {
    match verdict {
        Verdict::Malformed => 400,
        Verdict::Tunnel => 405,
        Verdict::TooSlow => 408,
        Verdict::TargetTooLong => 414,
        Verdict::TooLarge => 431,
        Verdict::UnknownCoding => 501,
        Verdict::UnknownVersion => 505,
        Verdict::Close => 0,
    }
}

/// Shows a stream to a guard in these pieces, as a connection does.
fn see<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut guard = Guard::default();
    let mut seen = Seen { requests: Vec::new(), rest: Vec::new(), flaw: None };
    let mut window = Vec::new();
    for piece in pieces {
        window.extend_from_slice(piece);
        loop {
            match guard.feed(&window) {
                Ok(0) => break,
                Ok(passed) => seen.rest.extend(window.drain(..passed)),
                Err(flaw) => {
                    seen.flaw = Some(flaw);
                    return seen;
                }
            }
            if guard.is_complete() {
                seen.requests.push(std::mem::take(&mut seen.rest));
                guard.next();
            }
            if window.is_empty() {
                break;
            }
        }
    }
    seen
}

/// The stream in two pieces, cut at every place, and byte by byte.
fn in_all_ways(stream: &[u8]) -> Seen {
    let whole = see([stream]);
    // Long ones are cut near their ends and here and there.
    let near = |at: &usize| {
        stream.len() < 2048 || *at < 64 || at.is_multiple_of(97) || stream.len() - at < 64
    };
    for at in (0..=stream.len()).filter(near) {
        let (one, other) = stream.split_at(at);
        assert_eq!(see([one, other]), whole, "cut at {at}: {}", stream.escape_ascii());
    }
    assert_eq!(see(stream.chunks(1)), whole, "byte by byte: {}", stream.escape_ascii());
    whole
}

#[test]
fn what_is_malformed_is_refused_however_it_is_cut() {
    for Case { name, stream, before, reason, status } in BAD {
        let stream = stream.bytes();
        let seen = in_all_ways(&stream);
        assert_eq!(seen.flaw.map(|flaw| of(flaw.verdict())), Some(*status), "{name}");
        assert_eq!(word(&seen), Some(*reason), "{name}: {}", stream.escape_ascii());
        assert_eq!(seen.requests.len(), *before, "{name}");
    }
    assert!(BAD.len() >= 150, "{}", BAD.len());
}

#[test]
fn what_is_clean_passes_byte_for_byte() {
    for (stream, requests) in GOOD {
        let stream = stream.bytes();
        let seen = in_all_ways(&stream);
        assert_eq!(
            (seen.flaw, seen.requests.len()),
            (None, *requests),
            "{}",
            stream.escape_ascii()
        );
        assert_eq!(seen.requests.concat(), stream, "nothing is added, lost or left");
    }
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<_> = BAD.iter().map(|case| case.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn what_is_behind_a_refused_head_does_not_matter() {
    for Case { name, stream, before, reason, .. } in BAD {
        let mut stream = stream.bytes();
        stream.extend_from_slice(b"\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let seen = see([stream.as_slice()]);
        assert_eq!((word(&seen), seen.requests.len()), (Some(*reason), *before), "{name}");
    }
}

/// Bytes that a grammar of HTTP could be confused by, and some that it takes.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET ",
        b"POST ",
        b"/a",
        b" HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"Host: a\r\n",
        b"Host:",
        b"Content-Length: 3\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"5;x=y\r\n",
        b"abc",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"1",
        b"f",
        b"X: y\r\n",
        b"\xff",
        b";",
        b"\"",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let free = proptest::collection::vec(token(), 0..24).prop_map(|tokens| tokens.concat());
    let good: Vec<Vec<u8>> = GOOD.iter().map(|(stream, _)| stream.bytes()).collect();
    let behind = (proptest::sample::select(good), proptest::collection::vec(token(), 0..8))
        .prop_map(|(mut good, tokens)| {
            good.extend(tokens.concat());
            good
        });
    prop_oneof![free, behind]
}

/// A carriage return that comes alone is refused as soon as it is seen to stay alone.
#[test]
fn a_carriage_return_before_a_request_waits_for_no_line_feed() {
    assert_eq!(in_all_ways(b"\rGET ").flaw, Some(Flaw::BareCr));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_way_of_cutting_changes_what_passes(
        stream in stream(),
        sizes in proptest::collection::vec(1usize..40, 1..64),
    ) {
        let whole = see([stream.as_slice()]);
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        prop_assert_eq!(see(pieces), whole);
    }

    #[test]
    fn what_passes_is_a_beginning_of_what_came(stream in stream()) {
        let seen = see([stream.as_slice()]);
        let mut passed = seen.requests.concat();
        passed.extend(seen.rest);
        prop_assert!(stream.starts_with(&passed));
    }
}
