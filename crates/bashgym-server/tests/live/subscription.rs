//! The hub and its listeners, without a socket.

use std::sync::Arc;

use bashgym_core::events::{EventLog, NewEvent, Retention, Topics};
use bashgym_core::store::MemoryStore;
use bashgym_server::live::{EventHub, News, Subscription};
use bashgym_store::SqlStore;
use futures::FutureExt;
use serde_json::json;

use super::support::{append, hub};

async fn begin(hub: &EventHub, after: Option<u64>) -> Subscription {
    Subscription::begin(hub, Topics::all(), after).await.unwrap()
}

/// The numbers of all events until number `last`; there must be no resync among them.
async fn until(subscription: &mut Subscription, last: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.last().is_none_or(|seq| *seq < last) {
        match subscription.next().await.unwrap() {
            News::Events(events) => seqs.extend(events.iter().map(|event| event.seq)),
            News::Resync(seq) => panic!("resync at {seq}"),
        }
    }
    seqs
}

#[tokio::test]
async fn listener_that_sleeps_reads_what_it_missed_from_the_log() {
    let store = Arc::new(MemoryStore::default());
    let hub = hub(&store, 8);
    let mut slow = begin(&hub, None).await;
    let mut quick = begin(&hub, None).await;
    let mut heard = Vec::new();
    for round in 1..=50 {
        append(&*store, "job:1", 20).await;
        heard.extend(until(&mut quick, round * 20).await);
    }
    let all: Vec<u64> = (1..=1000).collect();
    assert_eq!(heard, all, "the quick one waits for nobody");
    // The backlog of eight is long gone.
    assert_eq!(until(&mut slow, 1000).await, all);
    append(&*store, "job:1", 1).await;
    assert_eq!(until(&mut slow, 1001).await, [1001], "and then it is live again");
}

#[tokio::test]
async fn everybody_hears_the_same_bytes() {
    let store = Arc::new(MemoryStore::default());
    let hub = hub(&store, 8);
    let (mut one, mut two) = (begin(&hub, None).await, begin(&hub, None).await);
    append(&*store, "job:1", 1).await;
    let texts = [one.next().await.unwrap(), two.next().await.unwrap()].map(|news| match news {
        News::Events(events) => events[0].text.as_str().as_ptr(),
        News::Resync(seq) => panic!("resync at {seq}"),
    });
    assert_eq!(texts[0], texts[1], "written once");
}

#[tokio::test]
async fn listener_whose_gap_is_dropped_while_it_sleeps_is_told_to_resync() {
    let store = Arc::new(MemoryStore::default());
    let hub = hub(&store, 8);
    let mut slow = begin(&hub, None).await;
    let mut quick = begin(&hub, None).await;
    append(&*store, "job:1", 100).await;
    until(&mut quick, 100).await;
    let keep = Retention {
        most: 10,
        ..Retention::default()
    };
    store.prune(&keep).await.unwrap();
    assert_eq!(slow.next().await.unwrap(), News::Resync(100));
    append(&*store, "job:1", 1).await;
    assert_eq!(until(&mut slow, 101).await, [101]);
}

#[tokio::test]
async fn hub_that_was_left_begins_again_without_a_gap() {
    let store = Arc::new(MemoryStore::default());
    let hub = hub(&store, 8);
    for round in 0..50 {
        let mut listener = begin(&hub, None).await;
        append(&*store, "job:1", 1).await;
        assert_eq!(until(&mut listener, round + 1).await, [round + 1]);
        drop(listener);
        if round % 2 == 0 {
            // Sometimes the tail has seen that it is alone, sometimes not yet.
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_come_at_any_time_hear_each_event_once_and_in_order() {
    let store = Arc::new(MemoryStore::default());
    let hub = hub(&store, 4);
    let listeners = (0..40_u64).map(|number| {
        let (hub, store) = (hub.clone(), Arc::clone(&store));
        tokio::spawn(async move {
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            let after = match number % 3 {
                0 => None,
                1 => Some(0),
                _ => Some(store.bounds().await.unwrap().newest),
            };
            let mut listener = begin(&hub, after).await;
            let from = listener.seq();
            if from == 2000 {
                return;
            }
            assert_eq!(
                until(&mut listener, 2000).await,
                (from + 1..=2000).collect::<Vec<u64>>()
            );
        })
    });
    let listeners: Vec<_> = listeners.collect();
    for count in 0..1000 {
        append(&*store, "job:1", 2).await;
        if count % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for listener in listeners {
        listener.await.unwrap();
    }
}

#[tokio::test]
async fn events_of_another_process_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    // Two stores on one file share nothing but the file.
    let ours = Arc::new(SqlStore::open(&path).await.unwrap());
    let theirs = SqlStore::open(&path).await.unwrap();
    let hub = hub(&ours, 8);
    let mut listener = begin(&hub, None).await;
    for round in 0..3 {
        append(&theirs, "job:1", 2).await;
        append(&*ours, "job:1", 1).await;
        let from = round * 3;
        assert_eq!(
            until(&mut listener, from + 3).await,
            [from + 1, from + 2, from + 3]
        );
    }
}

#[tokio::test]
async fn a_job_that_another_process_launched_is_told_while_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    let ours = Arc::new(SqlStore::open(&path).await.unwrap());
    let theirs = SqlStore::open(&path).await.unwrap();
    let hub = hub(&ours, 8);
    let mut listener = begin(&hub, None).await;
    append(&theirs, "job:1", 1).await;
    until(&mut listener, 1).await;
    assert!(
        hub.new_job().now_or_never().is_none(),
        "what else happens is no new job"
    );
    let created = NewEvent::new("hf:job:created", "job:1", json!({}));
    theirs.append(&[created]).await.unwrap();
    until(&mut listener, 2).await;
    hub.new_job().now_or_never().unwrap();
}
