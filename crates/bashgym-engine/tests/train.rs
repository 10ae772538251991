//! Training, from a data set folder to a model folder.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::mem::discriminant;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bashgym_engine::{
    Clock, EndReason, EngineError, Preset, StopFlag, TrainConfig, TrainEvent, TrainOutcome, ValidationSource,
    train, train_with_clock,
};
use common::{quick, row, run, write_dataset};

fn losses(events: &[TrainEvent]) -> Vec<(u64, u64)> {
    let of = |event: &TrainEvent| match event {
        TrainEvent::Step { step, loss, .. } => Some((*step, loss.to_bits())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn weights(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("model.safetensors")).unwrap()
}

#[test]
fn a_model_learns_and_its_folder_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 60, 12);
    let (outcome, events) = run(&data, &out, &quick(60));

    let (before, after) = (outcome.val_loss_before.unwrap(), outcome.val_loss_after.unwrap());
    assert!(
        (before - (outcome.vocab_size as f64).ln()).abs() < 0.3,
        "an untrained model guesses: {before}"
    );
    assert!(after < before * 0.4, "{before} -> {after}");
    assert_eq!(outcome.validation, ValidationSource::File);
    assert_eq!(
        (outcome.train_rows, outcome.val_rows, outcome.steps),
        (60, 12, 60)
    );
    assert_eq!(outcome.reason, EndReason::Steps);

    let names: Vec<_> = outcome
        .files
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "model.safetensors",
            "bashgym_result.json"
        ]
    );
    assert!(!out.join("checkpoints").exists(), "nothing but the model is left");
    let result: TrainOutcome =
        serde_json::from_slice(&fs::read(out.join("bashgym_result.json")).unwrap()).unwrap();
    assert_eq!(result.val_loss_after, outcome.val_loss_after);

    assert!(matches!(events.first(), Some(TrainEvent::Prepare { .. })));
    assert!(matches!(events.last(), Some(TrainEvent::Done { .. })));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TrainEvent::Start { resumed_step: 0, .. }))
    );
    assert_eq!(losses(&events).len(), 60);
    for event in &events {
        let parsed = TrainEvent::parse_line(&event.to_line()).unwrap();
        assert_eq!(discriminant(&parsed), discriminant(event));
    }
}

#[test]
fn a_seed_gives_the_same_weights_for_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_dataset(&data, 30, 6);
    let out = |name: &str| dir.path().join(name);
    for (name, threads, seed) in [("one", 1, 7), ("two", 2, 7), ("again", 2, 7), ("other", 2, 8)] {
        run(
            &data,
            &out(name),
            &TrainConfig {
                threads,
                seed,
                ..quick(12)
            },
        );
    }
    assert_eq!(weights(&out("two")), weights(&out("again")));
    assert_eq!(weights(&out("one")), weights(&out("two")));
    assert_ne!(weights(&out("two")), weights(&out("other")));
}

/// Stops a run after a step and gives its events.
fn stopped_at(data: &Path, out: &Path, config: &TrainConfig, at: u64) -> Vec<TrainEvent> {
    let mut events = Vec::new();
    let stop = StopFlag::new();
    let result = train(
        data,
        out,
        config,
        &mut |event| {
            if matches!(event, TrainEvent::Step { step, .. } if step == at) {
                stop.stop();
            }
            events.push(event);
        },
        &stop,
    );
    match result {
        Err(EngineError::Interrupted {
            step,
            checkpoint: Some(path),
        }) => {
            assert_eq!(step, at);
            assert!(path.join("state.json").is_file());
        }
        other => panic!("{other:?}"),
    }
    events
}

#[test]
fn a_resumed_run_ends_exactly_where_a_straight_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    write_dataset(&data, 30, 6);
    let (straight, halves) = (dir.path().join("straight"), dir.path().join("halves"));
    let (want, all) = run(&data, &straight, &quick(20));

    let first = stopped_at(&data, &halves, &quick(20), 10);
    assert!(
        !halves.join("model.safetensors").exists(),
        "a stopped run leaves no model"
    );
    let (got, second) = run(&data, &halves, &quick(20));
    let mut both = losses(&first);
    both.extend(losses(&second));
    assert_eq!(both, losses(&all));
    assert_eq!(weights(&halves), weights(&straight));
    assert_eq!(
        (got.val_loss_before, got.val_loss_after),
        (want.val_loss_before, want.val_loss_after)
    );
    assert!(
        second
            .iter()
            .any(|event| matches!(event, TrainEvent::Start { resumed_step: 10, .. }))
    );
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 30, 6);
    let config = TrainConfig {
        checkpoint_every_steps: 3,
        ..quick(20)
    };
    stopped_at(&data, &out, &config, 10);
    let kept: Vec<_> = fs::read_dir(out.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("step-"))
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");

    let newest = out.join("checkpoints/step-00000010/adam_second.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let (_, events) = run(&data, &out, &config);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TrainEvent::Notice { code, .. } if code == "checkpoint_damaged"))
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TrainEvent::Start { resumed_step: 9, .. }))
    );

    let (_, straight) = run(&data, &dir.path().join("straight"), &config);
    assert_eq!(losses(&events), losses(&straight)[9..]);
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 30, 6);
    stopped_at(&data, &out, &quick(20), 5);
    let result = train(
        &data,
        &out,
        &TrainConfig { seed: 9, ..quick(20) },
        &mut |_| {},
        &StopFlag::new(),
    );
    assert!(
        matches!(&result, Err(EngineError::CheckpointMismatch { why, .. }) if why.contains("seed")),
        "{result:?}"
    );

    write_dataset(&data, 31, 6);
    let result = train(&data, &out, &quick(20), &mut |_| {}, &StopFlag::new());
    assert!(
        matches!(&result, Err(EngineError::CheckpointMismatch { .. })),
        "{result:?}"
    );

    let fresh = TrainConfig {
        resume: false,
        ..quick(3)
    };
    let (_, events) = run(&data, &out, &fresh);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TrainEvent::Start { resumed_step: 0, .. }))
    );
}

/// A clock that moves a second whenever it is asked.
struct StepClock(AtomicU64);

impl Clock for StepClock {
    fn elapsed_seconds(&self) -> f64 {
        self.0.fetch_add(1, Ordering::Relaxed) as f64
    }
}

#[test]
fn a_time_budget_ends_the_run_with_a_measured_model() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 30, 6);
    let config = TrainConfig {
        max_seconds: Some(40.0),
        ..quick(10_000)
    };
    let mut rates = Vec::new();
    let outcome = train_with_clock(
        &data,
        &out,
        &config,
        &mut |event| {
            if let TrainEvent::Step { learning_rate, .. } = event {
                rates.push(learning_rate);
            }
        },
        &StopFlag::new(),
        &StepClock(AtomicU64::new(0)),
    )
    .unwrap();
    assert_eq!(outcome.reason, EndReason::Seconds);
    assert!((2..40).contains(&outcome.steps), "{}", outcome.steps);
    assert!(outcome.val_loss_after.unwrap() < outcome.val_loss_before.unwrap());
    assert!(
        rates.last().unwrap() < &(config.learning_rate * 0.3),
        "the learning rate follows the time: {rates:?}"
    );
    assert!(out.join("model.safetensors").is_file());
}

#[test]
fn one_row_trains_with_a_warning_and_without_a_validation_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 1, 0);
    let (outcome, events) = run(&data, &out, &quick(5));
    assert_eq!(outcome.validation, ValidationSource::None);
    assert_eq!((outcome.val_loss_before, outcome.val_loss_after), (None, None));
    let codes: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TrainEvent::Notice { code, .. } => Some(code.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["few_rows", "no_validation"]);
}

#[test]
fn without_validation_rows_the_tail_is_held_out_and_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 60, 0);
    let (outcome, events) = run(&data, &out, &quick(10));
    assert_eq!(outcome.validation, ValidationSource::HeldOutTail);
    assert!(outcome.val_loss_after.is_some());
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TrainEvent::Notice { code, .. } if code == "held_out"))
    );
}

#[test]
fn broken_rows_are_counted_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 30, 6);
    let mut text = fs::read_to_string(data.join("train.jsonl")).unwrap();
    text.push_str("{broken\n\n{\"messages\":[]}\n");
    text.push_str(&row(3)[..50]);
    fs::write(data.join("train.jsonl"), text).unwrap();
    let (outcome, events) = run(&data, &out, &quick(3));
    assert_eq!(
        (outcome.train_rows, outcome.lost.broken, outcome.lost.no_messages),
        (30, 2, 1)
    );
    assert!(events.iter().any(
        |event| matches!(event, TrainEvent::Notice { code, message } if code == "lost_rows" && message.contains("line 31"))
    ));
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    let attempt =
        |config: &TrainConfig| train(&data, &out, config, &mut |_| {}, &StopFlag::new()).unwrap_err();

    assert!(matches!(attempt(&quick(1)), EngineError::DataMissing { path } if path.ends_with("train.jsonl")));
    assert!(!out.exists(), "a wrong folder leaves nothing behind");

    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("train.jsonl"), "").unwrap();
    let error = attempt(&quick(1));
    assert!(
        matches!(error, EngineError::NoUsableRows { .. }) && error.to_string().contains("empty"),
        "{error}"
    );
    fs::write(data.join("train.jsonl"), "{}\nnot json\n").unwrap();
    assert!(attempt(&quick(1)).to_string().contains("line 1"));

    write_dataset(&data, 4, 0);
    assert!(matches!(
        attempt(&TrainConfig {
            batch_size: 0,
            ..quick(1)
        }),
        EngineError::BadConfig {
            option: "batch_size",
            ..
        }
    ));
    assert!(matches!(
        attempt(&TrainConfig {
            memory_limit_bytes: Some(1000),
            ..quick(1)
        }),
        EngineError::MemoryLimit {
            limit_bytes: 1000,
            ..
        }
    ));
    assert!(matches!(
        attempt(&TrainConfig {
            learning_rate: 1e30,
            max_gradient_norm: 1e30,
            ..quick(50)
        }),
        EngineError::Diverged { .. }
    ));
}

#[test]
fn a_stop_before_training_leaves_no_model() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data"), dir.path().join("out"));
    write_dataset(&data, 4, 0);
    let stop = StopFlag::new();
    stop.stop();
    let result = train(
        &data,
        &out,
        &TrainConfig::preset(Preset::Tiny),
        &mut |_| {},
        &stop,
    );
    assert!(
        matches!(
            result,
            Err(EngineError::Interrupted {
                step: 0,
                checkpoint: None
            })
        ),
        "{result:?}"
    );
    assert!(!out.join("model.safetensors").exists());
}
