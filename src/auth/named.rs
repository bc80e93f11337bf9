//! Names that say that a value is a credential: for what is shown to people, and for doubts about a file.

/// Whether a header, a cookie or a parameter of this name carries a credential, as far as its name tells.
#[must_use]
pub fn names_a_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    if name == "access-control-allow-credentials" {
        // It says whether there may be some.
        return false;
    }
    matches!(
        name.as_str(),
        "authorization" | "proxy-authorization" | "cookie" | "set-cookie" | "sig" | "jwt" | "pwd"
    ) || name.ends_with("-key")
        || ["api-key", "apikey", "token", "secret", "password", "passwd", "credential", "signature"]
            .iter()
            .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::names_a_credential;

    #[test]
    fn a_name_tells_by_its_words() {
        for name in
            ["Authorization", "X_API_KEY", "apikey", "X-Signing-Key", "access_token", "Cookie"]
        {
            assert!(names_a_credential(name), "{name}");
        }
        for name in [
            "X-Keyboard",
            "monkey",
            "key",
            "X-Gateway",
            "host",
            "q",
            "",
            "Access-Control-Allow-Credentials",
        ] {
            assert!(!names_a_credential(name), "{name}");
        }
    }
}
