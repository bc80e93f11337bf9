//! From when and until when a certificate is good, and what to say of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::Validity;
use x509_parser::time::ASN1Time;

/// So long before its end a certificate is a cause for worry: whoever renews it by itself has done so by then.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const DAY: u64 = 24 * 60 * 60;

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dates {
    /// From then on.
    pub not_before: SystemTime,
    /// Until then.
    pub not_after: SystemTime,
}

impl Dates {
    pub(super) fn of(validity: &Validity) -> Self {
        Self { not_before: time(validity.not_before), not_after: time(validity.not_after) }
    }

    /// What is wrong with the certificate at this time, or soon will be.
    #[must_use]
    pub fn doubt(&self, now: SystemTime) -> Option<String> {
        if now < self.not_before {
            return Some("it is not valid yet".to_owned());
        }
        match self.not_after.duration_since(now) {
            Err(_) => Some("it has expired".to_owned()),
            Ok(left) if left < SOON => {
                let days = left.as_secs() / DAY;
                let plural = if days == 1 { "" } else { "s" };
                Some(format!("it expires in {days} day{plural}"))
            }
            Ok(_) => None,
        }
    }
}

/// A time as certificates have it.
pub(super) fn time(time: ASN1Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_doubted_two_weeks_before_its_end() {
        let at = |days: u64| UNIX_EPOCH + Duration::from_secs(days * DAY);
        let dates = Dates { not_before: at(100), not_after: at(200) };
        for (now, doubt) in [
            (99, Some("it is not valid yet")),
            (100, None),
            (186, None),
            (187, Some("it expires in 13 days")),
            (199, Some("it expires in 1 day")),
            (200, Some("it expires in 0 days")),
            (201, Some("it has expired")),
        ] {
            assert_eq!(dates.doubt(at(now)).as_deref(), doubt, "{now}");
        }
    }
}
