//! What outlives the process, in a file of its own.
//!
//! The file is a database ([`redb`]) that one process at a time may have open: two that counted in one file would each
//! overwrite what the other knows. It is written off the event loops.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase as _, TableDefinition, TableError};

/// By the name of a window and of who uses it: how much was used, and when it ends.
const USED: TableDefinition<'_, &str, (u64, i64)> = TableDefinition::new("quota");

/// The file, opened when a configuration with it is put in force.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    database: Mutex<Option<Database>>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) used: u64,
    pub(super) ends: i64,
}

impl File {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path, database: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it, and forgets the windows that are over.
    ///
    /// # Errors
    /// What is wrong, and what helps.
    pub(super) fn open(&self, now: i64) -> Result<(), (String, &'static str)> {
        let mut open = self.lock();
        if open.is_some() {
            return Ok(());
        }
        let write = "the directory must be there, and the gateway must be allowed to write to it";
        // Who may read it may read who calls how much.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.path).map_err(|error| (error.to_string(), write))?;
        let backend = FileBackend::new(file);
        let database = backend.and_then(|backend| Database::builder().create_with_backend(backend));
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => (
                "another process has it open".to_owned(),
                "each gateway needs a file of its own; replicas that share quotas need a shared store",
            ),
            other => (
                other.to_string(),
                "if it is no file of the gateway's, name another; a broken one can be moved away: quotas begin anew",
            ),
        })?;
        *open = Some(database);
        drop(open);
        self.forget(now).map_err(|error| (error, write))
    }

    /// Leaves it to whoever opens it next.
    pub(super) fn close(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says under these keys; what it does not know is zero.
    pub(super) fn read(&self, keys: &[String]) -> Result<Vec<u64>, String> {
        let open = self.lock();
        let Some(database) = &*open else { return Err("it is not open".to_owned()) };
        let reading = database.begin_read().map_err(|error| error.to_string())?;
        let table = match reading.open_table(USED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(vec![0; keys.len()]),
            table => table.map_err(|error| error.to_string())?,
        };
        let used = |key: &String| {
            let row = table.get(key.as_str()).map_err(|error| error.to_string())?;
            Ok(row.map_or(0, |row| row.value().0))
        };
        keys.iter().map(used).collect()
    }

    /// Keeps these lines, all or none, and returns when they are on the disk.
    pub(super) fn write(&self, rows: &[Row]) -> Result<(), String> {
        let open = self.lock();
        let Some(database) = &*open else { return Err("it is not open".to_owned()) };
        let write = || -> Result<(), redb::Error> {
            let writing = database.begin_write()?;
            {
                let mut table = writing.open_table(USED)?;
                for row in rows {
                    table.insert(row.key.as_str(), (row.used, row.ends))?;
                }
            }
            writing.commit()?;
            Ok(())
        };
        write().map_err(|error| error.to_string())
    }

    /// Forgets the windows that are over.
    pub(super) fn forget(&self, now: i64) -> Result<(), String> {
        let open = self.lock();
        let Some(database) = &*open else { return Err("it is not open".to_owned()) };
        let forget = || -> Result<(), redb::Error> {
            let writing = database.begin_write()?;
            writing.open_table(USED)?.retain(|_, (_, ends)| ends > now)?;
            writing.commit()?;
            Ok(())
        };
        forget().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, used: u64, ends: i64) -> Row {
        Row { key: key.to_owned(), used, ends }
    }

    #[test]
    fn what_is_written_outlives_the_process_until_its_window_is_over() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("quotas.redb");
        let keys = ["a", "b", "c"].map(str::to_owned);
        let file = File::at(path.clone());
        assert!(file.read(&keys).is_err() && file.write(&[]).is_err() && file.forget(0).is_err());
        file.open(100).expect("opens");
        assert_eq!(file.read(&keys), Ok(vec![0, 0, 0]));
        file.write(&[row("a", 5, 200), row("b", 7, 300)]).expect("writes");
        file.write(&[row("a", 6, 200)]).expect("writes");
        assert_eq!(file.read(&keys), Ok(vec![6, 7, 0]));
        drop(file);
        let file = File::at(path);
        file.open(200).expect("opens again");
        file.open(200).expect("is open");
        assert_eq!(file.read(&keys), Ok(vec![0, 7, 0]));
    }

    #[test]
    fn it_says_why_it_cannot_be_opened() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("quotas.redb");
        let file = File::at(path.clone());
        file.open(0).expect("opens");
        let (what, help) = File::at(path.clone()).open(0).expect_err("is open elsewhere");
        assert_eq!(what, "another process has it open");
        assert!(help.contains("a file of its own"));
        file.close();
        File::at(path).open(0).expect("was left to whoever comes next");
        let (_, help) = File::at(folder.path().join("no/such")).open(0).expect_err("no folder");
        assert!(help.contains("directory"));
        let text = folder.path().join("text");
        std::fs::write(&text, "no database, but something that someone wrote").expect("writes");
        let (_, help) = File::at(text.clone()).open(0).expect_err("no database");
        assert!(help.contains("moved away"), "{help}");
        let kept = std::fs::read_to_string(text).expect("is there still");
        assert_eq!(kept, "no database, but something that someone wrote");
    }
}
