//! Follows many files and tells what is new in their sessions.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::file::{Found, Live, Reading, read_new, stamp_of};
use super::state::{FileState, ImportState, SessionState};
use crate::discover::SessionFile;
use crate::error::TracesError;
use crate::import::{ImportOptions, ImportProgress, in_order};
use crate::importers::{FileOutcome, Parsed};
use crate::model::{Message, Trace};
use crate::report::{Problem, SessionSummary};
use crate::settle::Settler;

/// What is new in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionUpdate {
    /// The session as it is now, from its beginning.
    pub trace: Trace,
    /// Whether the session was not known before.
    pub is_new: bool,
    /// The first new message; a message's place in its session never changes.
    pub first_new: usize,
    /// Earlier messages that changed: they got more content, or the person went back behind them.
    pub changed: Vec<usize>,
}

/// What [`SessionFollower::poll`] tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FollowEvent {
    /// A session is new or has something new in it.
    Session(Box<SessionUpdate>),
    /// A file was replaced or written anew; what it holds now is told as if it were new.
    Rewritten {
        /// The file.
        file: PathBuf,
    },
    /// Something could not be taken as it is.
    Problem(Problem),
    /// A file was finished.
    Progress(ImportProgress),
}

/// What a poll found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowSummary {
    /// Files looked at.
    pub files: u64,
    /// Files that had not changed.
    pub files_unchanged: u64,
    /// Files that were not known before.
    pub files_new: u64,
    /// Files that grew.
    pub files_grown: u64,
    /// Files that were replaced or written anew.
    pub files_rewritten: u64,
    /// Bytes of lines read for the first time, after decompression.
    pub bytes_new: u64,
    /// Sessions that are new.
    pub sessions_new: u64,
    /// Known sessions with something new in them.
    pub sessions_changed: u64,
    /// New messages, copies not counted.
    pub messages_new: u64,
    /// Whether the receiver stopped the poll before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

/// Follows session files over time.
///
/// Each [`poll`](Self::poll) looks at the files it is given and reads what is new in them: a log of lines from the end
/// of the last whole line on, anything else (a compressed log, one JSON object, a store) anew. A half last line waits for
/// its end. In one process only the new lines are read (and the edges of the known part, to see that it is the same file); the
/// first time a file has grown after a restart, its known part is read once more, to compare its hash and to know what the
/// new lines refer to.
pub struct SessionFollower {
    options: ImportOptions,
    state: ImportState,
    settler: Settler,
    /// The numbers of the known sessions, by file and place in it.
    owners: HashMap<(String, usize), u32>,
    live: HashMap<String, Live>,
    keep: usize,
}

impl SessionFollower {
    /// Goes on from a state; `keep` files, those that changed last, are held in memory so that only their new lines are read.
    pub fn new(options: ImportOptions, state: ImportState, keep: usize) -> Self {
        let mut settler = Settler::default();
        let mut owners = HashMap::new();
        for (key, file) in &state.files {
            for (place, session) in file.sessions.iter().enumerate() {
                let owner = settler.add_session(&session.summary.session_id);
                settler.restore(owner, &session.records, &session.usage);
                owners.insert((key.clone(), place), owner);
            }
        }
        Self {
            options,
            state,
            settler,
            owners,
            live: HashMap::new(),
            keep,
        }
    }

    /// What is to be kept for the next time.
    pub fn state(&self) -> &ImportState {
        &self.state
    }

    /// Looks at the files once, in their order, and tells what is new.
    ///
    /// # Errors
    ///
    /// [`TracesError::InvalidOption`] when an option is zero. A file that cannot be read is a [`Problem`], not an error.
    pub fn poll(
        &mut self,
        files: &[SessionFile],
        sink: &mut dyn FnMut(FollowEvent) -> ControlFlow<()>,
    ) -> Result<FollowSummary, TracesError> {
        self.options.check()?;
        let mut summary = FollowSummary {
            files: files.len() as u64,
            ..FollowSummary::default()
        };
        let changed: Vec<&SessionFile> = files
            .iter()
            .filter(|file| {
                let known = self.state.files.get(&key_of(file)).map(|known| known.stamp);
                known.is_none() || stamp_of(file).ok() != known
            })
            .collect();
        summary.files_unchanged = summary.files - changed.len() as u64;
        let kept = self.most_recent(&changed);
        let jobs: Vec<Mutex<Option<Live>>> = changed
            .iter()
            .map(|file| Mutex::new(self.live.remove(&key_of(file))))
            .collect();
        let (state, options) = (&self.state, &self.options);
        let work = |n: usize| {
            let file = changed[n];
            let key = key_of(file);
            let live = jobs[n].lock().unwrap_or_else(PoisonError::into_inner).take();
            read_new(file, state.files.get(&key), live, kept.contains(&key), options)
        };
        let threads = options.threads.or_else(|| thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        let mut progress = Progress::new(&changed);
        let mut taken = Vec::new();
        let Self { settler, owners, .. } = self;
        let flow = in_order(changed.len(), threads, &work, &mut |n, reading| {
            let file = changed[n];
            let known = state.files.get(&key_of(file));
            let mut taker = Taker {
                settler,
                owners,
                sink,
                summary: &mut summary,
            };
            let (file_state, live, flow) = taker.take(file, known, reading);
            // What was not told to its end is not taken, and comes again.
            flow?;
            taken.push((key_of(file), file_state, live));
            sink(progress.next(file))
        });
        summary.stopped = flow.is_break();
        for (key, file_state, live) in taken {
            self.state.files.insert(key.clone(), file_state);
            if let Some(live) = live {
                self.live.insert(key, live);
            }
        }
        self.forget_old(files);
        Ok(summary)
    }

    /// Which of the files to hold in memory.
    fn most_recent(&self, files: &[&SessionFile]) -> HashSet<String> {
        let mut by_time: Vec<_> = files
            .iter()
            .map(|file| {
                let modified = std::fs::metadata(&file.path).and_then(|meta| meta.modified());
                (modified.ok(), key_of(file))
            })
            .collect();
        by_time.sort_by(|a, b| b.cmp(a));
        by_time.into_iter().take(self.keep).map(|(_, key)| key).collect()
    }

    /// Lets go of files beyond the number held in memory.
    fn forget_old(&mut self, files: &[SessionFile]) {
        if self.live.len() <= self.keep {
            return;
        }
        let held: Vec<&SessionFile> = files
            .iter()
            .filter(|file| self.live.contains_key(&key_of(file)))
            .collect();
        let kept = self.most_recent(&held);
        self.live.retain(|key, _| kept.contains(key));
    }
}

fn key_of(file: &SessionFile) -> String {
    match &file.session_id {
        Some(session) => format!("{}#{session}", file.path.display()),
        None => file.path.display().to_string(),
    }
}

struct Progress {
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
}

impl Progress {
    fn new(files: &[&SessionFile]) -> Self {
        Self {
            files_done: 0,
            files_total: files.len() as u64,
            bytes_done: 0,
            bytes_total: files.iter().map(|file| file.size_bytes).sum(),
        }
    }

    fn next(&mut self, file: &SessionFile) -> FollowEvent {
        self.files_done += 1;
        self.bytes_done += file.size_bytes;
        FollowEvent::Progress(ImportProgress {
            files_done: self.files_done,
            files_total: self.files_total,
            bytes_done: self.bytes_done,
            bytes_total: self.bytes_total,
            file: file.path.clone(),
        })
    }
}

/// Settles what one file gave and tells it.
struct Taker<'a> {
    settler: &'a mut Settler,
    owners: &'a mut HashMap<(String, usize), u32>,
    sink: &'a mut dyn FnMut(FollowEvent) -> ControlFlow<()>,
    summary: &'a mut FollowSummary,
}

impl Taker<'_> {
    fn take(
        &mut self,
        file: &SessionFile,
        known: Option<&FileState>,
        reading: Reading,
    ) -> (FileState, Option<Live>, ControlFlow<()>) {
        let Reading {
            found,
            outcome,
            mut state,
            live,
        } = reading;
        let known = known.filter(|_| found != Found::Rewritten);
        let before = known.map_or(0, |known| known.read_bytes);
        self.summary.bytes_new += if state.read_bytes > 0 {
            state.read_bytes.saturating_sub(before)
        } else {
            outcome.bytes
        };
        match found {
            Found::New => self.summary.files_new += 1,
            Found::Grown => self.summary.files_grown += 1,
            Found::Rewritten => self.summary.files_rewritten += 1,
        }
        let flow = self.tell(file, known, outcome, found, &mut state);
        (state, live, flow)
    }

    fn tell(
        &mut self,
        file: &SessionFile,
        known: Option<&FileState>,
        outcome: FileOutcome,
        found: Found,
        state: &mut FileState,
    ) -> ControlFlow<()> {
        let mut updates = Vec::new();
        for (place, parsed) in outcome.traces.into_iter().enumerate() {
            let old = known.and_then(|known| known.sessions.get(place));
            let (session, update) = self.session(file, place, old, parsed);
            state.sessions.push(session);
            updates.extend(update);
        }
        if found == Found::Rewritten {
            (self.sink)(FollowEvent::Rewritten {
                file: file.path.clone(),
            })?;
        }
        for problem in outcome.problems {
            // A file that only begins is not a problem yet.
            if state.read_bytes > 0 || problem.line.is_some() || found != Found::Grown {
                (self.sink)(FollowEvent::Problem(problem))?;
            }
        }
        for update in updates {
            (self.sink)(FollowEvent::Session(Box::new(update)))?;
        }
        ControlFlow::Continue(())
    }

    fn session(
        &mut self,
        file: &SessionFile,
        place: usize,
        old: Option<&SessionState>,
        parsed: Parsed,
    ) -> (SessionState, Option<SessionUpdate>) {
        let records = parsed.records.iter().map(|record| record.own).collect();
        let usage = parsed.usage.iter().filter_map(|entry| entry.key).collect();
        let owner = *self
            .owners
            .entry((key_of(file), place))
            .or_insert_with(|| self.settler.add_session(&parsed.trace.session_id));
        let trace = self.settler.settle(parsed, owner);
        let messages: Vec<u64> = trace.messages.iter().map(fingerprint).collect();
        let before = old.map(|old| old.messages.as_slice()).unwrap_or_default();
        let first_new = before.len().min(messages.len());
        let changed: Vec<usize> = (0..first_new).filter(|&n| before[n] != messages[n]).collect();
        let summary = SessionSummary::from(&trace);
        let has_news = old.is_none_or(|old| {
            old.summary != summary || !changed.is_empty() || messages.len() != before.len()
        });
        if has_news {
            match old {
                None => self.summary.sessions_new += 1,
                Some(_) => self.summary.sessions_changed += 1,
            }
            let new = trace.messages[first_new..].iter();
            self.summary.messages_new += new.filter(|message| !message.copied).count() as u64;
        }
        let state = SessionState {
            summary,
            messages,
            records,
            usage,
        };
        let update = has_news.then(|| SessionUpdate {
            trace,
            is_new: old.is_none(),
            first_new,
            changed,
        });
        (state, update)
    }
}

/// A hash of all that can change in a message.
fn fingerprint(message: &Message) -> u64 {
    let mut hash = Xxh3::new();
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    add(message.kind.as_str());
    add(&message.text);
    add(message.thinking.as_deref().unwrap_or_default());
    for call in &message.tool_calls {
        add(&call.id);
        add(&call.name);
        add(call.arguments.get());
    }
    if let Some(result) = &message.tool_result {
        add(&result.tool_call_id);
        add(&result.content);
        hash.update(&[u8::from(result.is_error)]);
        hash.update(&result.exit_status.unwrap_or(i32::MIN).to_le_bytes());
    }
    hash.update(&[u8::from(message.copied), u8::from(message.rewound)]);
    hash.digest()
}
