//! Settles what takes all files together: which messages are copies, and which API answers were counted already.

use std::collections::HashMap;

use crate::importers::{Parsed, RecordKey};
use crate::model::{MessageKind, Role, Trace};
use crate::report::bump;

/// What was seen so far, and which session had it first.
#[derive(Debug, Default)]
pub(crate) struct Settler {
    records: HashMap<u64, u32>,
    usage: HashMap<u64, u32>,
    /// Ids of the sessions, by their number.
    sessions: Vec<String>,
}

impl Settler {
    /// Gives a session its number.
    pub(crate) fn add_session(&mut self, id: &str) -> u32 {
        self.sessions.push(id.to_owned());
        u32::try_from(self.sessions.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes what an earlier import saw of a session.
    pub(crate) fn restore(&mut self, owner: u32, records: &[u64], usage: &[u64]) {
        for &key in records {
            self.records.entry(key).or_insert(owner);
        }
        for &key in usage {
            self.usage.entry(key).or_insert(owner);
        }
    }

    /// Settles a trace. The same session may come again with more in it, under the same number.
    pub(crate) fn settle(&mut self, parsed: Parsed, owner: u32) -> Trace {
        let Parsed {
            mut trace,
            records,
            usage,
            thinking,
        } = parsed;
        self.mark_copies(&mut trace, &records, owner);
        for record in &records {
            self.records.entry(record.own).or_insert(owner);
        }
        let copied = |message: usize| trace.messages.get(message).is_some_and(|m| m.copied);
        for entry in usage {
            let counted = match entry.key {
                Some(key) => *self.usage.entry(key).or_insert(owner) == owner,
                None => !entry.message.is_some_and(copied),
            };
            if counted {
                trace.usage.add(entry.usage);
                trace.counts.api_calls += 1;
            }
        }
        trace.counts.thinking_blocks = thinking.iter().filter(|&&m| !copied(m)).count() as u64;
        for message in trace.messages.iter().filter(|m| !m.copied) {
            trace.counts.prompts += u64::from(message.kind == MessageKind::Prompt);
            trace.counts.tool_calls += message.tool_calls.len() as u64;
            trace.counts.tool_errors += u64::from(message.tool_result.as_ref().is_some_and(|r| r.is_error));
            if message.role == Role::User && message.kind != MessageKind::Prompt {
                bump(&mut trace.report.not_typed, message.kind.as_str(), 1);
            }
        }
        trace.report.copied_messages = trace.messages.iter().filter(|m| m.copied).count() as u64;
        trace
    }

    /// A message is a copy when every record behind it was seen in another trace before.
    fn mark_copies(&self, trace: &mut Trace, records: &[RecordKey], owner: u32) {
        let mut origin: Vec<Option<bool>> = vec![None; trace.messages.len()];
        for record in records {
            let first = self.records.get(&record.copy_of).filter(|&&first| first != owner);
            if let Some(state) = origin.get_mut(record.message) {
                *state = Some(state.unwrap_or(true) && first.is_some());
            }
            if let Some(id) = first.and_then(|&n| self.sessions.get(n as usize))
                && *id != trace.session_id
            {
                trace.related_session_ids.insert(id.clone());
            }
        }
        for (message, state) in trace.messages.iter_mut().zip(origin) {
            message.copied = state == Some(true);
        }
    }
}
