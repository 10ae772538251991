//! Following a job: its lines go to a file on this machine, each once and in order, and what they tell is told on.

use std::collections::VecDeque;
use std::path::Path;

use futures::StreamExt;
use hf_jobs::{HfJobRunner, JobStage, LogLine, LogOptions};
use serde_json::{Value, json};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, SeekFrom};

use super::service::Recorder;
use super::state::Stage;
use crate::CoreError;
use crate::trainer::TrainProgress;

/// How many lines of a failed job are kept for its explanation.
const LAST_LINES: usize = 20;

/// How a job ended.
pub(crate) enum JobEnd {
    Completed {
        seconds: Option<f64>,
    },
    Canceled,
    Failed {
        stage: String,
        message: Option<String>,
        last_lines: Vec<String>,
    },
}

/// Follows a job to its end, from the line after the last one in the file.
pub(crate) async fn job(
    runner: &HfJobRunner,
    job_id: &str,
    log: &Path,
    events: &Recorder<'_>,
) -> Result<JobEnd, CoreError> {
    let id = job_id.parse().map_err(CoreError::hub("know the job's name"))?;
    let mut file = LogFile::open(log).await?;
    let mut last_lines = VecDeque::with_capacity(LAST_LINES);
    let options = LogOptions {
        follow: true,
        skip: file.lines,
        ..LogOptions::default()
    };
    let mut lines = runner.stream_logs(&id, options);
    while let Some(line) = lines.next().await {
        let line = line.map_err(CoreError::hub("show the job's log"))?;
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        last_lines.push_back(line.text.clone());
        file.append(&line).await?;
        events.pass_on(Stage::Train, told(&line)).await;
    }
    let job = runner
        .get_job(&id)
        .await
        .map_err(CoreError::hub("tell the job's stage"))?;
    Ok(match job.status.stage {
        JobStage::Completed => JobEnd::Completed {
            seconds: job.durations.and_then(|durations| durations.running_secs),
        },
        JobStage::Canceled => JobEnd::Canceled,
        stage => JobEnd::Failed {
            stage: stage.to_string(),
            message: job.status.message,
            last_lines: last_lines.into(),
        },
    })
}

fn told(line: &LogLine) -> Value {
    match TrainProgress::parse_line(&line.text) {
        Some(progress) => json!({ "progress": progress }),
        None => json!({ "line": line.text }),
    }
}

/// An append-only file with one JSON object a line. A last line without an end, left by a crash, is cut off.
struct LogFile {
    file: File,
    lines: u64,
}

impl LogFile {
    async fn open(path: &Path) -> Result<Self, CoreError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .await
            .map_err(CoreError::io("open", path))?;
        let mut reader = BufReader::new(&mut file);
        let (mut lines, mut whole, mut buffer) = (0, 0, Vec::new());
        loop {
            buffer.clear();
            let read = reader
                .read_until(b'\n', &mut buffer)
                .await
                .map_err(CoreError::io("read", path))?;
            if read == 0 || buffer.last() != Some(&b'\n') {
                break;
            }
            lines += 1;
            whole += read as u64;
        }
        file.set_len(whole)
            .await
            .map_err(CoreError::io("shorten", path))?;
        file.seek(SeekFrom::End(0))
            .await
            .map_err(CoreError::io("read", path))?;
        Ok(Self { file, lines })
    }

    async fn append(&mut self, line: &LogLine) -> Result<(), CoreError> {
        let mut text = serde_json::to_vec(&json!({ "data": line.text, "timestamp": line.timestamp }))
            .map_err(|error| CoreError::Internal {
                message: format!("a log line is no JSON: {error}"),
            })?;
        text.push(b'\n');
        let write = async {
            self.file.write_all(&text).await?;
            self.file.flush().await
        };
        write
            .await
            .map_err(CoreError::io("write", Path::new("the job's log")))?;
        self.lines += 1;
        Ok(())
    }
}
