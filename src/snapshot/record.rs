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
use std::io;
use std::path::{Path, PathBuf};

use crate::units::Secret;
use crate::yaml::Sources;

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
        hasher.write(content);
        Self::Content(hasher.finish())
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
    /// The values, each with the reference that brought it.
    outside: BTreeMap<String, Secret>,
}

impl Record {
    /// Puts back the reference wherever a value from outside stands in this text; one of fewer than
    /// `shortest` bytes only if it is the whole text. The longest values come first, so that one that holds
    /// another leaves no rest of itself.
    #[must_use]
    pub fn mask(&self, text: &str, shortest: usize) -> String {
        let mut values: Vec<(&str, &String)> =
            self.outside.iter().map(|(shown, value)| (value.expose(), shown)).collect();
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        let mut text = text.to_owned();
        for (value, shown) in values {
            if text == value || value.len() >= shortest && text.contains(value) {
                text = text.replace(value, shown);
            }
        }
        text
    }
}

/// Sources that note what is taken from them.
pub(super) struct Recorder<'a> {
    sources: &'a dyn Sources,
    record: RefCell<Record>,
}

impl<'a> Recorder<'a> {
    pub fn new(sources: &'a dyn Sources) -> Self {
        Self { sources, record: RefCell::default() }
    }

    /// What was noted so far.
    pub fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    fn note_file(&self, path: &Path, mark: Mark) {
        self.record.borrow_mut().files.insert(path.to_owned(), mark);
    }

    fn note_value(&self, shown: String, value: &str) {
        // What is empty is refused by the reader, and would be found everywhere.
        if !value.is_empty() {
            self.record.borrow_mut().outside.insert(shown, Secret::new(value));
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
            (name == "TOKEN").then(|| "hunter2-and-more".to_owned())
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
        assert_eq!(recorder.record().mask("hunter2", 4), "hunter2");
        let _ = (recorder.env("TOKEN"), recorder.env("NONE"), recorder.file(Path::new("secret")));
        let record = recorder.record();
        assert_eq!(record.mask("Bearer hunter2-and-more", 4), "Bearer ${env:TOKEN}");
        assert_eq!(record.mask("hunter2, hunter2", 4), "${file:secret}, ${file:secret}");
        assert_eq!(record.mask("a hunter2", 8), "a hunter2");
        assert_eq!(record.mask("hunter2", 8), "${file:secret}");
        assert!(!format!("{record:?}").contains("hunter2"));
    }
}
