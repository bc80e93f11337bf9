//! Swagger UI's files, out of the archive that its crate carries. They are found when this is compiled, so that the
//! program holds these files alone, compressed as they are in the archive, and nothing can be missing later.

use std::io::Read as _;
use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

use super::tag;

/// The version of Swagger UI.
pub(super) const VERSION: &str = "5.32.6";

/// Where a file stands in the archive.
#[derive(Clone, Copy)]
struct Found {
    at: usize,
    packed: usize,
    size: usize,
    crc: u32,
    /// Whether it is deflated (RFC 1951), or stored as it is.
    deflated: bool,
}

const fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    let mut value = 0;
    let mut i = width;
    while i > 0 {
        i -= 1;
        value = value << 8 | bytes[at + i] as usize;
    }
    value
}

const fn ends_with(bytes: &[u8], at: usize, len: usize, end: &[u8]) -> bool {
    if len < end.len() {
        return false;
    }
    let mut i = 0;
    while i < end.len() {
        if bytes[at + len - end.len() + i] != end[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Looks a file up in the archive's directory, which stands at its end.
#[expect(clippy::cast_possible_truncation, reason = "a sum of 32 bits, read from four bytes")]
const fn find(name: &[u8]) -> Found {
    let mut end = ARCHIVE.len() - 22;
    while number(ARCHIVE, end, 4) != 0x0605_4b50 {
        end -= 1;
    }
    let mut at = number(ARCHIVE, end + 16, 4);
    let mut left = number(ARCHIVE, end + 10, 2);
    while left > 0 {
        let name_len = number(ARCHIVE, at + 28, 2);
        let more = number(ARCHIVE, at + 30, 2) + number(ARCHIVE, at + 32, 2);
        if ends_with(ARCHIVE, at + 46, name_len, name) {
            let local = number(ARCHIVE, at + 42, 4);
            let data = local + 30 + number(ARCHIVE, local + 26, 2) + number(ARCHIVE, local + 28, 2);
            return Found {
                at: data,
                packed: number(ARCHIVE, at + 20, 4),
                size: number(ARCHIVE, at + 24, 4),
                crc: number(ARCHIVE, at + 16, 4) as u32,
                deflated: number(ARCHIVE, at + 10, 2) == 8,
            };
        }
        at += 46 + name_len + more;
        left -= 1;
    }
    panic!("the archive has no such file")
}

/// The bytes of a file alone, so that the rest of the archive is not part of the program.
const fn bytes<const N: usize>(found: Found) -> [u8; N] {
    let (_, from) = ARCHIVE.split_at(found.at);
    match from.first_chunk::<N>() {
        Some(bytes) => *bytes,
        None => panic!("the archive is cut"),
    }
}

/// A file of Swagger UI.
pub(super) struct Asset {
    packed: &'static [u8],
    found: Found,
    /// As a gzip file with its tag: the same for ever, so it is made once.
    gzip: OnceLock<(Bytes, HeaderValue)>,
}

macro_rules! asset {
    ($name:ident, $file:literal) => {
        pub(super) static $name: Asset = {
            const FOUND: Found = find(concat!("/dist/", $file).as_bytes());
            static BYTES: [u8; FOUND.packed] = bytes(FOUND);
            Asset { packed: &BYTES, found: FOUND, gzip: OnceLock::new() }
        };
    };
}

asset!(BUNDLE, "swagger-ui-bundle.js");
asset!(STYLE, "swagger-ui.css");
asset!(ICON, "favicon-32x32.png");

impl Asset {
    /// As a gzip file (RFC 1952), if it is worth one: the archive has done the work.
    pub(super) fn gzip(&self) -> Option<&(Bytes, HeaderValue)> {
        self.found.deflated.then(|| self.gzip.get_or_init(|| self.pack()))
    }

    fn pack(&self) -> (Bytes, HeaderValue) {
        let mut file = Vec::with_capacity(self.packed.len() + 18);
        // Magic number, deflate, no flags, no time, no hint, unknown system.
        file.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        file.extend_from_slice(self.packed);
        file.extend_from_slice(&self.found.crc.to_le_bytes());
        let size = u32::try_from(self.found.size).unwrap_or_default();
        file.extend_from_slice(&size.to_le_bytes());
        let tag = tag(&file);
        (file.into(), tag)
    }

    /// As it is, for the rare client that takes no gzip.
    pub(super) fn plain(&self) -> Bytes {
        if !self.found.deflated {
            return Bytes::from_static(self.packed);
        }
        let mut file = Vec::with_capacity(self.found.size);
        // What is in the archive is whole: a test holds that.
        let _ = flate2::read::DeflateDecoder::new(self.packed).read_to_end(&mut file);
        file.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_whole_and_of_the_version() {
        for asset in [&BUNDLE, &STYLE, &ICON] {
            let plain = asset.plain();
            assert_eq!(plain.len(), asset.found.size);
            let mut sum = flate2::Crc::new();
            sum.update(&plain);
            assert_eq!(sum.sum(), asset.found.crc);
            if let Some((gzip, _)) = asset.gzip() {
                let mut read = Vec::new();
                flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
                assert_eq!(read, plain);
            }
        }
        assert!(ICON.plain().starts_with(b"\x89PNG") && ICON.gzip().is_none());
        let bundle = BUNDLE.plain();
        assert!(memchr::memmem::find(&bundle, VERSION.as_bytes()).is_some());
        let archive = format!("swagger-ui-{VERSION}/");
        assert!(memchr::memmem::find(ARCHIVE, archive.as_bytes()).is_some());
    }
}
