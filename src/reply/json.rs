//! Text inside a JSON string, written without a serializer.

/// What must not stand in a JSON string as it is (RFC 8259, section 7), and two kinds more: DEL and
/// the first byte of the C1 controls, which a terminal showing the line would obey.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[0x7F] = true;
    table[0xC2] = true;
    table
};

/// Appends `text` to `out` as the inside of a JSON string, without the quotes.
///
/// Stretches without anything special, which is nearly all there is, are copied whole.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    let mut at = 0;
    loop {
        // Eight bytes at a time, as long as there is nothing to look at more closely.
        while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            if may_be_special(u64::from_ne_bytes(*word)) {
                break;
            }
            at += word.len();
        }
        // What is left behind the last whole word is looked at with the bytes before it, which are known.
        if let Some(word) = bytes.last_chunk()
            && at > copied.max(bytes.len() - word.len())
            && !may_be_special(u64::from_ne_bytes(*word))
        {
            break;
        }
        let Some(byte) = bytes.get(at) else { break };
        if !SPECIAL[usize::from(*byte)] {
            at += 1;
            continue;
        }
        // U+0080 to U+00BF are written C2 80 to C2 BF; only the first half of them are controls.
        let (code, length) = match bytes[at] {
            0xC2 if bytes.get(at + 1).is_some_and(|next| *next < 0xA0) => (bytes[at + 1], 2),
            0xC2 => {
                at += 2;
                continue;
            }
            byte => (byte, 1),
        };
        out.extend_from_slice(&bytes[copied..at]);
        escape_one(out, code);
        at += length;
        copied = at;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Whether one of eight bytes is special, or none of ASCII. It may say so of a word that has none, and then its bytes
/// are looked at one by one.
fn may_be_special(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // A byte that is equal becomes nothing, and going below nothing sets its highest bit.
    let is = |byte: u8| (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES);
    let below_space = word.wrapping_sub(ONES * 0x20);
    (word | below_space | is(b'"') | is(b'\\') | is(0x7F)) & HIGH != 0
}

fn escape_one(out: &mut Vec<u8>, code: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match code {
        b'"' | b'\\' => code,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let (high, low) = (HEX[usize::from(code >> 4)], HEX[usize::from(code & 0xF)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut out = vec![b'"'];
        escape(&mut out, text);
        out.push(b'"');
        String::from_utf8(out).expect("text stays text")
    }

    #[test]
    fn what_a_terminal_or_a_parser_would_obey_is_escaped() {
        assert_eq!(quoted("a\"b\\c\r\n\t"), r#""a\"b\\c\r\n\t""#);
        assert_eq!(quoted("\0\u{1b}[2J\u{7f}\u{9b}2J"), r#""\u0000\u001b[2J\u007f\u009b2J""#);
        assert_eq!(quoted("\u{a0}\u{bf}é€😀"), "\"\u{a0}\u{bf}é€😀\"");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>()) {
            let line = quoted(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&line).expect("valid JSON"), text);
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}
