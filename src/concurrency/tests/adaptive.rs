//! A service with so many hands, seen by the decisions only through how long its answers take.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a model counts in fractions, within bounds"
)]

use crate::concurrency::adaptive::{Bounds, Controller, SLACK, START, Step, Window};

/// A service that works on so many requests at once, each for so long; others wait in it.
struct Service {
    hands: f64,
    work: f64,
    controller: Controller,
    now: u64,
    step: Step,
    random: u64,
    noise: f64,
}

impl Service {
    fn new(hands: u32, work_ms: u32) -> Self {
        let bounds = Bounds { min: 3, max: 1000 };
        let step = Step { limit: START, due: 0, since: 0 };
        Self {
            hands: hands.into(),
            work: f64::from(work_ms) * 1000.0,
            controller: Controller::new(bounds),
            now: 0,
            step,
            random: 1,
            noise: 0.0,
        }
    }

    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from(u32::try_from(self.random >> 33).unwrap()) / f64::from(1_u32 << 31)
    }

    /// Serves for so many seconds while so many want to be served at once. Returns how much of what it could
    /// have served it has, and the mean length of an answer in relation to the shortest.
    fn serve(&mut self, seconds: u64, wanted: u32) -> (f64, f64) {
        let (end, begin) = (self.now + seconds * 1_000_000, self.now);
        let (mut served, mut spent) = (0.0, 0.0);
        while self.now < end {
            let limit = self.step.limit;
            let in_flight = f64::from(limit.min(wanted));
            let length = self.work * (in_flight / self.hands).max(1.0);
            let rate = in_flight / length;
            // Until the decision is due and there are ten answers.
            let took = (self.step.due.saturating_sub(self.now)) as f64;
            let took = took.max(10.0 / rate);
            let count = (rate * took) as u64;
            let wobble = 1.0 + self.noise * (self.draw() - 0.5) * 2.0;
            let sum = (length * wobble * count as f64) as u64;
            served += rate * took;
            spent += rate * took * length;
            self.now += took as u64 + 1;
            let in_flight = limit.min(wanted);
            let window = Window { count, sum, in_flight };
            if let Some(step) = self.controller.close(window, in_flight > limit / 2, self.now) {
                self.step = step;
            }
        }
        let could = self.hands.min(wanted.into()) / self.work * (self.now - begin) as f64;
        (served / could, spent / served / self.work)
    }
}

#[test]
fn every_hand_is_busy_and_hardly_anybody_waits_behind_the_gate() {
    for noise in [0.0, 0.1] {
        for (hands, work) in
            [(3, 20), (4, 100), (8, 20), (10, 5), (16, 250), (50, 20), (200, 10), (500, 100)]
        {
            let mut service = Service { noise, ..Service::new(hands, work) };
            let wanted = (hands * 3).max(50);
            service.serve(30, wanted);
            let (share, length) = service.serve(120, wanted);
            assert!(share > 0.93, "{hands} hands, {work} ms, {noise}: {share} of what it could");
            assert!(length < 1.75, "{hands} hands, {work} ms, {noise}: {length} times as long");
        }
    }
}

#[test]
fn a_start_in_the_middle_of_an_overload_is_got_over() {
    // Even the first answers come late, so that the base is not known.
    for hands in [2, 4, 8] {
        let mut service = Service::new(hands, 20);
        service.serve(10, 1000);
        let (share, length) = service.serve(60, 1000);
        assert!(share > 0.9 && length < 2.2, "{hands}: {share}, {length}");
    }
}

#[test]
fn a_service_that_loses_hands_is_asked_less_and_more_again_when_it_has_them_back() {
    let mut service = Service::new(40, 20);
    service.serve(30, 100);
    let before = service.step.limit;
    service.hands = 10.0;
    service.serve(15, 100);
    let after = service.step.limit;
    assert!(before > 36 && after < 18, "{before}, {after}");
    service.hands = 40.0;
    service.serve(30, 100);
    let again = service.step.limit;
    assert!(again > 36, "{again}");
}

#[test]
fn a_service_that_has_become_slower_with_as_many_hands_is_found_out() {
    let mut service = Service::new(40, 20);
    service.serve(30, 100);
    service.work *= 4.0;
    service.serve(60, 100);
    let (share, length) = service.serve(60, 100);
    assert!(share > 0.9 && length < 1.6, "{share}, {length}");
    service.work /= 4.0;
    service.serve(60, 100);
    let (share, length) = service.serve(60, 100);
    assert!(share > 0.9 && length < 1.6, "{share}, {length}");
}

#[test]
fn what_nobody_asks_for_is_not_learned() {
    let mut service = Service::new(100, 20);
    service.serve(60, 5);
    assert_eq!(service.step.limit, START);
    let base = service.controller.base().unwrap();
    assert!((base / 20_000.0 - 1.0).abs() < SLACK - 1.0, "{base}");
}

#[test]
fn the_limit_stays_between_its_bounds() {
    let mut service = Service::new(1, 20);
    service.serve(60, 50);
    assert!((1..=4).contains(&service.step.limit), "{}", service.step.limit);
    let mut service = Service::new(5000, 20);
    service.serve(60, 10_000);
    assert_eq!(service.step.limit, 1000);
    service.controller.set_bounds(Bounds { min: 5, max: 10 });
    assert_eq!(service.controller.limit(), 10);
}
