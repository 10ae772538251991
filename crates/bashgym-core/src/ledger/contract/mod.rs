//! The contract of the ledger: its rules over a store, to be run by each implementation of [`LedgerStore`].

mod apart;
mod caps;
mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hf_core::Clock;
use jiff::Timestamp;

pub use history::sums_are_those_of_the_entries;

use super::{
    Budget, Cap, CapExceeded, CapScope, CostSource, EntryState, Ledger, LedgerError, LedgerStore, MicroUsd,
    ReserveRequest, Service, Settlement, Window,
};

/// A clock that a test sets.
#[derive(Debug)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// A clock that shows `at` until it is set again.
    pub fn at(at: &str) -> Arc<Self> {
        let clock = Self(AtomicI64::new(0));
        clock.set(at);
        Arc::new(clock)
    }

    /// Sets the clock.
    ///
    /// # Panics
    /// Panics if `at` is no RFC 3339 time.
    pub fn set(&self, at: &str) {
        let at: Timestamp = at.parse().expect("a test names a time");
        self.0.store(at.as_microsecond(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst))
            .expect("the time was a time when it was set")
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Duration) {}
}

/// A request for a job of `worst` micro-dollars.
pub fn job_request(key: &str, worst: Option<u64>) -> ReserveRequest {
    ReserveRequest {
        key: key.to_owned(),
        service: Service::Jobs,
        run: None,
        purpose: "train".to_owned(),
        worst: worst.map(usd),
        allow_unknown_price: false,
    }
}

fn usd(micros: u64) -> MicroUsd {
    MicroUsd::new(micros).expect("a test's amount is an amount")
}

fn cap(scope: CapScope, window: Window, micros: u64) -> Cap {
    Cap {
        scope,
        window,
        amount: usd(micros),
    }
}

const JOBS: CapScope = CapScope::One(Service::Jobs);

/// Runs every promise of the ledger against an empty store.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn ledger_contract(store: Arc<dyn LedgerStore>) {
    let clock = SetClock::at("2026-01-01T00:00:00Z");
    let ledger = Ledger::new(store, clock.clone());
    caps::caps_are_kept(&ledger).await;
    clock.set("2026-02-01T12:00:00.123456Z");
    one_key_is_one_reservation(&ledger).await;
    clock.set("2026-02-02T12:00:00Z");
    first_known_cost_stands(&ledger).await;
    clock.set("2026-02-03T12:00:00Z");
    what_is_released_is_free_again(&ledger).await;
    clock.set("2026-02-04T12:00:00Z");
    unknown_price_is_unknown(&ledger).await;
    clock.set("2026-02-05T12:00:00Z");
    caps::hard_budget_refuses(&ledger).await;
    caps::caps_begin_anew(&ledger, &clock).await;
    clock.set("2026-04-01T00:00:00Z");
    caps::caps_of_runs_and_of_all_services(&ledger).await;
    clock.set("2026-05-01T00:00:00Z");
    history::amounts_do_not_overflow(&ledger).await;
    clock.set("2026-06-01T00:00:00Z");
    history::history_is_listed(&ledger, &clock).await;
    history::bad_names_are_refused(&ledger).await;
    clock.set("2026-07-01T00:00:00Z");
    apart::what_nobody_pays_counts_for_itself(&ledger).await;
    sums_are_those_of_the_entries(&ledger).await;
}

async fn one_key_is_one_reservation(ledger: &Ledger) {
    let first = ledger
        .reserve(job_request("once", Some(300)))
        .await
        .expect("reserved");
    assert!(first.is_new);
    let again = ledger
        .reserve(job_request("once", Some(300)))
        .await
        .expect("the same");
    assert!(!again.is_new);
    assert_eq!(again.entry, first.entry);
    let lower = ledger
        .reserve(job_request("once", Some(200)))
        .await
        .expect("the same");
    assert_eq!((lower.is_new, lower.entry.worst), (false, Some(usd(300))));
    let higher = ledger
        .reserve(job_request("once", Some(400)))
        .await
        .expect("raised");
    assert_eq!((higher.is_new, higher.entry.worst), (true, Some(usd(400))));
    assert_eq!(used_today(ledger, Service::Jobs).await, (400, 0));
    assert_eq!(ledger.entry("once").await.expect("a lookup"), Some(higher.entry));
    assert_eq!(ledger.entry("never").await.expect("a lookup"), None);

    let other = ReserveRequest {
        service: Service::Spaces,
        ..job_request("once", Some(300))
    };
    let error = ledger.reserve(other).await.expect_err("another service");
    assert!(
        matches!(
            error,
            LedgerError::KeyReused {
                differs: "service",
                ..
            }
        ),
        "{error}"
    );
}

async fn first_known_cost_stands(ledger: &Ledger) {
    let missing = ledger
        .settle("nothing", Settlement::UNKNOWN)
        .await
        .expect_err("no entry");
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing}");
    ledger
        .reserve(job_request("cost", Some(1000)))
        .await
        .expect("reserved");
    let settled = ledger.settle("cost", Settlement::UNKNOWN).await.expect("settled");
    assert!(
        matches!(settled.state, EntryState::Settled { amount: Some(amount), source: CostSource::Unknown, .. } if amount == usd(1000)),
        "a cost nobody knows keeps the worst case, and says so: {settled:?}"
    );
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 1000));
    // A source without an amount names no cost either.
    let bare = Settlement {
        actual: None,
        source: CostSource::DurationPrice,
    };
    assert_eq!(ledger.settle("cost", bare).await.expect("nothing new"), settled);

    let known = |micros| Settlement {
        actual: Some(usd(micros)),
        source: CostSource::DurationPrice,
    };
    let settled = ledger.settle("cost", known(250)).await.expect("settled");
    assert!(
        matches!(settled.state, EntryState::Settled { amount: Some(amount), source: CostSource::DurationPrice, .. } if amount == usd(250))
    );
    for later in [known(250), known(999), Settlement::UNKNOWN] {
        assert_eq!(
            ledger.settle("cost", later).await.expect("nothing new"),
            settled,
            "the first known cost stands"
        );
    }
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 250));
    let again = ledger
        .reserve(job_request("cost", Some(1000)))
        .await
        .expect("as it is");
    assert_eq!((again.is_new, again.entry), (false, settled));

    // More than was reserved is written down as it is.
    ledger
        .reserve(job_request("more", Some(10)))
        .await
        .expect("reserved");
    ledger.settle("more", known(25)).await.expect("settled");
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 275));
}

async fn what_is_released_is_free_again(ledger: &Ledger) {
    ledger
        .reserve(job_request("back", Some(500)))
        .await
        .expect("reserved");
    let released = ledger
        .release("back", "the Hub refused\nthe job")
        .await
        .expect("released");
    assert!(
        matches!(&released.state, EntryState::Released { reason, .. } if reason == "the Hub refused the job")
    );
    assert_eq!(
        ledger.release("back", "again").await.expect("nothing new"),
        released
    );
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 0));
    let again = ledger
        .reserve(job_request("back", Some(500)))
        .await
        .expect("reserved anew");
    assert!(again.is_new);
    assert_eq!(used_today(ledger, Service::Jobs).await, (500, 0));
    ledger.release("back", "refused again").await.expect("released");

    // The job turned out to have run after all.
    let late = Settlement {
        actual: Some(usd(70)),
        source: CostSource::ReportedUsage,
    };
    ledger
        .settle("back", late)
        .await
        .expect("written down all the same");
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 70));
    let error = ledger.release("back", "no").await.expect_err("it is spent");
    assert!(matches!(error, LedgerError::AlreadySettled { .. }), "{error}");
}

async fn unknown_price_is_unknown(ledger: &Ledger) {
    let error = ledger
        .reserve(job_request("dark", None))
        .await
        .expect_err("not allowed");
    assert!(matches!(error, LedgerError::UnknownPrice { .. }), "{error}");
    assert_eq!(ledger.entry("dark").await.expect("a lookup"), None);

    let allowed = |key: &str| ReserveRequest {
        allow_unknown_price: true,
        ..job_request(key, None)
    };
    let reserved = ledger.reserve(allowed("dark")).await.expect("allowed");
    assert_eq!(reserved.entry.worst, None, "unknown, not zero");
    assert_eq!(unknown_today(ledger).await, 1);
    let settled = ledger.settle("dark", Settlement::UNKNOWN).await.expect("settled");
    assert!(
        matches!(
            settled.state,
            EntryState::Settled {
                amount: None,
                source: CostSource::Unknown,
                ..
            }
        ),
        "still unknown: {settled:?}"
    );
    assert_eq!(unknown_today(ledger).await, 1);
    let known = Settlement {
        actual: Some(usd(40)),
        source: CostSource::ReportedUsage,
    };
    ledger.settle("dark", known).await.expect("known at last");
    assert_eq!(unknown_today(ledger).await, 0);
    assert_eq!(used_today(ledger, Service::Jobs).await, (0, 40));

    // Where a cap has nothing left, an unknown amount is too much.
    ledger
        .set_cap(cap(JOBS, Window::Day, 40))
        .await
        .expect("a cap is set");
    let refusal = refused(ledger.reserve(allowed("darker")).await);
    assert_eq!((refusal.asked, refusal.left()), (None, MicroUsd::ZERO));
    // What costs nothing still goes.
    ledger.reserve(job_request("free", Some(0))).await.expect("free");
    ledger.remove_cap(JOBS, Window::Day).await.expect("removed");
}

async fn used_today(ledger: &Ledger, service: Service) -> (i64, i64) {
    let used = ledger
        .overview(None)
        .await
        .expect("an overview")
        .used(CapScope::One(service), Window::Day)
        .expect("in range");
    (used.reserved_micro_usd, used.settled_micro_usd)
}

async fn unknown_today(ledger: &Ledger) -> i64 {
    let overview = ledger.overview(None).await.expect("an overview");
    overview
        .used(CapScope::All, Window::Day)
        .expect("in range")
        .unknown
}

fn refused(result: Result<super::Reservation, LedgerError>) -> CapExceeded {
    match result {
        Err(LedgerError::CapExceeded(refusal)) => *refusal,
        other => panic!("not refused by a cap: {other:?}"),
    }
}
