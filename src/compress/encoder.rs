//! An [`Encoder`]: a body on its way through one of the codings, piece by piece.

use std::io::{self, Write as _};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;

use super::Algorithm;

/// Fast levels: what comes after them costs much more for little.
const GZIP_LEVEL: u32 = 6;
const BROTLI_LEVEL: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// How far back a repetition is found, as a power of two: 256 KiB. It is what a stream holds in memory.
const WINDOW: i32 = 18;
const BROTLI_BUFFER: usize = 4096;

/// A body that is being compressed.
pub struct Encoder(Inner);

enum Inner {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.0 {
            Inner::Gzip(_) => "Encoder(gzip)",
            Inner::Brotli(_) => "Encoder(br)",
            Inner::Zstd(_) => "Encoder(zstd)",
        })
    }
}

impl Encoder {
    /// An encoder for one body, of this length if it is known.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(algorithm: Algorithm, length: Option<u64>) -> io::Result<Self> {
        Ok(Self(match algorithm {
            Algorithm::Gzip => {
                Inner::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
            Algorithm::Br => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: WINDOW,
                    size_hint: length.and_then(|length| length.try_into().ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Inner::Brotli(Box::new(writer))
            }
            Algorithm::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW.unsigned_abs()))?;
                // A small body then takes small tables.
                encoder.set_pledged_src_size(length)?;
                Inner::Zstd(encoder)
            }
        }))
    }

    /// What a piece becomes: all of it, so that the client can read as far.
    ///
    /// # Errors
    /// The encoder failed, and the body with it.
    pub fn piece(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        let out = match &mut self.0 {
            Inner::Gzip(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                encoder.get_mut()
            }
            Inner::Brotli(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                encoder.get_mut()
            }
            Inner::Zstd(encoder) => {
                encoder.write_all(piece)?;
                encoder.flush()?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    /// What the last piece becomes, and what ends the body.
    ///
    /// # Errors
    /// The encoder failed, and the body with it.
    pub fn finish(self, piece: &[u8]) -> io::Result<Bytes> {
        let out = match self.0 {
            Inner::Gzip(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.finish()?
            }
            Inner::Brotli(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.into_inner()
            }
            Inner::Zstd(mut encoder) => {
                encoder.write_all(piece)?;
                encoder.finish()?
            }
        };
        Ok(out.into())
    }
}
