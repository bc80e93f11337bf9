//! How many frames a client may send that ask for work and carry nothing.

use tokio::time::Instant;

use super::frames::{DATA, END_STREAM, HEADERS, Head};

/// As many frames without a use may come at once.
const BURST: u32 = 2000;
/// And so many more each second.
const PER_SECOND: u32 = 200;
/// So many bytes sent to the client allow for one more.
const BYTES_PER_FRAME: usize = 1024;
/// And each frame of an answer allows for so many: some clients measure their connection with every small one.
const PER_ANSWER: u32 = 4;

/// What a client may still send. It fills with time, and with what is sent to the client: who is sent much has much to
/// acknowledge.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
    sent: usize,
    answers: u32,
}

impl Allowance {
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, filled: now, sent: 0, answers: 0 }
    }

    /// Notes what was sent: so many bytes, and so many frames of answers in them.
    pub fn sent(&mut self, bytes: usize, answers: u32) {
        self.sent = self.sent.saturating_add(bytes);
        self.answers = self.answers.saturating_add(answers);
    }

    /// Takes one, if the frame has no use of its own. Whether there was one.
    pub fn draw(&mut self, head: Head, now: impl Fn() -> Instant) -> bool {
        if is_useful(head) {
            return true;
        }
        if self.left == 0 {
            let now = now();
            let since = now.saturating_duration_since(self.filled).as_millis();
            let by_time =
                u32::try_from(since).unwrap_or(u32::MAX).saturating_mul(PER_SECOND) / 1000;
            let by_bytes = u32::try_from(self.sent / BYTES_PER_FRAME).unwrap_or(u32::MAX);
            let by_answers = self.answers.saturating_mul(PER_ANSWER);
            self.left = by_time.saturating_add(by_bytes).saturating_add(by_answers).min(BURST);
            (self.filled, self.sent, self.answers) = (now, 0, 0);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// Whether a frame carries something: a request, a part of its body, or the end of either.
fn is_useful(head: Head) -> bool {
    match head.kind {
        DATA => head.length > 0 || head.flags & END_STREAM != 0,
        HEADERS => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::frames::SETTINGS;
    use super::*;

    const EMPTY: Head = Head { kind: SETTINGS, flags: 0, stream: 0, length: 0 };

    /// How many empty SETTINGS are allowed now.
    fn allowed(allowance: &mut Allowance, now: Instant) -> u32 {
        let all = (0..10 * BURST).take_while(|_| allowance.draw(EMPTY, || now));
        all.count().try_into().unwrap()
    }

    #[test]
    fn what_carries_something_costs_nothing() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        for (kind, flags, length, costs) in [
            (DATA, 0, 1, 0),
            (DATA, 0, 0, 1),
            (DATA, END_STREAM, 0, 0),
            (HEADERS, 0, 0, 0),
            (SETTINGS, 0, 6, 1),
            (0x42, 0, 100, 1),
        ] {
            let before = allowance.left;
            assert!(allowance.draw(Head { kind, flags, stream: 1, length }, || now));
            assert_eq!(before - allowance.left, costs, "{kind} {flags} {length}");
        }
    }

    #[test]
    fn it_fills_with_time_and_with_what_is_sent() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        assert_eq!(allowed(&mut allowance, start), BURST);
        assert_eq!(allowed(&mut allowance, start + Duration::from_secs(2)), 2 * PER_SECOND);
        allowance.sent(100 * BYTES_PER_FRAME, 0);
        assert_eq!(allowed(&mut allowance, start + Duration::from_secs(2)), 100);
        allowance.sent(0, 10);
        assert_eq!(allowed(&mut allowance, start + Duration::from_secs(2)), 10 * PER_ANSWER);
        allowance.sent(0, u32::MAX);
        assert_eq!(allowed(&mut allowance, start + Duration::from_secs(2)), BURST);
        assert_eq!(allowed(&mut allowance, start + Duration::from_secs(3600)), BURST);
        // A quiet client draws on what it saved, and the time before is not lost.
        let mut allowance = Allowance::new(start);
        let at = |n: u64| start + Duration::from_millis(n * 6);
        assert!((0..20_000).all(|n| allowance.draw(EMPTY, || at(n))));
    }
}
