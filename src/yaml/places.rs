//! Where the paths of a file stand in its text, kept after reading for the mistakes found later.

use super::node::{Kind, NodeId, ROOT, Tree};
use crate::diagnostic::{At, Place, Step};

/// The places of a file's paths. It holds no values, so no secret outlives the reading in it.
#[derive(Debug, Default)]
pub struct Places {
    spots: Vec<Spot>,
}

#[derive(Debug)]
struct Spot {
    place: Place,
    /// Whether the value came from outside the file, and all of it.
    outside: bool,
    below: Below,
}

/// What stands below a path, as indices into [`Places::spots`].
#[derive(Debug)]
enum Below {
    Nothing,
    Items(Vec<usize>),
    /// Sorted by key.
    Keys(Vec<(String, usize)>),
}

impl Places {
    pub(super) fn new(mut tree: Tree) -> Self {
        let index = |id: NodeId| id.index();
        let mut spots = Vec::with_capacity(tree.len());
        for id in tree.ids() {
            let place = tree.place(id);
            spots.push(Spot { place, outside: false, below: Below::Nothing });
        }
        for (id, spot) in tree.ids().zip(&mut spots) {
            spot.below = match &mut tree.get_mut(id).kind {
                Kind::Scalar(scalar) => {
                    spot.outside = scalar.is_outside();
                    Below::Nothing
                }
                Kind::List(items) => Below::Items(items.iter().copied().map(index).collect()),
                Kind::Map(map) => {
                    let mut keys = Vec::with_capacity(map.entries.len());
                    for number in std::mem::take(&mut map.order) {
                        let entry = &mut map.entries[number];
                        keys.push((std::mem::take(&mut entry.key), index(entry.value)));
                    }
                    Below::Keys(keys)
                }
            };
        }
        Self { spots }
    }

    /// Where a mistake at this path is shown: a scalar by itself, a map or list by its key. A path that
    /// is not there has the place of its nearest ancestor, the file as a whole 1:1.
    #[must_use]
    pub fn of(&self, at: &At) -> Option<Place> {
        let (here, _) = self.follow(at);
        if here == ROOT.index() {
            return Some(Place { line: 1, column: 1 });
        }
        self.spots.get(here).map(|spot| spot.place)
    }

    /// Whether the value at this path came, as a whole, from a variable or a file.
    #[must_use]
    pub fn is_outside(&self, at: &At) -> bool {
        let (here, all) = self.follow(at);
        all && self.spots.get(here).is_some_and(|spot| spot.outside)
    }

    /// The spot at a path, or of its nearest ancestor; and whether it was the path's own.
    fn follow(&self, at: &At) -> (usize, bool) {
        let mut here = ROOT.index();
        for step in at.steps() {
            let next = match (step, self.spots.get(here).map(|spot| &spot.below)) {
                (Step::Index(index), Some(Below::Items(items))) => items.get(*index).copied(),
                (Step::Key(key), Some(Below::Keys(keys))) => {
                    let first = keys.partition_point(|(other, _)| other < key);
                    keys.get(first).filter(|(other, _)| other == key).map(|(_, spot)| *spot)
                }
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => return (here, false),
            }
        }
        (here, true)
    }
}
