//! The signatures of RFC 7520 (section 4), of a text that is no claims. Those that stand in JSON are judged in the compact
//! form that has the same protected header, since no other form is read.

use super::*;

/// Section 4, figure 8.
const PAYLOAD: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
/// Section 3.3.
const RSA: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// Section 3.5.
const MAC: &str = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";
/// Section 3.1: P-521, which is not served.
const EC: [&str; 2] = [
    "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
];

/// The protected header and the signature of each section.
const RS256: [&str; 2] = [
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
];
const PS384: [&str; 2] = [
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
];
const ES512: [&str; 2] = [
    "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
];
const HS256: [&str; 2] = [
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
    "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
];
const WITHOUT_A_NAME: [[&str; 2]; 2] = [
    ["eyJhbGciOiJIUzI1NiJ9", "bWUSVaxorn7bEF1djytBd0kHv70Ly5pvbomzMWSOr20"],
    [
        "eyJhbGciOiJSUzI1NiJ9",
        "MIsjqtVlOpa71KE-Mss8_Nq2YH4FGhiocsqrgi5NvyG53uoimic1tcMdSg-qptrzZc7CG6Svw2Y13TDIqHzTUrL_lR2ZFcryNFiHkSw129EghGpwkpxaTn_THJTCglNbADko1MZBCdwzJxwqZc-1RlpO2HibUYyXSwO97BSe0_evZKdjvvKSgsIqjytKSeAMbhMBdMma622_BG5t4sdbuCHtFjp9iJmkio47AIwqkZV1aIZsv33uPUqBBCXbYoQJwt7mxPftHmNlGoOSMxR_3thmXTCm4US-xiNOyhbm8afKK64jU6_TPtQHiJeQJxz9G3Tx-083B745_AfYOnlC9w",
    ],
];
const UNPROTECTED: &str = "xuLifqLGiblpv9zBpuZczWhNj1gARaLV3UxvxhJxZuk";

fn keys(only: Option<&str>) -> KeySet {
    let bilbo = "bilbo.baggins@hobbiton.example";
    let all = [
        json!({ "kty": "RSA", "kid": bilbo, "use": "sig", "n": RSA, "e": "AQAB" }),
        json!({ "kty": "oct", "kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037", "use": "sig", "alg": "HS256", "k": MAC }),
        json!({ "kty": "EC", "kid": bilbo, "use": "sig", "crv": "P-521", "x": EC[0], "y": EC[1] }),
    ];
    let all: Vec<_> =
        all.into_iter().filter(|key| only.is_none_or(|kty| key["kty"] == kty)).collect();
    let text = json!({ "keys": all }).to_string();
    KeySet::read(text.as_bytes(), Algorithms::of(&[]), true).expect("a set").keys
}

fn compact([header, signature]: [&str; 2]) -> String {
    format!("{header}.{PAYLOAD}.{signature}")
}

#[test]
fn the_examples_of_the_cookbook_are_judged_as_it_says() {
    let text = "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep \
                your feet, there\u{2019}s no knowing where you might be swept off to.";
    let [without_a_name, by_rsa] = WITHOUT_A_NAME;
    for (section, example, kty) in [
        ("4.1", RS256, "RSA"),
        ("4.2", PS384, "RSA"),
        ("4.4", HS256, "oct"),
        ("4.6", without_a_name, "oct"),
        ("4.8", by_rsa, "RSA"),
    ] {
        let token = compact(example);
        assert_eq!(verify(&token, &keys(None)).as_deref(), Ok(text.as_bytes()), "{section}");
        let others = if kty == "RSA" { "oct" } else { "RSA" };
        assert!(verify(&token, &keys(Some(others))).is_err(), "{section} by another key");
        let more = token.replace(PAYLOAD, &format!("{PAYLOAD}AA"));
        assert_eq!(verify(&more, &keys(None)).err(), Some(Reason::Signature), "{section} of more");
    }
    // 4.3 is of an algorithm that is not served. 4.5 has its text elsewhere; with it, it is 4.4.
    assert_eq!(verify(&compact(ES512), &keys(None)).err(), Some(Reason::Algorithm));
    let [header, signature] = HS256;
    assert_eq!(
        verify(&format!("{header}..{signature}"), &keys(None)).err(),
        Some(Reason::Signature)
    );
    // 4.7 says nothing that is signed but its text.
    assert!(verify(&compact(["", UNPROTECTED]), &keys(None)).is_err());
}
