//! The routes of scheduled jobs.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::Value;

use super::{Cron, NotRun, Scheduled};
use crate::extract::Caller;
use crate::jobs::routes::{
    Namespace, check_volumes, initiator, parse_list_query, people, read, require_credit, require_read,
    require_write,
};
use crate::jobs::spec::{Problems, Submission, parse_labels};
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub, ids};

/// The routes below `/api/scheduled-jobs`.
///
/// # Source
/// Hub OpenAPI; `huggingface_hub` 2.4.0 `hf_api.py`, `create_scheduled_job` and its siblings. What `suspend`, `resume` and `DELETE`
/// answer is not known: here it is the scheduled job, or nothing.
pub(crate) fn router() -> Router<AppState> {
    let at = |verb: &str| format!("/api/scheduled-jobs/{{namespace}}/{{id}}{verb}");
    Router::new()
        .route("/api/scheduled-jobs/{namespace}", get(list).post(create))
        .route(&at(""), get(inspect).delete(delete))
        .route(&at("/suspend"), post(suspend))
        .route(&at("/resume"), post(resume))
        .route(&at("/run"), post(run))
        .route(&at("/schedule"), post(reschedule))
        .route(&at("/labels"), put(set_labels))
}

async fn find(hub: &Hub, namespace: &Namespace, id: &str) -> HubResult<Scheduled> {
    hub.jobs
        .inner
        .store
        .find_scheduled(&namespace.name, id)
        .await?
        .ok_or_else(|| HubError::not_found("Scheduled job not found"))
}

impl From<NotRun> for HubError {
    fn from(why: NotRun) -> Self {
        match why {
            NotRun::Runs(id) => Self::conflict(format!(
                "Job {id} of this scheduled job is still running, and it does not allow two at a time (concurrency)"
            )),
            NotRun::NoCredit => crate::jobs::routes::no_credit(),
            NotRun::NoSecrets => Self::conflict(
                "This Hub keeps secrets in memory only and was started again: make the scheduled job anew with its secrets",
            ),
            NotRun::NotTaken(error) => error.into(),
        }
    }
}

fn bad_schedule() -> HubError {
    let mut problems = Problems::default();
    problems.add(
        "Invalid schedule: expected @annually, @yearly, @monthly, @weekly, @daily, @hourly, or a cron expression of 5 to 7 fields",
        "schedule",
    );
    HubError::bad_request(problems.text)
}

/// A field of a body that has to be a boolean if it is there.
fn flag(body: &Value, name: &str) -> HubResult<bool> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => {
            let mut problems = Problems::default();
            problems.add("Invalid input: expected boolean", name);
            Err(HubError::bad_request(problems.text))
        }
    }
}

fn json_body(bytes: &[u8]) -> HubResult<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| HubError::bad_request(format!("The body is not JSON: {error}")))
}

/// `POST /api/scheduled-jobs/{namespace}`
async fn create(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> HubResult<Json<Value>> {
    let (account, namespace) = require_write(&caller, &namespace)?;
    let body = json_body(&read(body)?)?;
    let now = hub.clock.now();
    let cron: Cron = body["schedule"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(bad_schedule)?;
    let next_at = cron.next_after(now).ok_or_else(bad_schedule)?;
    let (suspend, concurrency) = (flag(&body, "suspend")?, flag(&body, "concurrency")?);
    if body["jobSpec"]["ssh"]["enabled"] == Value::Bool(true) {
        return Err(HubError::bad_request("SSH is not available for scheduled jobs"));
    }
    let Submission {
        spec,
        labels,
        secrets,
    } = Submission::parse(body["jobSpec"].to_string().as_bytes())?;
    check_volumes(&hub, &caller, &spec).await?;
    require_credit(&hub, account).await?;
    let job = Scheduled {
        id: ids::fresh(now.as_millisecond()),
        namespace: namespace.name.clone(),
        schedule: cron.to_string(),
        suspend,
        suspend_reason: None,
        concurrency,
        spec,
        labels,
        people: people(account, &namespace, initiator(account)),
        payer: account.name.clone(),
        created_at: now,
        last_job: None,
        next_at,
    };
    hub.jobs.keep_secrets(&job.id, secrets);
    hub.jobs.inner.store.insert_scheduled(&job).await?;
    hub.jobs.inner.schedule_changed.notify_waiters();
    Ok(Json(job.to_json()))
}

/// `GET /api/scheduled-jobs/{namespace}`: one `label` filters, as the official client knows.
async fn list(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> HubResult<Json<Vec<Value>>> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let query = parse_list_query(query.as_deref())?;
    let label = query.filter.labels.first();
    let jobs = hub
        .jobs
        .inner
        .store
        .list_scheduled(&namespace.name, label)
        .await?;
    Ok(Json(jobs.iter().map(Scheduled::to_json).collect()))
}

/// `GET /api/scheduled-jobs/{namespace}/{id}`
async fn inspect(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    Ok(Json(find(&hub, &namespace, &id).await?.to_json()))
}

/// `DELETE /api/scheduled-jobs/{namespace}/{id}`
async fn delete(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<StatusCode> {
    let (_, namespace) = require_write(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    hub.jobs.inner.store.delete_scheduled(&job.id).await?;
    hub.jobs.forget_secrets(&job.id);
    hub.jobs.inner.schedule_changed.notify_waiters();
    Ok(StatusCode::NO_CONTENT)
}

/// `POST .../suspend`
async fn suspend(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    change(&hub, &caller, &namespace, &id, |job| {
        job.suspend = true;
        Ok(())
    })
    .await
}

/// `POST .../resume`: what was missed meanwhile is not made up for.
async fn resume(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let now = hub.clock.now();
    change(&hub, &caller, &namespace, &id, |job| {
        job.suspend = false;
        job.suspend_reason = None;
        let cron = job.schedule.parse::<Cron>().ok();
        job.next_at = cron
            .and_then(|cron| cron.next_after(now))
            .ok_or_else(bad_schedule)?;
        Ok(())
    })
    .await
}

/// `POST .../schedule`
async fn reschedule(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> HubResult<Json<Value>> {
    let body = json_body(&read(body)?)?;
    let now = hub.clock.now();
    change(&hub, &caller, &namespace, &id, |job| {
        let cron: Cron = body["schedule"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(bad_schedule)?;
        job.next_at = cron.next_after(now).ok_or_else(bad_schedule)?;
        job.schedule = cron.to_string();
        Ok(())
    })
    .await
}

/// `PUT .../labels`: replaces all.
async fn set_labels(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> HubResult<Json<Value>> {
    let body = read(body)?;
    change(&hub, &caller, &namespace, &id, |job| {
        job.labels = parse_labels(&body)?;
        Ok(())
    })
    .await
}

async fn change(
    hub: &Hub,
    caller: &Caller,
    namespace: &str,
    id: &str,
    change: impl FnOnce(&mut Scheduled) -> HubResult<()>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_write(caller, namespace)?;
    let mut job = find(hub, &namespace, id).await?;
    change(&mut job)?;
    hub.jobs.inner.store.update_scheduled(&job).await?;
    hub.jobs.inner.schedule_changed.notify_waiters();
    Ok(Json(find(hub, &namespace, id).await?.to_json()))
}

/// `POST .../run`: now, also while it is suspended.
async fn run(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_write(&caller, &namespace)?;
    let scheduled = find(&hub, &namespace, &id).await?;
    let job = hub.jobs.run_scheduled(&scheduled).await?;
    Ok(Json(job.to_json(hub.clock.now())))
}
