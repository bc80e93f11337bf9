//! What a request shows of who sent it, and what of it may be signed or asked about.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;

use super::wait::Settled;
use crate::listen::ClientCertificate;

/// What a request shows of who sent it.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The certificate that its connection showed, verified.
    pub certificate: Option<&'a ClientCertificate>,
    /// The rest of it; none where only its credentials are known.
    pub request: Option<Sent<'a>>,
    /// What was waited for.
    pub settled: &'a [Settled],
}

/// A request: what goes on of it, and what the client wrote.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// The host by which its route was found.
    pub host: &'a str,
    /// The clean path by which its route was found.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// The client's address.
    pub client: IpAddr,
    /// What the client wrote, found out for whoever asks.
    pub written: &'a dyn Written,
}

/// A request as the client wrote it, before anything of it was cleaned. What was signed is this; what else is decided is
/// decided of what goes on.
pub trait Written {
    /// The host and perhaps port that it is for.
    fn authority(&self) -> &str;
    /// Path and query, byte for byte.
    fn target(&self) -> &[u8];
    /// `https` or `http`, whichever the client used.
    fn scheme(&self) -> &'static str;
}

impl fmt::Debug for dyn Written + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written")
    }
}
