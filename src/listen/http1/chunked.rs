//! A chunked body (RFC 9112, section 7.1), read byte by byte as strictly as it is written in the grammar.
//!
//! Sizes are hexadecimal digits and nothing else: no sign, no `0x`, no space. Extensions may stand behind a
//! size, and are bounded, since each costs bytes that count for no body. Trailers are checked as header lines
//! are; the session drops them, so they reach nobody.

use super::bytes::{TOKEN, is_control};
use super::flaw::Flaw;

/// The most digits of a chunk's size: so many that no reader's number overflows.
const DIGITS: u8 = 15;
/// The most bytes of extensions behind one size.
const EXTENSION: u32 = 256;
/// The most bytes of extensions in a whole body.
const EXTENSIONS: u32 = 16 << 10;
/// The most bytes of trailers.
const TRAILERS: u32 = 8 << 10;
/// The most lines of trailers.
const TRAILER_LINES: u32 = 32;

/// Trailers that would frame or route the message, or change who may read it (RFC 9110, section 6.5.1).
const FORBIDDEN: [&[u8]; 14] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];
/// Longer than any of them.
const NAME: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Size,
    ExtensionName { empty: bool },
    ExtensionValue,
    ExtensionToken,
    Quoted,
    Escaped,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// Where a chunked body stands.
#[derive(Debug, Clone)]
pub(super) struct Chunked {
    step: Step,
    digits: u8,
    /// The size while it is read, then what is left of the chunk.
    left: u64,
    /// Extension bytes behind this size.
    extension: u32,
    extensions: u32,
    trailer: u32,
    trailer_lines: u32,
    name: [u8; NAME],
    name_length: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            step: Step::Size,
            digits: 0,
            left: 0,
            extension: 0,
            extensions: 0,
            trailer: 0,
            trailer_lines: 0,
            name: [0; NAME],
            name_length: 0,
        }
    }
}

impl Chunked {
    /// Whether the last line is read.
    pub(super) fn is_done(&self) -> bool {
        self.step == Step::End
    }

    /// Reads on. Returns how many bytes belong to the body, and what is wrong with the next one.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Flaw>) {
        let mut at = 0;
        while at < bytes.len() && self.step != Step::End {
            if self.step == Step::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.step = Step::DataCr;
                }
                continue;
            }
            match self.step(bytes[at]) {
                Ok(next) => self.step = next,
                Err(flaw) => return (at, Some(flaw)),
            }
            at += 1;
        }
        (at, None)
    }

    fn step(&mut self, byte: u8) -> Result<Step, Flaw> {
        match self.step {
            Step::Size => self.size(byte),
            Step::ExtensionName { .. }
            | Step::ExtensionValue
            | Step::ExtensionToken
            | Step::Quoted
            | Step::Escaped
            | Step::AfterQuoted => self.extension(byte),
            Step::SizeLf if byte == b'\n' => Ok(self.begin_chunk()),
            Step::SizeLf => Err(Flaw::ChunkSize),
            Step::DataCr if byte == b'\r' => Ok(Step::DataLf),
            Step::DataLf if byte == b'\n' => Ok(Step::Size),
            Step::DataCr | Step::DataLf => Err(Flaw::ChunkEnd),
            Step::EndLf if byte == b'\n' => Ok(Step::End),
            _ => self.trailer(byte),
        }
    }

    fn size(&mut self, byte: u8) -> Result<Step, Flaw> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b';' if self.digits > 0 => return Ok(Step::ExtensionName { empty: true }),
            b'\r' if self.digits > 0 => return Ok(Step::SizeLf),
            _ => return Err(Flaw::ChunkSize),
        };
        if self.digits == DIGITS {
            return Err(Flaw::ChunkSize);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(Step::Size)
    }

    /// An extension is `;name`, `;name=token` or `;name="text"`; RFC 9112 lets spaces stand around `;` and `=`,
    /// which nobody sends and readers differ about.
    fn extension(&mut self, byte: u8) -> Result<Step, Flaw> {
        self.extension += 1;
        self.extensions += 1;
        if self.extension > EXTENSION || self.extensions > EXTENSIONS {
            return Err(Flaw::ChunkExtension);
        }
        let token = TOKEN[usize::from(byte)];
        match (self.step, byte) {
            (Step::ExtensionName { .. }, _) if token => Ok(Step::ExtensionName { empty: false }),
            (Step::ExtensionName { empty: false }, b'=') => Ok(Step::ExtensionValue),
            (Step::ExtensionValue, b'"') => Ok(Step::Quoted),
            (Step::ExtensionValue | Step::ExtensionToken, _) if token => Ok(Step::ExtensionToken),
            (Step::Quoted, b'"') => Ok(Step::AfterQuoted),
            (Step::Quoted, b'\\') => Ok(Step::Escaped),
            (Step::Quoted | Step::Escaped, _) if !is_control(byte) => Ok(Step::Quoted),
            (
                Step::ExtensionName { empty: false } | Step::ExtensionToken | Step::AfterQuoted,
                b';' | b'\r',
            ) => Ok(if byte == b';' { Step::ExtensionName { empty: true } } else { Step::SizeLf }),
            _ => Err(Flaw::ChunkExtension),
        }
    }

    fn begin_chunk(&mut self) -> Step {
        self.digits = 0;
        self.extension = 0;
        if self.left == 0 { Step::TrailerStart } else { Step::Data }
    }

    fn trailer(&mut self, byte: u8) -> Result<Step, Flaw> {
        self.trailer += 1;
        if self.trailer > TRAILERS {
            return Err(Flaw::TrailerTooLarge);
        }
        match (self.step, byte) {
            (Step::TrailerStart, b'\r') => Ok(Step::EndLf),
            (Step::TrailerStart, _) if TOKEN[usize::from(byte)] => {
                self.trailer_lines += 1;
                if self.trailer_lines > TRAILER_LINES {
                    return Err(Flaw::TrailerTooLarge);
                }
                self.name_length = 0;
                self.keep(byte);
                Ok(Step::TrailerName)
            }
            (Step::TrailerName, b':') if !self.is_forbidden() => Ok(Step::TrailerValue),
            (Step::TrailerName, _) if TOKEN[usize::from(byte)] => {
                self.keep(byte);
                Ok(Step::TrailerName)
            }
            (Step::TrailerValue, b'\r') => Ok(Step::TrailerLf),
            (Step::TrailerValue, _) if !is_control(byte) => Ok(Step::TrailerValue),
            (Step::TrailerLf, b'\n') => Ok(Step::TrailerStart),
            _ => Err(Flaw::Trailer),
        }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.name_length) {
            *place = byte.to_ascii_lowercase();
            self.name_length += 1;
        }
    }

    fn is_forbidden(&self) -> bool {
        let name = &self.name[..self.name_length];
        FORBIDDEN.contains(&name)
    }
}
