//! `portcullis explain`: why a request goes where it goes.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{DEFAULT_FILE, REFUSED, fail, print};
use crate::explain::{self, InvalidQuestion, Question};
use crate::loading::{self, Loaded};

/// The command line is wrong.
const USAGE: u8 = 2;

/// What is asked.
#[derive(Args)]
pub(super) struct Asked {
    /// The method, such as GET
    method: String,
    /// A path such as /users/7, or a URL if the host counts
    url: String,
    /// A header of the request, as for curl; may be given more than once
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Take the caller for this consumer, whose key need not be known
    #[arg(long = "as", value_name = "CONSUMER")]
    consumer: Option<String>,
    /// Take the caller for somebody whose token says this, a JSON object such as '{"sub": "alice"}'
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// Where the request comes from
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    client: IpAddr,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// The configuration file
    #[arg(long, default_value = DEFAULT_FILE)]
    config: PathBuf,
}

/// Prints what would become of the request. A file whose tests fail is explained too: that is when people ask.
pub(super) fn explain(asked: &Asked) -> io::Result<ExitCode> {
    let question = match question(asked) {
        Ok(question) => question,
        Err(error) => return Ok(misuse(&error)),
    };
    let Loaded { compiled, untested, diagnostics, .. } = loading::load(&asked.config);
    let name = asked.config.display();
    let Some(compiled) = compiled.or(untested) else {
        let told = diagnostics.render(&name.to_string());
        return Ok(fail(REFUSED, &format!("{told}{name}: refused, nothing is explained")));
    };
    let port = compiled.snapshot.usual_port();
    match explain::explain(&compiled.snapshot, port, &question) {
        Ok(told) if asked.json => print(&format!("{}\n", told.to_json()))?,
        Ok(told) => print(&told.to_text())?,
        Err(error) => return Ok(misuse(&error)),
    }
    Ok(ExitCode::SUCCESS)
}

fn question(asked: &Asked) -> Result<Question, InvalidQuestion> {
    let mut question = Question::new(&asked.method, &asked.url)?;
    for line in &asked.headers {
        question.header(line)?;
    }
    question.consumer.clone_from(&asked.consumer);
    if let Some(claims) = &asked.claims {
        question.claims = serde_json::from_str(claims).map_err(|_| InvalidQuestion {
            what: "the claims are no JSON object".to_owned(),
            help: "write them like '{\"sub\": \"alice\", \"scope\": \"orders:read\"}'".to_owned(),
        })?;
    }
    question.client = asked.client;
    Ok(question)
}

fn misuse(error: &InvalidQuestion) -> ExitCode {
    fail(USAGE, &format!("error: {}\n    help: {}", error.what, error.help))
}
