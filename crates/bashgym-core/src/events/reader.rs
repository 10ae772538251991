//! Reading the log with everything filled in that its events refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::facts::{JOB_LOG, JOB_METRICS, LineRange};
use super::{Event, EventLog, Topics};
use crate::store::{JobLine, JobLineStore, JobStream, StoreError};

/// How many lines one page of events may carry; a page ends early when it has that many.
const LINES_PER_PAGE: u64 = 4_000;

/// How many events are read at once when somebody looks back, and how often for one page.
const PART: u32 = 1_000;
const PARTS_LOOKED_AT: u32 = 20;

/// The events that a reader asks for are not all there any more: it reads anew what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Where it goes on from.
    pub newest: u64,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// The number up to which nothing more of the topics comes; where the next page begins.
    pub up_to: u64,
    /// Whether there was more than fits on the page.
    pub more: bool,
}

/// Reads events, with the lines of logs in them.
#[derive(Clone)]
pub struct EventReader {
    log: Arc<dyn EventLog>,
    lines: Arc<dyn JobLineStore>,
}

impl EventReader {
    /// Makes a reader of a log and of the lines that it refers to.
    pub fn new(log: Arc<dyn EventLog>, lines: Arc<dyn JobLineStore>) -> Self {
        Self { log, lines }
    }

    /// The log itself.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Reads the events of `topics` after number `after`, at most `limit`. [`Missed`] when some were dropped since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(
        &self,
        after: u64,
        topics: &Topics,
        limit: u32,
    ) -> Result<Result<LogPage, Missed>, StoreError> {
        let before = self.log.bounds().await?;
        if !before.reaches(after) {
            return Ok(Err(Missed {
                newest: before.newest,
            }));
        }
        let mut events = self.log.list(after, topics, limit).await?;
        // Asked again: what was dropped while the page was read is not in it.
        let now = self.log.bounds().await?;
        if !now.reaches(after) {
            return Ok(Err(Missed { newest: now.newest }));
        }
        let mut lines = 0;
        let mut more = events.len() >= limit as usize;
        if let Some(cut) = events.iter().position(|event| {
            let before = lines;
            lines += LineRange::of(event).map_or(0, |range| range.count());
            before > 0 && lines > LINES_PER_PAGE
        }) {
            events.truncate(cut);
            more = true;
        }
        self.fill(&mut events).await?;
        let last = events.last().map_or(after, |event| event.seq);
        let up_to = if more { last } else { last.max(before.newest) };
        Ok(Ok(LogPage { events, up_to, more }))
    }

    /// Reads the events of `topics` before number `before`, newest first, at most `limit`; without `progress`, those that
    /// only say that something goes on are left out. Lines are not filled in: whoever looks back reads them in their log.
    ///
    /// `up_to` is where the next page begins: its `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_back(
        &self,
        before: u64,
        topics: &Topics,
        limit: u32,
        progress: bool,
    ) -> Result<LogPage, StoreError> {
        let mut page = LogPage {
            up_to: before,
            ..LogPage::default()
        };
        // A log of lines alone is not gone through to its end for one page.
        for _ in 0..PARTS_LOOKED_AT {
            let found = self.log.list_back(page.up_to, topics, PART).await?;
            let last = found.len() < PART as usize;
            for event in found {
                page.up_to = event.seq;
                if progress || !event.is_progress() {
                    page.events.push(event);
                }
                if page.events.len() >= limit as usize {
                    page.more = true;
                    return Ok(page);
                }
            }
            if last {
                return Ok(page);
            }
        }
        page.more = true;
        Ok(page)
    }

    /// Puts the lines that events refer to into them. An event that refers to none stays as it is.
    ///
    /// # Shape
    /// `data` of `hf:job:log` becomes `{"job_id","from","to","lines":[{"n":5,"timestamp":"..","text":".."}]}`, that of
    /// `hf:job:metrics` `{"job_id","from","to","samples":[{"n":5,"timestamp":"..","metrics":{..}}]}`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn fill(&self, events: &mut [Event]) -> Result<(), StoreError> {
        // Ranges of one job follow each other, so that one look brings the lines of them all.
        let mut wanted: BTreeMap<(String, JobStream), (u64, u64)> = BTreeMap::new();
        for event in events.iter() {
            if let Some((stream, range)) = referred(event) {
                let (from, to) = wanted
                    .entry((range.job_id, stream))
                    .or_insert((range.from, range.to));
                (*from, *to) = (range.from.min(*from), range.to.max(*to));
            }
        }
        let mut kept: BTreeMap<(String, JobStream), Vec<JobLine>> = BTreeMap::new();
        for ((job_id, stream), (from, to)) in wanted {
            let limit = u32::try_from(to - from + 1).unwrap_or(u32::MAX);
            let lines = self
                .lines
                .list_job_lines(&job_id, stream, from - 1, limit)
                .await?;
            kept.insert((job_id, stream), lines);
        }
        for event in events {
            let Some((stream, range)) = referred(event) else {
                continue;
            };
            let (from, to) = (range.from, range.to);
            let lines = kept.get(&(range.job_id, stream)).map(Vec::as_slice);
            let lines = lines.unwrap_or_default();
            let first = lines.partition_point(|line| line.seq < from);
            let last = lines.partition_point(|line| line.seq <= to);
            let (list, content) = match stream {
                JobStream::Log => ("lines", "text"),
                JobStream::Metrics => ("samples", "metrics"),
            };
            let items = lines[first..last].iter().map(|line| item(line, content));
            event.data[list] = items.collect();
        }
        Ok(())
    }
}

/// The lines that an event refers to.
fn referred(event: &Event) -> Option<(JobStream, LineRange)> {
    let stream = match event.kind.as_str() {
        JOB_LOG => JobStream::Log,
        JOB_METRICS => JobStream::Metrics,
        _ => return None,
    };
    Some((stream, LineRange::of(event)?))
}

/// A kept line is `{"data":..,"timestamp":..}`; any other JSON, or text, is told as it is.
fn item(line: &JobLine, content: &str) -> Value {
    let mut value: Value =
        serde_json::from_str(&line.text).unwrap_or_else(|_| Value::from(line.text.as_str()));
    let timestamp = value.get_mut("timestamp").map(Value::take);
    let data = value.get_mut("data").map(Value::take);
    json!({ "n": line.seq, "timestamp": timestamp, content: data.unwrap_or(value) })
}
