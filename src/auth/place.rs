//! Where in a request a credential is, and that it does not go on from there.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::guard::Scheme;
use super::keyring::Reason;
use super::signature::HEADERS as SIGNATURES;

/// The header in which a credential follows a scheme.
pub(super) static BEFORE_A_SCHEME: [HeaderName; 1] = [AUTHORIZATION];

/// Where in a request a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In `Authorization`, after this scheme.
    Scheme(&'static str),
    /// All of this header.
    Header(HeaderName),
    /// In the cookie of this name.
    Cookie(Box<str>),
}

impl Place {
    /// The credential. One that stands there twice is none: another server behind us might take the other one.
    pub(super) fn find<'h>(&self, headers: &'h HeaderMap) -> Result<&'h [u8], Reason> {
        let found = match self {
            Self::Scheme(scheme) => {
                let value = single(headers, &AUTHORIZATION)?;
                let (sent, rest) = value.split_at_checked(scheme.len()).ok_or(Reason::Missing)?;
                if !sent.eq_ignore_ascii_case(scheme.as_bytes()) || rest.first() != Some(&b' ') {
                    return Err(Reason::Missing);
                }
                rest.trim_ascii_start()
            }
            Self::Header(name) => single(headers, name)?,
            Self::Cookie(name) => cookie(headers, name)?,
        };
        if found.is_empty() { Err(Reason::Missing) } else { Ok(found) }
    }

    /// The header that is nothing but the credential; none or one.
    pub(super) const fn headers(&self) -> &[HeaderName] {
        match self {
            Self::Scheme(_) => &BEFORE_A_SCHEME,
            Self::Header(name) => std::slice::from_ref(name),
            Self::Cookie(_) => &[],
        }
    }

    /// The headers with the credential in them, and nothing else.
    pub(super) fn carry(&self, headers: &HeaderMap) -> HeaderMap {
        let name = self.headers().first().unwrap_or(&COOKIE);
        let mut carried = HeaderMap::new();
        for value in headers.get_all(name) {
            carried.append(name, value.clone());
        }
        carried
    }

    /// What a caller has to know.
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Scheme(_) => Scheme::Bearer,
            Self::Header(header) => Scheme::ApiKey { header: header.clone() },
            Self::Cookie(name) => Scheme::Cookie { name: name.clone() },
        }
    }

    pub(super) fn cookie(&self) -> Option<&str> {
        match self {
            Self::Cookie(name) => Some(name),
            _ => None,
        }
    }
}

/// The names of the keys that a request is signed by, as they are written.
fn keys(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    const KEY: &[u8] = b"keyid=\"";
    let lines = headers.get_all(&SIGNATURES[0]).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| {
        memchr::memmem::find_iter(line, KEY).filter_map(|at| {
            let name = &line[at + KEY.len()..];
            Some(&name[..memchr::memchr(b'"', name)?]).filter(|name| !name.is_empty())
        })
    })
}

/// All lines of a header as one field, without the space around each; none if there is none.
pub(super) fn joined<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, [u8]>> {
    let mut lines = headers.get_all(name).iter().map(|line| line.as_bytes().trim_ascii());
    let mut all = Cow::Borrowed(lines.next()?);
    for line in lines {
        all.to_mut().extend_from_slice(b", ");
        all.to_mut().extend_from_slice(line);
    }
    Some(all)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], Reason> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Reason::Missing)?;
    if values.next().is_some() {
        return Err(Reason::Repeated);
    }
    Ok(value.as_bytes())
}

/// All cookies, as they were sent.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

fn is_of(cookie: &[u8], name: &str) -> bool {
    cookie.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
}

/// The values of the cookies of this name.
fn cookies_of<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let all = cookies(headers).filter(move |cookie| is_of(cookie, name));
    all.map(move |cookie| &cookie[name.len() + 1..])
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h [u8], Reason> {
    let mut all = cookies_of(headers, name);
    let value = all.next().ok_or(Reason::Missing)?;
    if all.next().is_some() {
        return Err(Reason::Repeated);
    }
    Ok(value)
}

/// The headers and the cookies in which credentials are.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) headers: Box<[HeaderName]>,
    pub(super) cookies: Box<[Box<str>]>,
    /// Whether some of the headers are those of signatures, of which no two are alike.
    signed: bool,
}

impl Places {
    /// Those that any of these names, each once.
    pub(super) fn of<'a>(all: impl Iterator<Item = (&'a [HeaderName], Option<&'a str>)>) -> Self {
        let (mut headers, mut cookies) = (Vec::<HeaderName>::new(), Vec::<Box<str>>::new());
        for (some, cookie) in all {
            for header in some {
                if !headers.contains(header) {
                    headers.push(header.clone());
                }
            }
            cookies.extend(cookie.filter(|n| !cookies.iter().any(|c| **c == **n)).map(Into::into));
        }
        Self { headers: headers.into(), cookies: cookies.into(), signed: false }
    }

    /// The same, of signatures or of others.
    pub(super) fn signed(self, signed: bool) -> Self {
        Self { signed, ..self }
    }

    /// What a request has there; of a signature, which key it is by.
    pub(super) fn values<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h [u8]> {
        let is_signed = self.signed && keys(headers).next().is_some();
        let is_shown = move |name: &&HeaderName| !(is_signed && SIGNATURES.contains(name));
        let of_headers =
            self.headers.iter().filter(is_shown).flat_map(|name| headers.get_all(name));
        let of_cookies = self.cookies.iter().flat_map(|name| cookies_of(headers, name));
        let of_keys = is_signed.then(|| keys(headers)).into_iter().flatten();
        of_headers.map(HeaderValue::as_bytes).chain(of_cookies).chain(of_keys)
    }
}

/// The value of a cookie (RFC 6265, section 4.2) that was sent once and is not empty: which of two counts is a guess.
#[must_use]
pub fn single_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    cookie(headers, name).ok().filter(|value| !value.is_empty())
}

/// Takes cookies of these names out of a request.
pub fn remove_cookies(headers: &mut HeaderMap, names: &[Box<str>]) {
    let carries = |cookie: &[u8]| names.iter().any(|name| is_of(cookie, name));
    if names.is_empty() || !cookies(headers).any(carries) {
        return;
    }
    let left: Vec<&[u8]> = cookies(headers).filter(|cookie| !carries(cookie)).collect();
    let left = HeaderValue::from_bytes(&left.join(&b"; "[..]));
    headers.remove(COOKIE);
    if let Ok(left) = left
        && !left.is_empty()
    {
        headers.insert(COOKIE, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    #[test]
    fn a_credential_stands_in_one_place_once() {
        let bearer = Place::Scheme("Bearer");
        for (value, found) in [
            ("Bearer abc", Ok("abc")),
            ("bearer  abc", Ok("abc")),
            ("BEARER abc", Ok("abc")),
            ("Bearer", Err(Reason::Missing)),
            ("Bearer ", Err(Reason::Missing)),
            ("Bearerabc", Err(Reason::Missing)),
            ("Basic abc", Err(Reason::Missing)),
            ("abc", Err(Reason::Missing)),
            ("", Err(Reason::Missing)),
        ] {
            let headers = headers(&[("authorization", value)]);
            assert_eq!(bearer.find(&headers), found.map(str::as_bytes), "{value}");
        }
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(bearer.find(&twice), Err(Reason::Repeated));
        let session = Place::Cookie("s".into());
        for (lines, found) in [
            (&["a=1; s=x; ss=2"][..], Ok("x")),
            (&["a=1", "s=x"], Ok("x")),
            (&["s=x=y"], Ok("x=y")),
            (&["a=1"], Err(Reason::Missing)),
            (&["s="], Err(Reason::Missing)),
            (&["s"], Err(Reason::Missing)),
            (&["s=x; s=x"], Err(Reason::Repeated)),
            (&["s=x", "s=y"], Err(Reason::Repeated)),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            assert_eq!(session.find(&headers(&lines)), found.map(str::as_bytes), "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_ends_at_the_gate_and_the_others_go_on() {
        let names = ["s".into(), "t".into()];
        for (lines, left) in [
            (&["a=1; s=x; b=2"][..], &["a=1; b=2"][..]),
            (&["s=x"], &[]),
            (&["s=x; t=y", "s=z"], &[]),
            (&["a=1", "s=x", "b=2"], &["a=1; b=2"]),
            (&["a=1;b=2"], &["a=1;b=2"]),
            (&["ss=1; as=2"], &["ss=1; as=2"]),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let mut headers = headers(&lines);
            remove_cookies(&mut headers, &names);
            let found: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(found, left, "{lines:?}");
        }
    }
}
