//! Why a connection ended before a request could be read from it: a closed list, which metrics count by.

use std::fmt;

/// Why a connection was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As many connections as may be open are.
    TooMany,
    /// This client has as many as one may have.
    TooManyOfClient,
    /// A PROXY header is asked for, and the peer is no trusted proxy.
    ProxyUntrusted,
    /// What came is no PROXY header.
    ProxyMalformed,
    /// The PROXY header did not come in time.
    ProxyTimeout,
    /// The TLS handshake was not done in time.
    TlsTimeout,
    /// The client left amid the handshake.
    TlsClosed,
    /// What came is no TLS.
    TlsNotTls,
    /// No certificate covers the name that was asked for.
    TlsUnknownName,
    /// No version, cipher, key exchange or signature that both know.
    TlsNothingInCommon,
    /// None of the application's protocols is among ours.
    TlsNoProtocol,
    /// A certificate of the client is required, and it sent none.
    TlsCertificateMissing,
    /// The client's certificate is expired, revoked, or of nobody that is believed.
    TlsCertificateRefused,
    /// The client broke it off with an alert: mostly, it does not believe our certificate.
    TlsAlert,
    /// The client does not keep to the protocol.
    TlsBroken,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::TooMany,
        Self::TooManyOfClient,
        Self::ProxyUntrusted,
        Self::ProxyMalformed,
        Self::ProxyTimeout,
        Self::TlsTimeout,
        Self::TlsClosed,
        Self::TlsNotTls,
        Self::TlsUnknownName,
        Self::TlsNothingInCommon,
        Self::TlsNoProtocol,
        Self::TlsCertificateMissing,
        Self::TlsCertificateRefused,
        Self::TlsAlert,
        Self::TlsBroken,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::TooManyOfClient => "too_many_of_client",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyMalformed => "proxy_malformed",
            Self::ProxyTimeout => "proxy_timeout",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsClosed => "tls_closed",
            Self::TlsNotTls => "tls_not_tls",
            Self::TlsUnknownName => "tls_unknown_name",
            Self::TlsNothingInCommon => "tls_nothing_in_common",
            Self::TlsNoProtocol => "tls_no_protocol",
            Self::TlsCertificateMissing => "tls_certificate_missing",
            Self::TlsCertificateRefused => "tls_certificate_refused",
            Self::TlsAlert => "tls_alert",
            Self::TlsBroken => "tls_broken",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place_and_a_word_of_its_own() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal}");
            let same = Refusal::ALL.iter().filter(|other| other.as_str() == refusal.as_str());
            assert_eq!(same.count(), 1, "{refusal}");
        }
    }
}
