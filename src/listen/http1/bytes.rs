//! Which bytes may stand where, and finding the first that may not, quickly.

/// What a token consists of (RFC 9110, section 5.6.2).
pub(super) const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        table[byte as usize] = !matches!(
            byte,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
                | b'{'
                | b'}'
        );
        byte += 1;
    }
    table
};

/// What may stand in a request target, as far as it can be told byte by byte. Of the visible ones, three stand in no
/// URI (RFC 3986, appendix A), and Pingora would rewrite them in the head; it would cut the target at the fourth.
pub(super) const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0x21;
    while byte < 0x7f {
        table[byte as usize] = !matches!(byte, b'"' | b'<' | b'>' | b'#');
        byte += 1;
    }
    table
};

/// Whether a byte can't stand in a field value: a control character other than a tab.
pub(super) const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Where the first byte from `from` on stands that no token has; the length of `bytes` if there is none.
pub(super) fn token_end(bytes: &[u8], from: usize) -> usize {
    first_not_in(&TOKEN, bytes, from)
}

/// The same for a request target.
pub(super) fn target_end(bytes: &[u8], from: usize) -> usize {
    first_not_in(&TARGET, bytes, from)
}

fn first_not_in(table: &[bool; 256], bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !table[usize::from(*byte)]).unwrap_or(rest.len())
}

/// Every byte of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Where the first control character other than a tab stands; the length of `bytes` if there is none.
///
/// Values are most of a head, so eight bytes are looked at together. What is computed is exact for the first byte
/// that is found and may err for those behind it, which are looked at again.
pub(super) fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let low = word.wrapping_sub(each(0x20)) & !word;
        let is_del = word ^ each(0x7f);
        let del = is_del.wrapping_sub(each(1)) & !is_del;
        let found = (low | del) & each(0x80);
        if found == 0 {
            at += 8;
            continue;
        }
        at += found.trailing_zeros() as usize / 8;
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| is_control(*byte)).unwrap_or(rest.len())
}

/// A value without the spaces and tabs around it.
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_control_character_is_found_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..20 {
                let mut text = [b'a'; 20];
                text[place] = byte;
                text[19] = text[19].max(b'\n');
                let found = value_end(&text, 0);
                let expected = text.iter().position(|b| is_control(*b)).unwrap_or(20);
                assert_eq!(found, expected, "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn fast_and_slow_agree(text in proptest::collection::vec(any::<u8>(), 0..40), from in 0usize..40) {
            let from = from.min(text.len());
            let slow = text[from..].iter().position(|b| is_control(*b)).map_or(text.len(), |p| from + p);
            prop_assert_eq!(value_end(&text, from), slow);
        }
    }

    #[test]
    fn spaces_and_tabs_around_a_value_go() {
        for (sent, meant) in [(" a b\t", "a b"), ("", ""), (" \t ", ""), ("x", "x")] {
            assert_eq!(trimmed(sent.as_bytes()), meant.as_bytes());
        }
    }
}
