//! Events are in the log when what they tell of is in the store, and in an order that no reader sees change.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use bashgym_core::events::{EventLog, NewEvent, Topics};
use bashgym_core::ledger::contract::{SetClock, job_request};
use bashgym_core::ledger::{
    Budget, Cap, CapScope, Ledger, MicroUsd, ReserveRequest, Service, Settlement, Window,
};
use bashgym_core::store::{JobLineStore, JobStream};
use bashgym_store::SqlStore;
use common::places;
use serde_json::json;

async fn kinds(store: &SqlStore) -> Vec<String> {
    let events = store.list(0, &Topics::all(), 1000).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn money_that_is_set_aside_settled_or_given_back_is_told_once() {
    for place in places("money_that_is_set_aside_settled_or_given_back_is_told_once").await {
        let store = place.open().await;
        let ledger = Ledger::new(Arc::new(store.clone()), SetClock::at("2026-11-22T12:00:00Z"));
        let cap = Cap {
            scope: CapScope::All,
            window: Window::Total,
            amount: MicroUsd::new(100).unwrap(),
        };
        ledger.set_cap(cap).await.unwrap();
        for _ in 0..2 {
            ledger.reserve(job_request("first", Some(60))).await.unwrap();
        }
        ledger
            .reserve(job_request("second", Some(60)))
            .await
            .expect_err("it would pass the cap");
        ledger.settle("first", Settlement::UNKNOWN).await.unwrap();
        ledger.reserve(job_request("third", Some(10))).await.unwrap();
        ledger.release("third", "nothing was spent").await.unwrap();
        let call = ReserveRequest {
            service: Service::Inference,
            ..job_request("call", Some(10))
        };
        ledger.reserve(call).await.unwrap();
        assert_eq!(
            kinds(&store).await,
            [
                "budget:reserved",
                "budget:settled",
                "budget:reserved",
                "budget:released"
            ],
            "a refusal changes nothing, and calls of inference are left to the sums"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_at_the_end_of_the_log_never_finds_a_lower_number_later() {
    for place in places("reader_at_the_end_of_the_log_never_finds_a_lower_number_later").await {
        const EACH: u64 = 150;
        let writers: Vec<SqlStore> = [place.open().await, place.open().await, place.open().await].into();
        let writing: Vec<_> = (0..)
            .zip(writers)
            .map(|(writer, store)| {
                tokio::spawn(async move {
                    for number in 0..EACH {
                        if writer == 0 {
                            let line = [format!(r#"{{"data":"{number}"}}"#)];
                            store
                                .append_job_lines("66aa", JobStream::Log, number, &line)
                                .await
                                .unwrap();
                        } else {
                            let event = NewEvent::new("test", format!("test:{writer}"), json!({}));
                            store.append(&[event]).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let store = place.open().await;
        let mut watch = store.watch().await.unwrap();
        let mut seqs = Vec::new();
        while (seqs.len() as u64) < 3 * EACH {
            let after = seqs.last().copied().unwrap_or(0);
            watch.wait_after(after).await.unwrap();
            let events = store.list(after, &Topics::all(), 50).await.unwrap();
            seqs.extend(events.into_iter().map(|event| event.seq));
        }
        assert_eq!(seqs, (1..=3 * EACH).collect::<Vec<u64>>(), "none was overtaken");
        for writer in writing {
            writer.await.unwrap();
        }
    }
}
