//! Writes a model folder that transformers loads unchanged.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::chat::{CHAT_TEMPLATE, END_TOKEN, PAD_TOKEN, START_TOKEN};
use crate::config::ModelConfig;
use crate::error::{EngineError, Result};
use crate::files::{create_dir, sync_dir, write_weights, write_whole};
use crate::model::WeightSpec;
use crate::tokenizer::ChatTokenizer;

/// The weights' file of a model folder.
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
/// The shape's file of a model folder.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// The tokenizer's file of a model folder.
pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";
/// The run's own account of itself.
pub(crate) const RESULT_FILE: &str = "bashgym_result.json";

/// Writes the model folder, the result last: where it is, the rest is whole. Gives the files' paths.
///
/// # Source
/// transformers `PreTrainedModel.save_pretrained` and `PreTrainedTokenizerFast.save_pretrained`.
pub(crate) fn export(
    dir: &Path,
    config: &ModelConfig,
    tokenizer: &ChatTokenizer,
    specs: &[WeightSpec],
    weights: &[Vec<f32>],
    result: &Value,
) -> Result<Vec<PathBuf>> {
    create_dir(dir)?;
    let id = |token: &str| {
        tokenizer.token_id(token).ok_or_else(|| EngineError::Tokenizer {
            why: format!("the vocabulary lacks the marker {token}"),
        })
    };
    let (start_id, end_id, pad_id) = (id(START_TOKEN)?, id(END_TOKEN)?, id(PAD_TOKEN)?);
    let generation = json!({
        "bos_token_id": start_id,
        "eos_token_id": end_id,
        "pad_token_id": pad_id,
        "do_sample": true,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_new_tokens": 256,
    });
    let tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START_TOKEN,
        "eos_token": END_TOKEN,
        "pad_token": PAD_TOKEN,
        "additional_special_tokens": [START_TOKEN, END_TOKEN],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": config.max_position_embeddings,
        "padding_side": "left",
    });
    let special_tokens = json!({
        "bos_token": START_TOKEN,
        "eos_token": END_TOKEN,
        "pad_token": PAD_TOKEN,
        "additional_special_tokens": [START_TOKEN, END_TOKEN],
    });
    let mut written = Vec::new();
    let mut write = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        write_whole(&path, content)?;
        written.push(path);
        Ok::<_, EngineError>(())
    };
    write(
        CONFIG_FILE,
        pretty(&config.to_hub_json(start_id, end_id, pad_id)).as_bytes(),
    )?;
    write("generation_config.json", pretty(&generation).as_bytes())?;
    write(TOKENIZER_FILE, tokenizer.to_json()?.as_bytes())?;
    write("tokenizer_config.json", pretty(&tokenizer_config).as_bytes())?;
    write("special_tokens_map.json", pretty(&special_tokens).as_bytes())?;
    let path = dir.join(WEIGHTS_FILE);
    write_weights(&path, specs, weights)?;
    written.push(path);
    let path = dir.join(RESULT_FILE);
    write_whole(&path, pretty(result).as_bytes())?;
    written.push(path);
    sync_dir(dir);
    Ok(written)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
