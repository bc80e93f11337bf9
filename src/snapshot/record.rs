//! What a configuration was made of besides its own text: the files it read, and the values it took from
//! outside.
//!
//! A reload has to know when one of those files changes, and an operator who asks for the configuration must
//! not be shown what came from the environment or from a file, since that is where secrets live. Both are
//! noted at the one place through which everything from outside comes, the [`Sources`]; so nobody has to
//! keep a list of the keys that name a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::units::Secret;
use crate::yaml::Sources;

/// So many bytes of a file are looked at in one go.
const PIECE: usize = 64 << 10;

/// A shorter value from outside is only masked where it stands alone.
const SHORTEST: usize = 4;

/// What was found at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Nothing that could be read.
    Absent,
    /// A file with this content.
    Content(u64),
    /// A file whose content was refused: too large, or no text.
    Refused,
}

impl Mark {
    /// The mark of a file with this content. It tells contents apart that differ by accident; nobody gains
    /// anything from two that agree on purpose.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        content.chunks(PIECE).for_each(|piece| hasher.write(piece));
        Self::Content(hasher.finish())
    }

    /// The mark of what is read, of which no more than a piece is held at once.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(mut from: impl io::Read) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        let mut piece = Vec::with_capacity(PIECE);
        // Each but the last is whole, as those of `of` are.
        while (&mut from).take(PIECE as u64).read_to_end(&mut piece)? > 0 {
            hasher.write(&piece);
            piece.clear();
        }
        Ok(Self::Content(hasher.finish()))
    }

    fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData => Self::Refused,
            _ => Self::Absent,
        }
    }
}

/// What one load took from outside its text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Record {
    /// The files that were read, by the path that the configuration gives.
    pub files: BTreeMap<PathBuf, Mark>,
    /// The values, each with the reference that brought it; the longest first, so that one that holds
    /// another leaves no rest of itself when they are masked.
    outside: Vec<(Secret, String)>,
}

impl Record {
    /// Puts back the reference wherever a value from outside stands in this text; a short one only if it is the
    /// whole text, since it would be found everywhere.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, shown) in &self.outside {
            let value = value.expose();
            if text == value || value.len() >= SHORTEST && text.contains(value) {
                text = text.replace(value, shown);
            }
        }
        text
    }
}

/// Sources that note what is taken from them.
pub(super) struct Recorder<'a> {
    sources: &'a dyn Sources,
    files: RefCell<BTreeMap<PathBuf, Mark>>,
    /// The values by the reference that brought them.
    outside: RefCell<BTreeMap<String, Secret>>,
}

impl<'a> Recorder<'a> {
    pub fn new(sources: &'a dyn Sources) -> Self {
        Self { sources, files: RefCell::default(), outside: RefCell::default() }
    }

    /// What was noted so far.
    pub fn record(&self) -> Record {
        let outside = self.outside.borrow();
        // In a message it may stand as Rust writes a text in quotes.
        let escaped = |value: &Secret| {
            let text = value.expose().escape_debug().to_string();
            (text != value.expose()).then(|| Secret::new(text))
        };
        let mut outside: Vec<_> = outside
            .iter()
            .flat_map(|(shown, value)| {
                [Some(value.clone()), escaped(value)].map(|value| (value, shown.clone()))
            })
            .filter_map(|(value, shown)| Some((value?, shown)))
            .collect();
        outside.sort_by_key(|(value, _)| std::cmp::Reverse(value.expose().len()));
        Record { files: self.files.borrow().clone(), outside }
    }

    fn note_file(&self, path: &Path, mark: Mark) {
        self.files.borrow_mut().insert(path.to_owned(), mark);
    }

    fn note_value(&self, shown: String, value: &str) {
        // What is empty is refused by the reader, and would be found everywhere.
        if !value.is_empty() {
            self.outside.borrow_mut().insert(shown, Secret::new(value));
        }
    }
}

impl Sources for Recorder<'_> {
    fn env(&self, name: &str) -> Option<String> {
        let value = self.sources.env(name)?;
        self.note_value(format!("${{env:{name}}}"), &value);
        Some(value)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let text = self.sources.file(path);
        match &text {
            Ok(text) => {
                self.note_file(path, Mark::of(text.as_bytes()));
                let value = text.strip_suffix('\n').unwrap_or(text);
                let value = value.strip_suffix('\r').unwrap_or(value);
                self.note_value(format!("${{file:{}}}", path.display()), value);
            }
            Err(error) => self.note_file(path, Mark::of_error(error)),
        }
        text
    }

    fn data(&self, path: &Path) -> io::Result<Vec<u8>> {
        let data = self.sources.data(path);
        let mark = match &data {
            Ok(data) => Mark::of(data),
            Err(error) => Mark::of_error(error),
        };
        self.note_file(path, mark);
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Outside;

    impl Sources for Outside {
        fn env(&self, name: &str) -> Option<String> {
            let value = match name {
                "TOKEN" => "hunter2-and-more",
                "SHORT" => "on",
                "QUOTED" => "a\"b\\n",
                _ => return None,
            };
            Some(value.to_owned())
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("secret") => Ok("hunter2\n".to_owned()),
                Some("large") => Err(io::ErrorKind::FileTooLarge.into()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn data(&self, _: &Path) -> io::Result<Vec<u8>> {
            Ok(b"keys".to_vec())
        }
    }

    #[test]
    fn a_file_has_the_mark_of_its_content_however_it_is_read() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
            let content = vec![b'x'; length];
            // A reader that gives little at a time.
            let halting = content
                .chunks(1000)
                .fold(Box::new(io::empty()) as Box<dyn io::Read>, |all, piece| {
                    Box::new(all.chain(piece))
                });
            assert_eq!(Mark::read(halting).unwrap(), Mark::of(&content), "{length}");
        }
    }

    #[test]
    fn files_are_noted_whether_or_not_they_could_be_read() {
        let recorder = Recorder::new(&Outside);
        for path in ["secret", "large", "none"] {
            let _ = recorder.file(Path::new(path));
        }
        let _ = recorder.data(Path::new("keys"));
        let files = recorder.record().files;
        let mark = |path: &str| files[Path::new(path)];
        assert_eq!(mark("secret"), Mark::of(b"hunter2\n"));
        assert_eq!(mark("keys"), Mark::of(b"keys"));
        assert_eq!((mark("large"), mark("none")), (Mark::Refused, Mark::Absent));
    }

    #[test]
    fn a_value_from_outside_is_shown_as_its_reference() {
        let recorder = Recorder::new(&Outside);
        assert_eq!(recorder.record().mask("hunter2"), "hunter2");
        for name in ["TOKEN", "NONE", "SHORT", "QUOTED"] {
            let _ = recorder.env(name);
        }
        let _ = recorder.file(Path::new("secret"));
        let record = recorder.record();
        assert_eq!(record.mask("Bearer hunter2-and-more"), "Bearer ${env:TOKEN}");
        assert_eq!(record.mask("hunter2, hunter2"), "${file:secret}, ${file:secret}");
        assert_eq!(record.mask("on and on"), "on and on");
        assert_eq!(record.mask("on"), "${env:SHORT}");
        assert_eq!(record.mask(&format!("not {:?}", "a\"b\\n")), "not \"${env:QUOTED}\"");
        assert!(!format!("{record:?}").contains("hunter2"));
    }
}
