use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;
use crate::upstream::config::TargetSpec;

struct Disk(Vec<(&'static str, String)>);

impl Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| text.clone().into_bytes()).ok_or(io::ErrorKind::NotFound.into())
    }
}

fn disk() -> Disk {
    let pair = || {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["users.internal".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    };
    let ((cert, key), (_, other_key)) = (pair(), pair());
    Disk(vec![
        ("/ca.pem", cert.clone()),
        ("/cert.pem", cert.clone()),
        ("/key.pem", key),
        ("/other-key.pem", other_key),
        ("/empty.pem", "nothing\n".to_owned()),
        ("/broken.pem", cert.replace("MII", "!!!")),
        ("/not-a-cert.pem", "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----".into()),
    ])
}

fn config(tls: &str) -> Config {
    let mut config = Config::to(vec![TargetSpec { url: "https://a".to_owned(), weight: 1 }]);
    config.tls = serde_yaml::from_str(tls).expect(tls);
    config
}

fn compile(tls: &str, disk: &Disk) -> Result<TlsSettings, String> {
    let mut diagnostics = Diagnostics::new();
    let read = |path: &Path| disk.read(path);
    let at = At::root().key("tls");
    TlsSettings::compile(&config(tls), true, &at, &read, &mut diagnostics)
        .ok_or_else(|| diagnostics.render("f"))
}

#[test]
fn bad_files_are_refused_and_never_panic() {
    let disk = disk();
    for (tls, part) in [
        ("ca: /none.pem", "tls.ca: cannot read"),
        ("ca: /empty.pem", "tls.ca: /empty.pem holds no certificate"),
        ("ca: /broken.pem", "tls.ca: /broken.pem is not a sound PEM file"),
        ("ca: /not-a-cert.pem", "holds a broken certificate"),
        ("ca: /key.pem", "holds no certificate"),
        ("client_certificate: { cert: /none.pem, key: /key.pem }", "client_certificate.cert: "),
        ("client_certificate: { cert: /cert.pem, key: /none.pem }", "client_certificate.key: "),
        ("client_certificate: { cert: /cert.pem, key: /cert.pem }", "holds no private key"),
        ("client_certificate: { cert: /cert.pem, key: /other-key.pem }", "does not belong"),
    ] {
        let error = compile(tls, &disk).err().expect(tls);
        assert!(error.contains(part), "{tls}: {error}");
        assert!(!error.contains("PRIVATE KEY-----\nM"), "no key in a message");
    }
}

#[test]
fn an_https_peer_always_has_a_server_name() {
    let disk = disk();
    for (tls, url, sni) in [
        ("{}", "https://users.internal", "users.internal"),
        ("{}", "https://users.internal.:8443", "users.internal"),
        ("{}", "https://10.0.0.1", "10.0.0.1"),
        ("{}", "https://[::1]:8443", "::1"),
        ("sni: other.internal", "https://10.0.0.1", "other.internal"),
        ("sni: other.internal", "http://10.0.0.1", ""),
    ] {
        let settings = compile(tls, &disk).expect(tls);
        let origin = Origin::parse(url).unwrap();
        let peer = settings.peer(&origin, &config(tls)).unwrap();
        assert_eq!((peer.sni.as_str(), peer.is_tls()), (sni, origin.tls), "{url}");
        assert!(peer.options.verify_cert && peer.options.verify_hostname);
    }
}

#[test]
fn connections_are_shared_only_under_equal_settings() {
    let disk = disk();
    let group = |tls: &str| compile(tls, &disk).expect(tls).group;
    let all = [
        group("{}"),
        group("ca: /ca.pem"),
        group("verify: false"),
        group("sni: other.internal"),
        group("client_certificate: { cert: /cert.pem, key: /key.pem }"),
    ];
    assert_eq!(std::collections::HashSet::from(all).len(), all.len());
    assert_eq!(group("ca: /ca.pem"), group("ca: /ca.pem"));
    // The same path, but another authority in it.
    let renewed = self::disk();
    assert_ne!(group("ca: /ca.pem"), compile("ca: /ca.pem", &renewed).unwrap().group);
}

#[test]
fn the_digest_sees_that_a_file_changed() {
    let (before, after) = (disk(), disk());
    let tls = config("{ ca: /ca.pem, client_certificate: { cert: /cert.pem, key: /key.pem } }").tls;
    let compiled =
        compile("{ ca: /ca.pem, client_certificate: { cert: /cert.pem, key: /key.pem } }", &before);
    let digest = compiled.expect("sound").files;
    assert_eq!(digest, files_digest(&tls, &|path: &Path| before.read(path)));
    assert_ne!(digest, files_digest(&tls, &|path: &Path| after.read(path)));
}
