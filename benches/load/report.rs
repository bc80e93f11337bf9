//! Tables of what was found, in Markdown, so that they can be kept.

use std::fmt::Write as _;

use crate::compare::{Plan, Sample, Series};

/// The heading of the table of rounds.
pub fn heading(plan: &Plan, core: Option<usize>) -> String {
    let (rounds, requests, connections) = (plan.rounds, plan.requests, plan.connections);
    let cores = core.map_or_else(
        || "cores chosen by the system".to_owned(),
        |core| format!("proxy on core {core}, load and origin on core 0"),
    );
    let mut text = format!(
        "\n{rounds} rounds of {requests} requests over {connections} connections; {cores}.\n\
         CPU time per request in microseconds, whole process; round 0 does not count.\n\n| round |"
    );
    for variant in &plan.variants {
        let _ = write!(text, " {} |", variant.name());
    }
    let columns = plan.variants.len();
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(columns));
    text
}

/// One line of it: the last sample of each.
pub fn line(round: usize, all: &[Series]) -> String {
    let mut text = format!("| {round} |");
    for series in all {
        let last = series.samples.last().map_or(f64::NAN, |sample| sample.cpu_us);
        let _ = write!(text, " {last:.2} |");
    }
    text.push('\n');
    text
}

/// The medians, and how they compare with the first one's.
pub fn summary(plan: &Plan, all: &[Series]) -> String {
    let mut text = String::from(
        "\n| variant | CPU µs/request, median | lowest to highest | ratio of medians | \
         median of the rounds' ratios | µs outside the kernel | requests/s | RSS KiB |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let Some(base) = all.first() else { return text };
    for series in all {
        let cpu = sorted(series, |sample| sample.cpu_us);
        let user = median(&sorted(series, |sample| sample.user_us));
        let rate = median(&sorted(series, |sample| sample.rate));
        let resident = median(&sorted(series, resident));
        let (low, high) = (cpu.first().unwrap_or(&f64::NAN), cpu.last().unwrap_or(&f64::NAN));
        let (ratio, paired) = (ratio(series, base), paired_ratio(series, base));
        let _ = writeln!(
            text,
            "| {} | {:.2} | {low:.2} to {high:.2} | {ratio:.3} | {paired:.3} | {user:.1} | {rate:.0} | {resident:.0} |",
            series.variant.name(),
            median(&cpu),
        );
    }
    let _ = write!(text, "\nEach of {} rounds had fresh processes.", plan.rounds);
    text
}

/// The highest ratio to the first variant.
pub fn worst_ratio(all: &[Series]) -> f64 {
    let ratios = all.iter().map(|series| ratio(series, &all[0]));
    ratios.fold(0.0, f64::max)
}

fn ratio(series: &Series, base: &Series) -> f64 {
    let cpu = |series| median(&sorted(series, |sample| sample.cpu_us));
    cpu(series) / cpu(base)
}

/// What stays if each round is compared only with its neighbour, so that a machine that grows slower or faster
/// in the course of the run touches both alike.
fn paired_ratio(series: &Series, base: &Series) -> f64 {
    let pairs = series.samples.iter().zip(&base.samples);
    let mut ratios: Vec<f64> = pairs.map(|(sample, base)| sample.cpu_us / base.cpu_us).collect();
    ratios.sort_by(f64::total_cmp);
    median(&ratios)
}

fn resident(sample: &Sample) -> f64 {
    u32::try_from(sample.resident_kib).map_or(f64::NAN, f64::from)
}

fn sorted(series: &Series, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = series.samples.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values; NaN if there are none.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
