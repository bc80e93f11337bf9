use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};

use super::super::presented::Written;
use super::*;

/// The request of RFC 9421, appendix B.2.
const HEADERS_OF_B2: [(&str, &str); 5] = [
    ("host", "example.com"),
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("content-type", "application/json"),
    (
        "content-digest",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    ),
    ("content-length", "18"),
];
const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB";
const ED: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// Host and target.
struct Wrote<'a>(&'a str, &'a str);

impl Written for Wrote<'_> {
    fn authority(&self) -> &str {
        self.0
    }

    fn target(&self) -> &[u8] {
        self.1.as_bytes()
    }

    fn scheme(&self) -> &'static str {
        "https"
    }
}

fn sent<'a>(method: &'a Method, written: &'a Wrote<'a>) -> Sent<'a> {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    // Nothing of what goes on is signed.
    Sent { method, host: "other", path: "/other", query: None, client, written }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

fn pem(text: &str) -> Vec<u8> {
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").into_bytes()
}

/// Whether a signature of the standard's request holds.
fn holds(input: &str, signature: &str, key: &Key, by: Algorithm) -> bool {
    let read: Dictionary = Parser::new(input.as_bytes()).parse().expect(input);
    let (_, ListEntry::InnerList(covered)) = read.iter().next().expect("one") else {
        panic!("a list")
    };
    let names = base::components(covered).expect("components");
    let (method, map) = (Method::POST, headers(&HEADERS_OF_B2));
    let wrote = Wrote("example.com", "/foo?param=Value&Pet=dog");
    let sent = sent(&method, &wrote);
    let text = base::base(&names, covered, &sent, &map).expect("a base");
    key.verify(by, &text, &STANDARD.decode(signature).expect("base64"))
}

#[test]
fn the_examples_of_the_standard_hold() {
    let all = NAMES.iter().fold(Algorithms::NONE, |all, (_, one)| all.and(*one));
    // B.2.3, B.2.5 and B.2.6. Those that cover a parameter of the query (B.2.2), little or nothing (B.2.1, which does not
    // say a part of the target either), an answer (B.2.4) or what a proxy has added (B.4) are not of the subset.
    let rsa = Key::from_pem(&pem(RSA), all).expect("a key");
    let ed = Key::from_pem(&pem(ED), all).expect("a key");
    let secret = Key::secret(&STANDARD.decode(SECRET).expect("base64"), all).expect("a secret");
    for (input, signature, key, by) in [
        (
            "sig-b23=(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"",
            "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
            &rsa,
            Algorithm::Ps512,
        ),
        (
            "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
            &secret,
            Algorithm::Hs256,
        ),
        (
            "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"",
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
            &ed,
            Algorithm::EdDsa,
        ),
    ] {
        assert!(holds(input, signature, key, by), "{input}");
        assert!(!holds(&input.replace("1618884473", "1618884474"), signature, key, by));
        assert!(!holds(&input.replace("\"@authority\"", "\"@scheme\""), signature, key, by));
    }
}

fn method() -> Signatures {
    let text = format!(
        "partner: {{ signature_keys: [ {{ keyid: test-key-rsa-pss, pem: \"{}\" }} ] }}\n",
        String::from_utf8(pem(RSA)).expect("text").replace('\n', "\\n")
    );
    let consumers: ConsumersConfig = serde_yaml::from_str(&text).expect("consumers");
    let mut registry = Registry::default();
    registry.intern("partner", false);
    let config = SignatureConfig::default();
    let mut diagnostics = Diagnostics::new();
    let read = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let registry = Arc::new(registry);
    let at = At::root();
    let made =
        Signatures::compile(&config, &consumers, &registry, None, &read, &at, &mut diagnostics);
    made.unwrap_or_else(|| panic!("{}", diagnostics.render("")))
}

#[test]
fn a_request_of_the_standard_lets_its_signer_in_for_a_while() {
    let method = method();
    let input = "sig-b23=(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-rsa-pss\"";
    let signature = "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:";
    let ask = |authority: &str, second: u64| {
        let mut lines = HEADERS_OF_B2.to_vec();
        lines.extend([("signature-input", input), ("signature", signature)]);
        let (verb, map) = (Method::POST, headers(&lines));
        let wrote = Wrote(authority, "/foo?param=Value&Pet=dog");
        let sent = sent(&verb, &wrote);
        let presented =
            Presented { headers: &map, certificate: None, request: Some(sent), settled: &[] };
        let now = UNIX_EPOCH + Duration::from_secs(second);
        method.identify(&presented, now).map(|(identity, once)| {
            assert!(once.is_none());
            assert!(matches!(identity.body, Some(SignedBody::Digests { sha512: Some(_), .. })));
            identity.consumer.map(|consumer| consumer.name().to_owned())
        })
    };
    let made = 1_618_884_473;
    for authority in ["example.com", "Example.COM", "example.com:443"] {
        assert_eq!(ask(authority, made), Ok(Some("partner".to_owned())), "{authority}");
    }
    assert_eq!(ask("example.com:80", made), Err(Reason::Signature));
    assert_eq!(ask("example.com", made + 300), Ok(Some("partner".to_owned())));
    assert_eq!(ask("example.com", made + 301), Err(Reason::Expired));
    assert_eq!(ask("example.com", made - 60), Ok(Some("partner".to_owned())));
    assert_eq!(ask("example.com", made - 61), Err(Reason::Early));
}
