//! The contract of the store of routing decisions.

use hf_inference::{Cost, Message, NanoUsd, Usage};
use jiff::Timestamp;
use serde_json::json;

use crate::backend::BackendRole;
use crate::router::{
    DecisionFilter, DecisionId, DecisionRecord, Exchange, Features, OutcomeSource, RouteStore, RouteTry,
    RoutingStrategy, TaskKind, TryEnd, VerifiedOutcome,
};
use crate::store::StoreError;

/// A decision of a day that `model` answered.
///
/// # Panics
/// For a day that no calendar has.
pub fn sample_decision(model: &str, day: i64) -> DecisionRecord {
    DecisionRecord {
        id: DecisionId::generate(),
        at: Timestamp::from_second(day * 86_400).expect("a good time"),
        purpose: Some("tests \u{e9}".to_owned()),
        strategy: Some(RoutingStrategy::ConfidenceBased { threshold: 0.8 }),
        features: Features {
            kind: TaskKind::Tools,
            prompt_bytes: 100,
            messages: 2,
            tools: 1,
            images: false,
        },
        bucket: "tools/short".to_owned(),
        candidates: Vec::new(),
        plan: vec![model.to_owned()],
        reason: "it was named".to_owned(),
        explored: false,
        propensity: 1.0,
        tries: vec![RouteTry {
            role: BackendRole::Student,
            model: model.to_owned(),
            end: TryEnd::Answered,
            error: None,
            confidence: None,
            attempts: 1,
            usage: Some(Usage {
                prompt_tokens: 3,
                completion_tokens: 4,
            }),
            cost: Some(Cost::Reported(NanoUsd::new(5))),
            millis: 6,
        }],
        succeeded: true,
        millis: 7,
        outcome: None,
    }
}

/// Runs every promise of [`RouteStore`] against a store without decisions.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn route_store_contract<S: RouteStore>(store: &S) {
    let exchange = Exchange {
        messages: vec![Message::user("hi \u{e9}")],
        tools: vec![json!({"type": "function"})],
        answer: Message::assistant("ho"),
    };
    let records: Vec<_> = (1..=4).map(|day| sample_decision("a/b", day)).collect();
    let batch: Vec<_> = records
        .iter()
        .enumerate()
        .map(|(at, record)| (record.clone(), (at == 2).then(|| exchange.clone())))
        .collect();
    store.add_decisions(&batch).await.expect("decisions are kept");
    store
        .add_decisions(&batch[1..2])
        .await
        .expect("again changes nothing");
    store.add_decisions(&[]).await.expect("none is no trouble");
    let third = &records[2];
    assert_eq!(
        store.find_decision(third.id).await.expect("a lookup").as_ref(),
        Some(third)
    );
    assert_eq!(
        store.find_exchange(third.id).await.expect("a lookup"),
        Some(exchange)
    );
    assert_eq!(store.find_exchange(records[0].id).await.expect("a lookup"), None);
    assert_eq!(
        store
            .find_decision(DecisionId::generate())
            .await
            .expect("a lookup"),
        None
    );

    let list = async |filter: DecisionFilter, before, limit| {
        let found = store
            .list_decisions(&filter, before, limit)
            .await
            .expect("a list");
        found.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let all = DecisionFilter::default;
    assert_eq!(
        list(all(), None, 2).await,
        [records[3].id, third.id],
        "newest first"
    );
    assert_eq!(
        list(all(), Some(third.id), 9).await,
        [records[1].id, records[0].id]
    );
    let kept = DecisionFilter { kept: true, ..all() };
    assert_eq!(list(kept, None, 9).await, [third.id]);
    let from = DecisionFilter {
        from: Some(records[3].at),
        ..all()
    };
    assert_eq!(list(from, None, 9).await, [records[3].id]);

    let outcome = VerifiedOutcome {
        good: true,
        source: OutcomeSource::Person,
        at: records[3].at,
    };
    let judged = store.judge_decision(third.id, &outcome).await.expect("a verdict");
    assert_eq!(judged.outcome.as_ref(), Some(&outcome));
    let other = VerifiedOutcome {
        good: false,
        ..outcome
    };
    store
        .judge_decision(third.id, &other)
        .await
        .expect("another verdict");
    let filter = DecisionFilter {
        judged: true,
        ..all()
    };
    let found = store.list_decisions(&filter, None, 9).await.expect("a list");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].outcome.as_ref(), Some(&other), "the later one stands");
    let verdicts = async |from, limit| {
        let found = store.list_verdicts(from, limit).await.expect("verdicts");
        found
            .into_iter()
            .map(|(number, record)| (number, record.id))
            .collect::<Vec<_>>()
    };
    let [(replaced, one)] = verdicts(None, 9).await[..] else {
        panic!("one decision has a verdict");
    };
    assert_eq!(one, third.id);
    store
        .judge_decision(records[0].id, &other)
        .await
        .expect("a verdict");
    let next = (replaced + 1, records[0].id);
    assert_eq!(verdicts(None, 9).await, [(replaced, third.id), next], "rising");
    assert_eq!(verdicts(None, 1).await, [next], "the newest");
    assert_eq!(verdicts(Some(replaced), 1).await, [(replaced, third.id)]);
    assert_eq!(verdicts(Some(replaced + 1), 9).await, [next]);
    store
        .judge_decision(third.id, &other)
        .await
        .expect("a third verdict");
    assert_eq!(
        verdicts(Some(replaced), 9).await,
        [next, (replaced + 2, third.id)]
    );
    let nobody = store.judge_decision(DecisionId::generate(), &other).await;
    assert!(matches!(nobody, Err(StoreError::Gone { .. })));

    store
        .put_route_note("share a/b", &json!({"share": 0.1}))
        .await
        .expect("a note");
    store
        .put_route_note("share a/b", &json!({"share": 0.2}))
        .await
        .expect("a note");
    store
        .put_route_note("calibration a/b", &json!(1))
        .await
        .expect("a note");
    let count = |note: Option<serde_json::Value>| json!(note.map_or(0, |it| it.as_i64().unwrap_or(0)) + 1);
    let both = futures::future::join(
        store.change_route_note("count", &count),
        store.change_route_note("count", &count),
    );
    let (first, second) = both.await;
    let mut counted = [first.expect("a change"), second.expect("a change")].map(|it| it.as_i64());
    counted.sort_unstable();
    assert_eq!(counted, [Some(1), Some(2)], "no change is lost");
    let notes = store.route_notes().await.expect("notes");
    let expected = [
        ("calibration a/b", json!(1)),
        ("count", json!(2)),
        ("share a/b", json!({"share": 0.2})),
    ];
    assert_eq!(notes, expected.map(|(name, note)| (name.to_owned(), note)));

    assert_eq!(store.prune_decisions(third.at).await.expect("pruned"), 2);
    assert_eq!(list(all(), None, 9).await, [records[3].id, third.id]);
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn memory_keeps_the_promises() {
        super::route_store_contract(&crate::router::MemoryRoutes::default()).await;
    }
}
