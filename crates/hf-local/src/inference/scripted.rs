//! Providers that answer from a script: for tests of routers, prices and faults. Their names say what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// What every name of a scripted provider begins with.
pub(super) const PREFIX: &str = "scripted-";

/// A provider that answers from a script. Nothing of it is a model, and its prices are made up.
///
/// # Shape
/// `{"models": {"org/name": {"pricing": {"input": 0.1, "output": 0.4}, "throughput": 80, ...}}, "replies": ["..."],
/// "first_token_latency_ms": 0, "chunk_latency_ms": 0, "faults": [{"fault": "status", "code": 503, "times": 2}]}`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScriptedProvider {
    /// The models it pretends to serve.
    pub models: BTreeMap<String, ScriptedModel>,
    /// What it says, one after the other and again from the start; none says whose script this is.
    pub replies: Vec<String>,
    /// Milliseconds of the Hub's clock to the first word.
    pub first_token_latency_ms: u64,
    /// Milliseconds of the Hub's clock before each further word of a stream.
    pub chunk_latency_ms: u64,
    /// What goes wrong with the next calls, used up one by one.
    pub faults: Vec<ScriptedFault>,
}

impl ScriptedProvider {
    /// Makes a provider of one model that answers `reply`.
    pub fn new(model: impl Into<String>, reply: impl Into<String>) -> Self {
        Self {
            models: BTreeMap::from([(model.into(), ScriptedModel::default())]),
            replies: vec![reply.into()],
            ..Self::default()
        }
    }

    /// Sets the price and speed it claims for all its models.
    #[must_use]
    pub fn claims(mut self, input_usd: f64, output_usd: f64, throughput: f64) -> Self {
        for model in self.models.values_mut() {
            model.pricing = Some(ScriptedPrice {
                input: input_usd,
                output: output_usd,
            });
            model.throughput = Some(throughput);
        }
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: ScriptedFault) -> Self {
        self.faults.push(fault);
        self
    }
}

/// What a scripted provider claims of a model. What is not given is not claimed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ScriptedModel {
    /// The provider's own name of it; none is the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pricing: Option<ScriptedPrice>,
    /// Tokens in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// The longest text in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Whether tools may be offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supports_tools: Option<bool>,
    /// Whether its status is `error` instead of `live`.
    pub down: bool,
}

/// US dollars for a million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScriptedPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScriptedFault {
    /// The answer is this status.
    Status {
        /// The status.
        code: u16,
        /// Seconds for `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        /// For how many calls.
        #[serde(default = "once")]
        times: u64,
    },
    /// A stream says this many words, then its connection breaks.
    BreakAfter {
        /// Words that are said.
        words: usize,
        /// For how many calls.
        #[serde(default = "once")]
        times: u64,
    },
    /// A stream says this many words, then an event with an error.
    ErrorAfter {
        /// Words that are said.
        words: usize,
        /// For how many calls.
        #[serde(default = "once")]
        times: u64,
    },
    /// A stream says all its words and ends, without a reason and without its end mark.
    NoEnd {
        /// For how many calls.
        #[serde(default = "once")]
        times: u64,
    },
    /// A stream has an event that is no JSON.
    Malformed {
        /// For how many calls.
        #[serde(default = "once")]
        times: u64,
    },
}

fn once() -> u64 {
    1
}

impl ScriptedFault {
    fn times(&mut self) -> &mut u64 {
        match self {
            Self::Status { times, .. }
            | Self::BreakAfter { times, .. }
            | Self::ErrorAfter { times, .. }
            | Self::NoEnd { times }
            | Self::Malformed { times } => times,
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    script: ScriptedProvider,
    calls: u64,
}

/// One call of a scripted provider, as its script has it.
#[derive(Debug)]
pub(super) struct ScriptedCall {
    pub(super) reply: String,
    pub(super) fault: Option<ScriptedFault>,
    pub(super) first_token_latency_ms: u64,
    pub(super) chunk_latency_ms: u64,
}

/// The scripted providers of a running Hub. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct ScriptedProviders {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl ScriptedProviders {
    /// Sets a provider, replacing the one of that name.
    ///
    /// # Errors
    /// Says why the name can't be one: it begins with `scripted-` and goes on with small letters, digits and dashes.
    pub fn set(&self, name: &str, script: ScriptedProvider) -> Result<(), String> {
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if rest.is_empty() || name.len() > 64 || !rest.bytes().all(fits) {
            return Err(format!(
                "{name:?} can't name a scripted provider: write {PREFIX} and then small letters, digits or dashes"
            ));
        }
        self.entries().insert(name.to_owned(), Entry { script, calls: 0 });
        Ok(())
    }

    /// Drops all providers.
    pub fn clear(&self) {
        self.entries().clear();
    }

    /// Names, scripts as they are now, and how often each was called.
    pub fn list(&self) -> Vec<(String, ScriptedProvider, u64)> {
        self.entries()
            .iter()
            .map(|(name, entry)| (name.clone(), entry.script.clone(), entry.calls))
            .collect()
    }

    /// Who claims to serve a model, and how.
    pub(super) fn of(&self, model: &str) -> Vec<(String, ScriptedModel)> {
        self.entries()
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), entry.script.models.get(model)?.clone())))
            .collect()
    }

    /// All models that are claimed.
    pub(super) fn models(&self) -> Vec<String> {
        let entries = self.entries();
        let mut models: Vec<String> = entries
            .values()
            .flat_map(|entry| entry.script.models.keys().cloned())
            .collect();
        models.sort();
        models.dedup();
        models
    }

    /// The model that a provider has under its own name.
    pub(super) fn own_name(&self, provider: &str, own: &str) -> Option<String> {
        let entries = self.entries();
        let models = &entries.get(provider)?.script.models;
        models
            .iter()
            .find(|(name, model)| model.provider_id.as_deref().unwrap_or(name) == own)
            .map(|(name, _)| name.clone())
    }

    /// Takes the next call of a provider's script.
    pub(super) fn take(&self, provider: &str) -> Option<ScriptedCall> {
        let mut entries = self.entries();
        let entry = entries.get_mut(provider)?;
        let script = &mut entry.script;
        let reply = match script.replies.len() {
            0 => format!("This is the script of the provider {provider}, not a model."),
            count => {
                let at = entry.calls % count as u64;
                script.replies[usize::try_from(at).unwrap_or(0)].clone()
            }
        };
        entry.calls += 1;
        let fault = script.faults.first().cloned();
        if let Some(first) = script.faults.first_mut() {
            let times = first.times();
            *times = times.saturating_sub(1);
            if *times == 0 {
                script.faults.remove(0);
            }
        }
        Some(ScriptedCall {
            reply,
            fault,
            first_token_latency_ms: script.first_token_latency_ms,
            chunk_latency_ms: script.chunk_latency_ms,
        })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
