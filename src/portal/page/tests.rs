//! What a request's own words ask for.

use super::*;

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn gzip_is_sent_to_those_who_take_it() {
    for good in ["gzip", "br, GZIP", "deflate;q=1, gzip;q=0.1", "*", "x-gzip"] {
        assert!(takes_gzip(&value(good)), "{good}");
    }
    for bad in ["", "br", "gzip;q=0", "gzip; q=0.0", "identity", "agzip"] {
        assert!(!takes_gzip(&value(bad)), "{bad}");
    }
}

#[test]
fn a_tag_is_found_in_a_list() {
    let tag = value("\"a\"");
    for good in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
        assert!(matches(&value(good), &tag), "{good}");
    }
    for bad in ["\"b\"", "a", "", "\"aa\""] {
        assert!(!matches(&value(bad), &tag), "{bad}");
    }
}

#[test]
fn what_stands_below_the_portal_is_a_file_or_nothing() {
    assert_eq!(File::at(""), Some(File::Slash));
    assert_eq!(File::at("/"), Some(File::Page));
    for nothing in ["//", "/x", "/openapi", "/openapi.json/", "/../x"] {
        assert_eq!(File::at(nothing), None);
    }
}
