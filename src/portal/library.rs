//! A [`Library`]: the specs of all upstreams of a configuration, and which routes lead to them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::drift::Drifts;
use super::landscape::Landscape;
use super::merge::{About, Specs, merge};
use super::source::{Pace, Source, Status};
use super::spec::Spec;
use crate::diagnostic::{At, Diagnostics, unreadable};
use crate::upstream::Upstream;
use crate::upstream::config::OpenApi;

/// The specs of a configuration, and its routes.
#[derive(Debug)]
pub struct Library {
    landscape: Landscape,
    sources: Vec<Arc<Source>>,
    drifts: Drifts,
    /// Whether somebody can see it.
    shown: bool,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("upstream", self.upstream()).finish_non_exhaustive()
    }
}

/// The sources of all upstreams that say where their spec comes from. They go on from the previous configuration if their
/// upstream does, and their file is the same.
pub fn sources(
    upstreams: &BTreeMap<String, Option<Arc<Upstream>>>,
    previous: &[Arc<Source>],
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    diagnostics: &mut Diagnostics,
) -> Vec<Arc<Source>> {
    let mut sources = Vec::new();
    for (name, upstream) in upstreams {
        let Some(upstream) = upstream else { continue };
        let source = match &upstream.config().openapi {
            None => continue,
            Some(OpenApi::Path(path)) => {
                let kept = previous.iter().find(|source| source.asks(upstream)).cloned();
                kept.unwrap_or_else(|| Arc::new(Source::of_path(upstream, path)))
            }
            Some(OpenApi::File(file)) => {
                let at = At::root().key("upstreams").key(name).key("openapi").key("file");
                match of_file(upstream, file, previous, &at, read_file, diagnostics) {
                    Some(source) => source,
                    None => continue,
                }
            }
        };
        sources.push(source);
    }
    sources
}

fn of_file(
    upstream: &Arc<Upstream>,
    file: &Path,
    previous: &[Arc<Source>],
    at: &At,
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Source>> {
    let text = match read_file(file) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("{} cannot be read: {}", file.display(), unreadable(&error));
            diagnostics.error(at.clone(), what, "name a readable file with an OpenAPI document");
            return None;
        }
    };
    match Spec::read(&text) {
        Ok(spec) => {
            if spec.lost > 0 {
                let what = format!("{} references in {} lead nowhere", spec.lost, file.display());
                let help =
                    "let each lead to a part of the same document; the rest is shown without them";
                diagnostics.warning(at.clone(), what, help);
            }
            let kept = previous.iter().find(|source| source.holds(upstream, &text)).cloned();
            Some(kept.unwrap_or_else(|| Arc::new(Source::of_file(upstream, &text, spec))))
        }
        Err(error) => {
            let what = format!("{} is refused: {error}", file.display());
            diagnostics.error(
                at.clone(),
                what,
                "write OpenAPI 3.1, 3.0 or Swagger 2, as JSON or YAML",
            );
            None
        }
    }
}

impl Library {
    /// A library that somebody can see if it is `shown`.
    #[must_use]
    pub fn new(
        landscape: Landscape,
        sources: Vec<Arc<Source>>,
        shown: bool,
        previous: Option<&Self>,
    ) -> Self {
        let drifts = Drifts::new(&landscape, &sources, previous.map(|library| &library.drifts));
        Self { landscape, sources, drifts, shown }
    }

    /// Begins to ask for what has to be asked for, if anybody can see it.
    pub fn start(&self, handle: &Handle) {
        if self.shown {
            self.sources.iter().for_each(|source| source.start(handle, Pace::default()));
        }
    }

    /// Where the specs come from.
    #[must_use]
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// The routes.
    #[must_use]
    pub const fn landscape(&self) -> &Landscape {
        &self.landscape
    }

    /// What is called otherwise than it is documented.
    #[must_use]
    pub const fn drifts(&self) -> &Drifts {
        &self.drifts
    }

    /// Whether somebody can see it.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.shown
    }

    /// What is known now.
    #[must_use]
    pub fn specs(&self) -> Specs {
        self.sources.iter().map(|one| (Arc::clone(one.upstream()), one.known())).collect()
    }

    /// Numbers that change whenever what is known does.
    #[must_use]
    pub fn versions(&self) -> Vec<u64> {
        self.sources.iter().map(|source| source.version()).collect()
    }

    /// How the sources are.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        self.sources.iter().map(|source| source.status()).collect()
    }

    /// The merged document with everything in it.
    #[must_use]
    pub fn document(&self, about: &About) -> serde_json::Value {
        merge(about, &self.landscape, &self.specs(), &|_| true)
    }
}
