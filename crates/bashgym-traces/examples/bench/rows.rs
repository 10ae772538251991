//! A work folder with rows that are ready to be divided.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use bashgym_traces::{BuildOptions, WorkDir};
use serde_json::{Value, json};

use super::Result;
use super::corpus::Random;

pub(crate) fn make(work: &Path, megabytes: u64) -> Result<Value> {
    let mut random = Random::new(11);
    for stage in ["import", "redact", "score", "dedup"] {
        fs::create_dir_all(work.join(stage))?;
        let record = json!({
            "stage": stage, "key": "", "output": "", "sessions": 0, "counts": {}, "files": {},
        });
        fs::write(work.join(stage).join("stage.json"), record.to_string())?;
    }
    fs::write(work.join("dedup/decisions.jsonl"), "")?;
    let mut rows = BufWriter::new(fs::File::create(work.join("score/rows.jsonl"))?);
    let mut sessions = BufWriter::new(fs::File::create(work.join("score/sessions.jsonl"))?);
    let body = random.text(600, 0);
    let (mut bytes, mut n) = (0, 0_u64);
    while bytes < megabytes * 1_000_000 {
        let session = format!("session-{n}");
        let mut records = Vec::new();
        for segment in 0..4 {
            let row = json!({
                "messages": [
                    {"role": "user", "content": random.text(20, 0)},
                    {"role": "assistant", "content": format!("{n} {segment} {body}")},
                ],
                "tools": "[]",
                "metadata": {"example_id": format!("{n}-{segment}"), "session_id": session},
            })
            .to_string();
            records.push(json!({
                "kind": "sft", "bytes": row.len(), "score": 0.7, "messages": 2, "tool_calls": 0, "prompt": 0,
                "truncated": false,
            }));
            bytes += row.len() as u64 + 1;
            rows.write_all(row.as_bytes())?;
            rows.write_all(b"\n")?;
        }
        let record = json!({
            "key": "", "session_id": session, "related": [], "agent": "codex", "model": "m", "tasks": [],
            "rows": records, "losses": serde_json::to_value(bashgym_traces::Losses::default())?,
        });
        writeln!(sessions, "{record}")?;
        n += 1;
    }
    rows.flush()?;
    sessions.flush()?;
    Ok(json!({ "bytes": bytes, "sessions": n }))
}

pub(crate) fn split(work: &Path, out: &Path) -> Result<Value> {
    let manifest = WorkDir::new(work).split(&BuildOptions::new(out))?;
    Ok(json!({ "rows_train": manifest.rows_train, "rows_val": manifest.rows_val }))
}
