//! A model folder of this crate as torch, transformers and tokenizers see it (`fixtures/make_golden.py`).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_engine::{ChatRow, GenerateOptions, Generator, Json, render};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    messages: Json,
    chat: String,
    ids: Vec<u32>,
    logits: BTreeMap<usize, Vec<f32>>,
    greedy_from_30: Vec<u32>,
    texts: Vec<TextCase>,
    parameters: u64,
    eos: String,
    pad: String,
    class: String,
}

#[derive(Deserialize)]
struct TextCase {
    text: String,
    ids: Vec<u32>,
    decoded: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn golden() -> Golden {
    serde_json::from_str(
        &std::fs::read_to_string(fixtures().join("golden.json")).expect("the fixture is there"),
    )
    .expect("the fixture is whole")
}

fn generator() -> Generator {
    Generator::load(&fixtures().join("model")).expect("the model loads")
}

#[test]
fn the_logits_are_those_of_torch() {
    let (golden, generator) = (golden(), generator());
    assert_eq!(golden.class, "LlamaForCausalLM");
    assert_eq!(golden.parameters, generator.config().parameters());
    let logits = generator.logits(&golden.ids).unwrap();
    assert!(golden.logits.len() >= 4);
    for (position, want) in &golden.logits {
        assert_eq!(want.len(), generator.config().vocab_size);
        for (got, want) in logits[*position].iter().zip(want) {
            assert!((got - want).abs() < 1e-4, "position {position}: {got} {want}");
        }
    }
}

#[test]
fn greedy_text_is_that_of_transformers() {
    let (golden, generator) = (golden(), generator());
    let tokenizer = generator.tokenizer();
    let prompt = golden.chat.as_str();
    assert_eq!(tokenizer.encode(prompt).unwrap()[..golden.ids.len()], golden.ids);
    let mut ids = golden.ids[..30].to_vec();
    for want in &golden.greedy_from_30 {
        let logits = generator.logits(&ids).unwrap().pop().unwrap();
        let best = (0..logits.len())
            .max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
            .unwrap();
        assert_eq!(u32::try_from(best).unwrap(), *want, "token {}", ids.len());
        ids.push(*want);
    }
}

#[test]
fn the_chat_text_and_ids_are_those_of_transformers() {
    let (golden, generator) = (golden(), generator());
    let row = ChatRow::from_json(&Json::Object(vec![("messages".to_owned(), golden.messages)])).unwrap();
    assert_eq!(render(&row.messages, &row.tools, true), golden.chat);
    let ids = generator
        .tokenizer()
        .encode_prompt(&row.messages, &row.tools)
        .unwrap();
    assert_eq!(ids[..golden.ids.len()], golden.ids);
    assert_eq!(
        (golden.eos.as_str(), golden.pad.as_str()),
        ("<|im_end|>", "<|im_pad|>")
    );
}

#[test]
fn the_token_ids_are_those_of_python() {
    let (golden, generator) = (golden(), generator());
    assert!(golden.texts.len() > 10);
    for case in golden.texts {
        let ids = generator.tokenizer().encode(&case.text).unwrap();
        assert_eq!(ids, case.ids, "{:?}", case.text);
        assert_eq!(
            generator.tokenizer().decode(&ids).unwrap(),
            case.decoded,
            "{:?}",
            case.text
        );
    }
}

#[test]
fn a_model_of_this_crates_past_still_speaks() {
    let generation = generator()
        .complete(
            "<|im_start|>user\nWhat is in src?<|im_end|>\n<|im_start|>assistant\n",
            &GenerateOptions::greedy(8),
            &mut |_| ControlFlow::Continue(()),
        )
        .unwrap();
    assert!(generation.completion_tokens > 0);
}
