//! What the system and the allocator say of the process.
//!
//! A number that cannot be had is left out, so that no zero is taken for a measure.

use std::fs;

use super::write::{Exposition, Kind};

/// The figures under their usual names, as far as the system tells them.
pub(super) fn write(out: &mut Exposition) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse)
    {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ticks")]
        let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as u64;
        counter(out, "process_cpu_seconds_total", CPU, seconds(stat.cpu));
        gauge(out, "process_resident_memory_bytes", RESIDENT, stat.resident_pages * page);
        gauge(out, "process_virtual_memory_bytes", VIRTUAL, stat.virtual_bytes);
        gauge(out, "process_threads", "Threads of the process.", stat.threads);
        if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 seconds")]
            let start = boot as f64 + seconds(stat.start);
            gauge(out, "process_start_time_seconds", START, start);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the listing's own.
        let open = open.count().saturating_sub(1) as u64;
        gauge(out, "process_open_fds", "File descriptors in use.", open);
    }
    if let Some(most) = fs::read_to_string("/proc/self/limits").ok().as_deref().and_then(max_fds) {
        gauge(out, "process_max_fds", "File descriptors that may be in use.", most);
    }
    allocator(out);
}

const CPU: &str = "CPU time spent, in user and system mode, in seconds.";
const RESIDENT: &str = "Memory that is in RAM, in bytes.";
const VIRTUAL: &str = "Address space that is in use, in bytes.";
const START: &str = "When the process was started, in seconds since 1970.";

fn allocator(out: &mut Exposition) {
    use tikv_jemalloc_ctl::{epoch, stats};
    // The figures are those of the last epoch.
    if epoch::advance().is_err() {
        return;
    }
    for (name, help, bytes) in [
        (
            "jemalloc_allocated_bytes",
            "Bytes handed out by the allocator.",
            stats::allocated::read(),
        ),
        (
            "jemalloc_active_bytes",
            "Bytes of pages in which some are handed out.",
            stats::active::read(),
        ),
        (
            "jemalloc_resident_bytes",
            "Bytes that the allocator holds in RAM.",
            stats::resident::read(),
        ),
        ("jemalloc_mapped_bytes", "Bytes that the allocator has mapped.", stats::mapped::read()),
        (
            "jemalloc_retained_bytes",
            "Bytes of address space kept without memory.",
            stats::retained::read(),
        ),
    ] {
        if let Ok(bytes) = bytes {
            gauge(out, name, help, bytes as u64);
        }
    }
}

fn gauge(
    out: &mut Exposition,
    name: &'static str,
    help: &str,
    number: impl Into<super::write::Number>,
) {
    out.family(name, Kind::Gauge, help);
    out.sample(&[], number);
}

fn counter(out: &mut Exposition, name: &'static str, help: &str, number: f64) {
    out.family(name, Kind::Counter, help);
    out.sample(&[], number);
}

/// What is read of `/proc/self/stat` (proc(5)). Times are in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu: u64,
    threads: u64,
    /// Since the system was booted.
    start: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which can hold anything, these included.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Counted from 1, as the manual does; the first one here is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            threads: field(20)?,
            start: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the system was booted, in seconds since 1970, from `/proc/stat`.
fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The soft limit, from `/proc/self/limits`; none if there is no limit.
fn max_fds(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Format;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let text = "4242 (a) 1 (b c) S 1 2 3 0 -1 4194560 10 0 0 0 700 55 0 0 20 0 9 0 123456 \
                    987654321 2048 18446744073709551615 1 1\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                cpu: 755,
                threads: 9,
                start: 123_456,
                virtual_bytes: 987_654_321,
                resident_pages: 2048
            })
        );
        assert_eq!(Stat::parse("4242 (cut) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn limits_and_the_time_of_the_boot() {
        let limits =
            "Limit     Soft Limit  Hard Limit  Units\nMax open files   1024   524288   files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds("Max open files   unlimited unlimited files\n"), None);
        assert_eq!(boot_time("cpu 1 2 3\nbtime 1700000000\nprocesses 1\n"), Some(1_700_000_000));
    }

    #[test]
    fn this_process_has_figures() {
        let mut out = Exposition::new(Format::Text);
        write(&mut out);
        let text = String::from_utf8(out.finish()).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        // Between 2001 and 2286, so neither ticks nor milliseconds.
        assert!((1e9..1e10).contains(&value("process_start_time_seconds")));
    }
}
