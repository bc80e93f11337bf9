//! Which day or month it is, and when it ends, where the quota's clock hangs.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::units::Calendar;

/// One window of the calendar.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Window {
    /// Its first second, as Unix time.
    pub(super) starts: i64,
    /// The first second after it.
    pub(super) ends: i64,
    /// What it is called: `2026-11-24`, `2026-11`. No two of one kind have one name.
    pub(super) name: String,
}

impl Window {
    /// The one in which this second of Unix time lies.
    pub(super) fn at(second: i64, calendar: Calendar, zone: &TimeZone) -> Self {
        let second = second.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let now = Timestamp::from_second(second).unwrap_or_default().to_zoned(zone.clone());
        let (first, span) = match calendar {
            Calendar::Day => (now.date(), Span::new().days(1)),
            Calendar::Month => (now.date().first_of_month(), Span::new().months(1)),
        };
        let name = match calendar {
            Calendar::Day => first.to_string(),
            Calendar::Month => first.strftime("%Y-%m").to_string(),
        };
        let next = first.checked_add(span).unwrap_or(Date::MAX);
        Self { starts: midnight(first, zone, second), ends: midnight(next, zone, second + 1), name }
    }

    /// Whether it begins soon after this second of Unix time.
    pub(super) const fn is_soon(&self, second: i64, within: i64) -> bool {
        second < self.starts && self.starts - second <= within
    }

    /// Whether this second of Unix time lies in it.
    pub(super) const fn has(&self, second: i64) -> bool {
        self.starts <= second && second < self.ends
    }
}

/// When a day begins. Where the clocks are put forward at midnight that is an hour later than on other days.
fn midnight(day: Date, zone: &TimeZone, otherwise: i64) -> i64 {
    let begins =
        zone.to_zoned(day.at(0, 0, 0, 0)).and_then(|midnight: Zoned| midnight.start_of_day());
    begins.map_or(otherwise, |begins| begins.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, calendar: Calendar, zone: &str) -> (String, String, String) {
        let zone = TimeZone::get(zone).expect("zone");
        let second = text.parse::<Timestamp>().expect("time").as_second();
        let window = Window::at(second, calendar, &zone);
        assert!(window.has(second) && !window.has(window.ends) && !window.has(window.starts - 1));
        let show = |second| Timestamp::from_second(second).expect("second").to_string();
        (window.name, show(window.starts), show(window.ends))
    }

    #[test]
    fn days_and_months_begin_at_midnight() {
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        for (time, calendar, zone, expected) in [
            (
                "2026-11-24T23:59:59Z",
                Calendar::Day,
                "UTC",
                text("2026-11-24", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
            ),
            (
                "2026-11-25T00:00:00Z",
                Calendar::Day,
                "UTC",
                text("2026-11-25", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
            ),
            (
                "2026-12-31T23:00:00Z",
                Calendar::Month,
                "Europe/Zurich",
                text("2027-01", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"),
            ),
            (
                "2028-02-29T12:00:00Z",
                Calendar::Month,
                "UTC",
                text("2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ),
            // A day of 23 hours, and one of 25.
            (
                "2026-03-29T12:00:00Z",
                Calendar::Day,
                "Europe/Zurich",
                text("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ),
            (
                "2026-10-25T12:00:00Z",
                Calendar::Day,
                "Europe/Zurich",
                text("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            ),
            // Here midnight itself was left out.
            (
                "2018-11-04T12:00:00Z",
                Calendar::Day,
                "America/Sao_Paulo",
                text("2018-11-04", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
            ),
        ] {
            assert_eq!(at(time, calendar, zone), expected, "{time} {zone}");
        }
    }

    #[test]
    fn there_is_a_window_for_every_second() {
        for second in [i64::MIN, -1, 0, i64::MAX] {
            let _ = Window::at(second, Calendar::Month, &TimeZone::UTC);
        }
    }
}
