//! Calls as they are remembered here, beside what Hugging Face billed.

use hf_inference::{NanoUsd, Provider};
use jiff::Timestamp;
use serde::Serialize;

use super::CallStore;
use super::calls::{CallFilter, CallSums, StoredCall};
use crate::store::StoreError;

/// Calls read at once.
const PAGE: u32 = 1000;

/// The calls of a stretch that Hugging Face bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HubCalls {
    /// What they add up to.
    #[serde(flatten)]
    pub sums: CallSums,
    /// Calls left out: they were made elsewhere, and are billed there.
    pub elsewhere: u64,
}

/// Whether a call went through Hugging Face. An upstream of its own is remembered by its host, or as `anthropic`; no provider
/// of the Hub has such a name.
fn is_the_hubs(call: &StoredCall) -> bool {
    let attempts = &call.call.report.attempts;
    let provider = call.call.report.provider.as_ref();
    let named = provider.or_else(|| attempts.iter().find_map(|attempt| attempt.provider.as_ref()));
    named.is_none_or(|provider: &Provider| {
        let name = provider.as_str();
        name != "anthropic" && name != "localhost" && !name.contains(['.', ':'])
    })
}

/// Adds up the calls since a time that Hugging Face bills.
///
/// # Errors
/// As [`CallStore::list_calls`].
pub async fn hub_calls(store: &dyn CallStore, since: Timestamp) -> Result<HubCalls, StoreError> {
    let filter = CallFilter {
        from: Some(since),
        ..CallFilter::default()
    };
    let mut all = HubCalls::default();
    let mut before = None;
    loop {
        let page = store.list_calls(&filter, before, PAGE).await?;
        for call in &page {
            if is_the_hubs(call) {
                all.sums = all.sums.plus(call.sums());
            } else {
                all.elsewhere += 1;
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => before = Some(last.id),
            _ => return Ok(all),
        }
    }
}

impl HubCalls {
    /// What is known of their cost, in US dollars.
    pub fn cost_usd(&self) -> f64 {
        NanoUsd::new(self.sums.nano_usd).to_usd()
    }
}

#[cfg(test)]
mod tests {
    use hf_inference::{CallRecord, CallReport, Cost};

    use super::*;
    use crate::inference::{CallId, MemoryCalls};

    fn call(provider: Option<&str>, at: i64) -> StoredCall {
        StoredCall {
            id: CallId::generate(),
            call: CallRecord {
                at: Timestamp::from_second(at).unwrap(),
                purpose: None,
                bill_to: None,
                succeeded: true,
                report: CallReport {
                    model: "m".to_owned(),
                    task: "conversational".to_owned(),
                    provider: provider.map(Provider::named),
                    attempts: Vec::new(),
                    usage: None,
                    cost: Cost::RoutePrice(NanoUsd::new(1000)),
                    millis: 1,
                },
            },
        }
    }

    #[tokio::test]
    async fn what_was_asked_elsewhere_is_not_on_the_hubs_bill() {
        let store = MemoryCalls::default();
        for (provider, at) in [
            (Some("groq"), 10),
            (None, 11),
            (Some("openai"), 12),
            (Some("anthropic"), 13),
            (Some("api.openai.com"), 14),
            (Some("127.0.0.1"), 15),
            (Some("groq"), 1),
        ] {
            store.add_call(&call(provider, at)).await.unwrap();
        }
        let since = Timestamp::from_second(5).unwrap();
        let seen = hub_calls(&store, since).await.unwrap();
        assert_eq!(
            (seen.sums.calls, seen.sums.nano_usd, seen.elsewhere),
            (3, 3000, 3)
        );
    }

    #[tokio::test]
    async fn every_page_is_read() {
        let store = MemoryCalls::default();
        for _ in 0..2001 {
            store.add_call(&call(Some("groq"), 10)).await.unwrap();
        }
        let seen = hub_calls(&store, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(seen.sums.calls, 2001);
    }
}
