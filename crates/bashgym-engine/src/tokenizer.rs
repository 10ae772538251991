//! A byte-level BPE tokenizer, trained on the data at hand.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerBuilder, TokenizerImpl,
};

use crate::chat::{
    END_TOKEN, GENERATION_PROMPT, PAD_TOKEN, START_TOKEN, Segment, TOOL_CALL_END_TOKEN, TOOL_CALL_TOKEN,
    segments,
};
use crate::data::{ChatMessage, Json};
use crate::error::{EngineError, Result};

/// The smallest vocabulary: every byte and the markers.
pub(crate) const MIN_VOCAB_SIZE: usize = 256 + 5;

/// Longer tokens are not learned: they would be somebody's key or path, not language.
const MAX_TOKEN_CHARS: usize = 32;

/// Turns text into token ids and back, and knows the chat format's markers.
pub struct ChatTokenizer {
    inner: Tokenizer,
    end_id: u32,
}

/// The token ids of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncodedSegment {
    /// The ids.
    pub(crate) ids: Vec<u32>,
    /// Which of them the model learns to say; empty means none.
    pub(crate) learned: Vec<bool>,
}

fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Tokenizer {
        why: error.to_string(),
    }
}

impl ChatTokenizer {
    /// Learns a vocabulary from texts. The same texts give the same vocabulary.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if the texts cannot be learned from.
    pub fn train<I>(texts: I, vocab_size: usize) -> Result<Self>
    where
        I: Iterator<Item = String> + Send,
    {
        let byte_level = ByteLevel::new(false, true, true);
        let mut tokenizer: TokenizerImpl<
            BPE,
            NormalizerWrapper,
            PreTokenizerWrapper,
            PostProcessorWrapper,
            DecoderWrapper,
        > = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(byte_level.into()))
            .with_post_processor(None)
            .with_decoder(Some(byte_level.into()))
            .build()
            .map_err(failed)?;
        let special = |text: &str| AddedToken::from(text, true);
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size.max(MIN_VOCAB_SIZE))
            .min_frequency(2)
            .max_token_length(Some(MAX_TOKEN_CHARS))
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![
                special(PAD_TOKEN),
                special(START_TOKEN),
                special(END_TOKEN),
                // These two must stay visible when special tokens are left out of a decoded text.
                AddedToken::from(TOOL_CALL_TOKEN, false),
                AddedToken::from(TOOL_CALL_END_TOKEN, false),
            ])
            .build();
        tokenizer.train(&mut trainer, texts).map_err(failed)?;
        // The trainer registers every marker as special; the tool call's two are set back to plain ones.
        let text = tokenizer.to_string(false).map_err(failed)?;
        let text = plain_tool_call_markers(&text)?;
        let model: Tokenizer = text.parse().map_err(failed)?;
        Self::from_inner(model)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] if it is missing, broken, or lacks the end marker.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_ending_with(path, END_TOKEN)
    }

    /// Reads a `tokenizer.json` of a model that ends its turns with `end_token`.
    pub(crate) fn load_ending_with(path: &Path, end_token: &str) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(EngineError::io("read", path))?;
        let inner = Tokenizer::from_bytes(bytes)
            .map_err(|error| EngineError::bad_model(path, format!("not a tokenizer: {error}")))?;
        let end_id = inner.token_to_id(end_token).ok_or_else(|| {
            EngineError::bad_model(path, format!("the vocabulary lacks the marker {end_token}"))
        })?;
        Ok(Self { inner, end_id })
    }

    /// Reads the text of a `tokenizer.json`; `of` is what is at fault if it is broken.
    pub(crate) fn from_text(of: &Path, text: &str, end_id: u32) -> Result<Self> {
        let inner = text
            .parse()
            .map_err(|error| EngineError::bad_model(of, format!("not a tokenizer: {error}")))?;
        Ok(Self { inner, end_id })
    }

    fn from_inner(inner: Tokenizer) -> Result<Self> {
        let end_id = inner
            .token_to_id(END_TOKEN)
            .ok_or_else(|| failed(format!("the vocabulary lacks the marker {END_TOKEN}")))?;
        Ok(Self { inner, end_id })
    }

    /// Gives the number of tokens, markers included.
    pub fn vocab_size(&self) -> usize {
        // Ids may have gaps in a tokenizer made elsewhere; the model needs a row up to the highest.
        let highest = self.inner.get_vocab(true).into_values().max().unwrap_or(0);
        highest as usize + 1
    }

    /// Gives the id of a token.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Gives the id of the marker that ends a turn.
    pub fn end_id(&self) -> u32 {
        self.end_id
    }

    /// Turns text into ids. Markers in the text become marker tokens.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self
            .inner
            .encode_fast(text, false)
            .map_err(failed)?
            .get_ids()
            .to_vec())
    }

    /// Turns ids into text, leaving the turn markers out.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if the tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(failed)
    }

    /// Gives the ids of a prompt: the conversation, then the opening of the assistant's turn.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if the tokenizer refuses the text.
    pub fn encode_prompt(&self, messages: &[ChatMessage], tools: &[Json]) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for segment in segments(messages, tools) {
            ids.extend(self.encode(&segment.text)?);
        }
        ids.extend(self.encode(GENERATION_PROMPT)?);
        Ok(ids)
    }

    /// Gives the ids of one turn and marks those the model learns.
    pub(crate) fn encode_segment(&self, segment: &Segment) -> Result<EncodedSegment> {
        let Some(range) = &segment.learned else {
            return Ok(EncodedSegment {
                ids: self.encode(&segment.text)?,
                learned: Vec::new(),
            });
        };
        let encoding = self.inner.encode(segment.text.as_str(), false).map_err(failed)?;
        let learned = encoding
            .get_offsets()
            .iter()
            .map(|&(from, to)| from >= range.start && to <= range.end && from < to)
            .collect();
        Ok(EncodedSegment {
            ids: encoding.get_ids().to_vec(),
            learned,
        })
    }

    /// Gives the `tokenizer.json` text.
    pub(crate) fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(failed)
    }

    /// Gives the tokenizer below, for streamed decoding.
    pub(crate) fn inner(&self) -> &Tokenizer {
        &self.inner
    }
}

fn plain_tool_call_markers(text: &str) -> Result<String> {
    let mut value: serde_json::Value = serde_json::from_str(text).map_err(failed)?;
    let added = value
        .get_mut("added_tokens")
        .and_then(serde_json::Value::as_array_mut);
    for token in added.into_iter().flatten() {
        let content = token.get("content").and_then(serde_json::Value::as_str);
        if matches!(content, Some(TOOL_CALL_TOKEN | TOOL_CALL_END_TOKEN)) {
            token["special"] = serde_json::Value::Bool(false);
        }
    }
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::render;

    fn texts() -> impl Iterator<Item = String> + Send {
        (0..200).map(|number| {
            format!("run cargo test number {number} and read the output\n    let x = {number};")
        })
    }

    #[test]
    fn the_same_texts_give_the_same_tokenizer() {
        let first = ChatTokenizer::train(texts(), 400).unwrap();
        let second = ChatTokenizer::train(texts(), 400).unwrap();
        assert_eq!(first.to_json().unwrap(), second.to_json().unwrap());
        assert_eq!(first.vocab_size(), 400);
    }

    #[test]
    fn any_text_survives_the_round_trip() {
        let tokenizer = ChatTokenizer::train(texts(), 300).unwrap();
        for text in [
            "",
            "plain",
            " leading",
            "Zeile\r\n\té 😀 \u{0} 漢字",
            "a<tool_call>{}</tool_call>",
        ] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn a_conversation_has_the_same_ids_whole_and_in_turns() {
        let tokenizer = ChatTokenizer::train(texts(), 300).unwrap();
        let messages = [
            ChatMessage::text("system", "\n\n be brief \n"),
            ChatMessage::text("user", "<|im_end|>\nwhy?"),
            ChatMessage::text("assistant", "\n\nbecause"),
        ];
        let whole = tokenizer.encode(&render(&messages, &[], true)).unwrap();
        assert_eq!(tokenizer.encode_prompt(&messages, &[]).unwrap(), whole);
    }

    #[test]
    fn only_the_assistants_tokens_are_learned() {
        let tokenizer = ChatTokenizer::train(texts(), 300).unwrap();
        let messages = [ChatMessage::text("assistant", "run it")];
        let segment = segments(&messages, &[]).next().unwrap();
        let encoded = tokenizer.encode_segment(&segment).unwrap();
        let learned: Vec<u32> = encoded
            .ids
            .iter()
            .zip(&encoded.learned)
            .filter(|(_, learned)| **learned)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(learned.last(), Some(&tokenizer.end_id()));
        assert_eq!(tokenizer.decode(&learned).unwrap(), "run it");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_conversation_has_the_same_ids_whole_and_in_turns(
            turns in proptest::collection::vec((0..3_usize, "(\\s|<\\|im_|end\\|>|[a-z ]|\\PC){0,12}"), 1..5)
        ) {
            static TOKENIZER: std::sync::OnceLock<ChatTokenizer> = std::sync::OnceLock::new();
            let tokenizer = TOKENIZER.get_or_init(|| ChatTokenizer::train(texts(), 320).unwrap());
            let messages: Vec<ChatMessage> = turns
                .iter()
                .map(|(role, text)| ChatMessage::text(["system", "user", "assistant"][*role], text.as_str()))
                .collect();
            let whole = tokenizer.encode(&render(&messages, &[], true)).unwrap();
            proptest::prop_assert_eq!(tokenizer.encode_prompt(&messages, &[]).unwrap(), whole);
        }
    }
}
