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

use super::{LogItem, LogLine, LogOptions};
use crate::follow::{LogCursor, chain, no_lines, print};
use crate::runner::{HfJobRunner, pause};

/// How the Hub's own first line begins.
const HEADING: &str = "===== Job started";
/// The longest time between two looks at a silent job.
const SLOWEST_LOOK: Duration = Duration::from_secs(30);

pub(super) struct Follower {
    jobs: HfJobRunner,
    id: JobId,
    options: LogOptions,
    /// The events of the log (or of the tail) that were given or hidden so far.
    cursor: LogCursor,
    /// The Hub's log does not begin where it once did, so the place is searched for in each replay.
    rotated: bool,
    /// That was said.
    rotation_told: bool,
    /// Found, and not given yet.
    pending: VecDeque<LogItem>,
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
    /// At the event of this number, after events with this print; those the cursor knows were given already.
    At { number: u64, digest: u64 },
    /// Somewhere before the end of the cursor's window.
    Searching {
        /// The prints of the last events.
        seen: VecDeque<u64>,
        /// The first events, as many as the window has.
        head: Vec<LogLine>,
        /// How many there were.
        count: u64,
    },
    /// Behind what is known.
    New,
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
            cursor: options
                .after
                .clone()
                .unwrap_or_else(|| LogCursor::unseen(options.skip)),
            rotated: false,
            rotation_told: false,
            pending: VecDeque::new(),
            options,
            failures: 0,
            idle_rounds: 0,
            over: Over::No,
            connection: None,
            done: false,
        }
    }

    /// The next item; none when the log is at its end.
    pub(super) async fn next(&mut self) -> Option<Result<LogItem, HfError>> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(Ok(item));
            }
            if self.done {
                return None;
            }
            match self.advance().await {
                Ok(()) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<(), HfError> {
        let clock = self.jobs.client().clock().clone();
        let Some(connection) = &mut self.connection else {
            match self.open().await {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => self.failed(error).await?,
            }
            return Ok(());
        };
        match connection.step(&*clock).await {
            Step::Event(event) => self.take(&event),
            Step::Failed(error) => {
                self.connection = None;
                self.failed(error).await?;
            }
            Step::Quiet | Step::End if connection.last => self.finish()?,
            Step::Quiet => self.after_quiet().await?,
            Step::End => self.after_end().await?,
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<Connection, HfError> {
        let path = format!("/api/jobs/{}/{}/logs", self.jobs.namespace(), self.id);
        // Retried here, where a failure is weighed against what the log brought.
        let mut spec = RequestSpec::get(path).for_events().no_retry();
        let searching = self.rotated || self.options.tail.is_some() && self.cursor.lines > 0;
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
            Place::Searching {
                seen: VecDeque::with_capacity(self.cursor.window.len()),
                head: Vec::new(),
                count: 0,
            }
        } else {
            // The first events of a tail are new, whatever their number in the log.
            Place::At {
                number: 0,
                digest: no_lines(),
            }
        };
        debug!(job_id = %self.id, handled = self.cursor.lines, last, "log connection open");
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
    fn take(&mut self, event: &SseEvent) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if event.event.is_some() {
            // Lines come unnamed; what a name means here is not known.
            return;
        }
        let line = read_line(event, self.cursor.lines);
        match &mut connection.place {
            Place::New => self.give(line),
            Place::At { number, digest } => {
                if *number == self.cursor.lines {
                    connection.place = Place::New;
                    return self.give(line);
                }
                let print = print(&line);
                let other_first = *number == 0 && self.cursor.first.is_some_and(|first| first != print);
                *digest = chain(*digest, print);
                *number += 1;
                let at_end = *number == self.cursor.lines;
                let other = at_end && self.cursor.digest.is_some_and(|known| known != *digest);
                if at_end && self.cursor.digest.is_none() {
                    self.cursor.digest = Some(*digest);
                }
                if other_first || other {
                    self.search();
                }
            }
            Place::Searching { seen, head, count } => {
                let (window, known) = (&self.cursor.window, self.cursor.window.len());
                *count += 1;
                if seen.len() == known {
                    seen.pop_front();
                }
                seen.push_back(print(&line));
                if seen == window {
                    return self.found(known);
                }
                if *count <= known as u64 {
                    head.push(line);
                }
                if *count == known as u64 && self.options.tail.is_none() {
                    self.match_head();
                }
            }
        }
    }

    /// The replay does not begin as the log once did: the place is searched for.
    fn search(&mut self) {
        warn!(job_id = %self.id, handled = self.cursor.lines, "the Hub's log does not begin where it did; searching for the place");
        self.rotated = true;
        self.connection = None;
    }

    /// The first events are all there will be for now: do they overlap with the last known lines?
    ///
    /// Only lines with a time are trusted: those of one moment with the same text are taken for the same line.
    fn match_head(&mut self) -> bool {
        let Some(Connection {
            place: Place::Searching { head, .. },
            ..
        }) = &self.connection
        else {
            return false;
        };
        if head.is_empty() || head.iter().any(|line| line.timestamp.is_none()) {
            return false;
        }
        let prints: Vec<u64> = head.iter().map(print).collect();
        let window = &self.cursor.window;
        let overlap = (1..=window.len().min(prints.len())).rev().find(|count| {
            window
                .iter()
                .skip(window.len() - count)
                .eq(prints.iter().take(*count))
        });
        if let Some(overlap) = overlap {
            self.found(overlap);
            return true;
        }
        if head.first().is_some_and(|line| line.timestamp > self.cursor.last) {
            warn!(job_id = %self.id, "lines of the log were dropped by the Hub before they were read");
            self.rotation_told = true;
            self.pending.push_back(LogItem::Rotated { lost: true });
            self.found(0);
            return true;
        }
        false
    }

    /// The first `overlap` events of the head are known, or all so far where it is as long as the window.
    fn found(&mut self, overlap: usize) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        let place = std::mem::replace(&mut connection.place, Place::New);
        let Place::Searching { mut head, .. } = place else {
            return;
        };
        if self.rotated && overlap > 0 && !std::mem::replace(&mut self.rotation_told, true) {
            self.pending.push_back(LogItem::Rotated { lost: false });
        }
        if overlap < self.cursor.window.len() {
            for line in head.drain(overlap..) {
                self.give(line);
            }
        }
    }

    fn give(&mut self, mut line: LogLine) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        let later = connection
            .until
            .is_some_and(|until| line.timestamp.is_some_and(|written| written > until));
        if later {
            self.done = true;
            return;
        }
        connection.quiet = self.options.quiet;
        line.index = self.cursor.lines;
        self.cursor.push(&line);
        self.failures = 0;
        self.idle_rounds = 0;
        let hidden = line.index == 0 && !self.options.heading && line.text.starts_with(HEADING);
        if !hidden {
            self.pending.push_back(LogItem::Line(line));
        }
    }

    /// Whether the open connection has shown everything that was given before.
    fn caught_up(&self) -> bool {
        match self.connection.as_ref().map(|connection| &connection.place) {
            Some(Place::At { number, .. }) => *number >= self.cursor.lines,
            Some(Place::New) => true,
            Some(Place::Searching { .. }) | None => false,
        }
    }

    fn finish(&mut self) -> Result<(), HfError> {
        if self.caught_up() || self.match_head() {
            self.done = true;
            return Ok(());
        }
        self.done = true;
        Err(HfError::decode(
            format!("the log of job {}", self.id),
            "the Hub's log is shorter than what it sent before, so new lines can not be told from old ones",
        ))
    }

    async fn after_quiet(&mut self) -> Result<(), HfError> {
        if self.caught_up() || self.match_head() {
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
