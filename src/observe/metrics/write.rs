//! Writing families of samples, in either format.

use std::fmt::Write as _;

use super::Format;
use crate::counter::{BOUNDS, Reading};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, count and sum.
    Histogram,
}

/// A label's name and value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// A number of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self::Whole(count)
    }
}

impl From<f64> for Number {
    fn from(measure: f64) -> Self {
        Self::Real(measure)
    }
}

impl From<bool> for Number {
    fn from(holds: bool) -> Self {
        Self::Whole(holds.into())
    }
}

/// An exposition in the making.
pub(super) struct Exposition {
    out: String,
    format: Format,
    /// The family that samples belong to now.
    name: &'static str,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { out: String::with_capacity(16 << 10), format, name: "" }
    }

    /// Begins a family. A counter's name ends in `_total`, which `OpenMetrics` counts to its samples only.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        debug_assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
        self.name = name;
        let (kind, open) = (
            match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            },
            self.format == Format::OpenMetrics,
        );
        let family = if open { name.trim_end_matches("_total") } else { name };
        self.push(&["# HELP ", family, " ", help, "\n# TYPE ", family, " ", kind, "\n"]);
        if open && let Some(unit) = ["seconds", "bytes"].into_iter().find(|u| family.ends_with(u)) {
            self.push(&["# UNIT ", family, " ", unit, "\n"]);
        }
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], number: impl Into<Number>) {
        self.line("", labels, None, number.into());
    }

    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], reading: &Reading) {
        for (bound, count) in BOUNDS.iter().zip(reading.cumulative) {
            self.line("_bucket", labels, Some(*bound), count.into());
        }
        self.line("_bucket", labels, Some(f64::INFINITY), reading.count().into());
        self.line("_sum", labels, None, reading.sum.into());
        self.line("_count", labels, None, reading.count().into());
    }

    /// The text, ended as the format wants it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out.into_bytes()
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<f64>, number: Number) {
        let name = self.name;
        self.push(&[name, suffix]);
        let mut before = '{';
        for (label, value) in labels {
            self.out.push(before);
            self.push(&[label, "=\""]);
            self.escape(value);
            self.out.push('"');
            before = ',';
        }
        if let Some(bound) = bound {
            self.out.push(before);
            // With a point, as OpenMetrics wants it and the text format allows it.
            let written = if bound.is_infinite() {
                write!(self.out, "le=\"+Inf\"")
            } else {
                write!(self.out, "le=\"{bound:?}\"")
            };
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
            before = ',';
        }
        self.out.push_str(if before == '{' { " " } else { "} " });
        let written = match number {
            Number::Whole(count) => writeln!(self.out, "{count}"),
            Number::Real(measure) => writeln!(self.out, "{measure}"),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.push_str(part);
        }
    }

    /// The three characters that a label's value cannot have as they are.
    fn escape(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::counter::Histogram;

    fn written(format: Format, write: impl Fn(&mut Exposition)) -> String {
        let mut exposition = Exposition::new(format);
        write(&mut exposition);
        String::from_utf8(exposition.finish()).unwrap()
    }

    #[test]
    fn a_counter_in_both_formats() {
        let write = |e: &mut Exposition| {
            e.family("jobs_seconds_total", Kind::Counter, "Time of jobs.");
            e.sample(&[], 1.5);
            e.sample(&[("a", "x"), ("b", "")], 2);
        };
        assert_eq!(
            written(Format::Text, write),
            "# HELP jobs_seconds_total Time of jobs.\n# TYPE jobs_seconds_total counter\n\
             jobs_seconds_total 1.5\njobs_seconds_total{a=\"x\",b=\"\"} 2\n"
        );
        assert_eq!(
            written(Format::OpenMetrics, write),
            "# HELP jobs_seconds Time of jobs.\n# TYPE jobs_seconds counter\n\
             # UNIT jobs_seconds seconds\njobs_seconds_total 1.5\n\
             jobs_seconds_total{a=\"x\",b=\"\"} 2\n# EOF\n"
        );
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let text = written(Format::Text, |e| {
            e.family("up", Kind::Gauge, "Up.");
            e.sample(&[("x", "a\\b\"c\nd{},= ü")], true);
        });
        assert!(text.ends_with("up{x=\"a\\\\b\\\"c\\nd{},= ü\"} 1\n"), "{text}");
    }

    #[test]
    fn a_histogram_is_cumulative_and_complete() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(700));
        histogram.observe(Duration::from_secs(100));
        let text = written(Format::Text, |e| {
            e.family("t_seconds", Kind::Histogram, "Time.");
            e.histogram(&[("r", "a")], &histogram.read());
        });
        for line in [
            "t_seconds_bucket{r=\"a\",le=\"0.0005\"} 0",
            "t_seconds_bucket{r=\"a\",le=\"0.001\"} 1",
            "t_seconds_bucket{r=\"a\",le=\"60.0\"} 1",
            "t_seconds_bucket{r=\"a\",le=\"+Inf\"} 2",
            "t_seconds_sum{r=\"a\"} 100.0007",
            "t_seconds_count{r=\"a\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
