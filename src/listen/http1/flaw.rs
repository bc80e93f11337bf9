//! What can be wrong with what a client sends, or with the pace at which it does.

use std::fmt;
use std::io;

/// Why a client is refused below its request. `docs/hygiene.md` has the list with reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The request line is not a method, a target and a version, with one space between.
    RequestLine,
    /// A method with other than upper-case letters, digits and `-`, `_` or other token characters.
    Method,
    /// A CONNECT, which asks for a tunnel.
    Connect,
    /// A target that is neither a path nor an absolute http URL, or holds a byte that no URI has.
    Target,
    /// A request line whose target is above the limit.
    TargetTooLong,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version,
    /// HTTP/2 where it was not agreed on.
    Http2,
    /// More than one empty line before a request.
    EmptyLine,
    /// A line that ends with a line feed alone.
    BareLf,
    /// A carriage return that no line feed follows.
    BareCr,
    /// A NUL or another control character.
    Control,
    /// A header line without a colon, or whose name is no token: empty, or with a space in or after it.
    FieldName,
    /// A header line that goes on on the next one.
    Fold,
    /// More header lines than the limit.
    TooManyFields,
    /// More bytes of header lines than the limit.
    FieldsTooLarge,
    /// No Host in HTTP/1.1, or an empty one.
    HostMissing,
    /// More than one Host.
    HostRepeated,
    /// A Host that is no host name or address with an optional port.
    HostInvalid,
    /// A Host that is not the one of the target.
    HostMismatch,
    /// A Content-Length that is no plain number.
    Length,
    /// More than one Content-Length.
    LengthRepeated,
    /// Content-Length together with Transfer-Encoding.
    LengthAndCoding,
    /// A Transfer-Encoding that is malformed, repeated, or does not end in `chunked`.
    Coding,
    /// A Transfer-Encoding other than `chunked`.
    CodingUnknown,
    /// A Transfer-Encoding in HTTP/1.0, which has none.
    CodingInHttp10,
    /// A chunk size that is no hexadecimal number, or too large a one.
    ChunkSize,
    /// A chunk extension that is malformed or too long.
    ChunkExtension,
    /// A chunk that is longer or shorter than it says.
    ChunkEnd,
    /// A trailer line that is malformed, or that frames or routes a message.
    Trailer,
    /// More trailers than the limit.
    TrailerTooLarge,
    /// The client ended its side within a head.
    CutHead,
    /// A head that did not come in time.
    SlowHead,
    /// A body that came too slowly.
    SlowBody,
    /// An answer that is read too slowly.
    SlowReader,
    /// A connection on which nothing was ever heard.
    Silent,
    /// A connection that was left unused after a request.
    Idle,
    /// A client of HTTP/2 whose first frame is none, or did not come in time.
    Http2Opening,
    /// A client of HTTP/2 that sends frames which only make work.
    Http2Flood,
    /// A client of HTTP/2 that does not keep to the protocol.
    Http2Broken,
}

/// What a [`Flaw`] is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 400.
    Malformed,
    /// 405.
    Tunnel,
    /// 408.
    TooSlow,
    /// 414.
    TargetTooLong,
    /// 431.
    TooLarge,
    /// 501.
    UnknownCoding,
    /// 505.
    UnknownVersion,
    /// Nothing: the connection is closed.
    Close,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 39] = [
        Self::RequestLine,
        Self::Method,
        Self::Connect,
        Self::Target,
        Self::TargetTooLong,
        Self::Version,
        Self::Http2,
        Self::EmptyLine,
        Self::BareLf,
        Self::BareCr,
        Self::Control,
        Self::FieldName,
        Self::Fold,
        Self::TooManyFields,
        Self::FieldsTooLarge,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::Length,
        Self::LengthRepeated,
        Self::LengthAndCoding,
        Self::Coding,
        Self::CodingUnknown,
        Self::CodingInHttp10,
        Self::ChunkSize,
        Self::ChunkExtension,
        Self::ChunkEnd,
        Self::Trailer,
        Self::TrailerTooLarge,
        Self::CutHead,
        Self::SlowHead,
        Self::SlowBody,
        Self::SlowReader,
        Self::Silent,
        Self::Idle,
        Self::Http2Opening,
        Self::Http2Flood,
        Self::Http2Broken,
    ];

    /// The stable word for it, in the log and in the metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.told().0
    }

    /// What it is answered with.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        self.told().1
    }

    /// One sentence for the client.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        self.told().2
    }

    /// The flaw that an error of the connection stands for.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    #[expect(clippy::too_many_lines, reason = "a table, to be read at one sight")]
    const fn told(self) -> (&'static str, Verdict, &'static str) {
        use Verdict as V;
        match self {
            Self::RequestLine => (
                "request_line",
                V::Malformed,
                "The request line is not a method, a target and a version with one space between.",
            ),
            Self::Method => {
                ("method", V::Malformed, "The method is not a word of capital letters.")
            }
            Self::Connect => ("connect", V::Tunnel, "Tunnels are not made here."),
            Self::Target => (
                "target",
                V::Malformed,
                "The request target is neither a path nor an http URL, or holds a byte that none has.",
            ),
            Self::TargetTooLong => ("target_too_long", V::TargetTooLong, ""),
            Self::Version => ("version", V::UnknownVersion, ""),
            Self::Http2 => ("http2", V::UnknownVersion, ""),
            Self::EmptyLine => {
                ("empty_line", V::Malformed, "Empty lines stand before the request.")
            }
            Self::BareLf => ("bare_lf", V::Malformed, "A line ends with a line feed alone."),
            Self::BareCr => {
                ("bare_cr", V::Malformed, "A carriage return stands without its line feed.")
            }
            Self::Control => ("control", V::Malformed, "The head contains a control character."),
            Self::FieldName => (
                "field_name",
                V::Malformed,
                "A header line does not begin with a name and a colon.",
            ),
            Self::Fold => ("fold", V::Malformed, "A header line begins with a space."),
            Self::TooManyFields => ("too_many_fields", V::TooLarge, ""),
            Self::FieldsTooLarge => ("fields_too_large", V::TooLarge, ""),
            Self::HostMissing => ("host_missing", V::Malformed, "The request has no Host header."),
            Self::HostRepeated => {
                ("host_repeated", V::Malformed, "The request has more than one Host header.")
            }
            Self::HostInvalid => (
                "host_invalid",
                V::Malformed,
                "The Host header is not a host name with an optional port.",
            ),
            Self::HostMismatch => (
                "host_mismatch",
                V::Malformed,
                "The Host header and the target name different hosts.",
            ),
            Self::Length => {
                ("length", V::Malformed, "The Content-Length header is not a plain number.")
            }
            Self::LengthRepeated => (
                "length_repeated",
                V::Malformed,
                "The request has more than one Content-Length header.",
            ),
            Self::LengthAndCoding => (
                "length_and_coding",
                V::Malformed,
                "The request has both Content-Length and Transfer-Encoding.",
            ),
            Self::Coding => (
                "coding",
                V::Malformed,
                "The Transfer-Encoding header is malformed, repeated, or does not end in chunked.",
            ),
            Self::CodingUnknown => ("coding_unknown", V::UnknownCoding, ""),
            Self::CodingInHttp10 => {
                ("coding_in_http10", V::Malformed, "HTTP/1.0 knows no Transfer-Encoding.")
            }
            Self::ChunkSize => {
                ("chunk_size", V::Malformed, "A chunk of the body has no valid size.")
            }
            Self::ChunkExtension => {
                ("chunk_extension", V::Malformed, "A chunk extension is malformed or too long.")
            }
            Self::ChunkEnd => {
                ("chunk_end", V::Malformed, "A chunk of the body does not end where it says.")
            }
            Self::Trailer => {
                ("trailer", V::Malformed, "A trailer of the body is malformed or not allowed.")
            }
            Self::TrailerTooLarge => ("trailer_too_large", V::TooLarge, ""),
            Self::CutHead => ("cut_head", V::Malformed, "The request ended within its head."),
            Self::SlowHead => ("slow_head", V::TooSlow, ""),
            Self::SlowBody => ("slow_body", V::TooSlow, ""),
            Self::SlowReader => ("slow_reader", V::Close, ""),
            Self::Silent => ("silent", V::Close, ""),
            Self::Idle => ("idle", V::Close, ""),
            Self::Http2Opening => ("http2_opening", V::Close, ""),
            Self::Http2Flood => ("http2_flood", V::Close, ""),
            Self::Http2Broken => ("http2_broken", V::Close, ""),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// So that it can travel in an [`std::io::Error`], through Pingora's session.
impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_each_once() {
        let words: std::collections::BTreeSet<_> = Flaw::ALL.iter().map(|f| f.word()).collect();
        assert_eq!(words.len(), Flaw::ALL.len());
        for (place, flaw) in Flaw::ALL.iter().enumerate() {
            assert_eq!(*flaw as usize, place);
        }
    }

    #[test]
    fn what_is_malformed_is_told() {
        for flaw in Flaw::ALL {
            if flaw.verdict() == Verdict::Malformed {
                assert!(flaw.detail().ends_with('.'), "{flaw}");
            }
        }
    }
}
