//! PEM (RFC 7468): certificates and private keys as text.
//!
//! A reader of our own, because the file is read elsewhere (a load must be testable without files)
//! and the TLS library at hand only reads paths. It is strict: a broken block refuses the file.

/// One block of a PEM file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What the `BEGIN` line says, such as `CERTIFICATE`.
    pub label: String,
    pub der: Vec<u8>,
}

/// All blocks of a PEM file; text between them is a comment. `None` if it is broken.
pub(super) fn blocks(text: &[u8]) -> Option<Vec<Block>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim) {
        match &mut open {
            None => {
                if let Some(label) = boundary(line, "-----BEGIN ") {
                    open = Some((label, String::new()));
                }
            }
            Some((label, body)) => {
                if let Some(end) = boundary(line, "-----END ") {
                    if end != *label {
                        return None;
                    }
                    blocks.push(Block { label: (*label).to_owned(), der: base64(body)? });
                    open = None;
                } else {
                    body.push_str(line);
                }
            }
        }
    }
    open.is_none().then_some(blocks)
}

fn boundary<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &bytes[..bytes.len() - padding];
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in chunk {
            bits = bits << 6 | u32::from(digit(*byte)?);
        }
        let octets = chunk.len() * 6 / 8;
        bits <<= 6 * (4 - chunk.len());
        out.extend(&bits.to_be_bytes()[1..=octets]);
    }
    Some(out)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_the_rfc_shows() {
        for (text, plain) in [
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["", "Zg", "Zg=", "====", "Z===", "Zm9!", "Zg==Zg==", "Zm 9"] {
            assert_eq!(base64(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn blocks_are_found_between_comments() {
        let text = b"mine:\n-----BEGIN A-----\r\nZm9v\r\nYmFy\r\n-----END A-----\n\n\
            -----BEGIN B C-----\nZg==\n-----END B C-----\n";
        let found = blocks(text).expect("well formed");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].label.as_str(), found[0].der.as_slice()), ("A", &b"foobar"[..]));
        assert_eq!((found[1].label.as_str(), found[1].der.as_slice()), ("B C", &b"f"[..]));
        assert_eq!(blocks(b"nothing here"), Some(vec![]));
    }

    #[test]
    fn broken_files_are_refused_whole() {
        for bad in [
            "-----BEGIN A-----\nZg==\n",
            "-----BEGIN A-----\nZg==\n-----END B-----\n",
            "-----BEGIN A-----\nZ?==\n-----END A-----\n",
            "-----BEGIN A-----\n-----END A-----\n",
        ] {
            assert_eq!(blocks(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(blocks(b"\xff\xfe"), None);
    }
}
