//! The event streams of a job: log, metrics, stages.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::log::{LogMark, LogReader};
use super::metrics::Sample;
use super::procfs;
use super::stage::Stage;
use super::view::timestamp;
use super::{Jobs, Live};
use crate::clock::HubClock;

/// How long a stream is silent at most.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `fetch_job_logs` ("there is a `: keep-alive` every 30 seconds").
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How often there is a `metric` event.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);

const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

type Piece = std::io::Result<Bytes>;

/// Answers with a stream of events.
fn events(pieces: impl Stream<Item = Piece> + Send + 'static) -> Response {
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(pieces)).into_response()
}

/// What ends a wait.
enum Woken {
    Changed,
    /// The writer is gone, or the hub shuts down.
    Over,
    Silent,
}

async fn wait<T>(watched: &mut watch::Receiver<T>, clock: &HubClock, closing: &CancellationToken) -> Woken {
    tokio::select! {
        biased;
        changed = watched.changed() => if changed.is_ok() { Woken::Changed } else { Woken::Over },
        () = closing.cancelled() => Woken::Over,
        () = clock.sleep(KEEP_ALIVE) => Woken::Silent,
    }
}

struct LogStream {
    path: PathBuf,
    reader: Option<LogReader>,
    /// `None` when the job is over: the file is all there is.
    mark: Option<watch::Receiver<LogMark>>,
    end: u64,
    clock: HubClock,
    closing: CancellationToken,
}

/// Streams a log from its start, or from its last `tail` lines on, until the job is over.
///
/// A block of the file is in memory at a time, and only when the client takes it.
pub(super) async fn log(
    jobs: &Jobs,
    id: &str,
    tail: Option<u64>,
    closing: CancellationToken,
) -> std::io::Result<Response> {
    let path = jobs.log_path(id);
    let mark = jobs.find_live(id).map(|live| live.log.clone());
    let end = match &mark {
        Some(mark) => mark.borrow().bytes,
        None => tokio::fs::metadata(&path).await.map_or(0, |file| file.len()),
    };
    let reader = if end > 0 {
        Some(LogReader::open(&path, end, tail).await?)
    } else {
        None
    };
    let log = LogStream {
        path,
        reader,
        mark,
        end,
        clock: jobs.inner.clock.clone(),
        closing,
    };
    Ok(events(stream::unfold(log, |mut log| async {
        let piece = log.next().await.transpose()?;
        Some((piece, log))
    })))
}

impl LogStream {
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            let closed = match &mut self.mark {
                None => true,
                Some(mark) => {
                    let mark = *mark.borrow_and_update();
                    self.end = mark.bytes;
                    mark.closed
                }
            };
            if self.reader.is_none() && self.end > 0 {
                self.reader = Some(LogReader::open(&self.path, self.end, None).await?);
            }
            if let Some(reader) = &mut self.reader {
                let lines = reader.next(self.end).await?;
                if !lines.is_empty() {
                    return Ok(Some(to_events(&lines)));
                }
            }
            let Some(mark) = self.mark.as_mut().filter(|_| !closed) else {
                return Ok(None);
            };
            match wait(mark, &self.clock, &self.closing).await {
                Woken::Changed => {}
                Woken::Over => return Ok(None),
                Woken::Silent => return Ok(Some(COMMENT)),
            }
        }
    }
}

/// Makes an event of each line.
fn to_events(lines: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(lines.len() + lines.len() / 8);
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    Bytes::from(text)
}

struct MetricsStream {
    id: String,
    live: Arc<Live>,
    stage: watch::Receiver<Stage>,
    last: Option<Sample>,
    memory_total_bytes: u64,
    clock: HubClock,
    closing: CancellationToken,
}

/// Streams what a job uses, once a second while it runs; `None` when it is over.
pub(super) fn metrics(jobs: &Jobs, id: &str, closing: CancellationToken) -> Option<Response> {
    let live = jobs.find_live(id)?;
    let stage = live.stage.clone();
    let config = &jobs.inner.config;
    let machine = procfs::machine_memory_bytes();
    let stream = MetricsStream {
        id: id.to_owned(),
        live,
        stage,
        last: None,
        memory_total_bytes: config
            .memory_limit_bytes
            .map_or(machine, |limit| limit.min(machine)),
        clock: jobs.inner.clock.clone(),
        closing,
    };
    Some(events(stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((Ok(piece), stream))
    })))
}

impl MetricsStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let stage = *self.stage.borrow_and_update();
            if stage.is_final() {
                return None;
            }
            if stage != Stage::Running {
                match wait(&mut self.stage, &self.clock, &self.closing).await {
                    Woken::Changed => continue,
                    Woken::Over => return None,
                    Woken::Silent => return Some(COMMENT),
                }
            }
            let before = match self.last.take() {
                Some(sample) => sample,
                None => Sample::take(self.live.pid(), &self.id).await,
            };
            tokio::select! {
                biased;
                changed = self.stage.changed() => {
                    self.last = Some(before);
                    if changed.is_err() {
                        return None;
                    }
                    continue;
                }
                () = self.closing.cancelled() => return None,
                () = self.clock.sleep(METRICS_INTERVAL) => {}
            }
            let now = Sample::take(self.live.pid(), &self.id).await;
            self.last = Some(now);
            let metric = now.to_json(before, &self.id, self.memory_total_bytes);
            return Some(Bytes::from(format!("event: metric\ndata: {metric}\n\n")));
        }
    }
}

struct StageStream {
    jobs: Jobs,
    id: String,
    stage: Option<watch::Receiver<Stage>>,
    after: i64,
    closing: CancellationToken,
}

/// Streams the stages a job went through and those to come.
///
/// The Hub's payload is not known: no client reads it and the Hub's own description has none. This one is
/// `{"stage", "message", "timestamp"}`.
pub(super) fn stages(jobs: &Jobs, id: &str, closing: CancellationToken) -> Response {
    let stage = jobs.find_live(id).map(|live| live.stage.clone());
    let stream = StageStream {
        jobs: jobs.clone(),
        id: id.to_owned(),
        stage,
        after: 0,
        closing,
    };
    events(stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((piece, stream))
    }))
}

impl StageStream {
    async fn next(&mut self) -> Option<Piece> {
        loop {
            // Looked at before the index is read, so that no change falls in between.
            let is_final = self
                .stage
                .as_mut()
                .is_none_or(|stage| stage.borrow_and_update().is_final());
            match self.jobs.inner.store.events(&self.id, self.after).await {
                Err(error) => return Some(Err(std::io::Error::other(error))),
                Ok(news) if !news.is_empty() => {
                    let mut text = String::new();
                    for event in news {
                        self.after = event.seq;
                        let data = json!({"stage": event.stage, "message": event.message, "timestamp": timestamp(event.at)});
                        // Writing to a string can't fail.
                        let _written = write!(text, "data: {data}\n\n");
                    }
                    return Some(Ok(Bytes::from(text)));
                }
                Ok(_) => {}
            }
            let stage = self.stage.as_mut().filter(|_| !is_final)?;
            match wait(stage, &self.jobs.inner.clock, &self.closing).await {
                Woken::Changed => {}
                Woken::Over => return None,
                Woken::Silent => return Some(Ok(COMMENT)),
            }
        }
    }
}
