//! What a gateway may use of a quota that it shares with others, without asking for it: its *claim*.
//!
//! The store keeps a claim for each gateway, and all claims together are never more than the quota. So what a gateway uses of its own
//! is exact, whatever the others do meanwhile. A claim is told as a whole and not as a difference: to say it twice is to
//! say it once, and a store that has forgotten everything learns it again.
//!
//! Questions are numbered. The store leaves out one that comes later than its successor, and here nothing is believed that was
//! answered to a question from before a claim was given back.

use super::State;

/// What is claimed ahead is given back if nothing was used for so long, in seconds; and what was used in this time and
/// the time before it is as much as is claimed ahead.
const HOLD: i64 = 5;
/// So long that there is nothing left is not asked again, in seconds.
const FRESH: i64 = 1;

/// The claim of this process in one window.
#[derive(Debug, Default)]
pub(super) struct Claim {
    /// Units that the store keeps for it, used ones among them. There may be more, but never fewer.
    granted: u64,
    /// Requests that are asking; a unit is left for each.
    asking: u64,
    /// The number of the last question.
    sent: u64,
    /// The number of the last one that was answered, or of whose answer nothing is believed any more.
    heard: u64,
    /// How often it has left the store, or the window. The next time it comes as another one.
    left: u32,
    /// When the store last told what the others have, as Unix time.
    told: Option<i64>,
    /// When a unit was last used.
    used: i64,
    pace: Pace,
}

/// How much was used of late.
#[derive(Debug, Default)]
struct Pace {
    since: i64,
    base: u64,
    before: u64,
}

/// What can be said without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limit::quota) enum Word {
    /// There is one.
    There,
    /// There is none.
    Gone,
    /// The store has to be asked.
    Unknown,
}

/// A question to the store, and what this process has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::limit::quota) struct Ask {
    /// The window's name.
    pub(in crate::limit::quota) window: String,
    /// When it need not be kept any more, as Unix time.
    pub(in crate::limit::quota) ends: i64,
    /// How often this process has left the store, or the window, before.
    pub(in crate::limit::quota) left: u32,
    pub(in crate::limit::quota) number: u64,
    /// What this process let through in the window.
    pub(in crate::limit::quota) own: u64,
    /// How many units it needs now, and how many it would have ahead.
    pub(in crate::limit::quota) need: u64,
    pub(in crate::limit::quota) ahead: u64,
    pub(in crate::limit::quota) rest: Rest,
}

/// What becomes of what this process has beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limit::quota) enum Rest {
    /// It is kept.
    Kept = 0,
    /// It is given back.
    Back = 1,
    /// It is given back, and this process does not come again.
    Over = 2,
}

/// What the store says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limit::quota) struct Told {
    /// What this process has.
    pub(in crate::limit::quota) granted: u64,
    /// What all others have.
    pub(in crate::limit::quota) others: u64,
    /// Whether the store knew of this process.
    pub(in crate::limit::quota) knew: bool,
}

impl Claim {
    /// That of the same process, as another one if it has asked: what the store knows of that one is not for it.
    pub(in crate::limit::quota) fn successor(&self) -> Self {
        Self { left: self.left.wrapping_add(u32::from(self.has_asked())), ..Self::default() }
    }

    /// Whether the store may know of it.
    pub(in crate::limit::quota) const fn has_asked(&self) -> bool {
        self.sent > 0
    }
}

impl State {
    /// Whether one more of this amount may be used: by somebody who has asked for it, or by somebody who comes, and leaves
    /// those who are asking what they asked for.
    pub(in crate::limit::quota) const fn weigh(&self, amount: u64, asked: bool, now: i64) -> Word {
        let claim = &self.claim;
        let kept = if asked { 0 } else { claim.asking };
        let room = claim.granted.saturating_sub(self.own).saturating_sub(kept);
        if room > 0 && self.used() < amount {
            return Word::There;
        }
        let known = match claim.told {
            Some(at) => now.abs_diff(at) <= FRESH.unsigned_abs(),
            None => false,
        };
        let mine = if claim.granted > self.own { claim.granted } else { self.own };
        if known && self.others.saturating_add(mine) >= amount {
            return Word::Gone;
        }
        Word::Unknown
    }

    /// Asks for one more. Whoever asks says when it has an answer, or has given up ([`State::asked`]).
    pub(in crate::limit::quota) fn ask(&mut self, now: i64) -> Ask {
        let ahead = self.claim.pace.of_late(self.own, now);
        self.claim.asking += 1;
        self.question(self.claim.asking, ahead)
    }

    /// Nobody waits for this one any more.
    pub(in crate::limit::quota) fn asked(&mut self, ask: &Ask) {
        if self.is_of(ask) {
            self.claim.asking = self.claim.asking.saturating_sub(1);
        }
    }

    /// Notes that a unit was used.
    pub(in crate::limit::quota) const fn mark(&mut self, now: i64) {
        self.claim.used = now;
    }

    /// What has to be told to the store while nobody asks: what was used without it, what is not needed any more, and
    /// what it did not answer to. All of it if it has to learn everything `anew`.
    pub(in crate::limit::quota) fn settle(&mut self, now: i64, anew: bool) -> Option<Ask> {
        let claim = &self.claim;
        // Who asks tells it all the same.
        if claim.asking > 0 {
            return None;
        }
        let is_idle = now.abs_diff(claim.used) >= HOLD.unsigned_abs();
        let surplus = claim.granted > self.own && is_idle;
        let missing = self.own > claim.granted || claim.sent > claim.heard;
        let all = anew && (self.own > 0 || claim.granted > 0);
        (surplus || missing || all).then(|| {
            // What is about to be given back is not used any more, whatever comes of earlier questions.
            self.claim.granted = self.claim.granted.min(self.own);
            let ask = Ask { rest: Rest::Back, ..self.question(0, 0) };
            self.claim.heard = ask.number - 1;
            ask
        })
    }

    /// What is told for the last time. From now on this process is another one, and what it used is others' use.
    pub(in crate::limit::quota) fn leave(&mut self) -> Option<Ask> {
        self.is_in_use().then(|| {
            let ask = Ask { rest: Rest::Over, ..self.question(0, 0) };
            self.others = self.used();
            self.own = 0;
            self.claim = self.claim.successor();
            ask
        })
    }

    /// Learns what the store says. Whether it has forgotten this process.
    pub(in crate::limit::quota) fn hear(&mut self, ask: &Ask, told: Told, now: i64) -> bool {
        if !self.is_of(ask) || ask.number <= self.claim.heard {
            return false;
        }
        let forgot = !told.knew && self.claim.told.is_some();
        self.claim.heard = ask.number;
        self.claim.granted = told.granted;
        self.claim.told = Some(now);
        self.others = told.others;
        forgot
    }

    fn question(&mut self, need: u64, ahead: u64) -> Ask {
        self.claim.sent += 1;
        Ask {
            window: self.window.name.clone(),
            ends: self.window.ends,
            left: self.claim.left,
            number: self.claim.sent,
            own: self.own,
            need,
            ahead,
            rest: Rest::Kept,
        }
    }

    fn is_of(&self, ask: &Ask) -> bool {
        self.window.name == ask.window && self.claim.left == ask.left
    }
}

impl Pace {
    /// How much was used of late, if so much was used until now.
    fn of_late(&mut self, own: u64, now: i64) -> u64 {
        let here = own.saturating_sub(self.base);
        let elapsed = now.abs_diff(self.since);
        if elapsed >= HOLD.unsigned_abs() {
            let before = if elapsed < 2 * HOLD.unsigned_abs() { here } else { 0 };
            *self = Self { since: now, base: own, before };
            return before;
        }
        here.max(self.before)
    }
}

#[cfg(test)]
mod tests;
