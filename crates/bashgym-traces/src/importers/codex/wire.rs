//! The records as they stand in the log.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::importers::lenient::{Content, Flag, Int, Text};
use crate::model::TokenUsage;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) timestamp: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) record_type: Text<'a>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Text<'a>,
    #[serde(borrow)]
    pub(super) cwd: Text<'a>,
    #[serde(borrow)]
    pub(super) cli_version: Text<'a>,
    #[serde(borrow)]
    pub(super) forked_from_id: Text<'a>,
    #[serde(borrow)]
    pub(super) parent_thread_id: Text<'a>,
    #[serde(borrow)]
    pub(super) git: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Git<'a> {
    #[serde(borrow)]
    pub(super) branch: Text<'a>,
    #[serde(borrow)]
    pub(super) commit_hash: Text<'a>,
    #[serde(borrow)]
    pub(super) repository_url: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TurnContext<'a> {
    #[serde(borrow)]
    pub(super) model: Text<'a>,
    #[serde(borrow)]
    pub(super) cwd: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Item<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) role: Text<'a>,
    #[serde(borrow)]
    pub(super) content: Content<'a>,
    #[serde(borrow)]
    pub(super) summary: Content<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) call_id: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) input: Text<'a>,
    #[serde(borrow)]
    pub(super) action: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) output: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) message: Text<'a>,
    #[serde(borrow)]
    pub(super) call_id: Text<'a>,
    pub(super) exit_code: Int,
    pub(super) success: Option<Flag>,
    #[serde(borrow)]
    pub(super) changes: Option<&'a RawValue>,
    pub(super) info: Option<TokenInfo>,
    pub(super) num_turns: Int,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenInfo {
    pub(super) total_token_usage: Option<Tokens>,
    pub(super) last_token_usage: Option<Tokens>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names of the log")]
pub(super) struct Tokens {
    pub(super) input_tokens: Int,
    pub(super) cached_input_tokens: Int,
    pub(super) cache_write_input_tokens: Int,
    pub(super) output_tokens: Int,
}

impl From<Tokens> for TokenUsage {
    fn from(tokens: Tokens) -> Self {
        // Codex counts cached tokens as input too.
        let cached = tokens.cached_input_tokens.tokens();
        let written = tokens.cache_write_input_tokens.tokens();
        Self {
            input: tokens
                .input_tokens
                .tokens()
                .saturating_sub(cached.saturating_add(written)),
            output: tokens.output_tokens.tokens(),
            cache_creation: written,
            cache_read: cached,
        }
    }
}
