//! The two formats, and which one a scraper asks for.

/// A format of the exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4, which everything reads.
    Text,
    /// `OpenMetrics` 1.0, for whoever asks for it.
    OpenMetrics,
}

impl Format {
    /// The media type of the answer.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for these values of `Accept`: `OpenMetrics` if it is named in version 1.0.0 (or without
    /// one) and not liked less than plain text; the text format in any other case.
    #[must_use]
    pub fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0, 0);
        for item in accept.flat_map(|value| value.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut version, mut weight) = (None, 1000);
            for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                if key.eq_ignore_ascii_case("q") {
                    weight = thousandths(value);
                } else if key.eq_ignore_ascii_case("version") {
                    version = Some(value.trim_matches('"'));
                }
            }
            match name.as_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open = open.max(weight);
                }
                "text/plain" => text = text.max(weight),
                _ => {}
            }
        }
        if open > 0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// A weight (RFC 9110, section 12.4.2) in thousandths. One that is not well formed counts as none.
fn thousandths(weight: &str) -> u32 {
    match weight.split_once('.').unwrap_or((weight, "")) {
        ("1", zeros) if zeros.len() <= 3 && zeros.bytes().all(|b| b == b'0') => 1000,
        ("0", digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{digits:0<3}").parse().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_are_for_whoever_asks_for_them() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                          version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, */*;q=0.8", Format::Text),
            ("Application/OpenMetrics-Text; charset=utf-8", Format::OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text; version=0.0.1, text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text; version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=nonsense", Format::Text),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text;q=0.50, text/plain;q=0.5", Format::OpenMetrics),
        ] {
            assert_eq!(Format::wanted([accept].into_iter()), format, "{accept}");
        }
        let apart = ["text/plain;q=0.1", "application/openmetrics-text"];
        assert_eq!(Format::wanted(apart.into_iter()), Format::OpenMetrics);
    }
}
