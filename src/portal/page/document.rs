//! The document as text, made once for all who see the same of it.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use serde_json::Value;

use super::tag;

/// So many different views are kept.
const MOST_VIEWS: usize = 32;

/// A text, as it is and compressed.
#[derive(Debug)]
pub(in crate::portal) struct Text {
    pub plain: Bytes,
    pub tag: HeaderValue,
    pub gzip: Option<Bytes>,
    pub gzip_tag: HeaderValue,
}

impl Text {
    fn new(text: String) -> Self {
        let plain = Bytes::from(text);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).ok().map(Bytes::from);
        let gzip_tag = gzip.as_ref().map_or(HeaderValue::from_static("\"\""), |gzip| tag(gzip));
        Self { tag: tag(&plain), plain, gzip, gzip_tag }
    }
}

/// A document in both of its forms.
#[derive(Debug)]
pub(in crate::portal) struct Document {
    value: Value,
    json: OnceLock<Text>,
    yaml: OnceLock<Text>,
}

impl Document {
    pub(in crate::portal) fn json(&self) -> &Text {
        self.json.get_or_init(|| {
            let mut text = serde_json::to_string_pretty(&self.value).unwrap_or_default();
            text.push('\n');
            Text::new(text)
        })
    }

    pub(in crate::portal) fn yaml(&self) -> &Text {
        self.yaml.get_or_init(|| Text::new(serde_yaml::to_string(&self.value).unwrap_or_default()))
    }
}

/// The documents that were made, by who sees what.
#[derive(Debug, Default)]
pub(in crate::portal) struct Documents(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    /// Of what the specs were when these were made.
    versions: Vec<u64>,
    by_view: HashMap<Vec<bool>, Arc<Document>>,
}

impl Documents {
    /// Whether the document of everything is there, of these versions of the specs.
    pub(in crate::portal) fn has_all(&self, versions: &[u64]) -> bool {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.versions == versions
            && made.by_view.get(&Vec::new()).is_some_and(|made| made.json.get().is_some())
    }

    /// The document of a view, an empty one for everything; made now if it is not there.
    pub(in crate::portal) fn get(
        &self,
        versions: Vec<u64>,
        view: Vec<bool>,
        make: impl FnOnce() -> Value,
    ) -> Arc<Document> {
        {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if known.versions == versions
                && let Some(document) = known.by_view.get(&view)
            {
                return Arc::clone(document);
            }
        }
        let document =
            Arc::new(Document { value: make(), json: OnceLock::new(), yaml: OnceLock::new() });
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.versions != versions || known.by_view.len() >= MOST_VIEWS {
            known.by_view.clear();
            known.versions = versions;
        }
        known.by_view.insert(view, Arc::clone(&document));
        document
    }
}
