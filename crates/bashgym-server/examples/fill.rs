//! What `cargo xtask bench server` fills a store with: `fill STORE JOBS CALLS`. The jobs are over and of the embedded Hub's
//! account `local`; the calls are spread over 40 models and 90 days.

use std::path::Path;

use bashgym_core::inference::{CallStore, StoredCall};
use bashgym_core::run::Target;
use bashgym_core::store::{JobInfo, JobLook, SeenJobStore};
use bashgym_core::testing::{sample_call, sample_job};
use bashgym_core::{Clock, SystemClock};
use bashgym_store::SqlStore;
use hf_inference::Cost;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How many rows a transaction takes.
const AT_ONCE: usize = 5000;
/// The second in which the first job was made.
const BEGIN: i64 = 1_750_000_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, jobs, calls] = &args[..] else {
        return Err("fill STORE JOBS CALLS".into());
    };
    let store = SqlStore::open(Path::new(store)).await?;
    fill_jobs(&store, jobs.parse()?).await?;
    fill_calls(&store, calls.parse()?).await?;
    store.close().await;
    Ok(())
}

async fn fill_jobs(store: &SqlStore, count: i64) -> Result<(), Error> {
    let of = Target {
        hub: Target::EMBEDDED.to_owned(),
        namespace: "local".to_owned(),
    };
    let now = SystemClock::new().now();
    let all: Vec<JobInfo> = (0..count)
        .map(|number| {
            let team = format!("team-{}", number % 50);
            let stage = if number % 7 == 0 { "ERROR" } else { "COMPLETED" };
            let labels = [("team", team.as_str()), ("bashgym-intent", "job-0198c0de")];
            sample_job(&format!("{number:024x}"), BEGIN + number, stage, &labels)
        })
        .collect();
    for jobs in all.chunks(AT_ONCE) {
        store.keep_seen_jobs(&of, jobs, now).await?;
    }
    let newest = all.last().and_then(|job| Some((job.created_at?, job.id.clone())));
    let look = JobLook {
        at: now,
        whole_at: now,
        newest,
    };
    Ok(store.save_job_look(&of, &look).await?)
}

async fn fill_calls(store: &SqlStore, count: usize) -> Result<(), Error> {
    let mut made = 0;
    while made < count {
        let next = AT_ONCE.min(count - made);
        let calls: Vec<StoredCall> = (made..made + next)
            .map(|number| {
                let day = i64::try_from(number % 90).unwrap_or_default();
                sample_call(&format!("org/model-{}", number % 40), 20_000 + day, Cost::Unknown)
            })
            .collect();
        store.add_calls(&calls).await?;
        made += next;
    }
    Ok(())
}
