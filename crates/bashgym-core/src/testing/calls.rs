//! The contract of the store of calls.

use hf_inference::{Attempt, AttemptEnd, CallRecord, CallReport, Cost, NanoUsd, Provider, Usage};
use jiff::Timestamp;

use crate::inference::{CallFilter, CallId, CallStore, CallSums, StoredCall, UsageBy};

/// A call of `model` that was answered at `cost`.
///
/// # Panics
/// For a day that no calendar has.
pub fn sample_call(model: &str, day: i64, cost: Cost) -> StoredCall {
    let provider = (cost != Cost::Unknown).then(|| Provider::named("groq"));
    StoredCall {
        id: CallId::generate(),
        call: CallRecord {
            at: Timestamp::from_second(day * 86_400).expect("a good time"),
            purpose: (day > 1).then(|| "augment \u{e9}".to_owned()),
            bill_to: None,
            succeeded: day != 3,
            report: CallReport {
                model: model.to_owned(),
                task: "conversational".to_owned(),
                provider: provider.clone(),
                attempts: vec![Attempt {
                    provider,
                    end: AttemptEnd::Answered,
                    status: Some(200),
                    error: None,
                    millis: 12,
                    may_be_billed: true,
                }],
                usage: Some(Usage {
                    prompt_tokens: 10,
                    completion_tokens: 2,
                }),
                cost,
                millis: 12,
            },
        },
    }
}

/// Runs every promise of [`CallStore`] against a store without calls.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn call_store_contract<S: CallStore>(store: &S) {
    let known = Cost::RoutePrice(NanoUsd::new(1500));
    let calls = [
        sample_call("a/b", 1, known),
        sample_call("a/b", 2, known),
        sample_call("c/d", 2, Cost::Unknown),
        sample_call("a/b", 3, Cost::Reported(NanoUsd::new(1))),
    ];
    for call in &calls {
        store.add_call(call).await.expect("a call is kept");
        store
            .add_call(call)
            .await
            .expect("the same call again changes nothing");
    }
    let [first, second, third, fourth] = &calls;
    assert_eq!(
        store.find_call(third.id).await.expect("a lookup"),
        Some(third.clone())
    );
    assert_eq!(store.find_call(CallId::generate()).await.expect("a lookup"), None);

    let list = async |filter: CallFilter, before, limit| {
        let found = store.list_calls(&filter, before, limit).await.expect("a list");
        found.into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    let all = CallFilter::default();
    assert_eq!(
        list(all.clone(), None, 2).await,
        [fourth.id, third.id],
        "newest first"
    );
    assert_eq!(list(all, Some(third.id), 10).await, [second.id, first.id]);
    let of_model = CallFilter {
        model: Some("a/b".to_owned()),
        ..CallFilter::default()
    };
    assert_eq!(list(of_model, None, 10).await, [fourth.id, second.id, first.id]);
    let for_purpose = CallFilter {
        purpose: first.call.purpose.clone().or(second.call.purpose.clone()),
        from: Some(fourth.call.at),
        ..CallFilter::default()
    };
    assert_eq!(list(for_purpose, None, 10).await, [fourth.id]);

    let usage = async |by| store.list_call_usage(by, 10).await.expect("sums");
    let total = usage(UsageBy::Total).await;
    let expected = CallSums {
        calls: 4,
        failed: 1,
        prompt_tokens: 40,
        completion_tokens: 8,
        nano_usd: 3001,
        unknown_cost: 1,
    };
    assert_eq!((total.len(), total[0].sums), (1, expected));
    let buckets = async |by| {
        let rows = usage(by).await;
        rows.into_iter()
            .map(|row| (row.bucket, row.sums.calls))
            .collect::<Vec<_>>()
    };
    let expect = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
        rows.iter()
            .map(|(name, calls)| ((*name).to_owned(), *calls))
            .collect()
    };
    assert_eq!(buckets(UsageBy::Model).await, expect(&[("a/b", 3), ("c/d", 1)]));
    assert_eq!(
        buckets(UsageBy::Provider).await,
        expect(&[("groq", 3), ("unknown", 1)])
    );
    assert_eq!(
        buckets(UsageBy::Day).await,
        expect(&[("1970-01-04", 1), ("1970-01-03", 2), ("1970-01-02", 1)])
    );
    assert_eq!(
        buckets(UsageBy::Purpose).await,
        expect(&[("augment \u{e9}", 3), ("other", 1)])
    );
    many_at_once(store).await;
}

/// A batch of which some were kept before counts those that were not, once.
async fn many_at_once<S: CallStore>(store: &S) {
    let calls: Vec<_> = (0..130)
        .map(|_| sample_call("many", 5, Cost::Reported(NanoUsd::new(1))))
        .collect();
    store.add_calls(&calls[..100]).await.expect("a batch is kept");
    store.add_calls(&calls[50..]).await.expect("a batch is kept");
    let usage = store.list_call_usage(UsageBy::Model, 10).await.expect("sums");
    let many = usage.iter().find(|row| row.bucket == "many");
    assert_eq!(
        many.map(|row| (row.sums.calls, row.sums.nano_usd)),
        Some((130, 130))
    );
    for call in [&calls[0], &calls[75], &calls[129]] {
        let found = store.find_call(call.id).await.expect("a lookup");
        assert_eq!(found.as_ref(), Some(call));
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn memory_calls_keep_the_contract() {
        super::call_store_contract(&crate::inference::MemoryCalls::default()).await;
    }
}
