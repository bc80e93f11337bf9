//! What `Accept-Encoding` accepts (RFC 9110, section 12.5.3).

use http::HeaderValue;

use super::Algorithm;

/// The coding that the client likes best; of those that it likes as much, the first of ours. None if it accepts
/// none of them, or likes the plain body better.
pub(super) fn choose<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
    ours: &[Algorithm],
) -> Option<Algorithm> {
    // In thousandths; what is not named has none. A few names, so that a list will do.
    let mut named: [Option<u16>; 3] = [None; 3];
    let (mut any, mut plain): (Option<u16>, Option<u16>) = (None, None);
    for entry in lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')) {
        let mut parts = entry.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = weight(parts.next());
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("*") {
            any = Some(weight);
        } else if is("identity") {
            plain = Some(weight);
        } else if is("zstd") {
            named[0] = Some(weight);
        } else if is("br") {
            named[1] = Some(weight);
        } else if is("gzip") || is("x-gzip") {
            named[2] = Some(weight);
        }
    }
    let of = |algorithm: Algorithm| {
        let slot = match algorithm {
            Algorithm::Zstd => 0,
            Algorithm::Br => 1,
            Algorithm::Gzip => 2,
        };
        named[slot].or(any).unwrap_or(0)
    };
    let mut best: Option<(Algorithm, u16)> = None;
    for &algorithm in ours {
        let weight = of(algorithm);
        if weight > 0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((algorithm, weight));
        }
    }
    best.filter(|(_, weight)| *weight >= plain.unwrap_or(0)).map(|(algorithm, _)| algorithm)
}

/// A weight in thousandths: 1000 if there is none, 0 if it is no weight.
fn weight(parameter: Option<&[u8]>) -> u16 {
    let Some(parameter) = parameter else { return 1000 };
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    let Some((whole, rest)) = value.and_then(|value| value.split_first()) else { return 0 };
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return 0,
    };
    match whole {
        b'1' if digits.iter().all(|digit| *digit == b'0') => 1000,
        b'0' => {
            let places = [100, 10, 1];
            digits.iter().zip(places).map(|(digit, place)| u16::from(digit - b'0') * place).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Algorithm::{Br, Gzip, Zstd};
    use super::*;

    #[test]
    fn the_client_chooses_and_ours_decide_between_equals() {
        for (accept, chosen) in [
            ("", None),
            ("identity", None),
            ("deflate, compress", None),
            ("gzip", Some(Gzip)),
            ("GZip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Br)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0, *", Some(Zstd)),
            ("zstd;q=0, *;q=0.5", Some(Br)),
            ("*;q=0", None),
            ("*", Some(Zstd)),
            ("br ; q=0.001", Some(Br)),
            ("br;q=0.5, identity;q=0.6", None),
            ("br;q=0.5, identity;q=0.5", Some(Br)),
            ("br;q=2", None),
            ("br;q=1.001", None),
            ("br;q=0.1234", None),
            ("br;q=", None),
            ("br;level=4", None),
            ("gzip;;q=1", None),
        ] {
            let value = HeaderValue::from_static(accept);
            assert_eq!(choose(std::iter::once(&value), &[Zstd, Br, Gzip]), chosen, "{accept:?}");
        }
    }

    #[test]
    fn only_what_is_ours_is_chosen_and_all_lines_count() {
        let lines = ["zstd", "br;q=0.5", "gzip;q=0.4"].map(HeaderValue::from_static);
        assert_eq!(choose(lines.iter(), &[Gzip, Br]), Some(Br));
        assert_eq!(choose(lines.iter(), &[Gzip]), Some(Gzip));
        assert_eq!(choose([].iter(), &[Gzip]), None);
    }
}
