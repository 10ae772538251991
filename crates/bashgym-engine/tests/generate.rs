//! Sampling from a trained model folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bashgym_engine::{ChatMessage, EngineError, FinishReason, GenerateOptions, Generator};
use common::{quick, run, write_dataset};

/// Trains one model for all tests of this file.
fn model() -> &'static Path {
    static MODEL: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        write_dataset(&dir.path().join("data"), 60, 12);
        let out = dir.path().join("out");
        let mut config = quick(80);
        config.model.max_position_embeddings = 128;
        run(&dir.path().join("data"), &out, &config);
        (dir, out)
    });
    path
}

fn ask(question: &str) -> [ChatMessage; 2] {
    [
        ChatMessage::text("system", "You run commands."),
        ChatMessage::text("user", question),
    ]
}

fn silent(_: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn the_student_answers_as_it_was_taught() {
    let generator = Generator::load(model()).unwrap();
    let mut told = String::new();
    let generation = generator
        .chat(
            &ask("What is in src?"),
            &[],
            &GenerateOptions::greedy(60),
            &mut |text| {
                told.push_str(text);
                ControlFlow::Continue(())
            },
        )
        .unwrap();
    assert_eq!(told, generation.text);
    assert_eq!(generation.finish_reason, FinishReason::Stop);
    assert!(
        generation.text.starts_with("<tool_call>{\"name\": \"bash\""),
        "{}",
        generation.text
    );
    assert!(generation.completion_tokens > 5 && generation.prompt_tokens > 5);
    assert!(
        generation.mean_logprob < 0.0 && generation.mean_logprob > -1.0,
        "{}",
        generation.mean_logprob
    );
}

#[test]
fn greedy_choice_is_that_of_the_forward_pass_without_a_cache() {
    let generator = Generator::load(model()).unwrap();
    let tokenizer = generator.tokenizer();
    let mut ids = tokenizer.encode_prompt(&ask("What is in docs?"), &[]).unwrap();
    let start = ids.len();
    let generation = generator
        .chat(
            &ask("What is in docs?"),
            &[],
            &GenerateOptions::greedy(24),
            &mut silent,
        )
        .unwrap();
    for _ in 0..generation.completion_tokens {
        let logits = generator.logits(&ids).unwrap().pop().unwrap();
        let best = (0..logits.len())
            .max_by(|a, b| logits[*a].total_cmp(&logits[*b]))
            .unwrap();
        ids.push(u32::try_from(best).unwrap());
    }
    assert_eq!(tokenizer.decode(&ids[start..]).unwrap(), generation.text);
}

#[test]
fn a_seed_means_one_text() {
    let generator = Generator::load(model()).unwrap();
    let text = |seed| {
        let options = GenerateOptions {
            seed,
            temperature: 1.5,
            top_p: 1.0,
            ..GenerateOptions::default()
        };
        generator
            .complete("<|im_start|>user\n", &options, &mut silent)
            .unwrap()
            .text
    };
    assert_eq!(text(1), text(1));
    assert!((2..8).any(|seed| text(seed) != text(1)));
}

#[test]
fn stops_where_it_is_told_to() {
    let generator = Generator::load(model()).unwrap();
    let whole = generator
        .chat(
            &ask("What is in src?"),
            &[],
            &GenerateOptions::greedy(60),
            &mut silent,
        )
        .unwrap();

    let options = GenerateOptions {
        stop: vec!["\"arguments\"".to_owned()],
        ..GenerateOptions::greedy(60)
    };
    let mut told = String::new();
    let cut = generator
        .chat(&ask("What is in src?"), &[], &options, &mut |text| {
            told.push_str(text);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(cut.finish_reason, FinishReason::StopText);
    assert_eq!(cut.text, whole.text.split("\"arguments\"").next().unwrap());
    assert_eq!(told, cut.text);

    let short = generator
        .chat(
            &ask("What is in src?"),
            &[],
            &GenerateOptions::greedy(3),
            &mut silent,
        )
        .unwrap();
    assert_eq!(
        (short.finish_reason, short.completion_tokens),
        (FinishReason::Length, 3)
    );

    let canceled = generator
        .chat(
            &ask("What is in src?"),
            &[],
            &GenerateOptions::greedy(60),
            &mut |_| ControlFlow::Break(()),
        )
        .unwrap();
    assert_eq!(canceled.finish_reason, FinishReason::Canceled);
    assert!(canceled.completion_tokens < whole.completion_tokens);
}

#[test]
fn a_long_prompt_is_cut_or_refused_and_the_context_is_the_end() {
    let generator = Generator::load(model()).unwrap();
    let long = ask(&"What is in src? ".repeat(200));
    let cut = generator
        .chat(&long, &[], &GenerateOptions::greedy(10), &mut silent)
        .unwrap();
    assert!(cut.truncated_prompt_tokens > 0);
    assert!(cut.prompt_tokens + 10 <= generator.context_length());
    let options = GenerateOptions {
        truncate_prompt: false,
        ..GenerateOptions::greedy(10)
    };
    assert!(matches!(
        generator.chat(&long, &[], &options, &mut silent),
        Err(EngineError::BadRequest { .. })
    ));

    let options = GenerateOptions {
        temperature: 100.0,
        top_p: 1.0,
        max_new_tokens: 10_000,
        ..GenerateOptions::default()
    };
    let full = generator.complete("What", &options, &mut silent).unwrap();
    assert!(
        matches!(full.finish_reason, FinishReason::Context | FinishReason::Stop),
        "{full:?}"
    );
    assert!(full.prompt_tokens + full.completion_tokens <= generator.context_length() + 1);
}

#[test]
fn wild_choices_still_come_as_whole_characters() {
    let generator = Generator::load(model()).unwrap();
    for seed in 0..10 {
        let options = GenerateOptions {
            temperature: 100.0,
            top_p: 1.0,
            max_new_tokens: 60,
            seed,
            ..GenerateOptions::default()
        };
        let mut told = String::new();
        let generation = generator
            .complete("é", &options, &mut |text| {
                told.push_str(text);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(told, generation.text);
    }
}

#[test]
fn an_empty_request_is_refused() {
    let generator = Generator::load(model()).unwrap();
    let options = GenerateOptions::greedy(1);
    assert!(matches!(
        generator.chat(&[], &[], &options, &mut silent),
        Err(EngineError::BadRequest { .. })
    ));
    assert!(matches!(
        generator.complete("", &options, &mut silent),
        Err(EngineError::BadRequest { .. })
    ));
    assert!(matches!(
        generator.logits(&[u32::MAX]),
        Err(EngineError::BadRequest { .. })
    ));
}

/// Copies the model and changes one of its files.
fn spoiled(name: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> EngineError {
    let dir = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(model().join(file), dir.path().join(file)).unwrap();
    }
    match change(fs::read(dir.path().join(name)).unwrap()) {
        Some(content) => fs::write(dir.path().join(name), content).unwrap(),
        None => fs::remove_file(dir.path().join(name)).unwrap(),
    }
    let error = Generator::load(dir.path())
        .err()
        .expect("a spoiled model must not load");
    let file = match &error {
        EngineError::BadModel { file, .. } => file,
        EngineError::Io { path, .. } => path,
        other => panic!("{other:?}"),
    };
    assert!(file.ends_with(name), "{error}");
    error
}

#[test]
fn a_spoiled_model_is_refused_and_its_file_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        spoiled(name, |_| None);
        spoiled(name, |_| Some(Vec::new()));
        spoiled(name, |bytes| Some(bytes[..bytes.len() / 2].to_vec()));
        spoiled(name, |_| Some(vec![0xFF; 4096]));
        spoiled(name, |_| Some(b"null".to_vec()));
    }
    let replaced = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| Some(String::from_utf8(bytes).unwrap().replace(from, to).into_bytes())
    };
    let error = spoiled(
        "config.json",
        replaced("\"model_type\": \"llama\"", "\"model_type\": \"qwen2\""),
    );
    assert!(error.to_string().contains("qwen2"), "{error}");
    let error = spoiled("tokenizer.json", replaced("<|im_end|>", "<|im_over|>"));
    assert!(error.to_string().contains("<|im_end|>"), "{error}");
    let error = spoiled("model.safetensors", |mut bytes| {
        let at = bytes.windows(5).position(|it| it == b"layer").unwrap();
        bytes[at] = b'p';
        Some(bytes)
    });
    assert!(error.to_string().contains("lacks the weight"), "{error}");
    let error = spoiled("model.safetensors", |mut bytes| {
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        Some(bytes)
    });
    assert!(error.to_string().contains("no numbers"), "{error}");
    let error = spoiled("model.safetensors", |mut bytes| {
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        Some(bytes)
    });
    assert!(error.to_string().contains("header"), "{error}");
}

#[test]
fn a_config_of_another_shape_names_the_weight() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "model.safetensors"] {
        fs::copy(model().join(file), dir.path().join(file)).unwrap();
    }
    let config = fs::read_to_string(model().join("config.json")).unwrap();
    fs::write(
        dir.path().join("config.json"),
        config.replace("\"intermediate_size\": 96", "\"intermediate_size\": 100000"),
    )
    .unwrap();
    let error = Generator::load(dir.path()).err().unwrap();
    assert!(error.to_string().contains("gate_proj"), "{error}");
}
