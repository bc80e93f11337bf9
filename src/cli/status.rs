//! `portcullis status`: what a running gateway serves by, and how its targets are.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::operator::Operator;
use super::{FAILED, counted, fail, print};

pub(super) fn status(file: &Path, admin: Option<&str>, as_json: bool) -> io::Result<ExitCode> {
    let all = match Operator::find(file, admin).and_then(|operator| ask(&operator)) {
        Ok(all) => all,
        Err(error) => return Ok(fail(FAILED, &format!("error: {error}"))),
    };
    let text =
        if as_json { format!("{}\n", serde_json::to_string_pretty(&all)?) } else { show(&all) };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn ask(operator: &Operator) -> Result<Value, String> {
    let get = |path: &str| {
        let told = operator.ask("GET", path)?;
        match (told.status, told.value["error"].as_str()) {
            // A gateway that is about to stop says so with a 503.
            (200 | 503, None) => Ok(told.value),
            (status, error) => {
                Err(format!("{path}: {status}: {}", error.unwrap_or("no reason given")))
            }
        }
    };
    let (ready, routes, upstreams) = (get("/readyz")?, get("/routes")?, get("/upstreams")?);
    Ok(json!({
        "ready": ready,
        "routes": routes["routes"],
        "upstreams": upstreams["upstreams"],
    }))
}

fn show(all: &Value) -> String {
    let mut text = String::new();
    let ready = &all["ready"];
    let _ = writeln!(text, "status    {}", word(&ready["status"]));
    let since = word(&ready["config"]["since"]);
    let count = |what: &str| ready["config"][what].as_u64().unwrap_or_default();
    let times = match count("reloads") {
        0 => "not reloaded".to_owned(),
        1 => "reloaded once".to_owned(),
        times => format!("reloaded {times} times"),
    };
    let _ = writeln!(text, "config    in force since {since}, {times}");
    let refused = &ready["refused_reload"];
    if refused.is_object() {
        let (at, mistake) = (word(&refused["at"]), &refused["mistake"]);
        let _ = writeln!(text, "refused   a reload at {at}, and nothing was changed:");
        let line =
            mistake["line"].as_u64().map(|line| format!("line {line}: ")).unwrap_or_default();
        let place = match word(&mistake["at"]) {
            "" => String::new(),
            at => format!("{at}: "),
        };
        let _ = writeln!(text, "          {line}{place}{}", word(&mistake["what"]));
    }
    let routes = all["routes"].as_array().map_or(0, Vec::len);
    let _ = writeln!(text, "routes    {}", counted(routes, "route"));
    text.push('\n');
    text.push_str(&table(&targets(all)));
    text
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

/// The rows of the table, with its head.
fn targets(all: &Value) -> Vec<[String; 5]> {
    let mut rows = vec![["UPSTREAM", "TARGET", "STATE", "IN FLIGHT", "WEIGHT"].map(str::to_owned)];
    for upstream in all["upstreams"].as_array().into_iter().flatten() {
        let name = word(&upstream["name"]);
        let targets = upstream["targets"].as_array();
        if targets.is_none_or(Vec::is_empty) {
            rows.push([name, "-", "no address yet", "", ""].map(str::to_owned));
        }
        for target in targets.into_iter().flatten() {
            let (label, address) = (word(&target["label"]), word(&target["address"]));
            let shown = if label.contains(address) || address.contains(label) {
                label.to_owned()
            } else {
                format!("{label} ({address})")
            };
            let mut state = word(&target["state"]).replace('_', " ");
            if let (Some(until), "ejected") = (target["ejected_until"].as_str(), &*state) {
                let _ = write!(state, " until {until}");
            }
            let numbers = [&target["in_flight"], &target["weight"]].map(Value::to_string);
            let [in_flight, weight] = numbers;
            rows.push([name.to_owned(), shown, state, in_flight, weight]);
        }
    }
    rows
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_states_in_columns() {
        let all = json!({
            "ready": {
                "status": "ready",
                "config": { "since": "2026-01-01T00:00:00Z", "reloads": 2, "refused": 1 },
                "refused_reload": {
                    "at": "2026-01-02T00:00:00Z",
                    "mistake": { "at": "routes.a.to", "line": 7, "what": "no upstream \"b\"" },
                },
            },
            "routes": [ {}, {} ],
            "upstreams": [
                { "name": "users", "targets": [
                    { "label": "10.0.0.1:80", "address": "10.0.0.1:80", "state": "in_rotation",
                      "ejected_until": null, "in_flight": 3, "weight": 1 },
                    { "label": "users.internal:80", "address": "10.0.0.2:80", "state": "ejected",
                      "ejected_until": "2026-01-03T00:00:00Z", "in_flight": 0, "weight": 2 },
                ] },
                { "name": "new", "targets": [] },
            ],
        });
        assert_eq!(
            show(&all),
            "status    ready\n\
             config    in force since 2026-01-01T00:00:00Z, reloaded 2 times\n\
             refused   a reload at 2026-01-02T00:00:00Z, and nothing was changed:\n\
             \x20         line 7: routes.a.to: no upstream \"b\"\n\
             routes    2 routes\n\
             \n\
             UPSTREAM  TARGET                           STATE                               IN FLIGHT  WEIGHT\n\
             users     10.0.0.1:80                      in rotation                         3          1\n\
             users     users.internal:80 (10.0.0.2:80)  ejected until 2026-01-03T00:00:00Z  0          2\n\
             new       -                                no address yet\n"
        );
    }
}
