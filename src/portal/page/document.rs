//! The document as text, made once for all who see the same of it.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use serde_json::Value;

use super::tag;
use crate::portal::bounds::values;

/// So many different views are kept.
const MOST_VIEWS: usize = 32;
/// So many values have all that are kept together, as long as there is more than one.
const MOST_VALUES: usize = 4_000_000;

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
pub(in crate::portal) struct Documents {
    made: Mutex<Made>,
    /// Held while one is made: many who ask at once cost no more than one.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct Made {
    /// Of what the specs were when these were made.
    versions: Vec<u64>,
    by_view: HashMap<Vec<bool>, Arc<Document>>,
    values: usize,
}

impl Made {
    fn get(&self, versions: &[u64], view: &[bool]) -> Option<&Arc<Document>> {
        self.by_view.get(view).filter(|_| self.versions == versions)
    }

    fn keep(&mut self, versions: Vec<u64>, view: Vec<bool>, document: &Arc<Document>) {
        let values = values(&document.value);
        let full = self.by_view.len() >= MOST_VIEWS || self.values + values > MOST_VALUES;
        if self.versions != versions || full {
            self.by_view.clear();
            self.values = 0;
            self.versions = versions;
        }
        self.values += values;
        self.by_view.insert(view, Arc::clone(document));
    }
}

impl Documents {
    /// Whether the document of everything is there as a text, of these versions of the specs.
    pub(in crate::portal) fn has_all(&self, versions: &[u64], as_yaml: bool) -> bool {
        let made = self.made();
        made.get(versions, &[]).is_some_and(|document| {
            if as_yaml { document.yaml.get().is_some() } else { document.json.get().is_some() }
        })
    }

    /// The document of a view, an empty one for everything; made now if it is not there.
    pub(in crate::portal) fn get(
        &self,
        versions: impl Fn() -> Vec<u64>,
        view: Vec<bool>,
        make: impl FnOnce() -> Value,
    ) -> Arc<Document> {
        if let Some(known) = self.made().get(&versions(), &view) {
            return Arc::clone(known);
        }
        let _only = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the specs are looked at: what changes meanwhile is seen by the next.
        let versions = versions();
        if let Some(known) = self.made().get(&versions, &view) {
            return Arc::clone(known);
        }
        let document =
            Arc::new(Document { value: make(), json: OnceLock::new(), yaml: OnceLock::new() });
        self.made().keep(versions, view, &document);
        document
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[test]
    fn who_asks_at_once_gets_one_document() {
        let (documents, made) = (Documents::default(), AtomicUsize::new(0));
        let ask = || {
            documents.get(Vec::new, Vec::new(), || {
                // All others have come meanwhile, or come later; either way they find this one.
                std::thread::yield_now();
                json!(made.fetch_add(1, Ordering::SeqCst))
            })
        };
        std::thread::scope(|threads| {
            let all: Vec<_> = (0..16).map(|_| threads.spawn(ask)).collect();
            for one in all {
                assert_eq!(one.join().unwrap().json().plain, "0\n");
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_kept_is_of_one_version_and_has_a_bound() {
        let documents = Documents::default();
        let get = |version: u64, view: u32, value: Value| {
            let view = (0..32).map(|bit| view >> bit & 1 == 1).collect();
            documents.get(|| vec![version], view, || value.clone()).value.clone()
        };
        assert_eq!(get(1, 0, json!("a")), "a");
        assert_eq!(get(1, 0, json!("b")), "a");
        assert_eq!(get(2, 0, json!("b")), "b", "of another version of the specs");
        let large = Value::from(vec![0; MOST_VALUES / 3]);
        for view in 1..9 {
            get(2, view, large.clone());
            let made = documents.made();
            assert!(made.by_view.len() <= 3 && made.values <= MOST_VALUES, "{}", made.values);
        }
        for view in 10..100 {
            get(2, view, Value::Null);
            assert!(documents.made().by_view.len() <= MOST_VIEWS);
        }
    }

    #[test]
    fn a_text_that_is_not_there_yet_is_not_ready() {
        let documents = Documents::default();
        let document = documents.get(Vec::new, Vec::new(), || json!({}));
        let ready = || (documents.has_all(&[], false), documents.has_all(&[], true));
        assert_eq!(ready(), (false, false));
        document.json();
        assert_eq!(ready(), (true, false));
        document.yaml();
        assert_eq!(ready(), (true, true));
    }
}
