//! A data set small enough to train on in a second, and regular enough to be learned.

use std::fs;
use std::path::Path;

use bashgym_engine::{Preset, StopFlag, TrainConfig, TrainEvent, TrainOutcome, train};

/// Gives one row: a user who asks for a directory and an assistant who lists it.
pub(crate) fn row(number: usize) -> String {
    let dir = ["src", "tests", "docs", "target"][number % 4];
    serde_json::json!({
        "messages": [
            {"role": "system", "content": "You run commands."},
            {"role": "user", "content": format!("What is in {dir}?")},
            {"role": "assistant", "content": "", "tool_calls": [
                {"id": format!("call_{number}"), "type": "function",
                 "function": {"name": "bash", "arguments": {"command": format!("ls {dir}")}}}
            ]},
            {"role": "tool", "tool_call_id": format!("call_{number}"), "content": format!("file_{}.rs", number % 7)},
            {"role": "assistant", "content": format!("There is one file in {dir}.")}
        ],
        "metadata": {"session_id": format!("s{number}")}
    })
    .to_string()
}

/// Writes a data set folder.
pub(crate) fn write_dataset(dir: &Path, train_rows: usize, val_rows: usize) {
    let lines = |from: usize, count: usize| (from..from + count).map(|it| row(it) + "\n").collect::<String>();
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join("train.jsonl"), lines(0, train_rows)).unwrap();
    if val_rows > 0 {
        fs::write(dir.join("val.jsonl"), lines(train_rows, val_rows)).unwrap();
    }
}

/// Gives options that train in a second.
pub(crate) fn quick(steps: u64) -> TrainConfig {
    TrainConfig {
        max_steps: Some(steps),
        epochs: 1000.0,
        max_tokens: None,
        ..TrainConfig::preset(Preset::Tiny)
    }
}

/// Trains and gives the outcome with all events.
pub(crate) fn run(data: &Path, out: &Path, config: &TrainConfig) -> (TrainOutcome, Vec<TrainEvent>) {
    let mut events = Vec::new();
    let outcome = train(
        data,
        out,
        config,
        &mut |event| events.push(event),
        &StopFlag::new(),
    )
    .unwrap();
    (outcome, events)
}
