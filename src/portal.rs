//! The portal: one page for every API behind the gate, and one `OpenAPI` document of all that it routes.
//!
//! An upstream says where its own document (its [`Spec`]) comes from; a [`Source`] keeps the last good one. The
//! [`Landscape`] knows which operation is reached under which public path; [`merge()`] makes one document of it
//! all, and a [`Portal`] serves that to whom it may be shown. [`Drift`] counts where calls and documents differ.
//!
//! Nothing of it stands in the way of traffic: specs are fetched beside it, documents are made when they are asked
//! for, and a spec that is slow, down or hostile costs a bounded time and what is told of that one upstream.

mod bounds;
pub mod config;
mod drift;
mod landscape;
mod library;
mod merge;
mod page;
mod shape;
mod source;
mod spec;
mod tree;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub use config::{Config, Settings, Show};
pub use drift::{Drift, Drifts, Report};
pub use landscape::{Landscape, Place};
pub use library::{Library, sources};
pub use merge::{About, Known, Specs, State, merge};
pub use page::Ask;
pub use source::{Pace, Source, Status};
pub use spec::Spec;
pub(crate) use spec::{Target, base, upgrade};
pub use tree::SpecError;
pub(crate) use tree::parse;

use crate::diagnostic::{At, Diagnostics, unreadable};
use page::{Documents, Logo};

/// The largest logo, in bytes.
const MOST_LOGO: usize = 1 << 20;

/// What a route with `portal` serves.
#[derive(Debug)]
pub struct Portal {
    about: About,
    show: Show,
    logo: Option<Logo>,
    /// Whether everybody may see it, so that caches between may keep it.
    is_for_everybody: bool,
    vary: Option<HeaderValue>,
    documents: Documents,
    /// Set once all routes are known.
    library: OnceLock<Arc<Library>>,
}

impl Portal {
    /// Reads the `portal` of a route; `is_open` tells whether that lets everybody in. Mistakes are reported below
    /// `at`, the place of the key.
    pub fn compile(
        settings: &Settings,
        is_open: bool,
        credentials: &[HeaderName],
        at: &At,
        read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.len();
        let logo = settings
            .logo
            .as_deref()
            .and_then(|file| logo(file, &at.key("logo"), read_file, diagnostics));
        let url = settings.url.as_deref().and_then(|url| address(url, &at.key("url"), diagnostics));
        if settings.show == Show::Allowed && !is_open {
            diagnostics.error(
                at.key("show"),
                "`show: allowed` lets callers see the page before they say who they are, and this route does not",
                "add `auth: none` to the route: what is shown still depends on who asks; or write `show: all`",
            );
        }
        for (key, text) in [("title", &settings.title), ("version", &settings.version)] {
            if text.trim().is_empty() {
                let help = format!("write a text, or leave `{key}` out");
                diagnostics.error(at.key(key), "it is empty", help);
            }
        }
        let about = About { url, ..settings.clone().into() };
        (diagnostics.len() == before).then(|| Self {
            about,
            show: settings.show,
            logo,
            is_for_everybody: is_open,
            vary: page::vary(credentials),
            documents: Documents::default(),
            library: OnceLock::new(),
        })
    }

    /// Gives it what it is to show. A second call does nothing.
    pub fn furnish(&self, library: &Arc<Library>) {
        let _ = self.library.set(Arc::clone(library));
    }

    /// What its document says of the whole.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// Where its page may send requests, beside where it came from: to the hosts of routes, and to its own address.
    ///
    /// The page is the same for all: where each caller is shown what it may call, hosts that are not for everybody stay
    /// untold, and any may be asked instead.
    fn hosts(&self) -> Vec<String> {
        let places = self.library.get().map_or(&[][..], |library| library.landscape().places());
        let named = places.iter().filter(|place| !place.hosts.is_empty());
        let is_told = |place: &&Place| self.show == Show::All || place.guard.is_open();
        let (told, untold): (Vec<_>, Vec<_>) = named.partition(is_told);
        let mut hosts: Vec<String> =
            told.iter().flat_map(|place| &place.hosts).map(|host| format!("{host}:*")).collect();
        if !untold.is_empty() {
            hosts.extend(["http:", "https:"].map(str::to_owned));
        }
        let origin = self.about.url.as_deref().map(|url| {
            let end = url.find("//").map_or(0, |at| at + 2);
            url[end..].find('/').map_or(url, |at| &url[..end + at]).to_owned()
        });
        hosts.extend(origin);
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Whether the document for everybody is there to be sent.
    fn is_ready(&self, as_yaml: bool) -> bool {
        let library = self.library.get();
        library.is_some_and(|library| self.documents.has_all(&library.versions(), as_yaml))
    }

    /// The document for a caller, or for everybody.
    fn document(&self, caller: Option<&page::Caller>, now: SystemTime) -> Arc<page::Document> {
        let Some(library) = self.library.get() else {
            return self.documents.get(Vec::new, Vec::new(), || serde_json::Value::Null);
        };
        let places = library.landscape().places();
        let view: Vec<bool> = match caller {
            None => Vec::new(),
            Some(caller) => {
                let presented = caller.presented();
                places.iter().map(|place| place.guard.admit(&presented, now).is_ok()).collect()
            }
        };
        let shown = |place: usize| view.is_empty() || view.get(place) == Some(&true);
        self.documents.get(
            || library.versions(),
            view.clone(),
            || merge(&self.about, library.landscape(), &library.specs(), &shown),
        )
    }
}

fn logo(
    file: &Path,
    at: &At,
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    diagnostics: &mut Diagnostics,
) -> Option<Logo> {
    let name = file.display();
    let Some(media_type) = page::media_type(&name.to_string()) else {
        let help = "name a file that ends in .svg, .png, .jpg or .webp";
        diagnostics.error(at.clone(), format!("{name} is no picture for a page"), help);
        return None;
    };
    match read_file(file) {
        Ok(bytes) if bytes.len() <= MOST_LOGO => {
            Some(Logo { media_type, bytes: Bytes::from(bytes) })
        }
        Ok(_) => {
            let help = "a picture of some KiB is large enough for the top of a page";
            diagnostics.error(at.clone(), format!("{name} is larger than 1 MiB"), help);
            None
        }
        Err(error) => {
            let what = format!("{name} cannot be read: {}", unreadable(&error));
            diagnostics.error(at.clone(), what, "name a readable file");
            None
        }
    }
}

/// The address under which clients reach the gateway, without a slash at its end.
fn address(url: &str, at: &At, diagnostics: &mut Diagnostics) -> Option<String> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| is_web && uri.host().is_some());
    let plain = parsed.filter(|uri| uri.query().is_none() && !url.contains(['#', '@', '{', '}']));
    if plain.is_none() {
        let what = format!("{url:?} is no address of a gateway");
        diagnostics.error(at.clone(), what, "write it like https://api.example.com");
    }
    plain.map(|_| url.trim_end_matches('/').to_owned())
}
