use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::super::{Counter, Name};
use super::*;
use crate::units::Calendar;

/// 2026-11-24T00:00:00Z.
const MIDNIGHT: i64 = 1_795_478_400;

fn counter() -> Counter {
    let name = Name { consumer: "a".into(), calendar: Calendar::Day, zone: "UTC".into() };
    Counter::new(name, TimeZone::UTC)
}

/// What shared.lua does, for one quota.
struct Store {
    amount: u64,
    total: u64,
    claims: BTreeMap<String, (u64, u64)>,
}

impl Store {
    fn of(amount: u64) -> Self {
        Self { amount, total: 0, claims: BTreeMap::new() }
    }

    fn told(&mut self, who: &str, ask: &Ask) -> Told {
        let name = format!("{who}.{}", ask.left);
        let kept = self.claims.get(&name).copied();
        let (units, number) = kept.unwrap_or_default();
        let (others, knew) = (self.total - units, kept.is_some());
        if number >= ask.number {
            return Told { granted: units, others, knew };
        }
        let have = if ask.rest == Rest::Kept { units.max(ask.own) } else { ask.own };
        let left = self.amount.saturating_sub(others + have);
        let given = (ask.own + ask.need).saturating_sub(have).min(left);
        let more = (ask.own + ask.need + ask.ahead).saturating_sub(have + given);
        let granted = have + given + more.min((left - given) / 16);
        self.total = others + granted;
        let its = if ask.rest == Rest::Over { 0 } else { granted };
        self.claims.insert(name, (its, ask.number));
        Told { granted, others, knew }
    }

    fn asked(&mut self, who: &str, counter: &Counter, now: i64) {
        let ask = counter.at(now).ask(now);
        let told = self.told(who, &ask);
        counter.at(now).hear(&ask, told, now);
        counter.at(now).asked(&ask);
    }

    /// One request. Whether it passes.
    fn take(&mut self, who: &str, counter: &Counter, now: i64) -> bool {
        let mut word = counter.at(now).weigh(self.amount, false, now);
        if word == Word::Unknown {
            self.asked(who, counter, now);
            word = counter.at(now).weigh(self.amount, true, now);
        }
        if word == Word::There {
            counter.at(now).count(now);
        }
        word == Word::There
    }

    fn settle(&mut self, who: &str, counter: &Counter, now: i64, anew: bool) {
        let ask = counter.at(now).settle(now, anew);
        if let Some(ask) = ask {
            let told = self.told(who, &ask);
            counter.at(now).hear(&ask, told, now);
        }
    }
}

#[test]
fn together_they_use_all_of_it_and_no_more_and_ask_seldom() {
    let (mut store, a, b) = (Store::of(1000), counter(), counter());
    let (mut passed, mut asked) = (0_u64, 0_u64);
    for turn in 0..1500 {
        let (who, counter) = [("a", &a), ("b", &b)][usize::from(turn % 3 == 0)];
        let word = counter.at(MIDNIGHT).weigh(1000, false, MIDNIGHT);
        asked += u64::from(word == Word::Unknown);
        passed += u64::from(store.take(who, counter, MIDNIGHT));
        assert!(store.total <= 1000);
    }
    assert_eq!(passed, 1000);
    assert!(asked < 120, "{asked}");
    // For a moment nobody asks whether there is more; then one does, who is told the same.
    assert_eq!(a.at(MIDNIGHT + 1).weigh(1000, false, MIDNIGHT + 1), Word::Gone);
    assert_eq!(a.at(MIDNIGHT + 2).weigh(1000, false, MIDNIGHT + 2), Word::Unknown);
    assert!(!store.take("a", &a, MIDNIGHT + 2));
    // More was bought meanwhile.
    store.amount = 1001;
    assert!(store.take("b", &b, MIDNIGHT + 2));
    assert!(!store.take("b", &b, MIDNIGHT + 2));
}

#[test]
fn what_is_ahead_is_given_back_when_nothing_is_used() {
    let (mut store, a) = (Store::of(1000), counter());
    for _ in 0..10 {
        assert!(store.take("a", &a, MIDNIGHT));
    }
    assert!(store.total > 10);
    let soon = a.at(MIDNIGHT + HOLD - 1).settle(MIDNIGHT + HOLD - 1, false);
    assert_eq!(soon, None);
    store.settle("a", &a, MIDNIGHT + HOLD, false);
    assert_eq!(store.total, 10);
    assert_eq!(a.at(MIDNIGHT + HOLD).settle(MIDNIGHT + HOLD, false), None);
    // A window later there is nothing to tell.
    assert_eq!(a.at(MIDNIGHT + 86_400).settle(MIDNIGHT + 86_400, true), None);
}

#[test]
fn what_was_used_without_the_store_is_told_and_counts() {
    let (mut store, a, b) = (Store::of(10), counter(), counter());
    for _ in 0..4 {
        assert!(store.take("a", &a, MIDNIGHT));
    }
    assert!(store.take("b", &b, MIDNIGHT));
    // Nobody answers, and it goes on by itself.
    for _ in 0..5 {
        let ask = a.at(MIDNIGHT).ask(MIDNIGHT);
        a.at(MIDNIGHT).asked(&ask);
        a.at(MIDNIGHT).count(MIDNIGHT);
    }
    store.settle("a", &a, MIDNIGHT, false);
    assert_eq!((store.total, a.at(MIDNIGHT).used()), (10, 10));
    assert_eq!(a.at(MIDNIGHT).settle(MIDNIGHT, false), None);
    assert!(!store.take("a", &a, MIDNIGHT) && !store.take("b", &b, MIDNIGHT));
}

#[test]
fn a_store_that_forgot_learns_it_again() {
    let (mut store, a, b) = (Store::of(10), counter(), counter());
    for _ in 0..3 {
        assert!(store.take("a", &a, MIDNIGHT) && store.take("b", &b, MIDNIGHT));
    }
    store = Store::of(10);
    let ask = a.at(MIDNIGHT).ask(MIDNIGHT);
    let told = store.told("a", &ask);
    assert!(a.at(MIDNIGHT).hear(&ask, told, MIDNIGHT), "it forgot");
    a.at(MIDNIGHT).asked(&ask);
    store.settle("a", &a, MIDNIGHT, true);
    store.settle("b", &b, MIDNIGHT, true);
    assert_eq!(store.total, 6);
}

#[test]
fn nothing_is_believed_that_was_answered_before_it_was_given_back() {
    let (mut store, a) = (Store::of(100), counter());
    let early = a.at(MIDNIGHT).ask(MIDNIGHT);
    let grant = store.told("a", &early);
    a.at(MIDNIGHT).asked(&early);
    // The answer is under way, and nobody waits for it: it is settled that nothing was used.
    let settle = a.at(MIDNIGHT).settle(MIDNIGHT, false).expect("unanswered");
    a.at(MIDNIGHT).hear(&early, grant, MIDNIGHT);
    assert_eq!(a.at(MIDNIGHT).weigh(100, false, MIDNIGHT), Word::Unknown);
    let told = store.told("a", &settle);
    a.at(MIDNIGHT).hear(&settle, told, MIDNIGHT);
    assert_eq!(store.total, 0);
    // What comes after its successor changes nothing.
    let first = a.at(MIDNIGHT).ask(MIDNIGHT);
    let second = a.at(MIDNIGHT).ask(MIDNIGHT);
    assert_eq!(store.told("a", &second).granted, 2);
    assert_eq!(store.told("a", &first).granted, 2);
}

#[test]
fn who_asks_takes_nothing_away_from_who_asked_before() {
    let (mut store, a) = (Store::of(1000), counter());
    for _ in 0..10 {
        assert!(store.take("a", &a, MIDNIGHT));
    }
    let first = a.at(MIDNIGHT).ask(MIDNIGHT);
    let second = a.at(MIDNIGHT).ask(MIDNIGHT);
    let told = store.told("a", &first);
    a.at(MIDNIGHT).hear(&first, told, MIDNIGHT);
    a.at(MIDNIGHT).asked(&first);
    // What the first one was given is used while the second is under way.
    while a.at(MIDNIGHT).weigh(1000, false, MIDNIGHT) == Word::There {
        a.at(MIDNIGHT).count(MIDNIGHT);
    }
    let told = store.told("a", &second);
    a.at(MIDNIGHT).hear(&second, told, MIDNIGHT);
    let used = a.at(MIDNIGHT).used();
    assert!(used > 12 && store.total > used, "{used} of {}", store.total);
}

#[test]
fn a_unit_is_left_for_everyone_who_asks() {
    let (mut store, a) = (Store::of(100), counter());
    let first = a.at(MIDNIGHT).ask(MIDNIGHT);
    let second = a.at(MIDNIGHT).ask(MIDNIGHT);
    let told = store.told("a", &second);
    a.at(MIDNIGHT).hear(&second, told, MIDNIGHT);
    // Somebody who comes has to ask, and takes nothing from those who did.
    assert_eq!(a.at(MIDNIGHT).weigh(100, false, MIDNIGHT), Word::Unknown);
    let third = a.at(MIDNIGHT).ask(MIDNIGHT);
    for ask in [second, first] {
        a.at(MIDNIGHT).asked(&ask);
        assert_eq!(a.at(MIDNIGHT).weigh(100, false, MIDNIGHT), Word::Unknown);
        assert_eq!(a.at(MIDNIGHT).weigh(100, true, MIDNIGHT), Word::There);
        a.at(MIDNIGHT).count(MIDNIGHT);
    }
    assert_eq!(a.at(MIDNIGHT).weigh(100, true, MIDNIGHT), Word::Unknown);
    a.at(MIDNIGHT).asked(&third);
}

#[test]
fn who_leaves_gives_back_what_it_did_not_use_and_comes_back_as_another() {
    let (mut store, a) = (Store::of(1000), counter());
    for _ in 0..10 {
        assert!(store.take("a", &a, MIDNIGHT));
    }
    let ask = a.at(MIDNIGHT).leave().expect("used");
    // A request that was under way all the same.
    assert!(store.take("a", &a, MIDNIGHT));
    let told = store.told("a", &ask);
    a.at(MIDNIGHT).hear(&ask, told, MIDNIGHT);
    assert_eq!((store.claims["a.0"].0, store.total), (0, 11));
    // A question from before, which comes late, counts nothing a second time.
    assert_eq!(store.told("a", &Ask { number: ask.number - 1, need: 1, ..ask }).others, 11);
    assert_eq!(store.total, 11);
    assert!(store.take("a", &a, MIDNIGHT));
    assert_eq!(a.at(MIDNIGHT).used(), 12);
    assert_eq!(counter().at(MIDNIGHT).leave(), None);
}

#[test]
fn who_comes_back_to_a_window_is_another_one_in_it() {
    let (mut store, a) = (Store::of(100), counter());
    for _ in 0..10 {
        assert!(store.take("a", &a, MIDNIGHT));
    }
    // The clock was wrong for a moment.
    a.at(MIDNIGHT + 86_400).count(MIDNIGHT);
    let passed = (0..100).filter(|_| store.take("a", &a, MIDNIGHT)).count();
    assert!(passed <= 90, "{passed}");
}

#[test]
fn another_window_begins_with_a_question() {
    let (mut store, a) = (Store::of(3), counter());
    assert!(store.take("a", &a, MIDNIGHT));
    let late = a.at(MIDNIGHT).ask(MIDNIGHT);
    let told = store.told("a", &late);
    let next = MIDNIGHT + 86_400;
    assert_eq!(a.at(next).weigh(3, false, next), Word::Unknown);
    // What was asked for the day before is not for this one.
    a.at(next).hear(&late, told, next);
    a.at(next).asked(&late);
    assert_eq!(a.at(next).weigh(3, false, next), Word::Unknown);
}
