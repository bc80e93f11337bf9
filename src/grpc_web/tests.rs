use http::header::ORIGIN;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    lines.iter().map(pair).collect()
}

fn bridge(content_type: &'static str) -> Bridge {
    *Bridge::of(&Method::POST, &headers(&[("content-type", content_type)])).unwrap()
}

/// What a service gets of a body that comes in these pieces.
fn decoded<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, NotText> {
    let (mut bridge, mut all) = (bridge("application/grpc-web-text"), Vec::new());
    for piece in pieces {
        let mut body = Some(Bytes::copy_from_slice(piece));
        bridge.body(&mut body, false)?;
        all.extend(body.unwrap());
    }
    bridge.body(&mut None, true)?;
    Ok(all)
}

#[test]
fn a_call_is_known_by_its_content_type() {
    for (content_type, form, to_service) in [
        ("application/grpc-web", Form::Binary, "application/grpc"),
        ("application/grpc-web+proto", Form::Binary, "application/grpc+proto"),
        ("Application/gRPC-Web+json; a=b", Form::Binary, "application/grpc+json; a=b"),
        ("application/grpc-web-text", Form::Text, "application/grpc"),
        ("application/grpc-web-text+proto", Form::Text, "application/grpc+proto"),
        ("application/grpc-web-text; charset=utf-8", Form::Text, "application/grpc; charset=utf-8"),
    ] {
        let mut sent = headers(&[
            ("content-type", content_type),
            ("content-length", "8"),
            ("x-grpc-web", "1"),
            ("accept", "*/*"),
            ("x-mine", "1"),
        ]);
        let bridge = Bridge::of(&Method::POST, &sent).unwrap();
        assert_eq!((bridge.answer, bridge.decoder.is_some()), (form, form == Form::Text));
        bridge.request(&mut sent);
        let expected =
            headers(&[("content-type", to_service), ("te", "trailers"), ("x-mine", "1")]);
        assert_eq!(sent, expected, "{content_type}");
    }
    for other in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webs",
        "application/grpc-web-texts",
        "application/grpc-web/x",
        "application/json",
        "",
    ] {
        assert!(
            Bridge::of(&Method::POST, &headers(&[("content-type", other)])).is_none(),
            "{other}"
        );
    }
    let sent = headers(&[("content-type", "application/grpc-web")]);
    assert!(Bridge::of(&Method::GET, &sent).is_none());
    assert!(Bridge::of(&Method::POST, &HeaderMap::new()).is_none());
}

#[test]
fn an_answer_has_the_form_that_is_asked_for() {
    for (content_type, accept, form) in [
        ("application/grpc-web", "application/grpc-web-text", Form::Text),
        ("application/grpc-web-text", "application/grpc-web+proto", Form::Binary),
        ("application/grpc-web-text", "*/*", Form::Text),
    ] {
        let sent = headers(&[("content-type", content_type), ("accept", accept)]);
        assert_eq!(Form::wanted(&sent), Some(form), "{content_type} {accept}");
    }
    let sent = headers(&[("content-type", "text/html"), ("accept", "application/grpc-web")]);
    assert_eq!(Form::wanted(&sent), None);
}

#[test]
fn an_answer_of_grpc_becomes_one_of_grpc_web() {
    for (content_type, becomes) in [
        ("application/grpc", "application/grpc-web-text"),
        ("application/grpc+proto", "application/grpc-web-text+proto"),
    ] {
        let mut bridge = bridge("application/grpc-web-text");
        let mut answer = headers(&[("content-type", content_type), ("content-length", "7")]);
        bridge.answer(&mut answer);
        assert_eq!(answer, headers(&[("content-type", becomes)]));
        let mut body = Some(Bytes::from_static(b"\0\0\0\0\x02ab"));
        bridge.piece(&mut body);
        assert_eq!(body.unwrap(), "AAAAAAJhYg==");
        let trailers = bridge.trailers(&headers(&[("grpc-status", "0")])).unwrap();
        assert_eq!(trailers, "gAAAAA9ncnBjLXN0YXR1czowDQo=");
    }
}

#[test]
fn trailers_are_the_last_frame() {
    let mut bridge = bridge("application/grpc-web+proto");
    bridge.answer(&mut headers(&[("content-type", "application/grpc")]));
    let mut trailers = headers(&[("grpc-status", "5"), ("x-a-bin", "AP8=")]);
    trailers.append("x-a-bin", HeaderValue::from_static("AA"));
    let frame = bridge.trailers(&trailers).unwrap();
    let text = b"grpc-status:5\r\nx-a-bin:AP8=\r\nx-a-bin:AA\r\n";
    assert_eq!(frame[..5], [0x80, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
    assert_eq!(frame[5..], text[..]);
    assert_eq!(&*bridge.trailers(&HeaderMap::new()).unwrap(), b"\x80\0\0\0\0");
}

#[test]
fn an_error_page_from_before_the_service_stays_as_it_is() {
    let mut bridge = bridge("application/grpc-web-text");
    let page = headers(&[("content-type", "text/html"), ("content-length", "2")]);
    let mut answer = page.clone();
    bridge.answer(&mut answer);
    let mut body = Some(Bytes::from_static(b"no"));
    bridge.piece(&mut body);
    assert_eq!((answer, body.unwrap()), (page, Bytes::from_static(b"no")));
    assert_eq!(bridge.trailers(&HeaderMap::new()), None);
}

#[test]
fn pages_of_other_origins_see_the_status_where_they_may_see_the_answer() {
    let mut bridge = bridge("application/grpc-web");
    let mut answer =
        headers(&[("content-type", "application/grpc"), ("access-control-allow-origin", "*")]);
    bridge.answer(&mut answer);
    assert_eq!(answer[ACCESS_CONTROL_EXPOSE_HEADERS], STATUS_HEADERS);
    let mut answer = headers(&[("content-type", "application/grpc")]);
    bridge.answer(&mut answer);
    assert!(!answer.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS) && !answer.contains_key(ORIGIN));
}

#[test]
fn a_body_of_text_is_decoded_however_it_is_cut() {
    // Three pieces, each with its own end.
    let text = b"AAAAAAJhYg==AA==/+8=AAEC";
    let bytes = b"\0\0\0\0\x02ab\0\xff\xef\0\x01\x02";
    for one in 0..=text.len() {
        for two in one..=text.len() {
            let pieces = [&text[..one], &text[one..two], &text[two..]];
            assert_eq!(decoded(pieces).as_deref(), Ok(&bytes[..]), "{one} {two}");
        }
    }
    assert_eq!(decoded(text.chunks(1)).as_deref(), Ok(&bytes[..]));
    assert_eq!(decoded([]).as_deref(), Ok(&b""[..]));
}

#[test]
fn what_is_no_base64_is_refused_however_it_is_cut() {
    for text in [
        "AAA", "A", "AAAAA", "A===", "====", "AA=A", "AAA\n", "AA-_", "AB==", "AAAA=AAA",
        "\u{fc}AA",
    ] {
        for cut in 0..=text.len() {
            let (one, two) = text.as_bytes().split_at(cut);
            assert_eq!(decoded([one, two]), Err(NotText), "{text:?} at {cut}");
        }
    }
}

#[test]
fn a_second_try_begins_anew() {
    let mut bridge = bridge("application/grpc-web-text");
    bridge.body(&mut Some(Bytes::from_static(b"AAA")), false).unwrap();
    bridge.restart();
    let mut body = Some(Bytes::from_static(b"AAEC"));
    bridge.body(&mut body, true).unwrap();
    assert_eq!(&*body.unwrap(), b"\0\x01\x02");
}

#[test]
fn bytes_pass_as_they_are() {
    let mut bridge = bridge("application/grpc-web");
    let mut body = Some(Bytes::from_static(b"any\0\xff"));
    bridge.body(&mut body, true).unwrap();
    assert_eq!(&*body.unwrap(), b"any\0\xff");
}

proptest! {
    #[test]
    fn what_is_written_in_pieces_is_read_in_any_others(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
        size in 1usize..9,
    ) {
        let text: Vec<u8> = pieces.iter().flat_map(|piece| encode(piece)).collect();
        prop_assert_eq!(decoded(text.chunks(size)), Ok(pieces.concat()));
    }
}
