//! A gateway in this process that follows a file, as `portcullis run` does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::loading;
use portcullis::observe::process_log::LogLevel;
use portcullis::reload::{Outcome, Reloader, Trigger};
use portcullis::server::Server;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::secrets;

/// A gateway with a file, and a folder for it.
pub struct Reloading {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
    pub addresses: BTreeMap<String, SocketAddr>,
    pub reloader: Reloader,
    stop: Option<oneshot::Sender<()>>,
    done: Option<JoinHandle<bool>>,
    _operators: secrets::Operators,
}

/// What stands above the text of a test.
const HEAD: &str = "version: 1\nworkers: 2\nlogs: { access: \"off\" }\n\
                    listeners: { public: { address: \"127.0.0.1:0\" } }\n";

impl Reloading {
    /// Starts one with an operators' listener.
    pub async fn start(yaml: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "admin: { address: \"127.0.0.1:0\" }", yaml)
            .await
    }

    /// The same in a folder that holds what the file names, with this `admin`.
    pub async fn start_in(folder: tempfile::TempDir, admin: &str, yaml: &str) -> Self {
        Self::start_whole(folder, &format!("{HEAD}{admin}\n{yaml}"))
    }

    /// Starts one by the whole text of a file.
    pub fn start_whole(folder: tempfile::TempDir, text: &str) -> Self {
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, text).unwrap();
        secrets::listen();
        let (loaded, mark) = loading::load_after(None, &file);
        let Some(compiled) = loaded.compiled else {
            panic!("{}", loaded.diagnostics.render("test"))
        };
        secrets::none_shown_of(&compiled.snapshot, 80);
        let level = LogLevel::new("off").unwrap();
        let server =
            Server::bind(compiled).unwrap().following(&file, mark).logging_by(Arc::new(level));
        let (addresses, reloader) = (server.addresses(), server.reloader());
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            server.run(stop).await.unwrap()
        });
        let operators = secrets::Operators::at(addresses.get("admin"));
        let (stop, done) = (Some(stop), Some(done));
        Self { folder, file, addresses, reloader, stop, done, _operators: operators }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses["public"]
    }

    pub fn admin(&self) -> SocketAddr {
        self.addresses["admin"]
    }

    /// Puts another text below the same head into the file, at once.
    pub fn write(&self, yaml: &str) {
        self.write_all(&format!("{HEAD}admin: {{ address: \"127.0.0.1:0\" }}\n{yaml}"));
    }

    /// Puts another text into the file, at once.
    pub fn write_all(&self, text: &str) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, &self.file).unwrap();
    }

    /// Reloads what is in the file.
    pub async fn reload(&self) -> Arc<Outcome> {
        let outcome = self.reloader.reload(Trigger::Signal).await.expect("there is a file");
        secrets::none_in("a reload's report", &outcome.report);
        outcome
    }

    /// Writes and reloads, and holds that it is accepted.
    pub async fn change_to(&self, yaml: &str) {
        self.write(yaml);
        let outcome = self.reload().await;
        assert!(outcome.accepted, "{}", outcome.report);
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// Asks it to stop, without waiting.
    pub fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it; whether all requests were answered.
    pub async fn stop(mut self) -> bool {
        self.ask_to_stop();
        self.done.take().unwrap().await.unwrap()
    }
}
