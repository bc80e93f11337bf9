//! `portcullis demo`: five small backends and the gateway in front of them, in one process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::run::{finish, stop_signal};
use super::{CANNOT_START, REFUSED, chain, fail, print};
use crate::demo::{self, GATEWAY_SECRET, Ports};
use crate::loading::{self, Loaded};
use crate::observe::process_log;
use crate::server::Server;
use crate::yaml::System;

pub(super) fn demo(port: u16, backends: u16) -> io::Result<ExitCode> {
    let Some(ports) = ports(backends) else {
        return Ok(fail(2, "error: --backends is too large: the ports above it end at 65535"));
    };
    let level = match process_log::to_stderr() {
        Ok(level) => level,
        Err(error) => {
            return Ok(fail(CANNOT_START, &format!("error: {}: {error}", process_log::VARIABLE)));
        }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let text = demo::configuration(address, &ports);
    let Loaded { compiled, diagnostics, .. } =
        loading::load_text(&text, &System { base: PathBuf::new() });
    let Some(compiled) = compiled else {
        return Ok(fail(REFUSED, &diagnostics.render("conf/demo.yaml")));
    };
    let server = match Server::bind(compiled) {
        Ok(server) => server.logging_by(Arc::new(level)),
        Err(error) => {
            let told = format!("error: {}\nhelp: portcullis demo --port 9000", chain(&error));
            return Ok(fail(CANNOT_START, &told));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = match demo::start_all(ports, &secret()).await {
            Ok(running) => running,
            Err(error) => {
                let told =
                    format!("error: {}\nhelp: portcullis demo --backends 9000", chain(&error));
                return Ok(fail(CANNOT_START, &told));
            }
        };
        let gateway = server.addresses().get("public").copied().unwrap_or(address);
        let stop = stop_signal(server.reloader(), server.access_log())?;
        print(&demo::banner(gateway, &Ports::of(&running)))?;
        let done = server.run(stop).await;
        for backend in running {
            backend.stop().await;
        }
        Ok(finish(done))
    })
}

/// The backends' ports above a common number; `None` if one would be beyond 65535.
fn ports(base: u16) -> Option<Ports> {
    let at = |offset: u16| base.checked_add(offset);
    Some(Ports { users: [at(1)?, at(11)?], orders: [at(2)?, at(12)?], products: at(3)? })
}

/// The secret that conf/demo.yaml gives to the gateway, from the same place.
fn secret() -> String {
    std::env::var("DEMO_GATEWAY_SECRET")
        .ok()
        .filter(|secret| !secret.is_empty())
        .unwrap_or_else(|| GATEWAY_SECRET.to_owned())
}
