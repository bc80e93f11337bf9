//! User names and passwords.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;

use crate::support::{Answer, Gateway, Origin, eventually, get};

const PASSWORD: &str = "open sesame-7q3z";

fn login(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// One user whose digest costs what it should, and one whose costs next to nothing.
async fn gateway(origin: &Origin, more: &str) -> Gateway {
    let dear = portcullis::auth::digest_password(PASSWORD).unwrap();
    let cheap = bcrypt::hash(PASSWORD, 4).unwrap();
    Gateway::start(&format!(
        r#"
upstreams: {{ svc: {{ targets: [ "{0}" ] }} }}
auth: {{ key: {{ api_key: {{}} }}, people: {{ basic: {{ realm: orders }} }} }}
consumers:
  alice: {{ basic: {{ password: "{dear}" }} }}
  bob: {{ basic: {{ user: "bob@example.com", password: "{cheap}" }}, api_keys: "{1}" }}
  gone: {{ disabled: true, basic: {{ password: "{cheap}" }} }}
{more}
routes:
  svc: {{ path: /svc, to: svc, auth: people }}
  either: {{ path: /either, to: svc, auth: [ key, people ] }}
  both: {{ path: /both, to: svc, auth: {{ all: [ key, people ] }} }}
  open: {{ path: /open, to: svc, auth: none }}
"#,
        origin.address,
        portcullis::auth::digest("bobs-key-7q3z"),
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_a_password_let_their_user_in_and_stay_at_the_gate() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, "").await;
    let ask = async |path: &str, credential: &str| {
        let headers = [("Authorization", credential)];
        get(gateway.address(), path, &headers[..usize::from(!credential.is_empty())]).await
    };
    for (user, name) in [("alice", "alice"), ("bob@example.com", "bob")] {
        for _ in 0..2 {
            assert_eq!(ask("/svc", &login(user, PASSWORD)).await.status, 200, "{user}");
            assert_eq!(origin.last().header("x-consumer-name"), name);
            assert!(!origin.last().headers.contains_key("authorization"));
        }
    }
    assert_eq!(ask("/open", &login("alice", PASSWORD)).await.status, 200);
    assert!(!origin.last().headers.contains_key("authorization"));
    let seen = origin.seen().len();
    for credential in [
        String::new(),
        login("alice", "open sesame"),
        login("alice", ""),
        login("Alice", PASSWORD),
        login("bob", PASSWORD),
        login("nobody", PASSWORD),
        login("gone", PASSWORD),
        "Basic ====".to_owned(),
        format!("Bearer {PASSWORD}"),
    ] {
        let answer = ask("/svc", &credential).await;
        let told = (answer.status, answer.header("www-authenticate"));
        assert_eq!(told, (401, "Basic realm=\"orders\", charset=\"UTF-8\""), "{credential}");
    }
    let good = login("alice", PASSWORD);
    let twice = [("Authorization", &*good), ("Authorization", &*good)];
    assert_eq!(get(gateway.address(), "/svc", &twice).await.status, 401);
    assert_eq!(origin.seen().len(), seen);

    assert_eq!(ask("/either", &good).await.status, 200);
    let key = ("X-Api-Key", "bobs-key-7q3z");
    let bob = login("bob@example.com", PASSWORD);
    for (credential, status) in [(&bob, 200), (&good, 403)] {
        let headers = [("Authorization", &**credential), key];
        assert_eq!(get(gateway.address(), "/both", &headers).await.status, status);
    }
    assert_eq!(get(gateway.address(), "/both", &[key]).await.status, 401);
    let either = get(gateway.address(), "/either", &[]).await;
    let challenge = "ApiKey, Basic realm=\"orders\", charset=\"UTF-8\"";
    assert_eq!(either.header("www-authenticate"), challenge);
    let log = gateway.log(20).await;
    let details: Vec<_> = log.iter().filter_map(|line| line["detail"].as_str()).collect();
    assert!(details.contains(&"credential_disabled") && details.contains(&"credential_malformed"));
}

/// Many at once, of whom each waits for its turn or is told that there is none: nobody is let in who should not be, and
/// what fails is counted before more of it is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_no_lever_against_the_gateway() {
    let origin = Origin::start("svc").await;
    let gateway = gateway(&origin, "failed_credentials: 6/hour").await;
    let good = login("alice", PASSWORD);
    let ask = async |credential: &str| {
        get(gateway.address(), "/svc", &[("Authorization", credential)]).await.status
    };
    let crowd = join_all((0..20).map(|_| ask(&good))).await;
    assert_eq!(crowd, [200; 20]);
    let guesses: Vec<_> = (0..6).map(|n| login("alice", &format!("guess-{n}"))).collect();
    for guess in &guesses {
        assert_eq!(ask(guess).await, 401);
    }
    assert_eq!(ask(&login("nobody", "guess")).await, 429);
    assert_eq!(ask(&good).await, 200);
}

/// More at once than can be verified, or can wait for it: they are told so, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_to_be_verified_is_told_so() {
    let origin = Origin::start("svc").await;
    // As slow as may be, and of nothing that anybody sends.
    let slow = "$2b$14$abcdefghijklmnopqrstuuRDhYcgU5QkzhDWmLxtEvkKPOyoDX7cC";
    let more = format!("  slow: {{ basic: {{ password: \"{slow}\" }} }}\nfailed_credentials: none");
    let gateway = gateway(&origin, &more).await;
    let known = login("bob@example.com", PASSWORD);
    let ask = async |credential: String| {
        get(gateway.address(), "/svc", &[("Authorization", &credential)]).await
    };
    assert_eq!(ask(known.clone()).await.status, 200);
    let crowd = (0..300).map(|number| ask(login("slow", &format!("guess-{number}"))));
    let meanwhile = async {
        gateway.log(50).await;
        let remembered = ask(known.clone()).await.status;
        let key = [("X-Api-Key", "bobs-key-7q3z")];
        (remembered, get(gateway.address(), "/either", &key).await.status)
    };
    let (crowd, others) = futures::future::join(join_all(crowd), meanwhile).await;
    assert_eq!(others, (200, 200));
    let busy = crowd.iter().filter(|answer| answer.status == 503);
    let codes: Vec<_> = busy.map(Answer::code).collect();
    assert!(crowd.iter().all(|answer| matches!(answer.status, 401 | 503)));
    // At least those for whom there was no room to wait.
    assert!(codes.len() > 100 && codes.iter().all(|code| code == "auth_unavailable"), "{codes:?}");
    let log = gateway.log(303).await;
    let told = log.iter().filter(|line| {
        line["why"] == "auth_unavailable" && line["detail"] == "auth_busy" && line["status"] == 503
    });
    assert_eq!(told.count(), codes.len());
    // When they are gone, there is a place again.
    eventually("a place", async || ask(login("alice", PASSWORD)).await.status == 200).await;
    assert_eq!(origin.seen().len(), 4);
}

#[test]
fn a_digest_is_made_of_what_is_read() {
    let run = |password: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["key", "password"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (good, digest, _) = run(&format!("{PASSWORD}\n"));
    assert!(good && digest.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{digest}");
    assert_ne!(run(PASSWORD).1, digest, "the salt is new");
    for bad in ["", "\n", "two\nlines", &"x".repeat(513)] {
        let (good, out, told) = run(bad);
        assert!(!good && out.is_empty() && !told.is_empty(), "{bad}");
    }
}
