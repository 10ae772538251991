//! Decisions as somebody looks through them: which ones, and how far back is read for that.

use serde::{Deserialize, Serialize};

use super::decision::{DecisionId, DecisionRecord};
use super::features::TaskKind;
use super::store::{DecisionFilter, RouteStore};
use crate::store::StoreError;

/// Decisions that are read for one page at most, however few of them fit.
pub const MOST_READ: usize = 5000;
/// Decisions that are read at once.
const CHUNK: usize = 500;
/// What stands for the strategy of a call whose model was named by its caller.
pub const NAMED: &str = "named";

/// How a call ended, for whoever looks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionState {
    /// The first model that was asked gave the answer.
    Answered,
    /// An answer was given by a later one, because an earlier one was not sure.
    Escalated,
    /// No whole answer was given.
    Failed,
}

/// What was found of an answer, for whoever looks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictIs {
    /// It was right.
    Good,
    /// It was wrong.
    Bad,
    /// Nobody said.
    None,
}

impl DecisionRecord {
    /// How it ended.
    pub fn state(&self) -> DecisionState {
        match (self.succeeded, self.is_escalated()) {
            (false, _) => DecisionState::Failed,
            (true, true) => DecisionState::Escalated,
            (true, false) => DecisionState::Answered,
        }
    }

    /// The word of its strategy, or [`NAMED`].
    pub fn strategy_word(&self) -> &'static str {
        self.strategy.map_or(NAMED, |strategy| strategy.as_str())
    }

    /// What was found of its answer.
    pub fn verdict(&self) -> VerdictIs {
        match &self.outcome {
            None => VerdictIs::None,
            Some(outcome) if outcome.good => VerdictIs::Good,
            Some(_) => VerdictIs::Bad,
        }
    }
}

/// Which decisions somebody looks for. What is none is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionQuery {
    /// What the store itself can tell apart.
    pub filter: DecisionFilter,
    /// The kind of the task.
    pub kind: Option<TaskKind>,
    /// A model that was asked.
    pub model: Option<String>,
    /// The word of a strategy, or [`NAMED`].
    pub strategy: Option<String>,
    /// How it ended.
    pub state: Option<DecisionState>,
    /// What was found of its answer.
    pub verdict: Option<VerdictIs>,
}

impl DecisionQuery {
    fn is_plain(&self) -> bool {
        let Self {
            filter: _,
            kind,
            model,
            strategy,
            state,
            verdict,
        } = self;
        kind.is_none() && model.is_none() && strategy.is_none() && state.is_none() && verdict.is_none()
    }

    fn fits(&self, record: &DecisionRecord) -> bool {
        self.kind.is_none_or(|kind| kind == record.features.kind)
            && self
                .model
                .as_ref()
                .is_none_or(|model| record.tries.iter().any(|one| one.model == *model))
            && self
                .strategy
                .as_ref()
                .is_none_or(|word| word == record.strategy_word())
            && self.state.is_none_or(|state| state == record.state())
            && self.verdict.is_none_or(|verdict| verdict == record.verdict())
    }

    /// What the store is asked for: a verdict can only be found where there is one.
    fn at_the_store(&self) -> DecisionFilter {
        let wants_verdict = matches!(self.verdict, Some(VerdictIs::Good | VerdictIs::Bad));
        DecisionFilter {
            judged: self.filter.judged || wants_verdict,
            ..self.filter.clone()
        }
    }
}

/// A page of decisions, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecisionPage {
    /// Those that fit; perhaps fewer than were asked for, though there are more.
    pub records: Vec<DecisionRecord>,
    /// What to go on before; none when everything was looked at.
    pub next: Option<DecisionId>,
}

/// Looks for decisions made before `before`, newest first. It reads [`MOST_READ`] of them at most, and says where to go on.
///
/// # Errors
/// [`StoreError::Backend`] or [`StoreError::BadData`].
pub async fn browse(
    store: &dyn RouteStore,
    query: &DecisionQuery,
    before: Option<DecisionId>,
    limit: usize,
) -> Result<DecisionPage, StoreError> {
    let filter = query.at_the_store();
    let (mut page, mut before, mut read) = (DecisionPage::default(), before, 0);
    loop {
        let wanted = if query.is_plain() { limit + 1 } else { CHUNK }.min(MOST_READ - read);
        let chunk = store.list_decisions(&filter, before, count(wanted)).await?;
        let is_last = chunk.len() < wanted;
        read += chunk.len();
        for record in chunk {
            let id = record.id;
            if query.fits(&record) {
                if page.records.len() == limit {
                    page.next = before;
                    return Ok(page);
                }
                page.records.push(record);
            }
            before = Some(id);
        }
        if is_last {
            return Ok(page);
        }
        if read >= MOST_READ {
            page.next = before;
            return Ok(page);
        }
    }
}

/// The newest decisions, `most` at most.
///
/// # Errors
/// [`StoreError::Backend`] or [`StoreError::BadData`].
pub async fn newest(
    store: &dyn RouteStore,
    filter: &DecisionFilter,
    most: usize,
) -> Result<Vec<DecisionRecord>, StoreError> {
    let mut all: Vec<DecisionRecord> = Vec::new();
    while all.len() < most {
        let wanted = CHUNK.min(most - all.len());
        let before = all.last().map(|record| record.id);
        let chunk = store.list_decisions(filter, before, count(wanted)).await?;
        let is_last = chunk.len() < wanted;
        all.extend(chunk);
        if is_last {
            break;
        }
    }
    Ok(all)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::sums::tests::{escalated, judged, record};
    use super::super::{MemoryRoutes, RouteStore};
    use super::*;

    async fn store(records: Vec<DecisionRecord>) -> MemoryRoutes {
        let store = MemoryRoutes::default();
        let all: Vec<_> = records.into_iter().map(|record| (record, None)).collect();
        store.add_decisions(&all).await.unwrap();
        store
    }

    fn ids(page: &DecisionPage) -> Vec<DecisionId> {
        page.records.iter().map(|record| record.id).collect()
    }

    #[tokio::test]
    async fn pages_of_what_fits_leave_nothing_out_and_show_nothing_twice() {
        let mut all = Vec::new();
        for at in 0..1300 {
            let one = record(at);
            all.push(if at % 7 == 0 { escalated(one) } else { one });
        }
        let wanted: Vec<DecisionId> = all
            .iter()
            .rev()
            .filter(|it| it.state() == DecisionState::Escalated)
            .map(|it| it.id)
            .collect();
        let store = store(all).await;
        let query = DecisionQuery {
            state: Some(DecisionState::Escalated),
            ..DecisionQuery::default()
        };
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = browse(&store, &query, before, 50).await.unwrap();
            assert!(page.records.len() <= 50);
            seen.extend(ids(&page));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, wanted);
    }

    #[tokio::test]
    async fn a_page_without_conditions_ends_where_the_next_begins() {
        let store = store((0..5).map(record).collect()).await;
        let query = DecisionQuery::default();
        let first = browse(&store, &query, None, 3).await.unwrap();
        assert_eq!(
            (first.records.len(), first.next),
            (3, first.records.last().map(|it| it.id))
        );
        let second = browse(&store, &query, first.next, 3).await.unwrap();
        assert_eq!((second.records.len(), second.next), (2, None));
        assert_eq!(
            newest(&store, &DecisionFilter::default(), 4).await.unwrap().len(),
            4
        );
    }

    #[tokio::test]
    async fn each_condition_counts() {
        let good = judged(record(1), true);
        let bad = judged(escalated(record(2)), false);
        let mut named = record(3);
        named.strategy = None;
        let mut failed = record(4);
        failed.succeeded = false;
        let store = store(vec![good.clone(), bad.clone(), named.clone(), failed.clone()]).await;
        let found = async |query: DecisionQuery| ids(&browse(&store, &query, None, 10).await.unwrap());
        let any = DecisionQuery::default;
        let verdict = |verdict| DecisionQuery {
            verdict: Some(verdict),
            ..any()
        };
        assert_eq!(found(verdict(VerdictIs::Good)).await, [good.id]);
        assert_eq!(found(verdict(VerdictIs::Bad)).await, [bad.id]);
        assert_eq!(found(verdict(VerdictIs::None)).await, [failed.id, named.id]);
        let strategy = DecisionQuery {
            strategy: Some(NAMED.to_owned()),
            ..any()
        };
        assert_eq!(found(strategy).await, [named.id]);
        let model = DecisionQuery {
            model: Some("big".to_owned()),
            ..any()
        };
        assert_eq!(found(model).await, [bad.id]);
        let state = DecisionQuery {
            state: Some(DecisionState::Failed),
            kind: Some(TaskKind::Chat),
            ..any()
        };
        assert_eq!(found(state).await, [failed.id]);
        let kind = DecisionQuery {
            kind: Some(TaskKind::Structured),
            ..any()
        };
        assert_eq!(found(kind).await, []);
    }
}
