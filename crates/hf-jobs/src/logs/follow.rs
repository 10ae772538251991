//! The state behind a log stream: which lines were given, which connection is open, and when it is all over.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{Stream, StreamExt};
use hf_core::{Clock, HfError, JobId, RequestSpec, SseEvent, TransportKind};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tracing::{debug, warn};

use super::{LogLine, LogOptions};
use crate::runner::{HfJobRunner, pause};

/// How the Hub's own first line begins.
const HEADING: &str = "===== Job started";
/// How many of the last lines are compared to find the place again after a tail broke off.
const WINDOW: usize = 256;
/// The longest time between two looks at a silent job.
const SLOWEST_LOOK: Duration = Duration::from_secs(30);

pub(super) struct Follower {
    jobs: HfJobRunner,
    id: JobId,
    options: LogOptions,
    /// How many events of the log (or of the tail) were given or hidden so far.
    handled: u64,
    /// The last events of a tail, to find the place in a full replay.
    window: VecDeque<SseEvent>,
    failures: u32,
    /// Connections in a row that ended in good order and brought nothing new.
    idle_rounds: u32,
    over: Over,
    connection: Option<Connection>,
    done: bool,
}

/// What is known about the end of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    /// The job is over, so a connection opened from now on brings the whole log.
    Yes,
}

struct Connection {
    events: Pin<Box<dyn Stream<Item = Result<SseEvent, HfError>> + Send>>,
    place: Place,
    /// What comes now is complete once it ends.
    last: bool,
    quiet: Duration,
    /// Lines newer than this belong to the future of a reader that does not follow.
    until: Option<Timestamp>,
}

/// Where in the log a connection is.
enum Place {
    /// At the event of this number; those before [`Follower::handled`] were given already.
    At(u64),
    /// Somewhere before the events of [`Follower::window`].
    Searching(VecDeque<SseEvent>),
}

enum Step {
    Event(SseEvent),
    Quiet,
    End,
    Failed(HfError),
}

impl Connection {
    async fn step(&mut self, clock: &dyn Clock) -> Step {
        let next = self.events.next();
        // Keep-alives are not events, so a connection that only lives on is quiet.
        match select(next, clock.sleep(self.quiet)).await {
            Either::Left((Some(Ok(event)), _)) => Step::Event(event),
            // Silence on the wire is no failure while the job goes on: it may have nothing to say.
            Either::Left((Some(Err(error)), _))
                if !self.last && error.transport_kind() == Some(TransportKind::Timeout) =>
            {
                Step::End
            }
            Either::Left((Some(Err(error)), _)) => Step::Failed(error),
            Either::Left((None, _)) => Step::End,
            Either::Right(_) => Step::Quiet,
        }
    }
}

impl Follower {
    pub(super) fn new(jobs: HfJobRunner, id: JobId, options: LogOptions) -> Self {
        Self {
            jobs,
            id,
            handled: options.skip,
            options,
            window: VecDeque::new(),
            failures: 0,
            idle_rounds: 0,
            over: Over::No,
            connection: None,
            done: false,
        }
    }

    /// The next line; none when the log is at its end.
    pub(super) async fn next(&mut self) -> Option<Result<LogLine, HfError>> {
        while !self.done {
            match self.advance().await {
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn advance(&mut self) -> Result<Option<LogLine>, HfError> {
        let clock = self.jobs.client().clock().clone();
        let Some(connection) = &mut self.connection else {
            match self.open().await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => self.failed(error).await?,
            }
            return Ok(None);
        };
        match connection.step(&*clock).await {
            Step::Event(event) => return Ok(self.take(event)),
            Step::Failed(error) => {
                self.connection = None;
                self.failed(error).await?;
            }
            Step::Quiet | Step::End if connection.last => self.finish()?,
            Step::Quiet => self.after_quiet().await?,
            Step::End => self.after_end().await?,
        }
        Ok(None)
    }

    async fn open(&mut self) -> Result<Connection, HfError> {
        let path = format!("/api/jobs/{}/{}/logs", self.jobs.namespace(), self.id);
        // Retried here, where a failure is weighed against what the log brought.
        let mut spec = RequestSpec::get(path).for_events().no_retry();
        let searching = !self.window.is_empty();
        if let Some(tail) = self.options.tail
            && !searching
        {
            spec = spec.query("tail", tail.to_string());
        }
        let last = !self.options.follow || self.over == Over::Yes;
        let response = self.jobs.client().request(spec).await?;
        let until = (!self.options.follow).then(|| {
            let now = response.header("date").and_then(http_date);
            let now = now.unwrap_or_else(|| self.jobs.client().clock().now());
            // The header has whole seconds only.
            now.saturating_add(SignedDuration::from_secs(1))
                .unwrap_or(Timestamp::MAX)
        });
        let place = if searching {
            Place::Searching(VecDeque::with_capacity(self.window.len()))
        } else {
            // The first events of a tail are new, whatever their number in the log.
            Place::At(0)
        };
        debug!(job_id = %self.id, handled = self.handled, last, "log connection open");
        let events = Box::pin(response.into_events());
        Ok(Connection {
            events,
            place,
            last,
            quiet: self.options.quiet,
            until,
        })
    }

    /// Gives an event as a line, unless it was given before or is not to be shown.
    fn take(&mut self, event: SseEvent) -> Option<LogLine> {
        let connection = self.connection.as_mut()?;
        if event.event.is_some() {
            // Lines come unnamed; what a name means here is not known.
            return None;
        }
        match &mut connection.place {
            Place::At(number) => {
                *number += 1;
                if *number <= self.handled {
                    return None;
                }
            }
            Place::Searching(seen) => {
                if seen.len() == self.window.len() {
                    seen.pop_front();
                }
                seen.push_back(event);
                if *seen == self.window {
                    connection.place = Place::At(self.handled);
                }
                return None;
            }
        }
        let line = read_line(&event, self.handled);
        if connection
            .until
            .is_some_and(|until| line.timestamp.is_some_and(|written| written > until))
        {
            self.done = true;
            return None;
        }
        if self.options.tail.is_some() {
            if self.window.len() == WINDOW {
                self.window.pop_front();
            }
            self.window.push_back(event);
        }
        self.handled += 1;
        self.failures = 0;
        self.idle_rounds = 0;
        connection.quiet = self.options.quiet;
        let hidden = line.index == 0 && !self.options.heading && line.text.starts_with(HEADING);
        (!hidden).then_some(line)
    }

    /// Whether the open connection has shown everything that was given before.
    fn caught_up(&self) -> bool {
        match self.connection.as_ref().map(|connection| &connection.place) {
            Some(Place::At(number)) => *number >= self.handled,
            Some(Place::Searching(_)) | None => false,
        }
    }

    fn finish(&mut self) -> Result<(), HfError> {
        self.done = true;
        if self.caught_up() {
            return Ok(());
        }
        Err(HfError::decode(
            format!("the log of job {}", self.id),
            "the Hub's log is shorter than what it sent before, so new lines can not be told from old ones",
        ))
    }

    async fn after_quiet(&mut self) -> Result<(), HfError> {
        if self.caught_up() {
            // It stays open and has shown all it had, so it is in good order.
            self.failures = 0;
        }
        match self.is_over().await {
            Ok(true) => {
                // Lines may have been lost on a connection that died in silence; one more reading tells.
                self.connection = None;
                Ok(())
            }
            Ok(false) => {
                if let Some(connection) = &mut self.connection {
                    connection.quiet = (connection.quiet * 2).min(SLOWEST_LOOK.max(self.options.quiet));
                }
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn after_end(&mut self) -> Result<(), HfError> {
        self.connection = None;
        match self.is_over().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let wait = pause(self.idle_rounds);
                self.idle_rounds += 1;
                self.jobs.client().clock().sleep(wait).await;
                Ok(())
            }
            Err(error) => self.failed(error).await,
        }
    }

    async fn is_over(&mut self) -> Result<bool, HfError> {
        if self.jobs.get_job_status(&self.id).await?.stage.is_terminal() {
            self.over = Over::Yes;
        }
        Ok(self.over == Over::Yes)
    }

    /// Waits before another try, or gives the error back when there is to be none.
    async fn failed(&mut self, error: HfError) -> Result<(), HfError> {
        self.failures += 1;
        if !error.is_transient() || self.failures > self.options.max_failures {
            return Err(error);
        }
        let asked = match &error {
            HfError::RateLimited {
                retry_after: Some(asked),
                ..
            } => *asked,
            _ => Duration::ZERO,
        };
        let client = self.jobs.client();
        let wait = client.backoff(self.failures).max(asked);
        warn!(job_id = %self.id, %error, failures = self.failures, "the log broke off; opening it again");
        client.clock().sleep(wait).await;
        Ok(())
    }
}

/// Reads an event's JSON; what is none is taken as the line itself.
fn read_line(event: &SseEvent, index: u64) -> LogLine {
    #[derive(Deserialize)]
    struct Wire {
        data: String,
        #[serde(default, deserialize_with = "crate::lenient::or_default")]
        timestamp: Option<Timestamp>,
    }
    match serde_json::from_str(&event.data) {
        Ok(Wire { data, timestamp }) => LogLine {
            index,
            timestamp,
            text: data,
        },
        Err(_) => LogLine {
            index,
            timestamp: None,
            text: event.data.clone(),
        },
    }
}

/// Reads a `Date` header.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
}
