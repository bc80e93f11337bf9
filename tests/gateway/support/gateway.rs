//! A gateway in this process, as `portcullis run` would build it from the same text.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis::loading::{self, Loaded};
use portcullis::server::Server;
use portcullis::yaml::Sources;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::secrets;

/// A gateway that serves until it is stopped or dropped.
pub struct Gateway {
    /// Where its listeners are, by name.
    pub addresses: BTreeMap<String, SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    done: Option<JoinHandle<bool>>,
    log: PathBuf,
    _folder: tempfile::TempDir,
    _operators: secrets::Operators,
}

/// Variables and files of a test's own.
#[derive(Default)]
pub struct TestSources {
    pub env: BTreeMap<String, String>,
    pub base: PathBuf,
}

impl Sources for TestSources {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(self.base.join(path))
    }

    fn data(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(self.base.join(path))
    }
}

impl Gateway {
    /// Starts a gateway by this text, to which a listener, a log and the version are added: the access log goes
    /// to a file, where [`Gateway::log`] reads it.
    pub async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, TestSources::default()).await
    }

    /// The same with variables and files of the test's own.
    pub async fn start_with(yaml: &str, sources: TestSources) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let text = format!(
            "version: 1\nworkers: 2\nlisteners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
             logs: {{ access: {} }}\n{yaml}",
            log.display()
        );
        Self::start_whole(&text, &sources, log, folder)
    }

    /// Starts a gateway by the whole text of a file, whose access log goes to the file `access.log` of a new
    /// folder if the text says `${LOG}` there.
    pub fn start_file(text: &str, sources: &TestSources) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let text = text.replace("${LOG}", log.to_str().unwrap());
        Self::start_whole(&text, sources, log, folder)
    }

    fn start_whole(
        text: &str,
        sources: &TestSources,
        log: PathBuf,
        folder: tempfile::TempDir,
    ) -> Self {
        secrets::listen();
        let Loaded { compiled, diagnostics, .. } = loading::load_text(text, sources);
        secrets::none_in("what is noticed in a file", &diagnostics.render("test"));
        let Some(compiled) = compiled else {
            panic!("the configuration is refused:\n{}\n{text}", diagnostics.render("test"))
        };
        let port = compiled.listeners.first().map_or(0, |(_, address)| address.port());
        secrets::none_shown_of(&compiled.snapshot, port);
        let server = Server::bind(compiled).unwrap();
        let addresses = server.addresses();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            server.run(stop).await.unwrap()
        });
        let operators = secrets::Operators::at(addresses.get("admin"));
        Self {
            addresses,
            stop: Some(stop),
            done: Some(done),
            log,
            _folder: folder,
            _operators: operators,
        }
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        self.addresses["public"]
    }

    /// Asks it to stop, without waiting.
    pub fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until it has stopped; whether all requests were answered.
    pub async fn stopped(&mut self) -> bool {
        self.done.take().unwrap().await.unwrap()
    }

    /// Stops it.
    pub async fn stop(mut self) -> bool {
        self.ask_to_stop();
        self.stopped().await
    }

    /// The access log as soon as it has this many lines. Requests that end close together, on connections of their
    /// own, may change places in it: find a line by its path or id.
    pub async fn log(&self, lines: usize) -> Vec<serde_json::Value> {
        let lines = self.log_lines(lines).await;
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same for a log of another format than JSON.
    pub async fn log_lines(&self, lines: usize) -> Vec<String> {
        let mut entries = Vec::new();
        super::eventually(&format!("{lines} lines in the access log"), async || {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            // The last line may be half written.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            entries = whole.lines().map(str::to_owned).collect();
            entries.len() >= lines
        })
        .await;
        entries
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        secrets::none_in("the access log", &text);
    }
}
