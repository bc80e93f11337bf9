//! The same with the program itself: signals, and the commands that ask a running gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::process::{Program, free_ports};
use crate::support::{Origin, eventually, get};

struct Files {
    folder: tempfile::TempDir,
    port: u16,
    origin: SocketAddr,
}

impl Files {
    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// Writes the file, whose answers have this in a header.
    fn write(&self, header: &str, to: &str) -> String {
        let (public, origin) = (self.port, self.origin);
        let socket = self.folder.path().join("admin.sock");
        let text = format!(
            "version: 1\nlisteners: {{ public: {{ address: \"127.0.0.1:{public}\" }} }}\n\
             admin: {{ address: \"unix:{}\" }}\nlogs: {{ access: \"off\" }}\n\
             upstreams: {{ users: {{ targets: [ \"{origin}\" ] }} }}\n\
             routes: {{ users: {{ path: /, to: {to}, auth: none, \
             response_headers: {{ set: {{ X-Config: {header} }} }} }} }}\n",
            socket.display()
        );
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.file()).unwrap();
        self.file().to_str().unwrap().to_owned()
    }

    async fn x_config(&self) -> String {
        let address = ([127, 0, 0, 1], self.port).into();
        get(address, "/", &[]).await.header("x-config").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_reloads_by_signal_and_by_command() {
    let origin = Origin::start("users").await;
    let folder = tempfile::tempdir().unwrap();
    let files = Files { folder, port: free_ports(1), origin: origin.address };
    let file = files.write("one", "users");
    let program = Program::start(&["run", &file]);
    program.says("serving on").await;
    assert_eq!(files.x_config().await, "one");

    files.write("two", "users");
    program.signal("HUP");
    eventually("SIGHUP reloads", async || files.x_config().await == "two").await;

    files.write("three", "users");
    let ended = Program::run(&["reload", &file]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.output.starts_with("reloaded, in force after"), "{ended:?}");
    assert_eq!(files.x_config().await, "three");

    files.write("four", "user");
    let ended = Program::run(&["reload", &file]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.errors.contains("routes.users.to: no upstream \"user\""), "{ended:?}");
    assert!(ended.errors.contains("did you mean \"users\"?"), "{ended:?}");
    assert_eq!(files.x_config().await, "three");
    assert!(program.errors().contains("is refused, the configuration before stays in force"));

    let shown = Program::run(&["status", &file]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in ["status    ready", "no upstream \"user\"", "routes    1 route", "in rotation"] {
        assert!(shown.output.contains(part), "{part:?} in {}", shown.output);
    }
    let json = Program::run(&["status", &file, "--json"]).await;
    let json: Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!(json["upstreams"][0]["targets"][0]["label"], origin.address.to_string());

    program.signal("TERM");
    assert_eq!(program.ended().await.code, Some(0));
    let nobody = Program::run(&["status", &file]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.errors.contains("is the gateway running"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_can_refuse_a_weaker_configuration() {
    let origin = Origin::start("users").await;
    let folder = tempfile::tempdir().unwrap();
    let files = Files { folder, port: 1, origin: origin.address };
    let new = files.write("one", "users");
    let old = files.folder.path().join("old.yaml");
    let text = std::fs::read_to_string(&new).unwrap();
    std::fs::write(&old, text.replace("auth: none", "auth: key")).unwrap();
    let old: &Path = &old;
    let old = old.to_str().unwrap();
    let plain = Program::run(&["diff", old, &new]).await;
    assert_eq!(plain.code, Some(0), "{plain:?}");
    assert_eq!(plain.output, "! route users: loses auth (key -> none)\n");
    let strict = Program::run(&["diff", old, &new, "--fail-on", "weaker-auth", "--json"]).await;
    assert_eq!(strict.code, Some(6), "{strict:?}");
    let json: Value = serde_json::from_str(&strict.output).unwrap();
    assert_eq!(
        (&json["weaker_auth"], &json["changes"][0]["names"][0]),
        (&1.into(), &"users".into())
    );
    let back = Program::run(&["diff", &new, old, "--fail-on", "weaker-auth"]).await;
    assert_eq!(back.code, Some(0), "{back:?}");
}
