//! Models in llama.cpp's file format: shape, tokenizer, chat template and weights in one file.

mod read;

use std::path::Path;

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use serde_json::{Value as JsonValue, json};

use crate::config::ModelConfig;
use crate::error::{EngineError, Result};
use crate::model::{WeightSpec, weight_specs};
use read::{Header, read_header};

/// A model read from a GGUF file.
pub(crate) struct GgufModel {
    pub(crate) config: ModelConfig,
    pub(crate) specs: Vec<WeightSpec>,
    pub(crate) weights: Vec<Vec<f32>>,
    /// A `tokenizer.json`.
    pub(crate) tokenizer: JsonValue,
    pub(crate) end_id: u32,
    pub(crate) template: Option<String>,
    pub(crate) start_token: Option<String>,
    pub(crate) end_token: Option<String>,
}

/// Reads a file. Quantised weights become single precision.
///
/// # Errors
/// [`EngineError::BadModel`] if it is broken, of another architecture, or has a tokenizer of another kind.
///
/// # Source
/// ggml `docs/gguf.md`; llama.cpp `src/llama-vocab.cpp` for the ways texts are split.
pub(crate) fn load(path: &Path) -> Result<GgufModel> {
    let bytes = std::fs::read(path).map_err(EngineError::io("read", path))?;
    let bad = |why: String| EngineError::bad_model(path, why);
    let header = read_header(&bytes).map_err(bad)?;
    let config = config(&header).map_err(bad)?;
    let (tokenizer, tokens) = tokenizer(&header).map_err(bad)?;
    if tokens.len() > config.vocab_size {
        return Err(bad(format!(
            "it has {} tokens, and rows for {}",
            tokens.len(),
            config.vocab_size
        )));
    }
    let specs = weight_specs(&config);
    let weights = specs
        .iter()
        .map(|spec| weight(&header, &bytes, spec, &config).map_err(bad))
        .collect::<Result<_>>()?;
    let id = |name: &str| {
        let id = header.number(&format!("tokenizer.ggml.{name}"))?;
        u32::try_from(id).ok().filter(|id| (*id as usize) < tokens.len())
    };
    let token = |id: Option<u32>| id.and_then(|id| tokens.get(id as usize)).cloned();
    let end_id = id("eos_token_id").ok_or_else(|| bad("it names no token that ends a turn".to_owned()))?;
    Ok(GgufModel {
        template: header.text("tokenizer.chat_template").map(str::to_owned),
        start_token: token(id("bos_token_id")),
        end_token: token(Some(end_id)),
        config,
        specs,
        weights,
        tokenizer,
        end_id,
    })
}

fn config(header: &Header) -> Result<ModelConfig, String> {
    let kind = header.text("general.architecture").unwrap_or("unknown");
    if kind != "llama" {
        return Err(format!(
            "its architecture is `{kind}`, and this engine runs `llama`"
        ));
    }
    let number = |key: &str| {
        header
            .number(&format!("llama.{key}"))
            .and_then(|it| usize::try_from(it).ok())
    };
    let needed = |key: &str| number(key).ok_or_else(|| format!("`llama.{key}` is missing"));
    let real = |key: &str| header.real(&format!("llama.{key}"));
    let embed = header
        .tensor("token_embd.weight")
        .ok_or("it lacks the weight `token_embd.weight`")?;
    let (hidden_size, heads) = (needed("embedding_length")?, needed("attention.head_count")?);
    let head_dim = number("attention.key_length").unwrap_or(hidden_size / heads.max(1));
    if number("rope.dimension_count").is_some_and(|it| it != head_dim) {
        return Err("its positions turn a part of a head only, which this engine lacks".to_owned());
    }
    if header
        .text("llama.rope.scaling.type")
        .is_some_and(|it| it != "none")
        || header.tensor("rope_freqs.weight").is_some()
    {
        return Err("its positions are scaled, which this engine lacks".to_owned());
    }
    let config = ModelConfig {
        vocab_size: embed.shape.first().copied().unwrap_or(0),
        hidden_size,
        intermediate_size: needed("feed_forward_length")?,
        num_hidden_layers: needed("block_count")?,
        num_attention_heads: heads,
        num_key_value_heads: number("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        max_position_embeddings: number("context_length").unwrap_or(2048),
        rope_theta: real("rope.freq_base").unwrap_or(10_000.0),
        rms_norm_eps: real("attention.layer_norm_rms_epsilon").unwrap_or(1e-5),
        tie_word_embeddings: header.tensor("output.weight").is_none(),
    };
    config.check().map_err(|(key, why)| format!("`{key}`: {why}"))?;
    Ok(config)
}

/// The name of a weight in the file.
fn own_name(name: &str) -> String {
    let Some(rest) = name.strip_prefix("model.layers.") else {
        return match name {
            "model.embed_tokens.weight" => "token_embd.weight",
            "model.norm.weight" => "output_norm.weight",
            _ => "output.weight",
        }
        .to_owned();
    };
    let (layer, part) = rest.split_once('.').unwrap_or((rest, ""));
    let part = match part {
        "input_layernorm.weight" => "attn_norm",
        "self_attn.q_proj.weight" => "attn_q",
        "self_attn.k_proj.weight" => "attn_k",
        "self_attn.v_proj.weight" => "attn_v",
        "self_attn.o_proj.weight" => "attn_output",
        "post_attention_layernorm.weight" => "ffn_norm",
        "mlp.gate_proj.weight" => "ffn_gate",
        "mlp.up_proj.weight" => "ffn_up",
        _ => "ffn_down",
    };
    format!("blk.{layer}.{part}.weight")
}

fn weight(
    header: &Header,
    bytes: &[u8],
    spec: &WeightSpec,
    config: &ModelConfig,
) -> Result<Vec<f32>, String> {
    let name = own_name(&spec.name);
    let tensor = header
        .tensor(&name)
        .ok_or_else(|| format!("it lacks the weight `{name}`"))?;
    if tensor.shape != spec.shape {
        return Err(format!(
            "the weight `{name}` has the shape {:?}, and its config asks for {:?}",
            tensor.shape, spec.shape
        ));
    }
    let kind = dtype(tensor.kind)
        .ok_or_else(|| format!("the weight `{name}` is of the unknown type {}", tensor.kind))?;
    let elements = spec.elements();
    let row = spec.shape.last().copied().unwrap_or(0);
    if !row.is_multiple_of(kind.block_size()) {
        return Err(format!("the rows of the weight `{name}` are no whole blocks"));
    }
    let size = elements / kind.block_size() * kind.type_size();
    let data = usize::try_from(tensor.offset)
        .ok()
        .and_then(|offset| header.data_start.checked_add(offset))
        .and_then(|from| bytes.get(from..from.checked_add(size)?))
        .ok_or_else(|| format!("the weight `{name}` lies beyond the end of the file"))?;
    let values = qtensor_from_ggml(kind, data, spec.shape.clone(), &Device::Cpu)
        .and_then(|it| it.dequantize(&Device::Cpu))
        .and_then(|it| it.flatten_all()?.to_vec1::<f32>())
        .map_err(|error| format!("the weight `{name}` can't be read: {error}"))?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(format!("the weight `{name}` holds values that are no numbers"));
    }
    Ok(match spec.name.rsplit('.').nth(1) {
        Some("q_proj" | "k_proj") => halves_apart(&values, config.head_dim, row),
        _ => values,
    })
}

/// The rows of a head lie here in pairs that are turned together; the model has the first ones in one half and the
/// second ones in the other.
///
/// # Source
/// llama.cpp `convert_hf_to_gguf.py`, `LlamaModel.permute`, of which this is the inverse.
fn halves_apart(values: &[f32], head_dim: usize, row: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * row) {
        for half in 0..2 {
            for pair in 0..head_dim / 2 {
                let from = (2 * pair + half) * row;
                out.extend_from_slice(&head[from..from + row]);
            }
        }
    }
    out
}

/// # Source
/// ggml `include/ggml.h`, `enum ggml_type`.
fn dtype(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// How texts are split before they become tokens, by the name the file gives it.
fn pre_tokenizer(name: &str) -> Option<JsonValue> {
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    match name {
        "gpt-2" | "default" => Some(bytes),
        // Each digit is a token of its own.
        "smollm" => Some(json!({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true}, bytes]})),
        _ => None,
    }
}

fn tokenizer(header: &Header) -> Result<(JsonValue, Vec<String>), String> {
    let kind = header.text("tokenizer.ggml.model").unwrap_or("none");
    if kind != "gpt2" {
        return Err(format!("its tokenizer is `{kind}`, and this engine reads `gpt2`"));
    }
    let split = header.text("tokenizer.ggml.pre").unwrap_or("default");
    let pre_tokenizer = pre_tokenizer(split)
        .ok_or_else(|| format!("its tokenizer splits texts in the way `{split}`, which this engine lacks"))?;
    let texts = |key: &str| -> Result<Vec<String>, String> {
        header
            .list(key)
            .and_then(|list| list.iter().map(|it| it.text().map(str::to_owned)).collect())
            .ok_or_else(|| format!("`{key}` is missing or no list of texts"))
    };
    let tokens = texts("tokenizer.ggml.tokens")?;
    let merges = texts("tokenizer.ggml.merges")?;
    let kinds: Vec<u64> = header
        .list("tokenizer.ggml.token_type")
        .unwrap_or_default()
        .iter()
        .map(|it| it.number().unwrap_or(1))
        .collect();
    let vocab: serde_json::Map<String, JsonValue> = tokens
        .iter()
        .zip(0_u32..)
        .map(|(token, id)| (token.clone(), id.into()))
        .collect();
    // 3 is a marker, 4 a token that somebody added.
    let added: Vec<JsonValue> = tokens
        .iter()
        .zip(0_u32..)
        .zip(&kinds)
        .filter(|(_, kind)| matches!(kind, 3 | 4))
        .map(|((token, id), kind)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == 3})
        })
        .collect();
    let merges: Vec<JsonValue> = merges
        .iter()
        .map(|merge| {
            let (a, b) = merge.split_once(' ').unwrap_or((merge, ""));
            json!([a, b])
        })
        .collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges}});
    Ok((json, tokens))
}

#[cfg(test)]
mod tests {
    use super::read::Value;
    use super::*;

    #[test]
    fn pairs_become_halves() {
        let rows: Vec<f32> = (0..8).map(|it| it as f32).collect();
        assert_eq!(
            halves_apart(&rows, 4, 1),
            [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
        );
    }

    #[test]
    fn a_file_that_lies_about_its_lengths_is_refused() {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        for length in 0..bytes.len() {
            assert!(read_header(&bytes[..length]).is_err());
        }
        assert!(read_header(&bytes).is_err());
        assert!(matches!(Value::Number(3).number(), Some(3)));
    }
}
