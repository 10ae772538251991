//! The records as they stand in the store.
//!
//! # Source
//!
//! `packages/opencode/src/session/session.sql.ts` and `message-v2.ts` of anomalyco/opencode; the file trees of the
//! schema-coverage logs of jazzyalex/agent-sessions.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::importers::lenient::{Flag, Int, Text};
use crate::model::TokenUsage;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Session<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow, rename = "parentID")]
    pub(super) parent_id: Text<'a>,
    #[serde(borrow)]
    pub(super) version: Text<'a>,
    #[serde(borrow)]
    pub(super) directory: Text<'a>,
    pub(super) time: Option<Time>,
    #[serde(borrow)]
    pub(super) revert: Option<Revert<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Revert<'a> {
    #[serde(borrow, rename = "messageID")]
    pub(super) message_id: Text<'a>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct Time {
    pub(super) created: Int,
    pub(super) updated: Int,
    pub(super) completed: Int,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Info<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) role: Text<'a>,
    pub(super) time: Option<Time>,
    #[serde(borrow, rename = "modelID")]
    pub(super) model_id: Text<'a>,
    #[serde(borrow)]
    pub(super) model: Option<Model<'a>>,
    pub(super) tokens: Option<Tokens>,
    #[serde(borrow)]
    pub(super) summary: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<Failure<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Model<'a> {
    #[serde(borrow, rename = "modelID")]
    pub(super) model_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) data: Option<FailureData<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FailureData<'a> {
    #[serde(borrow)]
    pub(super) message: Text<'a>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct Tokens {
    pub(super) input: Int,
    pub(super) output: Int,
    pub(super) reasoning: Int,
    pub(super) cache: Option<Cache>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct Cache {
    pub(super) read: Int,
    pub(super) write: Int,
}

impl From<Tokens> for TokenUsage {
    fn from(tokens: Tokens) -> Self {
        let cache = tokens.cache.unwrap_or_default();
        Self {
            input: tokens.input.tokens(),
            output: tokens.output.tokens().saturating_add(tokens.reasoning.tokens()),
            cache_creation: cache.write.tokens(),
            cache_read: cache.read.tokens(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, rename = "messageID")]
    pub(super) message_id: Text<'a>,
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    pub(super) synthetic: Flag,
    #[serde(borrow, rename = "callID")]
    pub(super) call_id: Text<'a>,
    #[serde(borrow)]
    pub(super) tool: Text<'a>,
    #[serde(borrow)]
    pub(super) state: Option<State<'a>>,
    pub(super) tokens: Option<Tokens>,
    #[serde(borrow)]
    pub(super) files: Option<Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct State<'a> {
    #[serde(borrow)]
    pub(super) status: Text<'a>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) output: Text<'a>,
    #[serde(borrow)]
    pub(super) error: Text<'a>,
    #[serde(borrow)]
    pub(super) metadata: Option<&'a RawValue>,
    pub(super) time: Option<Span>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct Span {
    pub(super) end: Int,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) exit: Int,
}
