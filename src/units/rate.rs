//! Rates and quotas: `5/min`, `100/s burst 50`, `1000/day`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::InvalidUnit;

/// The units of rates, with their length in seconds.
const RATE_UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("hour", 3_600), ("day", 86_400)];

/// No bucket takes longer than this to fill.
const LONGEST_FILL: u128 = 366 * 86_400;

/// The highest rate, in units a second: above it the time between two units could not be told exactly any more.
const FASTEST: u64 = 1_000_000;

/// So much in so long, refilled evenly, with a bucket of the same size or of another: `5/min`, `100/s burst 50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    amount: u32,
    /// The place of its unit in the table.
    unit: u8,
    burst: u32,
}

impl Rate {
    /// How much.
    #[must_use]
    pub const fn amount(self) -> u32 {
        self.amount
    }

    /// In how long.
    #[must_use]
    pub const fn period(self) -> Duration {
        Duration::from_secs(RATE_UNITS[self.unit as usize].1)
    }

    /// How much at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }
}

/// A number and the word behind the `/`.
fn share(text: &str) -> Option<(u32, &str)> {
    let (number, word) = text.split_once('/')?;
    Some((whole(number)?, word))
}

/// A number above zero, in digits alone.
fn whole(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

impl FromStr for Rate {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let bad = || {
            InvalidUnit(format!(
                "{text:?} is not a rate (write it like 5/min, 100/s or \"100/s burst 50\"; the units are s, min, \
                 hour and day)"
            ))
        };
        let mut words = text.split(' ');
        let (amount, word) = words.next().and_then(share).ok_or_else(bad)?;
        let unit = RATE_UNITS.iter().position(|(name, _)| *name == word).ok_or_else(bad)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => amount,
            (Some("burst"), Some(number), None) => whole(number).ok_or_else(bad)?,
            _ => return Err(bad()),
        };
        let seconds = RATE_UNITS[unit].1;
        if u64::from(amount) > FASTEST * seconds {
            return Err(InvalidUnit(format!("{text:?} is faster than 1000000/s (take it out)")));
        }
        if u128::from(burst) * u128::from(seconds) > LONGEST_FILL * u128::from(amount) {
            return Err(InvalidUnit(format!(
                "{text:?} is a bucket that takes more than a year to fill (write a smaller burst)"
            )));
        }
        Ok(Self { amount, unit: u8::try_from(unit).map_err(|_| bad())?, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.amount, RATE_UNITS[usize::from(self.unit)].0)?;
        if self.burst != self.amount {
            write!(f, " burst {}", self.burst)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown_alike() {
        for (text, amount, seconds, burst) in [
            ("5/min", 5, 60, 5),
            ("100/s burst 50", 100, 1, 50),
            ("1/hour", 1, 3600, 1),
            ("1000/day burst 1", 1000, 86_400, 1),
        ] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(
                (rate.amount(), rate.period().as_secs(), rate.burst()),
                (amount, seconds, burst)
            );
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!(
            "5/min burst 5".parse::<Rate>().map(|rate| rate.to_string()),
            Ok("5/min".into())
        );
        for text in [
            "",
            "5",
            "5/m",
            "0/s",
            "+5/s",
            "5 / s",
            "5/s burst",
            "5/s burst 0",
            "5/s burst 5 5",
            "5/s bursts 5",
            "-1/s",
            "1.5/s",
            "2000000/s",
            "1/day burst 400",
            "99999999999/s",
            "5/min ",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} must be refused");
        }
    }
}
