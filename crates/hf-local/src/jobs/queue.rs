//! A bounded number of slots, given out in the order they were asked for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// The slots jobs run in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    state: Arc<Mutex<State>>,
    max_waiting: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// A place in the queue; dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Ticket(oneshot::Receiver<Slot>);

/// The right to run one job; dropping it lets the next one run.
#[derive(Debug)]
pub(crate) struct Slot(Option<Slots>);

/// The queue holds as many waiting jobs as it may.
#[derive(Debug)]
pub(crate) struct QueueFull;

impl Slots {
    pub(crate) fn new(slots: usize, max_waiting: usize) -> Self {
        let state = State {
            free: slots.max(1),
            waiting: VecDeque::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            max_waiting,
        }
    }

    /// Takes the next place. The order of the calls is the order in which the slots come.
    pub(crate) fn ticket(&self) -> Result<Ticket, QueueFull> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.free > 0 {
            state.free -= 1;
            drop(state);
            // The receiver is alive: it is returned below.
            let _sent = sender.send(Slot(Some(self.clone())));
            return Ok(Ticket(receiver));
        }
        if state.waiting.len() >= self.max_waiting {
            state.waiting.retain(|sender| !sender.is_closed());
            if state.waiting.len() >= self.max_waiting {
                return Err(QueueFull);
            }
        }
        state.waiting.push_back(sender);
        Ok(Ticket(receiver))
    }

    fn release(&self) {
        loop {
            let next = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(next) = state.waiting.pop_front() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match next.send(Slot(Some(self.clone()))) {
                Ok(()) => return,
                // That one gave up; its slot must not be released a second time.
                Err(mut refused) => refused.0 = None,
            }
        }
    }
}

impl Ticket {
    /// Waits for the slot; `None` only when the queue itself is gone.
    pub(crate) async fn slot(&mut self) -> Option<Slot> {
        (&mut self.0).await.ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn try_slot(ticket: &mut Ticket) -> Option<Slot> {
        ticket.slot().now_or_never().flatten()
    }

    #[test]
    fn slots_come_in_the_order_of_the_tickets() {
        let slots = Slots::new(1, 10);
        let mut tickets: Vec<Ticket> = (0..4).map(|_| slots.ticket().unwrap()).collect();
        let mut held = try_slot(&mut tickets[0]).unwrap();
        for next in 1..4 {
            for later in &mut tickets[next..] {
                assert!(try_slot(later).is_none());
            }
            drop(held);
            held = try_slot(&mut tickets[next]).unwrap();
        }
    }

    #[test]
    fn a_ticket_given_up_passes_its_slot_on() {
        let slots = Slots::new(1, 10);
        let mut first = slots.ticket().unwrap();
        let held = try_slot(&mut first).unwrap();
        let second = slots.ticket().unwrap();
        let mut third = slots.ticket().unwrap();
        drop(second);
        drop(held);
        let held = try_slot(&mut third).unwrap();
        // A ticket dropped after its slot arrived gives it back too.
        let fourth = slots.ticket().unwrap();
        drop(held);
        drop(fourth);
        assert!(try_slot(&mut slots.ticket().unwrap()).is_some());
    }

    #[test]
    fn a_full_queue_refuses_until_somebody_leaves() {
        let slots = Slots::new(1, 1);
        let _running = slots.ticket().unwrap();
        let waiting = slots.ticket().unwrap();
        assert!(slots.ticket().is_err());
        drop(waiting);
        assert!(slots.ticket().is_ok());
    }
}
