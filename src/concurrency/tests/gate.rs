use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::concurrency::config::{Setting, UpstreamCap};
use crate::concurrency::{Answer, Gate, Priority, Rank, Said, Seat, Waiter};
use crate::diagnostic::{At, Diagnostics};

const USED: [bool; 3] = [true; 3];
/// Where nobody is more important than others, no place is kept free.
const NORMAL: [bool; 3] = [false, true, false];

fn gate(yaml: &str) -> Gate {
    let written: Setting = serde_yaml::from_str(yaml).unwrap();
    written.on().unwrap().compile(&At::root().key("c"), &mut Diagnostics::new()).unwrap()
}

fn normal() -> Rank {
    Rank::new(Priority::Normal, NORMAL)
}

fn seat(gate: &Gate, rank: Rank) -> Seat {
    match gate.enter(rank) {
        Answer::In(seat) => seat,
        other => panic!("{other:?}"),
    }
}

fn waiter(gate: &Gate, rank: Rank) -> Waiter {
    match gate.enter(rank) {
        Answer::Wait(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

fn is_shed(gate: &Gate, rank: Rank) -> bool {
    matches!(gate.enter(rank), Answer::Shed)
}

#[tokio::test]
async fn so_many_are_in_so_many_wait_and_the_others_are_turned_away() {
    let gate = gate("{ max: 2, queue: 1 }");
    let seats = [seat(&gate, normal()), seat(&gate, normal())];
    let waiting = waiter(&gate, normal());
    assert!(is_shed(&gate, normal()));
    assert_eq!((gate.in_flight(), gate.waiting(), gate.limit()), (2, 1, 2));
    drop(seats);
    let _given = waiting.turn().await.expect("a seat became free");
    assert_eq!((gate.in_flight(), gate.waiting()), (1, 0));
    let normal = gate.said()[Priority::Normal as usize];
    assert_eq!(normal[Said::Waited as usize], 1);
    assert_eq!(normal[Said::Shed as usize], 1);
}

#[tokio::test]
async fn the_end_of_the_wait_and_whoever_leaves_make_room_in_the_queue() {
    tokio::time::pause();
    let gate = gate("{ max: 1, queue: 1, wait: 50ms }");
    let held = seat(&gate, normal());
    assert!(waiter(&gate, normal()).turn().await.is_none());
    assert_eq!(gate.waiting(), 0);
    drop(waiter(&gate, normal()));
    assert_eq!(gate.waiting(), 0);
    // One that was given its seat, and leaves before it has taken it.
    let gone = waiter(&gate, normal());
    drop(held);
    assert_eq!(gate.in_flight(), 1);
    drop(gone);
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
}

#[tokio::test]
async fn the_most_important_go_first_and_the_least_important_make_room() {
    let rank = |priority| Rank::new(priority, USED);
    let [low, normal, high] = Priority::ALL.map(rank);
    let gate = gate("{ max: 1, queue: 3, wait: 5s }");
    let held = seat(&gate, low);
    let lows = [waiter(&gate, low), waiter(&gate, low)];
    let first = waiter(&gate, normal);
    assert!(is_shed(&gate, low));
    let second = waiter(&gate, normal);
    let third = waiter(&gate, high);
    // Both of the low ones had to leave, and nobody else has to for a normal one.
    assert!(is_shed(&gate, normal));
    for low in lows {
        assert!(low.turn().await.is_none());
    }
    let mut held = Some(held);
    for next in [third, first, second] {
        drop(held.take());
        held = Some(next.turn().await.expect("its turn"));
    }
    assert_eq!(gate.said()[Priority::Low as usize][Said::Shed as usize], 3);
}

#[test]
fn places_are_kept_free_for_what_is_more_important() {
    let gate = gate("{ max: 20, queue: 0 }");
    let mut seats = Vec::new();
    for (priority, most) in [(Priority::Low, 16), (Priority::Normal, 18), (Priority::High, 20)] {
        let rank = Rank::new(priority, USED);
        while let Answer::In(seat) = gate.enter(rank) {
            seats.push(seat);
        }
        assert_eq!(seats.len(), most, "{priority:?}");
    }
}

#[tokio::test]
async fn who_is_behind_does_not_hold_up_who_is_in_front() {
    // A low one waits for the places that are kept free; they are free for others.
    let gate = gate("{ max: 10, queue: 5 }");
    let low = Rank::new(Priority::Low, USED);
    let mut seats: Vec<_> = (0..8).map(|_| seat(&gate, low)).collect();
    let waiting = waiter(&gate, low);
    let one = seat(&gate, Rank::new(Priority::High, USED));
    drop(seats.pop());
    assert_eq!(gate.waiting(), 1, "eight are in still");
    drop(one);
    assert_eq!(gate.waiting(), 0);
    drop(waiting.turn().await.unwrap());
}

#[test]
fn one_that_only_looks_on_lets_all_in_and_counts_them() {
    let gate = gate("{ max: 1, observe: true }");
    let _in = seat(&gate, normal());
    let Answer::Over(over) = gate.enter(normal()) else { panic!("it is let in") };
    assert_eq!((gate.in_flight(), gate.said()[1][Said::Observed as usize]), (2, 1));
    drop(over);
    assert_eq!(gate.in_flight(), 1);
}

#[tokio::test]
async fn a_successor_counts_who_is_in_and_calls_who_waits() {
    let old = gate("{ max: 1, wait: 5s }");
    let held = seat(&old, normal());
    let waiting = waiter(&old, normal());
    let new = gate("{ max: 2 }");
    new.carry_on(&old);
    let _second = waiting.turn().await.expect("there are two places now");
    assert_eq!((new.in_flight(), new.limit(), old.limit()), (2, 2, 2));
    // Of fewer places than there are requests, none is free until enough of them have ended.
    let newer = gate("{ max: 1, queue: 0 }");
    newer.carry_on(&new);
    assert!(is_shed(&newer, normal()));
    drop(held);
    assert!(is_shed(&newer, normal()));
    newer.carry_on(&newer);
    assert_eq!(newer.in_flight(), 1);
}

/// Takes all the seats there are, and answers all requests as fast, for so long. Gives the most that were in at once:
/// when it ends, the limit may be halved for a look at the base.
fn answer_all(gate: &Gate, from: Instant, time: Duration) -> usize {
    let mut seats = Vec::new();
    for step in 1..=time.as_millis().try_into().unwrap() {
        while let Answer::In(seat) = gate.enter(normal()) {
            seats.push(seat);
        }
        let now = from + Duration::from_millis(step);
        gate.answered(now.checked_sub(Duration::from_millis(1)).unwrap(), now);
    }
    seats.len()
}

#[test]
fn what_is_no_longer_in_force_changes_nothing_of_its_successor() {
    let from = Instant::now();
    let old = upstream_gate("{ adaptive: true, queue: 0 }");
    let found = answer_all(&old, from, Duration::from_secs(1));
    assert!(found > 20, "it found more out: {found}");
    let new = upstream_gate("{ max: 7, queue: 0 }");
    new.carry_on(&old);
    // Of requests that came before the change.
    answer_all(&old, from + Duration::from_secs(1), Duration::from_secs(2));
    assert_eq!(new.limit(), 7);
    old.bound(2);
    assert_eq!(new.limit(), 7);
    new.bound(5);
    assert_eq!(new.limit(), 5);
    old.bound(u32::MAX);
    assert_eq!(new.limit(), 5);
    // It goes on from there, as often as there is another.
    let newest = upstream_gate("{ max: 9, queue: 0 }");
    newest.carry_on(&new);
    newest.bound(u32::MAX);
    new.bound(3);
    assert_eq!((newest.limit(), new.limit()), (9, 9));
}

#[test]
fn what_is_found_out_together_holds_for_the_successor() {
    let from = Instant::now();
    let old = upstream_gate("{ adaptive: true, queue: 0 }");
    let new = upstream_gate("{ adaptive: true, max: 400, queue: 0 }");
    new.carry_on(&old);
    let found = answer_all(&old, from, Duration::from_secs(1));
    assert!(found > 20, "{found}");
    let limit = new.limit();
    assert_eq!(limit, old.limit());
    old.bound(2);
    assert_eq!(new.limit(), limit);
    assert!(limit > 2, "{limit}");
}

fn upstream_gate(yaml: &str) -> Gate {
    let written: UpstreamCap = serde_yaml::from_str(yaml).unwrap();
    written.compile(&At::root(), &mut Diagnostics::new()).unwrap()
}

#[test]
fn no_more_are_let_in_than_there_are_places_behind() {
    let gate = upstream_gate("{ max: 10, queue: 0 }");
    gate.bound(2);
    let seats = [seat(&gate, normal()), seat(&gate, normal())];
    assert!(is_shed(&gate, normal()));
    gate.bound(3);
    let third = seat(&gate, normal());
    assert_eq!((gate.limit(), gate.in_flight()), (3, 3));
    drop((seats, third));
}

#[test]
fn there_are_never_more_in_than_may_be_whatever_happens_at_once() {
    let gate = gate("{ max: 7, queue: 9, wait: 1ms }");
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let work = (0..64).map(|number| {
            let (gate, now, most) = (&gate, &now, &most);
            async move {
                for _ in 0..300 {
                    let rank = Rank::new(Priority::ALL[number % 3], USED);
                    let seat = match gate.enter(rank) {
                        Answer::In(seat) => Some(seat),
                        Answer::Wait(waiter) => waiter.turn().await,
                        _ => None,
                    };
                    if seat.is_some() {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                    drop(seat);
                    tokio::task::yield_now().await;
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(work))
            .await
            .expect("nobody is forgotten");
    });
    assert_eq!(most.load(Ordering::SeqCst), 7);
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
}

#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    let gate = gate("{ max: 3, queue: 5, wait: 2ms }");
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (gate, now, most) = (&gate, &now, &most);
            scope.spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let one = |round: usize| async move {
                    let rank = Rank::new(Priority::ALL[(number + round) % 3], USED);
                    let seat = match gate.enter(rank) {
                        Answer::In(seat) => Some(seat),
                        Answer::Wait(waiter) if round.is_multiple_of(5) => {
                            drop(waiter);
                            None
                        }
                        Answer::Wait(waiter) => waiter.turn().await,
                        _ => None,
                    };
                    if seat.is_some() {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                };
                for round in 0..2000 {
                    runtime.block_on(async {
                        tokio::join!(one(round), one(round + 1), one(round + 2))
                    });
                }
            });
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert_eq!((gate.in_flight(), gate.waiting()), (0, 0));
}
