//! BERT's numbers against those of torch and transformers (`fixtures/make_encoder.py`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use bashgym_engine::{EmbedOptions, Encoder, EngineError};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join("fixtures")
        .join("bert")
        .join(name)
}

fn golden() -> (Vec<String>, Value) {
    let golden: Value = serde_json::from_slice(&std::fs::read(fixture("golden.json")).unwrap()).unwrap();
    (serde_json::from_value(golden["texts"].clone()).unwrap(), golden)
}

fn assert_close(got: &[Vec<f32>], want: &Value) {
    let want: Vec<Vec<f32>> = serde_json::from_value(want.clone()).unwrap();
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        assert!((got - want).abs() < 2e-5, "{got} {want}");
    }
}

#[test]
fn vectors_are_those_of_torch_alone_and_in_batches() {
    let encoder = Encoder::load(&fixture("embedder")).unwrap();
    let (texts, golden) = golden();
    let embed = |texts: &[String], options| encoder.embed(texts, options, &|| false).unwrap();
    assert_close(&embed(&texts, EmbedOptions::default()), &golden["normalized"]);
    let plain = EmbedOptions {
        normalize: Some(false),
        ..EmbedOptions::default()
    };
    assert_close(&embed(&texts, plain), &golden["mean"]);
    let one_by_one: Vec<Vec<f32>> = texts
        .iter()
        .flat_map(|text| embed(std::slice::from_ref(text), plain))
        .collect();
    assert_close(&one_by_one, &golden["mean"]);
}

#[test]
fn labels_are_those_of_torch() {
    let encoder = Encoder::load(&fixture("classifier")).unwrap();
    let (texts, golden) = golden();
    assert_eq!(encoder.labels(), ["bad", "fair", "good"]);
    assert_close(&encoder.classify(&texts, &|| false).unwrap(), &golden["logits"]);
}

#[test]
fn a_long_text_is_cut_or_refused_and_stopped_work_ends() {
    let encoder = Encoder::load(&fixture("embedder")).unwrap();
    let embed = |text: &str, options| encoder.embed(&[text.to_owned()], options, &|| false);
    let long = "run ".repeat(20) + "test";
    let cut = embed(&long, EmbedOptions::default()).unwrap();
    assert_eq!(cut, embed(&"run ".repeat(10), EmbedOptions::default()).unwrap());
    let left = EmbedOptions {
        cut_left: true,
        ..EmbedOptions::default()
    };
    assert_eq!(
        embed(&long, left).unwrap(),
        embed(&("run ".repeat(9) + "test"), EmbedOptions::default()).unwrap()
    );
    let refuse = EmbedOptions {
        refuse_long: true,
        ..EmbedOptions::default()
    };
    assert!(matches!(
        embed(&long, refuse),
        Err(EngineError::BadRequest { .. })
    ));
    assert!(encoder.embed(&[long], EmbedOptions::default(), &|| true).is_err());
}
