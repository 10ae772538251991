//! A purse over a ledger: what it writes, and that no cap is passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hf_core::testing::ManualClock;
use jiff::Timestamp;

use super::*;
use crate::ledger::{
    Cap, CapScope, EntryFilter, LedgerStore, MemoryLedger, Service, Totals, UsageBy, Window,
};

struct World {
    store: Arc<MemoryLedger>,
    clock: ManualClock,
    purse: Purse,
}

fn world() -> World {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let store = Arc::new(MemoryLedger::default());
    let purse = Purse::new(Ledger::new(store.clone(), Arc::new(clock.clone())));
    World { store, clock, purse }
}

fn usd(micro: u64) -> MicroUsd {
    MicroUsd::new(micro).unwrap()
}

fn request(key: &str, worst: Option<u64>) -> ReserveRequest {
    ReserveRequest {
        key: key.to_owned(),
        service: Service::Inference,
        run: None,
        purpose: "test".to_owned(),
        worst: worst.map(usd),
        allow_unknown_price: true,
    }
}

fn cost(micro: u64) -> Settlement {
    Settlement {
        actual: Some(usd(micro)),
        source: CostSource::ReportedUsage,
    }
}

impl World {
    async fn entries(&self) -> Vec<LedgerEntry> {
        let listed = self.store.list_entries(&EntryFilter::default(), None, 1000).await;
        listed.unwrap()
    }

    async fn total(&self) -> Totals {
        let rows = self
            .store
            .list_usage(Book::Account, UsageBy::Total, "", None, 10)
            .await
            .unwrap();
        rows.first().map(|row| row.totals).unwrap_or_default()
    }

    async fn cap(&self, micro: u64) {
        let cap = Cap {
            scope: CapScope::All,
            window: Window::Total,
            amount: usd(micro),
        };
        self.store.set_cap(cap).await.unwrap();
    }

    /// Lets reservations that serve no call any more end.
    async fn later(&self) {
        self.clock.advance(LASTS);
        self.purse.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_single_call_stands_in_the_ledger_as_without_a_purse() {
    let world = world();
    for (key, end) in [
        ("a", Some(cost(30))),
        ("b", Some(Settlement::UNKNOWN)),
        ("c", None),
    ] {
        world.purse.reserve(request(key, Some(100))).await.unwrap();
        match end {
            Some(end) => drop(world.purse.settle(key, end).await.unwrap()),
            None => drop(world.purse.release(key, "not taken").await.unwrap()),
        }
        world.clock.advance(LASTS);
    }
    let entries = world.entries().await;
    let of = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap();
    assert!(
        matches!(of("a").state, EntryState::Settled { amount: Some(amount), source: CostSource::ReportedUsage, .. } if amount.get() == 30)
    );
    assert!(
        matches!(of("b").state, EntryState::Settled { amount: Some(amount), source: CostSource::Unknown, .. } if amount.get() == 100)
    );
    assert!(matches!(of("c").state, EntryState::Released { .. }));
    assert_eq!(entries.len(), 3);
}

#[tokio::test]
async fn many_calls_are_few_entries_and_the_same_sum() {
    let world = world();
    for call in 0..1000 {
        let key = format!("call-{call}");
        world.purse.reserve(request(&key, Some(100))).await.unwrap();
        world.purse.settle(&key, cost(7)).await.unwrap();
    }
    world.later().await;
    let total = world.total().await;
    assert_eq!((total.settled_micro_usd, total.reserved_micro_usd), (7000, 0));
    let entries = world.entries().await.len();
    assert!(entries < 60, "{entries}");
}

#[tokio::test]
async fn calls_that_come_steadily_share_a_reservation() {
    let world = world();
    // Four calls in each stretch: each but the first stretch reserves once for all of its own.
    for call in 0..40 {
        let key = format!("call-{call}");
        world.purse.reserve(request(&key, Some(100))).await.unwrap();
        world.purse.settle(&key, cost(7)).await.unwrap();
        // Who waits for the end of a reservation begins to, and hears of the time.
        tokio::task::yield_now().await;
        world.clock.advance(LASTS / 4);
        tokio::task::yield_now().await;
    }
    world.later().await;
    assert_eq!(world.total().await.settled_micro_usd, 280);
    let entries = world.entries().await.len();
    assert!((10..=13).contains(&entries), "{entries}");
}

#[tokio::test]
async fn callers_at_once_do_not_pass_a_cap() {
    let world = world();
    world.cap(1000).await;
    let granted = Arc::new(AtomicUsize::new(0));
    let each: Vec<_> = (0..64)
        .map(|call| {
            let (purse, granted) = (world.purse.clone(), Arc::clone(&granted));
            tokio::spawn(async move {
                match purse.reserve(request(&format!("call-{call}"), Some(100))).await {
                    Ok(_) => granted.fetch_add(1, Ordering::Relaxed),
                    Err(LedgerError::CapExceeded(_)) => 0,
                    Err(error) => panic!("{error}"),
                }
            })
        })
        .collect();
    for one in each {
        one.await.unwrap();
    }
    // No more than ten, and none is refused because others were set aside for calls that did not come.
    assert_eq!(granted.load(Ordering::Relaxed), 10);
    let total = world.total().await;
    assert!(total.reserved_micro_usd <= 1000, "{total:?}");
}

#[tokio::test]
async fn what_is_set_aside_for_calls_to_come_is_given_back_when_it_is_needed() {
    let world = world();
    world.cap(1000).await;
    for call in 0..6 {
        let key = format!("call-{call}");
        world.purse.reserve(request(&key, Some(100))).await.unwrap();
        world.purse.settle(&key, cost(10)).await.unwrap();
    }
    let other = ReserveRequest {
        purpose: "other".to_owned(),
        ..request("large", Some(900))
    };
    world.purse.reserve(other).await.unwrap();
    let total = world.total().await;
    assert_eq!((total.settled_micro_usd, total.reserved_micro_usd), (60, 900));
}

#[tokio::test]
async fn an_unknown_cost_among_many_stays_unknown() {
    let world = world();
    for call in 0..5 {
        world
            .purse
            .reserve(request(&format!("call-{call}"), Some(100)))
            .await
            .unwrap();
    }
    world.purse.settle("call-4", Settlement::UNKNOWN).await.unwrap();
    for call in 0..4 {
        world
            .purse
            .settle(&format!("call-{call}"), cost(1))
            .await
            .unwrap();
    }
    world.later().await;
    let entries = world.entries().await;
    let unknown = entries.iter().find(|entry| entry.key == "call-4").unwrap();
    assert!(matches!(
        unknown.state,
        EntryState::Settled {
            source: CostSource::Unknown,
            ..
        }
    ));
    let total = world.total().await;
    assert_eq!((total.settled_micro_usd, total.reserved_micro_usd), (104, 0));
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_no_less_than_it_spent() {
    let world = world();
    for call in 0..20 {
        let key = format!("call-{call}");
        world.purse.reserve(request(&key, Some(100))).await.unwrap();
        world.purse.settle(&key, cost(60)).await.unwrap();
        let total = world.total().await;
        let counted = total.settled_micro_usd + total.reserved_micro_usd;
        assert!(counted >= 60 * (call + 1), "{total:?} after {call}");
    }
}

#[tokio::test]
async fn a_price_that_is_not_known_is_the_ledgers_matter() {
    let world = world();
    let refused = ReserveRequest {
        allow_unknown_price: false,
        ..request("a", None)
    };
    assert!(matches!(
        world.purse.reserve(refused).await,
        Err(LedgerError::UnknownPrice { .. })
    ));
    world.purse.reserve(request("b", None)).await.unwrap();
    world.purse.settle("b", Settlement::UNKNOWN).await.unwrap();
    assert_eq!(world.total().await.unknown, 1);
}
