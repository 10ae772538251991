//! What is promised, checked against what the simulated Hub knows to be so.

use std::time::Duration;

use bashgym_core::launch::{JobState, LaunchRecord};
use bashgym_core::ledger::EntryState;
use bashgym_core::store::{JobLineStore, JobStream, LaunchStore};
use hf_core::Clock;
use hf_jobs::SubmissionState;

use super::hub::{SimHub, State};
use super::job::SimJob;
use super::schedule::Machine;
use super::world::SimClock;

/// How long a second job of another machine may stay unseen, when nobody dies: the list shows it after 25 s at most, and
/// somebody looks every 10 s, but a look that fails may take 20 s, and several may fail in a row.
const BESIDE: Duration = Duration::from_secs(110);

/// Machines without a common store: in the end one job goes on at most, and it is the oldest.
///
/// That there is a second one for a while can not be helped: the list does not show at once what another machine sent, and
/// a look may fail.
pub(crate) fn one_goes_on(state: &State, undisturbed: bool, wanted_canceled: bool) -> Result<(), String> {
    let mut jobs: Vec<&SimJob> = state.jobs.iter().collect();
    jobs.sort_by_key(|job| (job.created, job.id.clone()));
    let Some((oldest, younger)) = jobs.split_first() else {
        return Ok(());
    };
    if oldest.canceled.is_some() && !oldest.drifted && !wanted_canceled {
        return Err(format!("two machines: the oldest job {} was canceled", oldest.id));
    }
    if !undisturbed {
        // Who dies after a look cancels after a later one.
        return Ok(());
    }
    // One look to find the intent's job, one to find the others, and then the cancel.
    if let Some(((id, machine), count)) = state.shown_beside.iter().find(|(_, count)| **count > 2) {
        return Err(format!(
            "two machines: {machine} was shown {id} beside {} {count} times and did not cancel it",
            oldest.id
        ));
    }
    for young in younger {
        let seen = young.created + BESIDE;
        if !young.is_over(seen) && !oldest.is_over(seen) {
            return Err(format!(
                "two machines: {} still ran {BESIDE:?} after it was made beside {}",
                young.id, oldest.id
            ));
        }
    }
    Ok(())
}

/// What holds at every moment.
pub(crate) fn during(hub: &SimHub, now: Duration, machines: &[Machine], cap: u64) -> Result<(), String> {
    let state = hub.state();
    if let Some(violation) = state.violations.first() {
        return Err(violation.clone());
    }
    for machine in machines {
        let held = machine.budget.held_in_all();
        if held > cap {
            return Err(format!("the ledger holds {held} of {cap}"));
        }
    }
    for machine in machines {
        let entries = machine.budget.entries.lock().unwrap();
        let own = |job: &&SimJob| job.machine == machine.name && !job.is_over(now);
        for job in state.jobs.iter().filter(own) {
            let Some(entry) = entries.get(&job.intent) else {
                return Err(format!("job {} runs without a reservation", job.id));
            };
            if matches!(entry.state, EntryState::Released { .. }) {
                return Err(format!("job {} runs although its money was given back", job.id));
            }
            if job.cost(now) > entry.worst.unwrap().get() {
                return Err(format!("job {} costs more than was reserved", job.id));
            }
        }
    }
    Ok(())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn kept_lines(machine: &Machine, job: &SimJob) -> Vec<String> {
    let store = &machine.store.inner;
    let lines = block_on(store.list_job_lines(&job.id, JobStream::Log, 0, u32::MAX)).unwrap();
    lines
        .iter()
        .map(|line| {
            let kept: serde_json::Value = serde_json::from_str(&line.text).unwrap();
            kept["data"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// What holds once everybody is done.
pub(crate) fn after(
    hub: &SimHub,
    clock: &SimClock,
    machine: &Machine,
    intent: &str,
    undisturbed: bool,
) -> Result<(), String> {
    if let Some(stuck) = machine.stuck.borrow().first() {
        return Err(format!("process {stuck} never came to an end"));
    }
    let now = clock.elapsed();
    let state = hub.state();
    let Some(record) = block_on(machine.store.inner.find_launch(intent)).unwrap() else {
        return Err(format!("intent {intent} was forgotten"));
    };
    let entries = machine.budget.entries.lock().unwrap();
    let entry = entries.get(intent).map(|entry| entry.state.clone());
    let Some(job_id) = record.job_id() else {
        let orphan = state
            .jobs
            .iter()
            .find(|job| job.intent == intent && job.machine == machine.name);
        if let Some(job) = orphan {
            return Err(format!(
                "job {} of {intent} was lost: {:?}",
                job.id, record.submission
            ));
        }
        return match entry {
            None | Some(EntryState::Released { .. }) => Ok(()),
            other => Err(format!("nothing of {intent} exists, yet its money is {other:?}")),
        };
    };
    let Some(job) = state.jobs.iter().find(|job| job.id == job_id.as_str()) else {
        return Err(format!("job {job_id} was made up"));
    };
    if !job.is_over(now) {
        return Err(format!("job {job_id} was left alone in {}", job.stage(now)));
    }
    if !record.is_finished() {
        return Err(format!("launch {intent} is left unfinished: {record:?}"));
    }
    let cost = job.cost(now);
    match entry {
        Some(EntryState::Settled {
            amount: Some(amount), ..
        }) if amount.get() == cost => {}
        other => return Err(format!("job {job_id} cost {cost}, and the ledger says {other:?}")),
    }
    if job.drifted {
        return drifted(&state, job, &record, undisturbed);
    }
    let good = match (job.stage(now), &record.view.state) {
        ("COMPLETED", JobState::Succeeded { revision }) => revision.is_some(),
        ("ERROR", JobState::Failed { .. } | JobState::TimedOut { .. })
        | ("CANCELED", JobState::Canceled { .. }) => true,
        _ => false,
    };
    if !good {
        return Err(format!(
            "job {job_id} is {} and shown as {:?}",
            job.stage(now),
            record.view.state
        ));
    }
    let (kept, wrote) = (kept_lines(machine, job), job.final_lines());
    if kept != wrote {
        return Err(format!("job {job_id} wrote {wrote:?}, kept is {kept:?}"));
    }
    if record.view.lines != wrote.len() as u64 {
        return Err(format!(
            "job {job_id} wrote {} lines, shown are {}",
            wrote.len(),
            record.view.lines
        ));
    }
    Ok(())
}

/// Whether a job that is not what was asked for was canceled at once, unless it was over by itself before.
fn drifted(state: &State, job: &SimJob, record: &LaunchRecord, undisturbed: bool) -> Result<(), String> {
    let id = &job.id;
    if !matches!(record.submission, SubmissionState::Drifted { canceled: true, .. })
        || !matches!(record.view.state, JobState::Drifted { .. })
    {
        return Err(format!("job {id} drifted, and is {:?}", record.view.state));
    }
    let known = state.drift_known.get(id).copied().unwrap_or_default();
    let Some(came) = state.cancel_came.get(id) else {
        return Err(format!("job {id} drifted, and no cancel was sent"));
    };
    // A request takes 300 ms at most to be on its way. Whoever dies in between goes on after the restart.
    if undisturbed && came.saturating_sub(known) > Duration::from_millis(300) {
        return Err(format!(
            "job {id} was known to have drifted at {known:?}; a cancel came at {came:?}"
        ));
    }
    Ok(())
}

/// Whether what was told fits what happened.
pub(crate) fn told(hub: &SimHub, machine: &Machine, undisturbed: bool) -> Result<(), String> {
    let told = machine.told.lock().unwrap();
    for (intent, ended) in &told.ended {
        // A refusal ends an attempt, and whoever asks again begins another. Any other end is the last word.
        let refusals = ended
            .iter()
            .take_while(|state| matches!(state, JobState::Refused { .. }))
            .count();
        let attempts = told.attempts.get(intent).copied().unwrap_or_default();
        if ended.len() > refusals + 1 || refusals > attempts {
            return Err(format!(
                "the end of {intent} was told in {attempts} attempts as {ended:?}"
            ));
        }
    }
    if undisturbed {
        for ((process, intent), lines) in &told.lines {
            let state = hub.state();
            let job = state.jobs.iter().find(|job| job.intent == *intent).unwrap();
            if *lines != job.final_lines() {
                return Err(format!("process {process} was told {lines:?} of {intent}"));
            }
        }
        for (intent, _) in machine.ended.borrow().iter() {
            if !told.ended.contains_key(intent) {
                return Err(format!("the end of {intent} was not told"));
            }
        }
    }
    Ok(())
}
