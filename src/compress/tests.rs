use std::io::Read as _;

use http::Method;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::compression::ResponseCompressionCtx;

use super::*;
use crate::units::Size;

fn unpack(coding: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)?,
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out)?,
        "zstd" => zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut out)?,
        other => panic!("{other}"),
    };
    Ok(out)
}

fn compress() -> Compress {
    let mut diagnostics = Diagnostics::new();
    Compress::compile(&Config::default(), &At::root(), &mut diagnostics).expect("defaults")
}

fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

const ALL: (&str, &str) = ("accept-encoding", "gzip, br, zstd");
const JSON: (&str, &str) = ("content-type", "application/json");

/// The headers after the decision, and whether there is an encoder.
fn decide(
    status: u16,
    length: Option<u64>,
    sent: &[(&'static str, &'static str)],
    answer: &[(&'static str, &'static str)],
) -> (HeaderMap, bool) {
    let mut headers = map(answer);
    let status = StatusCode::from_u16(status).unwrap();
    let answer = Answer { status, length, headers: &mut headers };
    let encoder = compress().begin(&map(sent), answer);
    (headers, encoder.is_some())
}

#[test]
fn every_coding_can_be_read_again_and_every_piece_at_once() {
    let text: Vec<u8> = (0..5000).flat_map(|n: u32| format!("line {n}\n").into_bytes()).collect();
    for algorithm in Config::default().algorithms {
        for length in [None, Some(text.len() as u64)] {
            let mut encoder = Encoder::new(algorithm, length).unwrap();
            let (mut sent, mut given) = (Vec::new(), 0);
            for piece in text.chunks(7000) {
                let out = encoder.piece(piece).unwrap();
                assert!(!out.is_empty(), "{algorithm:?} holds a piece back");
                sent.extend_from_slice(&out);
                given += piece.len();
                // What has been sent so far tells all that was given so far.
                let mut seen = vec![0; given];
                match algorithm {
                    Algorithm::Gzip => {
                        flate2::read::GzDecoder::new(&sent[..]).read_exact(&mut seen)
                    }
                    Algorithm::Br => {
                        brotli::Decompressor::new(&sent[..], 4096).read_exact(&mut seen)
                    }
                    Algorithm::Zstd => {
                        zstd::stream::read::Decoder::new(&sent[..]).unwrap().read_exact(&mut seen)
                    }
                }
                .unwrap_or_else(|error| panic!("{algorithm:?} after {given}: {error}"));
                assert!(seen == text[..given], "{algorithm:?}");
            }
            sent.extend_from_slice(&encoder.finish(b"").unwrap());
            assert!(sent.len() < text.len() / 2, "{algorithm:?}: {}", sent.len());
            assert!(unpack(algorithm.name(), &sent).unwrap() == text, "{algorithm:?}");
        }
        let empty = Encoder::new(algorithm, None).unwrap().finish(b"").unwrap();
        assert_eq!(unpack(algorithm.name(), &empty).unwrap(), b"", "{algorithm:?}");
    }
}

#[test]
fn an_answer_that_is_compressed_says_so() {
    let answer = [
        JSON,
        ("content-length", "2000"),
        ("etag", "\"abc\""),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
        ("repr-digest", "x"),
        ("vary", "Origin"),
    ];
    let (headers, encodes) = decide(200, Some(2000), &[ALL], &answer);
    assert!(encodes);
    let expected = map(&[
        JSON,
        ("content-encoding", "zstd"),
        ("etag", "W/\"abc\""),
        ("vary", "Origin, Accept-Encoding"),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn who_does_not_accept_it_gets_it_plain_and_caches_are_told() {
    for sent in [&[][..], &[("accept-encoding", "gzip;q=0")], &[("accept-encoding", "deflate")]] {
        let (headers, encodes) = decide(200, Some(2000), sent, &[JSON, ("etag", "\"abc\"")]);
        assert!(!encodes);
        assert_eq!(headers, map(&[JSON, ("etag", "\"abc\""), ("vary", "Accept-Encoding")]));
    }
}

#[test]
fn what_must_stay_as_it_is_stays() {
    let big = Some(1 << 20);
    let html = ("content-type", "Text/HTML; charset=utf-8");
    for (status, length, more, why) in [
        (200, Some(1023), &[JSON][..], "small"),
        (200, big, &[], "of no type"),
        (200, big, &[("content-type", "image/png")], "a picture"),
        (200, big, &[("content-type", "text/event-stream")], "events"),
        (200, big, &[("content-type", "application/grpc+json")], "gRPC"),
        (200, big, &[JSON, ("content-encoding", "gzip")], "encoded"),
        (200, big, &[JSON, ("cache-control", "max-age=5, No-Transform")], "final"),
        (200, big, &[JSON, ("content-range", "bytes 0-1/2")], "a range"),
        (204, None, &[JSON], "without a body"),
        (205, None, &[JSON], "without a body"),
        (206, big, &[JSON], "partial"),
        (101, None, &[JSON], "another protocol"),
    ] {
        let (headers, encodes) = decide(status, length, &[ALL], more);
        assert!(!encodes && headers == map(more), "{why}: {headers:?}");
    }
    let (headers, encodes) = decide(200, big, &[ALL, ("cache-control", "no-transform")], &[JSON]);
    assert!(!encodes && headers == map(&[JSON]), "the client wants it as it is");
    for (length, kind) in [(Some(1024), JSON), (None, JSON), (big, html)] {
        assert!(decide(200, length, &[ALL], &[kind]).1, "{length:?} {kind:?}");
    }
    let svg = ("content-type", "application/problem+json");
    assert!(decide(404, Some(2000), &[ALL], &[svg]).1);
}

#[test]
fn a_304_speaks_of_the_answer_that_the_client_has() {
    let tag = ("etag", "\"abc\"");
    assert_eq!(decide(304, None, &[ALL], &[tag]).0, map(&[("etag", "W/\"abc\"")]));
    assert_eq!(decide(304, None, &[], &[tag]).0, map(&[tag]));
    let weak = ("etag", "W/\"abc\"");
    assert_eq!(decide(304, None, &[ALL], &[weak]).0, map(&[weak]));
}

#[test]
fn a_list_that_says_nothing_is_refused() {
    for (yaml, at) in [
        ("{ types: [] }", "compress.types"),
        ("{ types: [ text/html, json ] }", "compress.types[1]"),
        ("{ types: [ \"*/*\" ] }", "compress.types[0]"),
        ("{ types: [ \"application/*json\" ] }", "compress.types[0]"),
        ("{ algorithms: [] }", "compress.algorithms"),
        ("{ algorithms: [ br, gzip, br ] }", "compress.algorithms[2]"),
    ] {
        let config: Config = serde_yaml::from_str(yaml).expect(yaml);
        let mut diagnostics = Diagnostics::new();
        let compiled = Compress::compile(&config, &At::root().key("compress"), &mut diagnostics);
        let told = diagnostics.iter().next().expect(yaml);
        assert!(compiled.is_none() && told.at.to_string() == at, "{yaml}: {told:?}");
    }
}

/// However small the smallest is: without a body there is nothing that could be read as compressed.
#[test]
fn nothing_stays_nothing() {
    let config = Config { min_size: Size(0), ..Config::default() };
    let compress = Compress::compile(&config, &At::root(), &mut Diagnostics::new()).expect("it");
    for (length, encodes) in [(Some(0), false), (Some(1), true), (None, true)] {
        let mut headers = map(&[JSON]);
        let answer = Answer { status: StatusCode::OK, length, headers: &mut headers };
        assert_eq!(compress.begin(&map(&[ALL]), answer).is_some(), encodes, "{length:?}");
    }
}

/// What Pingora's own module does with an answer to who accepts this: its coding and its whole body.
fn pingoras(
    accept: &str,
    status: u16,
    more: &[(&'static str, &'static str)],
) -> (Option<String>, Vec<Bytes>) {
    let mut module = ResponseCompressionCtx::new(5, false, false);
    let mut request = RequestHeader::build(Method::GET, b"/", None).unwrap();
    request.insert_header("accept-encoding", accept).unwrap();
    module.request_filter(&request);
    let mut head = ResponseHeader::build(status, None).unwrap();
    for (name, value) in [JSON].iter().chain(more) {
        head.insert_header(*name, *value).unwrap();
    }
    module.response_header_filter(&mut head, false);
    let coding = head.headers.get(CONTENT_ENCODING).map(|v| v.to_str().unwrap().to_owned());
    let piece = Bytes::from_static(b"{\"a\": \"piece\"}");
    let pieces = [(Some(&piece), false), (None, true)];
    let out = pieces.into_iter().filter_map(|(data, end)| module.response_body_filter(data, end));
    (coding, out.collect())
}

use bytes::Bytes;

/// Why there is a station of our own; what is mended here may make it needless.
#[test]
fn pingoras_module_is_not_used_for_these_reasons() {
    let coding = |accept, status, more: &[_]| pingoras(accept, status, more).0;
    let gzip = Some("gzip".to_owned());
    assert_eq!(coding("gzip;q=0", 200, &[]), gzip, "refused by the client");
    assert_eq!(coding("gzip;q=0.1, zstd", 200, &[]), gzip, "the first, not the best");
    assert_eq!(coding("gzip", 206, &[("content-range", "bytes 0-9/99")]), gzip, "a part");
    assert_eq!(coding("gzip", 200, &[("cache-control", "no-transform")]), gzip, "final");
    let (_, pieces) = pingoras("gzip", 200, &[]);
    let mut first = [0; 1];
    let begun = flate2::read::GzDecoder::new(&pieces[0][..]).read_exact(&mut first);
    assert!(begun.is_err(), "the first piece is held back");
    let (coding, pieces) = pingoras("br", 200, &[]);
    assert_eq!(coding.as_deref(), Some("br"));
    assert!(unpack("br", &pieces.concat()).is_err(), "the stream has no end");
}
