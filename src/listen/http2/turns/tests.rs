use tokio::time::{advance, pause};

use super::*;

/// What a stream hands over when its upstream says something.
const MUCH: usize = 3 * PIECE;

/// A stream as a test sees it.
struct Stream {
    request: Pin<Box<dyn Future<Output = ()>>>,
    seen: Arc<Seen>,
}

/// How often it was polled, what it hands over next, and how to wake it.
#[derive(Default)]
struct Seen {
    polls: AtomicUsize,
    hands: AtomicUsize,
    waker: Mutex<Option<Waker>>,
    ends: AtomicBool,
}

fn stream(crowd: &Arc<Crowd>) -> Stream {
    let seen = Arc::new(Seen::default());
    let (its, of) = (Arc::clone(&seen), Arc::clone(crowd));
    let request = std::future::poll_fn(move |cx| {
        its.polls.fetch_add(1, Ordering::Relaxed);
        let hands = its.hands.swap(0, Ordering::Relaxed);
        if hands > 0 {
            of.turns.hand(hands);
        }
        *its.waker.lock().unwrap() = Some(cx.waker().clone());
        if its.ends.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    });
    let mut stream = Stream { request: Box::pin(InTurn::new(crowd, request)), seen };
    stream.poll();
    assert_eq!(stream.polls(), 1, "it begins at once");
    stream
}

impl Stream {
    fn poll(&mut self) -> bool {
        self.request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn polls(&self) -> usize {
        self.seen.polls.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        self.seen.waker.lock().unwrap().clone().unwrap().wake();
    }

    /// Its upstream has said so much. Whether it was its turn.
    fn hears(&mut self, bytes: usize) -> bool {
        self.seen.hands.store(bytes, Ordering::Relaxed);
        self.wake();
        let before = self.polls();
        self.poll();
        self.polls() > before
    }

    /// Its client has given it a window.
    fn is_given(&mut self, crowd: &Crowd) {
        crowd.turns.drive(Waker::noop(), || self.wake());
        let before = self.polls();
        self.poll();
        assert_eq!(self.polls(), before + 1, "it is always its turn");
    }

    fn asks(&mut self) -> bool {
        let before = self.polls();
        self.poll();
        self.polls() > before
    }
}

#[tokio::test]
async fn some_have_more_than_is_taken_and_the_others_wait_for_them() {
    pause();
    let crowd = Arc::new(Crowd::default());
    let mut streams: Vec<_> = (0..SEATS + 3).map(|_| stream(&crowd)).collect();
    let turns: Vec<_> = streams.iter_mut().map(|stream| stream.hears(MUCH)).collect();
    assert_eq!(turns, [vec![true; SEATS], vec![false; 3]].concat());
    // Who has a seat goes on, whatever wakes it.
    assert!(streams[0].hears(0) && streams[1].hears(MUCH));
    // Who has been given enough gives its seat to who has waited the longest, and nobody else.
    streams[2].is_given(&crowd);
    assert!(!streams[SEATS].asks());
    streams[2].is_given(&crowd);
    assert!(streams[SEATS].asks() && !streams[SEATS + 1].asks());
    // And so does who ends, or is dropped.
    streams[3].seen.ends.store(true, Ordering::Relaxed);
    streams[3].wake();
    assert!(streams[3].poll());
    drop(streams.remove(0));
    assert!(streams[SEATS].asks() && streams[SEATS + 1].asks());
    // However little each was given, who is given more can write it.
    for _ in 0..10 {
        streams[0].is_given(&crowd);
    }
    drop(streams);
    let seats = crowd.turns.seats();
    assert_eq!((seats.taken, seats.stuck, seats.waiting.len()), (0, 0, 0));
}

#[tokio::test]
async fn who_has_little_to_say_needs_no_seat_for_long() {
    pause();
    let crowd = Arc::new(Crowd::default());
    let mut streams: Vec<_> = (0..100).map(|_| stream(&crowd)).collect();
    for _ in 0..3 {
        assert!(streams.iter_mut().all(|stream| stream.hears(PIECE)));
    }
    assert_eq!(crowd.turns.seats().taken, 0);
    // Of those who can't write even that, some go on.
    let turns = streams.iter_mut().map(|stream| usize::from(stream.hears(0)));
    assert_eq!(turns.sum::<usize>(), SEATS);
}

#[tokio::test]
async fn one_more_is_let_in_every_now_and_then_and_the_newest_first() {
    pause();
    let crowd = Arc::new(Crowd::default());
    let mut streams: Vec<_> = (0..SEATS + 4).map(|_| stream(&crowd)).collect();
    for stream in &mut streams {
        stream.hears(MUCH);
    }
    let newest = SEATS + 3;
    advance(SOON).await;
    assert!(!streams[SEATS].asks() && streams[newest].asks() && !streams[newest - 1].asks());
    // It had much to say, so that the next one waits longer.
    advance(SOON).await;
    assert!(!streams[newest - 1].asks());
    streams[newest - 1].seen.hands.store(10, Ordering::Relaxed);
    advance(SOON).await;
    assert!(streams[newest - 1].asks() && !streams[newest - 2].asks());
    // That one had little.
    advance(SOON).await;
    assert!(streams[newest - 2].asks());
    assert_eq!(crowd.turns.seats().taken, SEATS + 2);
}

#[tokio::test]
async fn they_are_many_from_when_they_are_until_some_have_been_given_more() {
    pause();
    let crowd = Arc::new(Crowd::default());
    let start = Instant::now();
    let mut streams: Vec<_> = (0..MANY).map(|_| stream(&crowd)).collect();
    for stream in &mut streams {
        assert_eq!(crowd.many_since(), None);
        stream.hears(MUCH);
        advance(Duration::from_secs(1)).await;
    }
    let since = Duration::from_secs(MANY as u64 - 1);
    assert_eq!(crowd.many_since(), Some(start + since));
    streams[0].is_given(&crowd);
    assert_eq!(crowd.many_since(), Some(start + since));
    streams[0].is_given(&crowd);
    assert_eq!(crowd.many_since(), None);
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_has_ended() {
    pause();
    let crowd = Arc::new(Crowd::default());
    let mut streams: Vec<_> = (0..SEATS + 3).map(|_| stream(&crowd)).collect();
    for stream in &mut streams {
        stream.hears(MUCH);
    }
    assert!(!streams[SEATS].asks());
    crowd.drive(async {}).await;
    assert!(streams.iter_mut().skip(SEATS).all(Stream::asks));
}
