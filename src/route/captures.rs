//! What the `{name}` segments of a pattern took from a path.

use std::ops::Range;

use super::pattern::PathPattern;

/// How many captures a pattern may have. They are kept without allocation.
pub const MAX_CAPTURES: usize = 8;

/// Where a capture stands in a path, as byte positions.
type Span = (u32, u32);

/// What a pattern's captures took: places in the normalised path of the request. It borrows nothing and
/// is copied freely, so that it can be kept as long as the path; the names are the pattern's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Captures {
    spans: [Span; MAX_CAPTURES],
    len: usize,
}

impl Captures {
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

    /// The segment that the capture of this name took from `path`, still percent-encoded; none if the
    /// pattern has no such capture. `pattern` and `path` are those that were matched.
    #[must_use]
    pub fn get<'p>(&self, name: &str, pattern: &PathPattern, path: &'p str) -> Option<&'p str> {
        self.nth(pattern.captures().position(|known| known == name)?, path)
    }

    /// The segment that a capture took, by its place in the pattern, from 0.
    #[must_use]
    pub fn nth<'p>(&self, index: usize, path: &'p str) -> Option<&'p str> {
        let (start, end) = *self.spans[..self.len].get(index)?;
        path.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// No path of 4 GiB arrives here; one that did would have captures that are not found.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
