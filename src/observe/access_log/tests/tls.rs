//! What is known of a connection's TLS, in a line.

use super::*;
use crate::listen::{ClientCertificate, TlsFacts, TlsVersion};

#[test]
fn what_is_known_of_tls_stands_behind_the_protocol() {
    let tls = |name: Option<&str>, client| {
        let cipher = "TLS13_AES_128_GCM_SHA256";
        let name = name.map(Into::into);
        Some(Arc::new(TlsFacts { version: TlsVersion::Tls13, cipher, name, client }))
    };
    let bare = line(Format::Json, &Record { tls: tls(None, None), ..record() }, 0);
    let fields = "\"tls_version\":\"1.3\",\"tls_cipher\":\"TLS13_AES_128_GCM_SHA256\"";
    assert!(bare.contains(&format!("\"HTTP/1.1\",{fields},\"route\"")), "{bare}");

    let key = rcgen::KeyPair::generate().unwrap();
    let mut certificate = rcgen::CertificateParams::new(Vec::new()).unwrap();
    // A name is the client's own text.
    certificate.distinguished_name.push(rcgen::DnType::CommonName, "a \"b\"\n");
    let certificate = certificate.self_signed(&key).unwrap();
    let client = ClientCertificate::parse(certificate.der()).unwrap();
    let fingerprint = client.fingerprint().to_owned();
    let whole = Record { tls: tls(Some("one.test"), Some(Arc::new(client))), ..record() };
    for format in [Format::Json, Format::Text] {
        let line = line(format, &whole, 0);
        assert!(line.contains("one.test") && line.contains(&fingerprint), "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        if format == Format::Json {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert!(line["tls_client"].as_str().unwrap().contains("a "), "{line}");
        }
    }
    assert!(!line(Format::Json, &record(), 0).contains("tls_"));
}
