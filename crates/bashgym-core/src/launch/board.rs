//! The jobs of a namespace, answered from what is kept of them and brought to date beside that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, StreamExt, TryStreamExt};
use hf_core::{Clock, HfError, JobId, scrub_secrets};
use hf_jobs::{HfJobRunner, JobFilter, JobInfo, JobStage};
use jiff::Timestamp;

use crate::run::Target;
use crate::store::{JobLook, SeenJobFilter, SeenJobStore, StoreError};

/// How many jobs are kept at once.
const CHUNK: usize = 200;
/// How many new jobs one look takes in before it reads the whole list instead.
const MOST_NEW: usize = 1000;
/// How many known jobs in a row end a look: jobs that were made at once may be listed in another order.
const KNOWN_IN_A_ROW: usize = 20;
/// How many open jobs are asked for one by one; more are listed.
const ONE_BY_ONE: usize = 4;
/// Requests at once.
const AT_ONCE: usize = 8;

/// How old an answer may be, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct BoardPolicy {
    /// For how long the Hub is not asked again.
    pub fresh: Duration,
    /// How long an answer waits for the Hub before it is made of what is kept.
    pub patience: Duration,
    /// For how long a Hub that failed is not asked again.
    pub rest: Duration,
    /// After what time the list is read to its end once more, to see what was removed.
    pub whole: Duration,
}

impl Default for BoardPolicy {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(2),
            patience: Duration::from_millis(500),
            rest: Duration::from_secs(5),
            whole: Duration::from_hours(1),
        }
    }
}

/// That an answer is older than it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// When what it says was seen.
    pub seen_at: Timestamp,
    /// Why it is not newer.
    pub why: String,
}

/// Jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardPage {
    /// The jobs.
    pub jobs: Vec<JobInfo>,
    /// Where they are older than they should be.
    pub stale: Option<Stale>,
}

/// Why jobs cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// Nothing is kept yet, and the Hub does not tell.
    #[error(transparent)]
    Hub(#[from] HfError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Look = Shared<BoxFuture<'static, Result<(), String>>>;

/// What is known of a namespace's looks in this process.
#[derive(Default)]
struct Looks {
    at_work: Option<Look>,
    /// When the last one failed, and why.
    failed: Option<(Duration, String)>,
}

/// The jobs of namespaces. Cloning is cheap; at most one look at a namespace is at work.
#[derive(Clone)]
pub struct JobBoard {
    store: Arc<dyn SeenJobStore>,
    clock: Arc<dyn Clock>,
    policy: BoardPolicy,
    looks: Arc<Mutex<HashMap<(String, String), Looks>>>,
}

impl JobBoard {
    /// Makes a board.
    pub fn new(store: Arc<dyn SeenJobStore>, clock: Arc<dyn Clock>, policy: BoardPolicy) -> Self {
        Self {
            store,
            clock,
            policy,
            looks: Arc::default(),
        }
    }

    /// Jobs of the namespace `of`, newest first, those after the job `after` if one is given.
    ///
    /// An answer is at most [`BoardPolicy::fresh`] old while the Hub answers within [`BoardPolicy::patience`]; else it says how
    /// old it is and why. Before the list was read to its end for the first time, it is the Hub's own answer.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn list(
        &self,
        runner: &HfJobRunner,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
    ) -> Result<BoardPage, BoardError> {
        let before = self.store.find_job_look(of).await?;
        let why = self.bring_to_date(runner, of, before.as_ref()).await;
        if let Some(page) = self.kept(of, filter, after, limit, why).await? {
            return Ok(page);
        }
        let jobs = ask(runner, filter, after, limit).await?;
        Ok(BoardPage { jobs, stale: None })
    }

    /// The same from what is kept alone, for when nobody can connect; none when the list was never read to its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_kept(
        &self,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
        why: String,
    ) -> Result<Option<BoardPage>, StoreError> {
        self.kept(of, filter, after, limit, Some(why)).await
    }

    /// What is kept, and why it is older than it should be, if it is.
    async fn kept(
        &self,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
        why: Option<String>,
    ) -> Result<Option<BoardPage>, StoreError> {
        let Some(look) = self.store.find_job_look(of).await? else {
            return Ok(None);
        };
        let jobs = self.store.list_seen_jobs(of, filter, after, limit).await?;
        let seen_at = look.at;
        let stale = why.map(|why| Stale { seen_at, why });
        Ok(Some(BoardPage { jobs, stale }))
    }

    /// Takes in a job that was started, changed or looked at, so that the next list has it as it is now. Where that fails,
    /// the next look takes it in.
    pub async fn note(&self, of: &Target, job: &JobInfo) {
        let jobs = [without_tokens(job)];
        if let Err(error) = self.store.keep_seen_jobs(of, &jobs, self.clock.now()).await {
            tracing::warn!(%error, "a job could not be noted");
        }
    }

    /// Looks at the Hub if it is time to; returns why what is kept is older than it should be, if it is.
    async fn bring_to_date(
        &self,
        runner: &HfJobRunner,
        of: &Target,
        before: Option<&JobLook>,
    ) -> Option<String> {
        if before.is_some_and(|look| self.is_younger(look.at, self.policy.fresh)) {
            return None;
        }
        if let Some(why) = self.resting(of) {
            return Some(why);
        }
        let look = self.look(runner, of);
        let patience = self.clock.sleep(self.policy.patience);
        tokio::select! {
            looked = look => looked.err(),
            () = patience => Some("the Hub has not answered yet".to_owned()),
        }
    }

    /// Whether `then` is no longer ago than `span`; a clock that was set back makes it old.
    fn is_younger(&self, then: Timestamp, span: Duration) -> bool {
        Duration::try_from(self.clock.now().duration_since(then)).is_ok_and(|age| age < span)
    }

    fn with<T>(&self, of: &Target, work: impl FnOnce(&mut Looks) -> T) -> T {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        work(looks.entry((of.hub.clone(), of.namespace.clone())).or_default())
    }

    fn resting(&self, of: &Target) -> Option<String> {
        let now = self.clock.elapsed();
        self.with(of, |looks| {
            let (at, why) = looks.failed.as_ref()?;
            (now.saturating_sub(*at) < self.policy.rest).then(|| why.clone())
        })
    }

    /// The look that is at work, or one that begins now. It goes on when nobody waits for it any more.
    fn look(&self, runner: &HfJobRunner, of: &Target) -> Look {
        self.with(of, |looks| {
            if let Some(look) = &looks.at_work {
                return look.clone();
            }
            let (board, runner, of) = (self.clone(), runner.clone(), of.clone());
            let task = tokio::spawn(async move {
                let looked = board.read(&runner, &of).await.map_err(|error| error.to_string());
                board.with(&of, |looks| {
                    looks.at_work = None;
                    looks.failed = looked.clone().err().map(|why| (board.clock.elapsed(), why));
                });
                looked
            });
            let look = task.map(|joined| joined.unwrap_or_else(|error| Err(error.to_string())));
            let look = look.boxed().shared();
            looks.at_work = Some(look.clone());
            look
        })
    }

    async fn read(&self, runner: &HfJobRunner, of: &Target) -> Result<(), BoardError> {
        let began = self.clock.now();
        if let Some(before) = self.store.find_job_look(of).await?
            && self.is_younger(before.whole_at, self.policy.whole)
            && let Some(newest) = self.read_new(runner, of, &before, began).await?
        {
            let look = JobLook {
                at: began,
                whole_at: before.whole_at,
                newest,
            };
            return Ok(self.store.save_job_look(of, &look).await?);
        }
        let mut newest = None;
        let mut chunks = runner.list_jobs(&JobFilter::default()).try_chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            let jobs = chunk.map_err(|error| error.1)?;
            newest = newest.max(jobs.iter().filter_map(place).max());
            self.keep(of, &jobs, began).await?;
        }
        let look = JobLook {
            at: began,
            whole_at: began,
            newest,
        };
        Ok(self.store.save_job_look(of, &look).await?)
    }

    /// Takes in what is new since the look before, and what became of the jobs that were open. None when too much is new.
    async fn read_new(
        &self,
        runner: &HfJobRunner,
        of: &Target,
        before: &JobLook,
        began: Timestamp,
    ) -> Result<Option<Option<(Timestamp, JobId)>>, BoardError> {
        let open = self.store.list_open_jobs(of).await?;
        let mut listed = runner.list_jobs(&JobFilter::default());
        let (mut jobs, mut known) = (Vec::new(), 0);
        while known < KNOWN_IN_A_ROW
            && let Some(job) = listed.try_next().await?
        {
            known = if place(&job) <= before.newest {
                known + 1
            } else {
                0
            };
            jobs.push(job);
            if jobs.len() > MOST_NEW {
                return Ok(None);
            }
        }
        let missing: Vec<JobId> = open
            .into_iter()
            .filter(|id| jobs.iter().all(|job| job.id != *id))
            .collect();
        jobs.extend(self.read_open(runner, of, missing).await?);
        self.keep(of, &jobs, began).await?;
        let newest = jobs.iter().filter_map(place).max();
        Ok(Some(newest.max(before.newest.clone())))
    }

    /// How the jobs with these ids, which were open, stand now.
    async fn read_open(
        &self,
        runner: &HfJobRunner,
        of: &Target,
        mut ids: Vec<JobId>,
    ) -> Result<Vec<JobInfo>, BoardError> {
        let mut jobs = Vec::new();
        if ids.len() > ONE_BY_ONE {
            let open = JobFilter {
                stages: vec![JobStage::Scheduling, JobStage::Running],
                ..JobFilter::default()
            };
            jobs = runner.list_jobs(&open).take(MOST_NEW).try_collect().await?;
            ids.retain(|id| jobs.iter().all(|job| job.id != *id));
        }
        let asked = stream::iter(ids).map(|id| async move { (runner.get_job(&id).await, id) });
        let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((answer, id)) = asked.next().await {
            match answer {
                Ok(job) => jobs.push(job),
                Err(HfError::NotFound { .. }) => self.store.drop_seen_job(of, &id).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(jobs)
    }

    async fn keep(&self, of: &Target, jobs: &[JobInfo], at: Timestamp) -> Result<(), StoreError> {
        let clean: Vec<JobInfo> = jobs.iter().map(without_tokens).collect();
        self.store.keep_seen_jobs(of, &clean, at).await
    }
}

/// A job's place in the order of jobs.
fn place(job: &JobInfo) -> Option<(Timestamp, JobId)> {
    Some((job.created_at?, job.id.clone()))
}

/// A job as it is kept: whoever put a token into its command or environment showed it to the Hub, not to the store.
fn without_tokens(job: &JobInfo) -> JobInfo {
    let clean = serde_json::to_string(job)
        .ok()
        .map(|text| scrub_secrets(&text))
        .and_then(|text| serde_json::from_str(&text).ok());
    clean.unwrap_or_else(|| job.clone())
}

/// What the Hub itself answers.
async fn ask(
    runner: &HfJobRunner,
    filter: &SeenJobFilter,
    after: Option<&JobId>,
    limit: u32,
) -> Result<Vec<JobInfo>, HfError> {
    let asked = JobFilter {
        stages: filter.stages.iter().cloned().map(JobStage::from).collect(),
        labels: filter.label.iter().cloned().collect(),
    };
    let after = after.cloned();
    let mut passed = after.is_none();
    runner
        .list_jobs(&asked)
        .try_filter(move |job| {
            let wanted = passed;
            passed |= Some(&job.id) == after.as_ref();
            std::future::ready(wanted)
        })
        .take(limit as usize)
        .try_collect()
        .await
}
