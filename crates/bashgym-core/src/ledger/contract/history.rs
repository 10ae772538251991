//! What lists and sums promise.

use std::collections::BTreeSet;

use super::{JOBS, SetClock, cap, job_request, refused, used_today};
use crate::ledger::{
    Budget, CapScope, EntryCursor, EntryFilter, EntryState, Ledger, LedgerError, MicroUsd, ReserveRequest,
    Service, UsageBy, Window,
};
use crate::run::RunId;

pub(super) async fn history_is_listed(ledger: &Ledger, clock: &SetClock) {
    let run = RunId::generate();
    for (second, key) in (0..).zip(["h0", "h1", "h2", "h3", "h4"]) {
        clock.set(&format!("2026-06-01T00:00:0{}Z", second / 2));
        let request = ReserveRequest {
            run: (second > 0).then_some(run),
            service: if second == 3 {
                Service::Inference
            } else {
                Service::Jobs
            },
            purpose: if second > 1 { "evaluate" } else { "train" }.to_owned(),
            ..job_request(key, Some(10))
        };
        ledger.reserve(request).await.expect("reserved");
    }
    let time = |text: &str| Some(text.parse().expect("a test names a time"));
    let june = EntryFilter {
        from: time("2026-06-01T00:00:00Z"),
        ..EntryFilter::default()
    };
    let keys = |filter: EntryFilter, after: Option<EntryCursor>, limit| async move {
        ledger
            .entries(&filter, after.as_ref(), limit)
            .await
            .expect("entries are listed")
            .into_iter()
            .map(|entry| entry.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(june.clone(), None, 10).await, ["h4", "h3", "h2", "h1", "h0"]);
    let page = ledger.entries(&june, None, 2).await.expect("entries are listed");
    let after = EntryCursor {
        reserved_at: page[1].reserved_at,
        key: page[1].key.clone(),
    };
    assert_eq!(keys(june.clone(), Some(after), 2).await, ["h2", "h1"]);
    let of_run = EntryFilter {
        run: Some(run),
        ..EntryFilter::default()
    };
    assert_eq!(keys(of_run.clone(), None, 10).await, ["h4", "h3", "h2", "h1"]);
    let narrow = EntryFilter {
        service: Some(Service::Jobs),
        purpose: Some("evaluate".to_owned()),
        ..of_run
    };
    assert_eq!(keys(narrow, None, 10).await, ["h4", "h2"]);
    let purpose = EntryFilter {
        purpose: Some("evaluate".to_owned()),
        ..EntryFilter::default()
    };
    assert_eq!(keys(purpose, None, 10).await, ["h4", "h3", "h2"]);
    let service = EntryFilter {
        service: Some(Service::Inference),
        until: time("2026-06-01T00:00:02Z"),
        ..june.clone()
    };
    assert_eq!(keys(service, None, 10).await, ["h3"]);
    let early = EntryFilter {
        until: time("2026-06-01T00:00:01Z"),
        ..june
    };
    assert_eq!(keys(early, None, 10).await, ["h1", "h0"]);

    let runs = ledger
        .usage(UsageBy::Run, Some(&run.to_string()), Some(&run.to_string()), 10)
        .await
        .expect("sums are listed");
    let shown: Vec<_> = runs
        .iter()
        .map(|row| (row.service, row.totals.entries, row.totals.reserved_micro_usd))
        .collect();
    assert_eq!(shown, [(Service::Inference, 1, 10), (Service::Jobs, 3, 30)]);
    let days = ledger
        .usage(UsageBy::Day, Some("2026-02-05"), Some("2026-02-06"), 10)
        .await
        .expect("sums are listed");
    let shown: Vec<_> = days
        .iter()
        .map(|row| (row.bucket.as_str(), row.service))
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-02-06", Service::Jobs),
            ("2026-02-05", Service::Jobs),
            ("2026-02-05", Service::Spaces)
        ]
    );
    let services = ledger
        .usage_by_service("2026-02-05", "2026-02-06")
        .await
        .expect("sums are listed");
    assert_eq!(services[0].1.entries, 4);
    assert_eq!(services[1].1.entries, 0);
}

pub(super) async fn bad_names_are_refused(ledger: &Ledger) {
    let long = "k".repeat(201);
    for key in ["", "a\nb", "nul\0", long.as_str()] {
        let error = ledger
            .reserve(job_request(key, Some(1)))
            .await
            .expect_err("no such key");
        assert!(matches!(error, LedgerError::BadText { .. }), "{key:?}: {error}");
    }
    let unicode = ReserveRequest {
        purpose: "Grüße aus 東京; DROP TABLE ledger_entries; --".to_owned(),
        ..job_request("'; DROP TABLE ledger_entries; --", Some(1))
    };
    let reserved = ledger.reserve(unicode).await.expect("any text is text");
    assert_eq!(
        ledger.entry(&reserved.entry.key).await.expect("a lookup"),
        Some(reserved.entry)
    );
}

/// Panics if a sum is another than what its entries add up to.
///
/// # Panics
/// Panics if the two differ, or if the store fails.
pub async fn sums_are_those_of_the_entries(ledger: &Ledger) {
    let of_the_book = EntryFilter {
        book: Some(ledger.book()),
        ..EntryFilter::default()
    };
    let mut all = Vec::new();
    let mut after: Option<EntryCursor> = None;
    loop {
        let page = ledger
            .entries(&of_the_book, after.as_ref(), 500)
            .await
            .expect("entries are listed");
        let Some(last) = page.last() else { break };
        after = Some(EntryCursor {
            reserved_at: last.reserved_at,
            key: last.key.clone(),
        });
        all.extend(page);
    }
    assert!(!all.is_empty(), "there is something to add up");
    let keys: BTreeSet<_> = all.iter().map(|entry| &entry.key).collect();
    assert_eq!(keys.len(), all.len(), "no entry is listed twice");
    let overview = ledger.overview(None).await.expect("an overview");
    for service in Service::ALL {
        let (mut reserved, mut settled, mut entries) = (0, 0, 0);
        for entry in all.iter().filter(|entry| entry.service == service) {
            let micros = |amount: Option<MicroUsd>| amount.map_or(0, MicroUsd::get);
            match &entry.state {
                EntryState::Reserved => reserved += micros(entry.worst),
                EntryState::Settled { amount, .. } => settled += micros(*amount),
                EntryState::Released { .. } => continue,
            }
            entries += 1;
        }
        let sum = overview
            .used(CapScope::One(service), Window::Total)
            .expect("in range");
        let found = (sum.reserved_micro_usd, sum.settled_micro_usd, sum.entries);
        let signed = |micros: u64| i64::try_from(micros).expect("in range");
        assert_eq!(found, (signed(reserved), signed(settled), entries), "{service}");
    }
}

pub(super) async fn amounts_do_not_overflow(ledger: &Ledger) {
    ledger
        .set_cap(cap(JOBS, Window::Day, MicroUsd::MAX.get()))
        .await
        .expect("a cap is set");
    ledger
        .reserve(job_request("huge", Some(MicroUsd::MAX.get())))
        .await
        .expect("a billion is a billion");
    let refusal = refused(
        ledger
            .reserve(job_request("one more", Some(MicroUsd::MAX.get())))
            .await,
    );
    assert_eq!(refusal.left(), MicroUsd::ZERO);
    refused(ledger.reserve(job_request("a little more", Some(1))).await);
    ledger.remove_cap(JOBS, Window::Day).await.expect("removed");
    ledger
        .reserve(job_request("two", Some(MicroUsd::MAX.get())))
        .await
        .expect("beyond one amount, within a sum");
    assert_eq!(
        used_today(ledger, Service::Jobs).await.0,
        2 * i64::try_from(MicroUsd::MAX.get()).expect("in range")
    );
    for key in ["huge", "two"] {
        ledger.release(key, "was a test").await.expect("released");
    }
}
