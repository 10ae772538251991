//! A trained student written as GGUF answers as its own folder does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bashgym_engine::{EngineError, GenerateOptions, Generator};
use common::{quick, run, write_dataset};
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn entry(out: &mut Vec<u8>, key: &str, value: &Value) {
    text(out, key);
    match value {
        Value::String(value) => {
            out.extend(8_u32.to_le_bytes());
            text(out, value);
        }
        Value::Array(items) => {
            let is_text = items[0].is_string();
            out.extend(9_u32.to_le_bytes());
            out.extend((if is_text { 8_u32 } else { 10 }).to_le_bytes());
            out.extend((items.len() as u64).to_le_bytes());
            for item in items {
                match item.as_str() {
                    Some(item) => text(out, item),
                    None => out.extend(item.as_u64().unwrap().to_le_bytes()),
                }
            }
        }
        value => {
            if let Some(number) = value.as_u64() {
                out.extend(10_u32.to_le_bytes());
                out.extend(number.to_le_bytes());
            } else {
                out.extend(12_u32.to_le_bytes());
                out.extend(value.as_f64().unwrap().to_le_bytes());
            }
        }
    }
}

/// Rows of a head in pairs, as llama.cpp's converter lays them.
fn paired(rows: &[u8], head_dim: usize, row_bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for head in rows.chunks_exact(head_dim * row_bytes) {
        for pair in 0..head_dim / 2 {
            for row in [pair, pair + head_dim / 2] {
                out.extend(&head[row * row_bytes..][..row_bytes]);
            }
        }
    }
    out
}

fn write_gguf(model: &Path, to: &Path) {
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(model.join(name)).unwrap()).unwrap() };
    let (config, tokenizer, chat) = (
        read("config.json"),
        read("tokenizer.json"),
        read("tokenizer_config.json"),
    );
    let added = tokenizer["added_tokens"].as_array().unwrap();
    let mut tokens: Vec<(u64, String, u64)> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone(), 1))
        .collect();
    for token in added {
        let id = token["id"].as_u64().unwrap();
        tokens.retain(|it| it.0 != id);
        let kind = if token["special"] == true { 3 } else { 4 };
        tokens.push((id, token["content"].as_str().unwrap().to_owned(), kind));
    }
    tokens.sort();
    let merges: Vec<String> = tokenizer["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let entries = json!({
        "general.architecture": "llama",
        "llama.block_count": config["num_hidden_layers"], "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"], "llama.context_length": config["max_position_embeddings"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.rope.freq_base": config["rope_theta"], "llama.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens.iter().map(|it| &it.1).collect::<Vec<_>>(),
        "tokenizer.ggml.token_type": tokens.iter().map(|it| it.2).collect::<Vec<_>>(),
        "tokenizer.ggml.merges": merges, "tokenizer.ggml.eos_token_id": config["eos_token_id"],
        "tokenizer.chat_template": chat["chat_template"],
    });
    let entries = entries.as_object().unwrap();
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&weights).unwrap();
    let head_dim = usize::try_from(config["head_dim"].as_u64().unwrap()).unwrap();
    let (mut infos, mut data) = (Vec::new(), Vec::new());
    for (name, view) in weights.tensors() {
        let own = name
            .replace("model.layers.", "blk.")
            .replace("model.embed_tokens", "token_embd")
            .replace("model.norm", "output_norm")
            .replace("input_layernorm", "attn_norm")
            .replace("post_attention_layernorm", "ffn_norm")
            .replace("self_attn.o_proj", "attn_output")
            .replace("self_attn.", "attn_")
            .replace("mlp.", "ffn_")
            .replace("_proj.", ".");
        text(&mut infos, &own);
        infos.extend(u32::try_from(view.shape().len()).unwrap().to_le_bytes());
        for side in view.shape().iter().rev() {
            infos.extend((*side as u64).to_le_bytes());
        }
        infos.extend(0_u32.to_le_bytes());
        infos.extend((data.len() as u64).to_le_bytes());
        if own.contains("attn_q") || own.contains("attn_k") {
            data.extend(paired(view.data(), head_dim, view.shape()[1] * 4));
        } else {
            data.extend(view.data());
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((weights.len() as u64).to_le_bytes());
    out.extend((entries.len() as u64).to_le_bytes());
    for (key, value) in entries {
        entry(&mut out, key, value);
    }
    out.extend(infos);
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    fs::write(to, out).unwrap();
}

#[test]
fn a_student_in_either_form_gives_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    write_dataset(&dir.path().join("data"), 60, 12);
    let model = dir.path().join("out");
    let mut config = quick(60);
    config.model.max_position_embeddings = 128;
    run(&dir.path().join("data"), &model, &config);
    let file = dir.path().join("student.gguf");
    write_gguf(&model, &file);
    let messages = json!([{"role": "system", "content": "You run commands."},
        {"role": "user", "content": [{"type": "text", "text": "What is in src?"}]}]);
    let answer = |generator: &Generator| {
        let mut scores = 0.0;
        let mut count = 0;
        let generation = generator
            .chat_json(
                &messages,
                &Value::Null,
                &GenerateOptions::greedy(20),
                &mut |_, tokens| {
                    count += tokens.len();
                    scores += tokens.iter().map(|token| token.logprob).sum::<f64>();
                    ControlFlow::Continue(())
                },
            )
            .unwrap();
        assert!(count > 0 && scores <= 0.0);
        (generation.text, generation.prompt_tokens)
    };
    let own = Generator::load(&model).unwrap();
    let from_file = Generator::load_gguf(&file).unwrap();
    assert_eq!(answer(&own), answer(&from_file));
    let ids = own.tokenizer().encode("What is in docs? 123").unwrap();
    assert_eq!(ids, from_file.tokenizer().encode("What is in docs? 123").unwrap());
    for (a, b) in own
        .logits(&ids)
        .unwrap()
        .iter()
        .flatten()
        .zip(from_file.logits(&ids).unwrap().iter().flatten())
    {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }

    let whole = fs::read(&file).unwrap();
    for length in [0, 3, 20, 1000, whole.len() / 2, whole.len() - 4096] {
        fs::write(&file, &whole[..length]).unwrap();
        assert!(
            matches!(Generator::load_gguf(&file), Err(EngineError::BadModel { .. })),
            "{length}"
        );
    }
}
