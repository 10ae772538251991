//! The ledger on real databases: the same answers as the one in memory, and no cap passed by callers at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bashgym_core::ledger::contract::{SetClock, job_request, sums_are_those_of_the_entries};
use bashgym_core::ledger::{
    Budget, Cap, CapScope, CostSource, EntryFilter, EntryState, Ledger, LedgerError, LedgerStore,
    MemoryLedger, MicroUsd, ReserveRequest, Service, Settlement, Window,
};
use bashgym_core::run::RunId;
use common::{Place, places};
use hf_core::Clock;
use proptest::prelude::*;

fn usd(micros: u64) -> MicroUsd {
    MicroUsd::new(micros).unwrap()
}

/// Case 17: the worst case comes from the price a minute, a hard budget refuses, the cost comes from the duration.
#[tokio::test]
async fn case_17_hard_budget_refuses() {
    for place in places("case_17_hard_budget_refuses").await {
        let clock = SetClock::at("2026-11-22T09:00:00Z");
        let ledger = Ledger::new(Arc::new(place.open().await), clock.clone());
        let cap = Cap {
            scope: CapScope::One(Service::Jobs),
            window: Window::Day,
            amount: "1.00".parse().unwrap(),
        };
        ledger.set_cap(cap).await.unwrap();

        let price_per_minute = usd(13_333);
        let worst = MicroUsd::of_duration(price_per_minute, Duration::from_hours(1)).unwrap();
        assert_eq!(worst.to_string(), "0.79998");
        let request = |key| ReserveRequest {
            worst: Some(worst),
            ..job_request(key, None)
        };
        ledger.reserve(request("first")).await.unwrap();
        let error = ledger.reserve(request("second")).await.unwrap_err();
        let LedgerError::CapExceeded(refusal) = &error else {
            panic!("{error}")
        };
        assert_eq!(refusal.left().to_string(), "0.20002");
        assert_eq!(
            error.to_string(),
            "0.79998 USD would pass the budget of 1.00 USD a day (UTC) for jobs: 0.20002 USD left \
             (0.79998 reserved, 0.00 settled); reserved by train (first, 0.79998 USD); \
             it begins anew at 2026-11-23T00:00:00Z"
        );
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("`bashgym budget set --service jobs --day 1.59996`"),
            "{hint}"
        );

        let cost = MicroUsd::of_duration(price_per_minute, Duration::from_secs(61)).unwrap();
        let settled = Settlement {
            actual: Some(cost),
            source: CostSource::DurationPrice,
        };
        let entry = ledger.settle("first", settled).await.unwrap();
        assert!(
            matches!(entry.state, EntryState::Settled { amount: Some(amount), .. } if amount == usd(13_556))
        );
        ledger
            .reserve(request("second"))
            .await
            .expect("what was not spent is free again");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Reserve {
        key: u8,
        service: Service,
        run: Option<u8>,
        worst: Option<u64>,
        allow_unknown: bool,
    },
    Settle {
        key: u8,
        actual: Option<u64>,
        source: CostSource,
    },
    Release(u8),
    SetCap(Cap),
    RemoveCap(CapScope, Window),
    Day(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..8_u8;
    let service = prop::sample::select(Service::ALL.to_vec());
    let amount = prop_oneof![
        6 => 0..200_u64,
        1 => Just(MicroUsd::MAX.get()),
        1 => Just(MicroUsd::MAX.get() - 1),
    ];
    let scope = prop::sample::select(vec![
        CapScope::All,
        CapScope::One(Service::Jobs),
        CapScope::One(Service::Inference),
    ]);
    let window = prop::sample::select(Window::ALL.to_vec());
    let source = prop::sample::select(vec![
        CostSource::DurationPrice,
        CostSource::ReportedUsage,
        CostSource::Unknown,
    ]);
    prop_oneof![
        // A key keeps its service and run most of the time, so that most calls get past that check.
        8 => (key.clone(), service.clone(), any::<u8>(), prop::option::weighted(0.9, amount.clone()), any::<bool>()).prop_map(
            |(key, service, odd, worst, allow_unknown)| Op::Reserve {
                key,
                service: if odd < 250 { Service::ALL[usize::from(key % 3)] } else { service },
                run: (key % 2 == 0).then_some(key % 4),
                worst,
                allow_unknown,
            }),
        4 => (key.clone(), prop::option::weighted(0.8, amount.clone()), source)
            .prop_map(|(key, actual, source)| Op::Settle { key, actual, source }),
        2 => key.prop_map(Op::Release),
        2 => (scope.clone(), window.clone(), amount).prop_map(|(scope, window, micros)| {
            Op::SetCap(Cap { scope, window, amount: usd(micros) })
        }),
        1 => (scope, window).prop_map(|(scope, window)| Op::RemoveCap(scope, window)),
        1 => (1..=31_u8).prop_map(Op::Day),
    ]
}

/// Does an operation and says what came of it, in words that two ledgers can be compared by.
async fn apply(ledger: &Ledger, clock: &SetClock, runs: &[RunId], op: &Op) -> String {
    match op {
        Op::Reserve {
            key,
            service,
            run,
            worst,
            allow_unknown,
        } => {
            let request = ReserveRequest {
                key: format!("key {key}"),
                service: *service,
                run: run.map(|run| runs[usize::from(run)]),
                purpose: format!("purpose {}", key % 2),
                worst: worst.map(usd),
                allow_unknown_price: *allow_unknown,
            };
            let result = ledger.reserve(request.clone()).await;
            if let Ok(reservation) = &result
                && reservation.is_new
                && worst.is_some_and(|worst| worst > 0)
            {
                holds(ledger, &request, reservation.entry.day() == today(clock)).await;
            }
            format!("{result:?} {:?}", result.as_ref().err().map(ToString::to_string))
        }
        Op::Settle { key, actual, source } => {
            let settlement = Settlement {
                actual: actual.map(usd),
                source: *source,
            };
            format!("{:?}", ledger.settle(&format!("key {key}"), settlement).await)
        }
        Op::Release(key) => format!("{:?}", ledger.release(&format!("key {key}"), "a test").await),
        Op::SetCap(cap) => format!("{:?}", ledger.set_cap(*cap).await),
        Op::RemoveCap(scope, window) => format!("{:?}", ledger.remove_cap(*scope, *window).await),
        Op::Day(day) => {
            clock.set(&format!("2026-12-{day:02}T12:00:00Z"));
            String::new()
        }
    }
}

fn today(clock: &SetClock) -> jiff::civil::Date {
    clock.now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// After a reservation that added something, every cap it counts against holds.
async fn holds(ledger: &Ledger, request: &ReserveRequest, is_today: bool) {
    let overview = ledger.overview(request.run).await.unwrap();
    for status in overview.caps {
        let dated = matches!(status.cap.window, Window::Day | Window::Month);
        if !status.cap.scope.covers(request.service) || (dated && !is_today) {
            continue;
        }
        let Some(used) = status.used else { continue };
        let used = used.reserved_micro_usd + used.settled_micro_usd;
        assert!(
            used <= i64::try_from(status.cap.amount.get()).unwrap(),
            "{used} passes {:?}",
            status.cap
        );
    }
}

async fn same_as_in_memory(store: Arc<dyn LedgerStore>, ops: &[Op]) {
    let start = "2026-12-01T00:00:00Z";
    let (clock, other_clock) = (SetClock::at(start), SetClock::at(start));
    let memory = Ledger::new(Arc::new(MemoryLedger::default()), clock.clone());
    let other = Ledger::new(store, other_clock.clone());
    let runs: Vec<RunId> = (0..4).map(|_| RunId::generate()).collect();
    for op in ops {
        let expected = apply(&memory, &clock, &runs, op).await;
        assert_eq!(apply(&other, &other_clock, &runs, op).await, expected, "{op:?}");
    }
    let all = EntryFilter::default();
    let entries = other.entries(&all, None, 100).await.unwrap();
    assert_eq!(entries, memory.entries(&all, None, 100).await.unwrap());
    for run in [None, Some(runs[0]), Some(runs[2])] {
        assert_eq!(
            other.overview(run).await.unwrap(),
            memory.overview(run).await.unwrap()
        );
    }
    if !entries.is_empty() {
        sums_are_those_of_the_entries(&other).await;
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_memory_does(ops in prop::collection::vec(op(), 1..60)) {
        block_on(async {
            let place = Place::file();
            same_as_in_memory(Arc::new(place.open().await), &ops).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn postgres_answers_as_memory_does(ops in prop::collection::vec(op(), 1..60)) {
        block_on(async {
            if let Some(place) = Place::server("postgres_answers_as_memory_does").await {
                let store = place.open().await;
                same_as_in_memory(Arc::new(store.clone()), &ops).await;
                store.close().await;
            }
        });
    }
}
