//! `compress` as it stands in the file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Toggle, Toggled};

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Zstandard (RFC 8878): the least work for its size.
    Zstd,
    /// Brotli (RFC 7932): the smallest.
    Br,
    /// RFC 1952: known to everybody.
    Gzip,
}

impl Algorithm {
    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What is compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(expecting = "a map such as { min_size: 1KiB }", deny_unknown_fields, default)]
pub struct Config {
    /// The media types that are compressed, such as `application/json`, `text/*` or `application/*+json`.
    /// Default: text, JSON, XML, scripts and the like.
    pub types: Vec<String>,

    /// Answers known to be smaller are left alone. Default: 1KiB.
    pub min_size: Size,

    /// The codings, the best first; one that the client likes better comes before. Default: zstd, br, gzip.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Config {
    fn default() -> Self {
        const TYPES: [&str; 12] = [
            "text/*",
            "application/json",
            "application/*+json",
            "application/x-ndjson",
            "application/xml",
            "application/*+xml",
            "application/javascript",
            "application/wasm",
            "application/vnd.ms-fontobject",
            "font/ttf",
            "font/otf",
            "image/svg+xml",
        ];
        Self {
            types: TYPES.map(str::to_owned).to_vec(),
            min_size: Size(1 << 10),
            algorithms: vec![Algorithm::Zstd, Algorithm::Br, Algorithm::Gzip],
        }
    }
}

/// Whether answers are compressed.
pub type Setting = Toggle<Config>;

impl Toggled for Config {
    const NAME: &'static str = "Compress";
    const SAYS: &'static str = "Whether answers are compressed for clients that accept it.";
    const EXAMPLE: &'static str = "{ min_size: 1KiB }";
}
