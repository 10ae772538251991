//! The logs of a Space: of its build and of its app.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use hf_core::{HfError, RepoId, RequestSpec, SseEvent, TransportKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::manager::HfSpaceManager;
use crate::stage::SpaceStage;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceLog {
    /// Of the build.
    Build,
    /// Of the app.
    Run,
}

impl SpaceLog {
    /// The Hub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
        }
    }

    /// Whether more may come in this stage.
    fn goes_on(self, stage: &SpaceStage) -> bool {
        match self {
            Self::Build => matches!(
                stage,
                SpaceStage::Building | SpaceStage::RunningBuilding | SpaceStage::Unknown(_)
            ),
            Self::Run => stage.is_changing() || stage.is_serving() || *stage == SpaceStage::Sleeping,
        }
    }
}

/// How much of a log to read, and for how long.
#[derive(Debug, Clone)]
pub struct SpaceLogOptions {
    /// Whether to stay until the log can not grow any more. Otherwise the stream ends with what is there now.
    pub follow: bool,
    /// Only the last lines, this many.
    pub tail: Option<u64>,
    /// How long a silence ends a stream that does not follow, or makes one that does look at the stage.
    pub quiet: Duration,
    /// How many failures in a row, without a new line in between, end the stream.
    pub max_failures: u32,
}

impl Default for SpaceLogOptions {
    fn default() -> Self {
        Self {
            follow: false,
            tail: None,
            quiet: Duration::from_secs(5),
            max_failures: 5,
        }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpaceLogLine {
    /// When it was written.
    pub timestamp: Option<Timestamp>,
    /// The line, without its line break.
    pub text: String,
}

type Events = Pin<Box<dyn Stream<Item = Result<SseEvent, HfError>> + Send>>;

struct Follower {
    spaces: HfSpaceManager,
    id: RepoId,
    log: SpaceLog,
    options: SpaceLogOptions,
    events: Option<Events>,
    /// Lines given so far.
    given: u64,
    /// Lines of this connection that were given before.
    to_skip: u64,
    failures: u32,
    /// What is read now is all there will be.
    last: bool,
    ready: VecDeque<SpaceLogLine>,
    done: bool,
}

impl HfSpaceManager {
    /// The lines of a log: `GET /api/spaces/{id}/logs/{build|run}`.
    ///
    /// The Hub replays the log on each connection; what was given is left out.
    ///
    /// # Errors
    /// A 4xx at once; another failure after [`SpaceLogOptions::max_failures`] in a row without a new line.
    pub fn stream_logs(
        &self,
        id: &RepoId,
        log: SpaceLog,
        options: SpaceLogOptions,
    ) -> impl Stream<Item = Result<SpaceLogLine, HfError>> + Send + Unpin + use<> {
        let follower = Follower {
            spaces: self.clone(),
            id: id.clone(),
            log,
            last: !options.follow,
            options,
            events: None,
            given: 0,
            to_skip: 0,
            failures: 0,
            ready: VecDeque::new(),
            done: false,
        };
        stream::unfold(follower, |mut follower| async move {
            Some((follower.next().await?, follower))
        })
        .boxed()
    }

    /// The end of a log as it is now, at most this many lines.
    ///
    /// # Errors
    /// As [`HfSpaceManager::stream_logs`].
    pub async fn recent_logs(
        &self,
        id: &RepoId,
        log: SpaceLog,
        lines: usize,
    ) -> Result<Vec<SpaceLogLine>, HfError> {
        let mut all = self.stream_logs(id, log, SpaceLogOptions::default());
        let mut kept = VecDeque::with_capacity(lines.min(1024));
        while let Some(line) = all.try_next().await? {
            if kept.len() == lines {
                kept.pop_front();
            }
            if lines > 0 {
                kept.push_back(line);
            }
        }
        Ok(kept.into())
    }
}

impl Follower {
    async fn next(&mut self) -> Option<Result<SpaceLogLine, HfError>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.done = true;
                return Some(Err(error));
            }
        }
    }

    async fn advance(&mut self) -> Result<(), HfError> {
        let clock = self.spaces.client().clock().clone();
        let Some(events) = &mut self.events else {
            return self.open().await;
        };
        match select(events.next(), clock.sleep(self.options.quiet)).await {
            Either::Left((Some(Ok(event)), _)) => {
                self.take(&event);
                Ok(())
            }
            Either::Left((Some(Err(error)), _)) if error.transport_kind() == Some(TransportKind::Timeout) => {
                self.ended().await
            }
            Either::Left((Some(Err(error)), _)) => {
                self.events = None;
                self.failed(error).await
            }
            Either::Left((None, _)) => self.ended().await,
            Either::Right(_) => self.silent().await,
        }
    }

    async fn open(&mut self) -> Result<(), HfError> {
        let path = HfSpaceManager::path(&self.id, &format!("/logs/{}", self.log.as_str()));
        let mut spec = RequestSpec::get(path).for_events().no_retry();
        // Later connections replay from the start: a tail of a log that grew is another one.
        if let Some(tail) = self.options.tail.filter(|_| self.given == 0) {
            spec = spec.query("tail", tail.to_string());
            self.to_skip = 0;
        } else {
            self.to_skip = self.given;
        }
        match self.spaces.client().request(spec).await {
            Ok(response) => {
                self.events = Some(Box::pin(response.into_events()));
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    fn take(&mut self, event: &SseEvent) {
        // An event without data keeps the connection alive.
        if event.data.is_empty() || event.event.is_some() {
            return;
        }
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return;
        }
        self.given += 1;
        self.failures = 0;
        self.ready.push_back(read_line(&event.data));
    }

    /// The connection is open and says nothing.
    async fn silent(&mut self) -> Result<(), HfError> {
        if self.last {
            self.done = true;
            return Ok(());
        }
        self.look().await
    }

    /// The server closed the connection in good order.
    async fn ended(&mut self) -> Result<(), HfError> {
        self.events = None;
        if self.last || self.options.tail.is_some() {
            // A tail can not be continued: where it began is not known.
            self.done = true;
            return Ok(());
        }
        self.look().await?;
        if !self.last {
            let pause = self.spaces.client().backoff(1);
            self.spaces.client().clock().sleep(pause).await;
        }
        Ok(())
    }

    /// Asks for the stage; once the log can not grow, it is read one last time.
    async fn look(&mut self) -> Result<(), HfError> {
        match self.spaces.get_space_status(&self.id).await {
            Ok(runtime) if self.log.goes_on(&runtime.stage) => Ok(()),
            Ok(_) if self.options.tail.is_some() => {
                self.done = true;
                Ok(())
            }
            Ok(_) => {
                self.last = true;
                self.events = None;
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn failed(&mut self, error: HfError) -> Result<(), HfError> {
        self.failures += 1;
        if !error.is_transient() || self.failures > self.options.max_failures {
            return Err(error);
        }
        let client = self.spaces.client();
        let wait = error
            .asked_wait()
            .unwrap_or_default()
            .max(client.backoff(self.failures));
        client.clock().sleep(wait).await;
        Ok(())
    }
}

fn read_line(data: &str) -> SpaceLogLine {
    #[derive(Deserialize)]
    struct Wire {
        data: String,
        #[serde(default)]
        timestamp: Option<String>,
    }
    match serde_json::from_str::<Wire>(data) {
        Ok(wire) => SpaceLogLine {
            timestamp: wire.timestamp.and_then(|text| text.parse().ok()),
            text: wire.data.trim_end_matches(['\n', '\r']).to_owned(),
        },
        Err(_) => SpaceLogLine {
            timestamp: None,
            text: data.to_owned(),
        },
    }
}

/// Picks the lines of a log that tell why something failed, at most `most`, in their order; else its last lines.
pub fn telling_lines(lines: &[SpaceLogLine], most: usize) -> Vec<String> {
    const SIGNS: [&str; 12] = [
        "error",
        "traceback",
        "exception",
        "failed",
        "cannot",
        "could not",
        "no matching distribution",
        "not found",
        "killed",
        "out of memory",
        "conflict",
        "denied",
    ];
    let texts: Vec<&str> = lines
        .iter()
        .map(|line| line.text.trim_end())
        .filter(|text| !text.is_empty())
        .collect();
    let told: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|text| {
            let lower = text.to_lowercase();
            SIGNS.iter().any(|sign| lower.contains(sign))
        })
        .collect();
    let chosen = if told.is_empty() { &texts } else { &told };
    chosen[chosen.len().saturating_sub(most)..]
        .iter()
        .map(|text| hf_core::scrub_secrets(text))
        .collect()
}
