use proptest::prelude::*;

use super::super::head::lines::{head, wire};
use super::*;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OWN: HeaderValue = HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c");

fn of(lines: &[&str], trusted: bool, id: &HeaderValue) -> Option<Trace> {
    Trace::of(&head(lines), trusted, id, || 0xABC)
}

fn stamped(lines: &[&str]) -> Vec<String> {
    let mut head = head(lines);
    let trace = Trace::of(&head, true, &OWN, || 0xABC);
    assert!(trace.as_ref().is_some_and(Trace::is_given), "{lines:?}");
    stamp(&mut head, trace.as_ref(), &OWN, 0x1F);
    wire(&head)
}

#[test]
fn a_trusted_peers_trace_goes_on_under_a_new_parent() {
    let parent = format!("traceparent: {PARENT}");
    assert_eq!(
        stamped(&[&parent, "tracestate: a=1,b@c=x y"]),
        [format!("traceparent: 00-{ID}-000000000000001f-01"), "tracestate: a=1,b@c=x y".to_owned()]
    );
    // The flags that are not known are not passed on; sampled and random are.
    for (sent, passed) in [("00", "00"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")] {
        let parent = format!("traceparent: 00-{ID}-00f067aa0ba902b7-{sent}");
        assert_eq!(
            stamped(&[&parent]),
            [format!("traceparent: 00-{ID}-000000000000001f-{passed}")]
        );
    }
}

#[test]
fn a_version_to_come_is_read_as_far_as_it_is_known() {
    for more in ["", "-", "-what-the-future-will-be-like"] {
        let parent = format!("traceparent: cc-{ID}-00f067aa0ba902b7-01{more}");
        assert_eq!(of(&[&parent], true, &OWN).map(|trace| trace.id), ID.as_bytes().try_into().ok());
    }
}

#[test]
fn what_is_no_traceparent_begins_another_trace() {
    for bad in [
        "",
        "00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
        "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01xx",
    ] {
        let line = format!("traceparent: {bad}");
        assert_eq!(of(&[&line], true, &OWN), None, "{bad:?}");
    }
    let line = format!("traceparent: {PARENT}");
    assert_eq!(of(&[&line, &line], true, &OWN), None, "two are none");
    assert_eq!(of(&[&line], false, &OWN), None, "a stranger names no trace");
}

#[test]
fn a_trace_of_ours_has_the_requests_id_where_that_is_one() {
    let mut own = head(&["traceparent: junk"]);
    stamp(&mut own, None, &OWN, 0);
    let expected =
        format!("traceparent: 00-{}-0000000000000001-03", OWN.to_str().unwrap_or_default());
    assert_eq!(wire(&own), [expected]);

    let foreign = HeaderValue::from_static("from-the-edge:1");
    let trace = of(&[], true, &foreign);
    let id = trace.as_ref().map(Trace::id).unwrap_or_default();
    assert_eq!(id, "0000000000000abc0000000000000abc");
    assert!(!trace.as_ref().is_some_and(Trace::is_given));
    let mut made = head(&[]);
    stamp(&mut made, trace.as_ref(), &foreign, 2);
    assert_eq!(wire(&made), [format!("traceparent: 00-{id}-0000000000000002-03")]);

    let word = HeaderValue::from_static("new-for-each-request");
    let mut explained = head(&[]);
    stamp(&mut explained, None, &word, 2);
    assert_eq!(wire(&explained), ["traceparent: new-for-each-request"]);
}

#[test]
fn a_tracestate_is_kept_as_far_as_it_is_one() {
    let parent = format!("traceparent: {PARENT}");
    let state = |lines: &[&str]| {
        let mut all = vec![&*parent];
        all.extend(lines);
        let states: Vec<String> =
            stamped(&all).into_iter().filter(|line| line.starts_with("tracestate")).collect();
        assert!(states.len() <= 1);
        states.first().map(|line| line["tracestate: ".len()..].to_owned())
    };
    assert_eq!(state(&[]), None);
    assert_eq!(state(&["tracestate: a=1", "tracestate: b=2"]).as_deref(), Some("a=1,b=2"));
    for bad in ["a", "A=1", "=1", "a=", "a=1;b=2=3", "a=x\ty", "a b=1", "a=1,b"] {
        assert_eq!(state(&[&format!("tracestate: {bad}")]), None, "{bad:?}");
    }
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("k{n}=v")).collect();
        format!("tracestate: {}", members.join(","))
    };
    assert!(state(&[&many(32)]).is_some());
    assert_eq!(state(&[&many(33)]), None);
    // Too long: whole members are left out, from the end.
    let long = format!("tracestate: a={},b={},c=1", "x".repeat(250), "y".repeat(250));
    assert_eq!(state(&[&long]).map(|kept| kept.len()), Some(2 + 250 + 1 + 2 + 250 + 4));
    let longer = format!("tracestate: a={},b={},c=1", "x".repeat(256), "y".repeat(256));
    assert_eq!(state(&[&longer]).map(|kept| kept.len()), Some(2 + 256));
}

proptest! {
    #[test]
    fn whatever_is_sent_one_valid_traceparent_goes_on(
        parents in proptest::collection::vec("[ -~]{0,70}", 0..3),
        states in proptest::collection::vec("[ -~]{0,700}", 0..3),
        span: u64,
    ) {
        let mut head = HeaderMap::new();
        for parent in &parents {
            head.append(TRACEPARENT, HeaderValue::from_str(parent).expect("printable"));
        }
        for state in &states {
            head.append(TRACESTATE, HeaderValue::from_str(state).expect("printable"));
        }
        let trace = Trace::of(&head, true, &OWN, || 7);
        stamp(&mut head, trace.as_ref(), &OWN, span);
        prop_assert!(Trace::given(&head).is_some());
    }
}
