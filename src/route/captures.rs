//! What the `{name}` segments of a pattern took from a path.

use std::ops::Range;
use std::sync::Arc;

/// How many captures a pattern may have. They are kept without allocation.
pub const MAX_CAPTURES: usize = 8;

/// Where a capture stands in a path, as byte positions.
type Span = (u32, u32);

/// The spans taken so far, in the order of the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spans {
    spans: [Span; MAX_CAPTURES],
    len: usize,
}

impl Spans {
    pub(super) fn push(&mut self, span: Range<usize>) {
        // A pattern has no more captures than there is room for.
        if let Some(free) = self.spans.get_mut(self.len) {
            *free = (position(span.start), position(span.end));
            self.len += 1;
        }
    }

    pub(super) const fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }
}

/// No path of 4 GiB arrives here; one that did would have captures that are not found.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// What a pattern's captures took: names, and places in the normalised path of the request. It borrows
/// nothing, so that it can be kept as long as the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    names: Option<Arc<[Box<str>]>>,
    spans: Spans,
}

impl Captures {
    pub(super) const fn new(names: Option<Arc<[Box<str>]>>, spans: Spans) -> Self {
        Self { names, spans }
    }

    /// The segment that the capture of this name took from `path`, still percent-encoded; none if the
    /// pattern has no such capture. `path` is the normalised path that was matched.
    #[must_use]
    pub fn get<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let index = self.names.as_ref()?.iter().position(|known| **known == *name)?;
        self.nth(index, path)
    }

    /// The segment that a capture took, by its place in the pattern, from 0.
    #[must_use]
    pub fn nth<'p>(&self, index: usize, path: &'p str) -> Option<&'p str> {
        let (start, end) = *self.spans.spans[..self.spans.len].get(index)?;
        path.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// All names with their segments, in the order of the path.
    pub fn iter<'p>(&self, path: &'p str) -> impl Iterator<Item = (&str, &'p str)> {
        let names = self.names.as_deref().unwrap_or_default();
        names.iter().enumerate().filter_map(move |(at, name)| Some((&**name, self.nth(at, path)?)))
    }

    /// Whether the pattern had none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spans.len == 0
    }
}
