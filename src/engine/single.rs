//! One message at a time, for protocols that bring each in a request of its own.

use super::slow::{SlowLane, servfail};
use super::{Answerer, Arrival, Fast, Sent};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

thread_local! {
    /// Room for one answer.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; usize::from(u16::MAX)]);
}

/// The answer to one message, from whichever lane has it; `None` for silence.
pub(super) async fn answer(
    answerer: &dyn Answerer,
    slow: &SlowLane,
    message: Vec<u8>,
    arrival: Arrival,
) -> Option<Sent> {
    let fast = ROOM.with_borrow_mut(|room| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let begun = Instant::now();
            let mut lane = answerer.lane(arrival.transport);
            lane.batch_begins();
            let said = lane.answer(&message, arrival.client, room);
            lane.batch_ends(begun.elapsed());
            said
        }));
        match outcome {
            Ok(Fast::Reply(len)) => Some(room.get(..len).map(<[u8]>::to_vec)),
            Ok(Fast::Silence) => Some(None),
            Ok(Fast::Slow) => None,
            Err(_) => {
                slow.count_panic();
                Some(servfail(&message, room).map(|len| room[..len].to_vec()))
            }
        }
    });
    match fast {
        Some(answer) => answer.map(Sent::from),
        None => slow.answer(message, arrival, slow.admit(arrival.client.ip())?).await,
    }
}
