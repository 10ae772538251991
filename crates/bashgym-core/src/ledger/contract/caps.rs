//! What caps promise.

use super::{JOBS, SetClock, cap, job_request, refused, usd, used_today};
use crate::ledger::{
    Budget, Cap, CapScope, CostSource, Ledger, MicroUsd, ReserveRequest, Service, Settlement, Window,
};
use crate::run::RunId;

pub(super) async fn caps_are_kept(ledger: &Ledger) {
    assert_eq!(ledger.overview(None).await.expect("an overview").caps, []);
    for amount in [5_000_000, 1_000_000] {
        ledger
            .set_cap(cap(JOBS, Window::Day, amount))
            .await
            .expect("a cap is set");
    }
    ledger
        .set_cap(cap(CapScope::All, Window::Month, 7))
        .await
        .expect("a cap is set");
    let caps: Vec<Cap> = ledger
        .overview(None)
        .await
        .expect("an overview")
        .caps
        .iter()
        .map(|status| status.cap)
        .collect();
    assert_eq!(
        caps,
        [
            cap(JOBS, Window::Day, 1_000_000),
            cap(CapScope::All, Window::Month, 7)
        ]
    );
    for expected in [true, false] {
        let was_there = ledger
            .remove_cap(CapScope::All, Window::Month)
            .await
            .expect("a cap is removed");
        assert_eq!(was_there, expected);
    }
    assert!(
        ledger
            .remove_cap(JOBS, Window::Day)
            .await
            .expect("a cap is removed")
    );
}

pub(super) async fn hard_budget_refuses(ledger: &Ledger) {
    ledger
        .set_cap(cap(JOBS, Window::Day, 1_000_000))
        .await
        .expect("a cap is set");
    ledger
        .set_cap(cap(JOBS, Window::Month, 900_000_000))
        .await
        .expect("a cap is set");
    ledger
        .reserve(job_request("first", Some(600_000)))
        .await
        .expect("fits");
    ledger
        .reserve(job_request("small", Some(1_000)))
        .await
        .expect("fits");
    let error = ledger
        .reserve(job_request("second", Some(400_000)))
        .await
        .expect_err("too much");
    let text = error.to_string();
    for part in [
        "0.40 USD",
        "budget of 1.00 USD a day (UTC) for jobs",
        "0.399 USD left",
        "reserved by train (first, 0.60 USD), train (small, 0.001 USD)",
        "2026-02-06T00:00:00Z",
    ] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    let hint = error.hint().expect("there is something to do");
    assert!(
        hint.contains("bashgym budget set --service jobs --day 1.001"),
        "{hint}"
    );
    assert_eq!(
        ledger.entry("second").await.expect("a lookup"),
        None,
        "nothing was reserved"
    );
    // Another service is not held by it, and what is exactly left can be had.
    let space = ReserveRequest {
        service: Service::Spaces,
        ..job_request("space", Some(5_000_000))
    };
    ledger.reserve(space).await.expect("no cap of its own");
    ledger
        .reserve(job_request("rest", Some(399_000)))
        .await
        .expect("the rest, to the last millionth");
    let refusal = refused(ledger.reserve(job_request("last", Some(1))).await);
    assert_eq!(refusal.left(), MicroUsd::ZERO);
    // To raise a reservation is to spend too.
    let raised = refused(ledger.reserve(job_request("rest", Some(399_001))).await);
    assert_eq!(raised.asked, Some(usd(1)));
}

pub(super) async fn caps_begin_anew(ledger: &Ledger, clock: &SetClock) {
    clock.set("2026-02-05T23:59:59.999999Z");
    refused(ledger.reserve(job_request("evening", Some(1))).await);
    clock.set("2026-02-06T00:00:00Z");
    ledger
        .reserve(job_request("morning", Some(900_000)))
        .await
        .expect("a new day");
    // What was reserved yesterday ends today, and counts yesterday.
    let end = Settlement {
        actual: Some(usd(600_000)),
        source: CostSource::DurationPrice,
    };
    ledger.settle("first", end).await.expect("settled");
    assert_eq!(used_today(ledger, Service::Jobs).await, (900_000, 0));

    ledger
        .set_cap(cap(JOBS, Window::Month, 2_000_000))
        .await
        .expect("a cap is set");
    clock.set("2026-02-28T10:00:00Z");
    let refusal = refused(ledger.reserve(job_request("month", Some(800_000))).await);
    assert_eq!(refusal.cap.window, Window::Month);
    assert_eq!(
        refusal.resets_at,
        Some("2026-03-01T00:00:00Z".parse().expect("a time"))
    );
    clock.set("2026-03-01T00:00:00Z");
    ledger
        .reserve(job_request("month", Some(800_000)))
        .await
        .expect("a new month");
    for window in [Window::Day, Window::Month] {
        ledger.remove_cap(JOBS, window).await.expect("removed");
    }
}

pub(super) async fn caps_of_runs_and_of_all_services(ledger: &Ledger) {
    let (one, two) = (RunId::generate(), RunId::generate());
    let of_run = |key: &str, run, service, micros| ReserveRequest {
        service,
        run,
        ..job_request(key, Some(micros))
    };
    ledger
        .set_cap(cap(CapScope::All, Window::Run, 100))
        .await
        .expect("a cap is set");
    ledger
        .reserve(of_run("r1", Some(one), Service::Jobs, 60))
        .await
        .expect("fits");
    let refusal = refused(
        ledger
            .reserve(of_run("r2", Some(one), Service::Inference, 41))
            .await,
    );
    assert_eq!((refusal.run, refusal.resets_at), (Some(one), None));
    ledger
        .reserve(of_run("r3", Some(two), Service::Inference, 100))
        .await
        .expect("another run has its own");
    ledger
        .reserve(of_run("r4", None, Service::Jobs, 1000))
        .await
        .expect("no run, no cap of runs");
    let overview = ledger.overview(Some(one)).await.expect("an overview");
    assert_eq!(overview.caps[0].left(), Some(usd(40)));
    assert_eq!(
        ledger.overview(None).await.expect("an overview").caps[0].left(),
        None
    );
    ledger
        .remove_cap(CapScope::All, Window::Run)
        .await
        .expect("removed");

    // In all: over all services and all time.
    let spent = ledger
        .overview(None)
        .await
        .expect("an overview")
        .used(CapScope::All, Window::Total)
        .expect("in range");
    let spent = u64::try_from(spent.reserved_micro_usd + spent.settled_micro_usd).expect("not negative");
    ledger
        .set_cap(cap(CapScope::All, Window::Total, spent + 10))
        .await
        .expect("a cap is set");
    ledger
        .reserve(of_run("t1", None, Service::Spaces, 10))
        .await
        .expect("fits");
    let refusal = refused(ledger.reserve(of_run("t2", None, Service::Inference, 1)).await);
    assert_eq!(refusal.cap.window, Window::Total);
    ledger
        .remove_cap(CapScope::All, Window::Total)
        .await
        .expect("removed");
}
