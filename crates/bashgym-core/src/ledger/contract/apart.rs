//! What the two books promise: neither counts in the other.

use super::{JOBS, cap, job_request, refused, usd, used_today};
use crate::ledger::{
    Book, Budget, CostSource, EntryFilter, Ledger, LedgerError, Service, Settlement, UsageBy, Window,
};

pub(super) async fn what_nobody_pays_counts_for_itself(ledger: &Ledger) {
    let simulated = ledger.in_book(Book::Simulated);
    ledger
        .set_cap(cap(JOBS, Window::Day, 1000))
        .await
        .expect("a cap is set");
    let first = simulated
        .reserve(job_request("tried", Some(900)))
        .await
        .expect("the cap has room");
    assert_eq!(first.entry.book, Book::Simulated);
    ledger
        .reserve(job_request("meant", Some(900)))
        .await
        .expect("what was tried leaves the whole cap");
    let refusal = refused(simulated.reserve(job_request("tried more", Some(200))).await);
    let holders: Vec<_> = refusal.holders.iter().map(|holder| holder.key.as_str()).collect();
    assert_eq!(holders, ["tried"], "a cap holds in each book, by its own");

    let reused = ledger.reserve(job_request("tried", Some(900))).await;
    assert!(
        matches!(reused, Err(LedgerError::KeyReused { differs: "book", .. })),
        "{reused:?}"
    );
    let cost = Settlement {
        actual: Some(usd(400)),
        source: CostSource::DurationPrice,
    };
    let settled = ledger
        .settle("tried", cost)
        .await
        .expect("settled by its key alone");
    assert_eq!(settled.book, Book::Simulated);
    assert_eq!(used_today(&simulated, Service::Jobs).await, (0, 400));
    assert_eq!(used_today(ledger, Service::Jobs).await, (900, 0));

    for (of, book, key) in [
        (ledger, Book::Account, "meant"),
        (&simulated, Book::Simulated, "tried"),
    ] {
        let filter = EntryFilter {
            book: Some(book),
            purpose: Some("train".to_owned()),
            ..EntryFilter::default()
        };
        let found = of.entries(&filter, None, 1).await.expect("entries are listed");
        assert_eq!(found[0].key, key);
        let day = found[0].day().to_string();
        let rows = of
            .usage(UsageBy::Day, Some(&day), Some(&day), 10)
            .await
            .expect("sums are listed");
        let entries: Vec<_> = rows.iter().map(|row| row.totals.entries).collect();
        assert_eq!(entries, [1], "{book}");
    }
    super::sums_are_those_of_the_entries(&simulated).await;
    ledger.release("meant", "was a test").await.expect("released");
    ledger.remove_cap(JOBS, Window::Day).await.expect("removed");
}
