//! Quotas: `1000/day`, `20000/month`.

use std::fmt;
use std::str::FromStr;

use super::InvalidUnit;

/// A window of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Calendar {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to that of the next.
    Month,
}

impl Calendar {
    const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// How long it lasts, in seconds: a usual one, since days with a change of the clocks and months differ.
    #[must_use]
    pub const fn usual_seconds(self) -> u64 {
        match self {
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
        }
    }
}

/// So much in each day or month of the calendar: `1000/day`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    amount: u32,
    calendar: Calendar,
}

impl Quota {
    /// How much.
    #[must_use]
    pub const fn amount(self) -> u32 {
        self.amount
    }

    /// In what.
    #[must_use]
    pub const fn calendar(self) -> Calendar {
        self.calendar
    }
}

impl FromStr for Quota {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let read = || {
            let (number, word) = text.split_once('/')?;
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let amount = number.parse().ok().filter(|amount| digits && *amount > 0)?;
            let calendar = Calendar::ALL.into_iter().find(|calendar| calendar.word() == word)?;
            Some(Self { amount, calendar })
        };
        read().ok_or_else(|| {
            InvalidUnit(format!(
                "{text:?} is not a quota (write it like 1000/day or 20000/month; for less than a day write limits)"
            ))
        })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, self.calendar.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_and_shown_alike() {
        for (text, amount, calendar) in
            [("1000/day", 1000, Calendar::Day), ("4294967295/month", u32::MAX, Calendar::Month)]
        {
            let quota: Quota = text.parse().expect(text);
            assert_eq!((quota.amount(), quota.calendar()), (amount, calendar));
            assert_eq!(quota.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_quota_is_refused() {
        for text in [
            "",
            "day",
            "/day",
            "0/day",
            "-1/day",
            "+1/day",
            "1/hour",
            "1/days",
            "1 /day",
            "1/day ",
            "1/Day",
            "4294967296/day",
            "1/day burst 5",
            "1.5/day",
        ] {
            assert!(text.parse::<Quota>().is_err(), "{text}");
        }
    }
}
