//! The split stage: rows that stay, on the side of their group, in the files of their kind.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::BuildOptions;
use super::decide::{Decision, Reason};
use super::files::HashedFile;
use super::manifest::{RowSet, SplitFile};
use super::store::{RowInfo, Store};
use crate::columns::{DEFAULT_CONFIG, RowKind, Split, features};
use crate::error::TracesError;
use crate::examples::{Example, PreferenceRow};
use crate::report::bump;
use crate::split::{SplitGroup, SplitWarning, assign_groups};

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Divided {
    pub(super) sets: Vec<RowSet>,
    pub(super) groups: u64,
    pub(super) warning: Option<SplitWarning>,
    pub(super) agents: BTreeMap<String, u64>,
    pub(super) models: BTreeMap<String, u64>,
    pub(super) messages: u64,
    pub(super) tool_calls: u64,
    pub(super) truncated: u64,
}

/// Two rows of different sessions that answer the same prompt, one clearly better.
struct Paired {
    better: usize,
    worse: usize,
}

/// Writes the files of all kinds below `work`.
pub(super) fn divide(
    store: &mut Store,
    decisions: &[Decision],
    options: &BuildOptions,
    work: &Path,
) -> Result<Divided, TracesError> {
    let wanted = |kind: RowKind| options.rows.contains(&kind);
    let mut gone = vec![false; store.rows.len()];
    let mut repeated = vec![false; store.rows.len()];
    for decision in decisions {
        gone[decision.row] = true;
        if decision.reason == Reason::Contaminated {
            repeated[decision.row] = true;
        }
        if let (Reason::NearDuplicate | Reason::Duplicate, Some(of)) = (decision.reason, decision.of) {
            repeated[decision.row] = true;
            let (a, b) = (store.rows[decision.row].node, store.rows[of].node);
            store.groups.join(a as usize, b as usize);
        }
    }
    let pairs = if wanted(RowKind::Preference) {
        paired(store, &repeated, options.quality.min_preference_gap)
    } else {
        Vec::new()
    };
    for pair in &pairs {
        let (a, b) = (store.rows[pair.better].node, store.rows[pair.worse].node);
        store.groups.join(a as usize, b as usize);
        store.groups.add_row(a as usize);
    }
    for (row, gone) in store.rows.iter().zip(&gone) {
        if !gone && wanted(row.kind) {
            store.groups.add_row(row.node as usize);
        }
    }
    let (groups, group_of) = std::mem::take(&mut store.groups).finish();
    let (val, warning) = assign_groups(&groups, &options.split);
    let mut out = Divided {
        groups: groups.iter().filter(|g| g.rows > 0).count() as u64,
        warning,
        ..Divided::default()
    };
    for (place, &kind) in options.rows.iter().enumerate() {
        let main = place == 0;
        let folder = if main {
            String::new()
        } else {
            kind.as_str().to_owned()
        };
        let dir = work.join(&folder);
        fs::create_dir_all(&dir).map_err(|e| TracesError::io("creating", &dir, e))?;
        let mut sides = Sides {
            train: Side::create(&dir, Split::Train)?,
            val: Side::create(&dir, Split::Val)?,
            groups: &groups,
            group_of: &group_of,
            is_val: &val,
        };
        let mut bytes = Vec::new();
        for (row, gone) in store.rows.iter().zip(&gone) {
            if *gone || row.kind != kind {
                continue;
            }
            store.read(row, &mut bytes)?;
            sides.write(row, &bytes)?;
            out.count(store, row);
        }
        if kind == RowKind::Preference {
            for pair in &pairs {
                let row = preference(store, pair)?;
                let json = serde_json::to_vec(&row).map_err(TracesError::Encode)?;
                let info = store.rows[pair.better];
                sides.write(&info, &json)?;
                out.count(store, &info);
            }
        }
        out.sets.push(RowSet {
            kind,
            config: if main { DEFAULT_CONFIG } else { kind.as_str() }.to_owned(),
            splits: vec![sides.train.finish(&folder)?, sides.val.finish(&folder)?],
            features: features(kind),
        });
    }
    Ok(out)
}

impl Divided {
    fn count(&mut self, store: &Store, row: &RowInfo) {
        let (agent, model) = store.origin(row);
        bump(&mut self.agents, agent, 1);
        bump(&mut self.models, model, 1);
        self.messages += u64::from(row.messages);
        self.tool_calls += u64::from(row.tool_calls);
        self.truncated += u64::from(row.truncated);
    }

    /// Returns how many rows there are of all kinds.
    pub(super) fn rows(&self) -> u64 {
        self.sets
            .iter()
            .flat_map(|set| &set.splits)
            .map(|file| file.rows)
            .sum()
    }
}

struct Sides<'g> {
    train: Side,
    val: Side,
    groups: &'g [SplitGroup],
    group_of: &'g [usize],
    is_val: &'g [bool],
}

impl Sides<'_> {
    fn write(&mut self, row: &RowInfo, bytes: &[u8]) -> Result<(), TracesError> {
        let group = self
            .group_of
            .get(row.node as usize)
            .copied()
            .unwrap_or(self.groups.len());
        let is_val = self.is_val.get(group).copied().unwrap_or(false);
        let side = if is_val { &mut self.val } else { &mut self.train };
        side.groups.insert(group);
        side.file.row(bytes)
    }
}

struct Side {
    split: Split,
    file: HashedFile,
    groups: std::collections::HashSet<usize>,
}

impl Side {
    fn create(dir: &Path, split: Split) -> Result<Self, TracesError> {
        Ok(Self {
            split,
            file: HashedFile::create(&dir.join(split.file_name()))?,
            groups: std::collections::HashSet::new(),
        })
    }

    fn finish(self, folder: &str) -> Result<SplitFile, TracesError> {
        self.file.finish(self.split, folder, self.groups.len() as u64)
    }
}

/// Finds the best and the worst answer to each prompt that several sessions were given.
fn paired(store: &Store, repeated: &[bool], gap: f64) -> Vec<Paired> {
    let mut by_prompt: HashMap<u64, Vec<usize>> = HashMap::new();
    for (n, row) in store.rows.iter().enumerate() {
        if row.kind == RowKind::Sft && row.prompt != 0 && !repeated[n] {
            by_prompt.entry(row.prompt).or_default().push(n);
        }
    }
    let mut pairs = Vec::new();
    for rows in by_prompt.into_values().filter(|rows| rows.len() > 1) {
        let score = |n: usize| f64::from(store.rows[n].score);
        let better = rows
            .iter()
            .copied()
            .reduce(|a, b| if score(b) > score(a) { b } else { a });
        let worse = rows
            .iter()
            .copied()
            .reduce(|a, b| if score(b) < score(a) { b } else { a });
        if let (Some(better), Some(worse)) = (better, worse)
            && score(better) - score(worse) >= gap
            && store.rows[better].session != store.rows[worse].session
        {
            pairs.push(Paired { better, worse });
        }
    }
    pairs.sort_unstable_by_key(|pair| (pair.better, pair.worse));
    pairs
}

fn preference(store: &Store, pair: &Paired) -> Result<PreferenceRow, TracesError> {
    let read = |n: usize| -> Result<Example, TracesError> {
        let mut bytes = Vec::new();
        store.read(&store.rows[n], &mut bytes)?;
        serde_json::from_slice(&bytes).map_err(TracesError::Encode)
    };
    let (mut better, mut worse) = (read(pair.better)?, read(pair.worse)?);
    let completion = |row: &mut Example| row.messages.split_off(1.min(row.messages.len()));
    let (chosen, rejected) = (completion(&mut better), completion(&mut worse));
    better.metadata.example_id.push_str("-paired");
    Ok(PreferenceRow {
        prompt: better.messages,
        chosen,
        rejected,
        tools: better.tools,
        metadata: better.metadata,
    })
}
