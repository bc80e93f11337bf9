//! Noticing that the configuration file, or one that it names, has changed.
//!
//! The files are looked at once a second, and what counts is their content. Notifications of the kernel
//! would tell sooner, and miss more: an editor that renames a new file into place leaves a watch on the old
//! one; Kubernetes swaps a symbolic link two folders up (`..data`); a network file system does not notify at
//! all. Each has its remedy, but a look at the content needs none. A time stamp alone would not do: two
//! writes within its grain look like one, and a file that is put back keeps its old one.
//!
//! What a look costs is reading a few small files. A large one, such as a million keys, is only read if its
//! time stamp, size or identity changed, or if it was written so lately that the stamp may not tell.
//!
//! A file that is just being written must not be read halfway, since half a list of routes can be a sound
//! one. So a change counts once two looks see the same.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::snapshot::{Mark, Record};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Between the looks that have to agree.
const SETTLE: Duration = Duration::from_millis(200);
/// A larger file, in bytes, is not read at every look.
const LARGE: u64 = 1 << 20;
/// A time stamp younger than this may be followed by a write that it does not tell from this one.
const RECENT: Duration = Duration::from_secs(2);

/// What tells a version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether another write could leave the same stamp.
    fn is_recent(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let changed = u64::try_from(self.changed.0).unwrap_or(0);
        now.abs_diff(changed) <= RECENT.as_secs()
    }
}

/// A file as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    mark: Mark,
    /// Of a large file that had rested.
    stamp: Option<Stamp>,
}

impl Seen {
    fn look(path: &Path, before: Option<&Self>) -> Self {
        let absent = Self { mark: Mark::Absent, stamp: None };
        let Ok(metadata) = std::fs::metadata(path) else { return absent };
        // A device or a pipe could be read for ever.
        if !metadata.is_file() {
            return absent;
        }
        let stamp = Stamp::of(&metadata);
        if let Some(before) = before
            && before.stamp == Some(stamp)
        {
            return *before;
        }
        let rested = stamp.length > LARGE && !stamp.is_recent(SystemTime::now());
        // It may be of any size, and nothing of it is needed but its mark.
        match std::fs::File::open(path).and_then(Mark::read) {
            Ok(mark) => Self { mark, stamp: rested.then_some(stamp) },
            Err(_) => absent,
        }
    }
}

type Files = BTreeMap<PathBuf, Seen>;

/// What a load saw of the configuration file and of those that it names. Files may be read for that.
#[must_use]
pub fn marks(file: &Path, mark: Mark, record: &Record) -> BTreeMap<PathBuf, Mark> {
    let base = file.parent().unwrap_or(Path::new(""));
    let named = record.files.iter().map(|(path, mark)| {
        let path = base.join(path);
        // What it holds does not matter, only whether that changes.
        let mark = if *mark == Mark::Refused { Seen::look(&path, None).mark } else { *mark };
        (path, mark)
    });
    named.chain([(file.to_owned(), mark)]).collect()
}

/// Watches files.
#[derive(Debug)]
pub struct Watch {
    /// What the last load saw, good or refused.
    loaded: BTreeMap<PathBuf, Mark>,
    /// What the last look saw; shared with the thread that looks.
    seen: Arc<Mutex<Files>>,
}

impl Watch {
    /// Watches files of which a load saw this.
    #[must_use]
    pub fn new(loaded: BTreeMap<PathBuf, Mark>) -> Self {
        Self { loaded, seen: Arc::default() }
    }

    /// Begins anew with what a load saw.
    pub fn loaded(&mut self, loaded: BTreeMap<PathBuf, Mark>) {
        self.loaded = loaded;
        let watched = |path: &PathBuf, _: &mut Seen| self.loaded.contains_key(path);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).retain(watched);
    }

    /// Waits until a file has changed since it was loaded, and rests.
    pub async fn changed(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let mut now = self.look().await;
            if self.is_as_loaded(&now) {
                continue;
            }
            loop {
                tokio::time::sleep(SETTLE).await;
                let again = self.look().await;
                if again == now {
                    break;
                }
                now = again;
            }
            // It may have been put back meanwhile.
            if !self.is_as_loaded(&now) {
                return;
            }
        }
    }

    fn is_as_loaded(&self, now: &BTreeMap<PathBuf, Mark>) -> bool {
        *now == self.loaded
    }

    async fn look(&self) -> BTreeMap<PathBuf, Mark> {
        let (paths, seen) = (self.loaded.keys().cloned().collect(), Arc::clone(&self.seen));
        let looked = tokio::task::spawn_blocking(move || look(paths, &seen)).await;
        // A look that broke off saw nothing new.
        looked.unwrap_or_else(|_| self.loaded.clone())
    }
}

fn look(paths: Vec<PathBuf>, seen: &Mutex<Files>) -> BTreeMap<PathBuf, Mark> {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let mut marks = BTreeMap::new();
    for path in paths {
        let now = Seen::look(&path, seen.get(&path));
        marks.insert(path.clone(), now.mark);
        seen.insert(path, now);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, content: &[u8]) {
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn a_look_sees_contents_and_not_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        assert_eq!(Seen::look(&file, None).mark, Mark::Absent);
        assert_eq!(Seen::look(folder.path(), None).mark, Mark::Absent);
        write(&file, b"one");
        let first = Seen::look(&file, None);
        write(&file, b"one");
        assert_eq!(Seen::look(&file, Some(&first)), first);
        write(&file, b"two");
        assert_ne!(Seen::look(&file, Some(&first)), first);
    }

    #[test]
    fn a_link_is_followed_to_what_it_means_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            std::fs::create_dir(path(version)).unwrap();
            write(&path(version).join("key"), version.as_bytes());
        }
        std::os::unix::fs::symlink("v1", path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", path("key")).unwrap();
        assert_eq!(Seen::look(&path("key"), None).mark, Mark::of(b"v1"));
        std::os::unix::fs::symlink("v2", path("next")).unwrap();
        std::fs::rename(path("next"), path("..data")).unwrap();
        assert_eq!(Seen::look(&path("key"), None).mark, Mark::of(b"v2"));
    }

    #[test]
    fn a_large_file_is_read_again_until_it_has_rested() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let mut content = vec![b'a'; usize::try_from(LARGE).unwrap() + 1];
        write(&file, &content);
        let fresh = Seen::look(&file, None);
        assert_eq!(fresh.stamp, None, "just written");
        let metadata = std::fs::metadata(&file).unwrap();
        let stamp = Stamp::of(&metadata);
        // As if it had rested: the stamp alone decides, and only as long as it stays.
        let rested = Seen { mark: Mark::of(b"something else"), stamp: Some(stamp) };
        assert_eq!(Seen::look(&file, Some(&rested)), rested);
        content.push(b'b');
        write(&file, &content);
        assert_eq!(Seen::look(&file, Some(&rested)).mark, Mark::of(&content));
    }

    #[test]
    fn a_stamp_is_recent_for_two_seconds() {
        let second = |second| UNIX_EPOCH + Duration::from_secs(second);
        let stamp = Stamp { device: 0, inode: 0, length: 0, modified: (0, 0), changed: (100, 0) };
        assert!(stamp.is_recent(second(100)) && stamp.is_recent(second(102)));
        assert!(!stamp.is_recent(second(103)));
        // A clock that is behind that of the file server tells nothing either.
        assert!(stamp.is_recent(second(99)));
    }
}
