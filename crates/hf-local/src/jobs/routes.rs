//! The job routes of the Hub.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use http::header::LINK;
use jiff::{ToSpan, tz::TimeZone};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::flavor::{FLAVORS, Flavor};
use super::spec::{JobSpec, Problems, Refusal, Secrets, Submission, parse_label_filter, parse_labels};
use super::stage::Stage;
use super::store::Filter;
use super::view::{Job, People, timestamp};
use super::{NotTaken, sse};
use crate::accounts::{Account, OrgRole, Permission};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub};
use crate::wire::avatar_url;

/// Jobs on one page of a list; the Hub's number is not known.
const PAGE: u32 = 100;

/// The longest cursor the Hub takes.
const MAX_CURSOR: usize = 2048;

/// All job routes. What is missing here (exposed ports) is answered 501.
///
/// # Source
/// Hub OpenAPI, paths below `/api/jobs` and `/api/settings/billing/usage/jobs`.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/api/jobs/hardware", get(list_hardware))
        .route("/api/jobs/{namespace}", get(list_jobs).post(create_job))
        .route("/api/jobs/{namespace}/count", get(count_jobs))
        .route(
            "/api/jobs/{namespace}/auth-check/{permission}",
            post(check_namespace),
        )
        .route("/api/jobs/{namespace}/{id}", get(inspect_job))
        .route(
            "/api/jobs/{namespace}/{id}/auth-check/{permission}",
            post(check_job),
        )
        .route("/api/jobs/{namespace}/{id}/cancel", post(cancel_job))
        .route("/api/jobs/{namespace}/{id}/duplicate", post(duplicate_job))
        .route("/api/jobs/{namespace}/{id}/labels", put(set_labels))
        .route("/api/jobs/{namespace}/{id}/expose", put(expose))
        .route("/api/jobs/{namespace}/{id}/logs", get(stream_logs))
        .route("/api/jobs/{namespace}/{id}/metrics", get(stream_metrics))
        .route("/api/jobs/{namespace}/{id}/events", get(stream_events))
        .route("/api/settings/billing/usage/jobs", get(read_usage))
        .merge(super::scheduled::router())
}

/// `GET /api/jobs/hardware`: needs no token.
async fn list_hardware() -> Json<Vec<Value>> {
    Json(FLAVORS.iter().map(Flavor::to_json).collect())
}

/// A namespace the caller may use jobs in.
pub(super) struct Namespace {
    id: String,
    pub(super) name: String,
    kind: &'static str,
}

impl Namespace {
    fn of(account: &Account, name: &str) -> Option<Self> {
        if account.name.eq_ignore_ascii_case(name) {
            return Some(Self {
                id: account.id.clone(),
                name: account.name.clone(),
                kind: "user",
            });
        }
        let org = account
            .orgs
            .iter()
            .find(|org| org.name.eq_ignore_ascii_case(name))?;
        (org.role != OrgRole::NoAccess).then(|| Self {
            id: org.id.clone(),
            name: org.name.clone(),
            kind: "org",
        })
    }

    fn to_json(&self) -> Value {
        json!({"id": self.id, "name": self.name, "type": self.kind, "avatarUrl": avatar_url(&self.id)})
    }
}

/// The namespace, if the caller may see its jobs. The Hub's own rule is not known; here it takes a token that reads
/// the namespace, or one that starts jobs in it.
pub(super) fn require_read<'a>(caller: &'a Caller, namespace: &str) -> HubResult<(&'a Account, Namespace)> {
    let account = caller.require()?;
    let may =
        account.may(Permission::RepoContentRead, namespace) || account.may(Permission::JobWrite, namespace);
    match Namespace::of(account, namespace) {
        Some(found) if may => Ok((account, found)),
        _ => Err(HubError::forbidden(format!(
            "You don't have the required permissions on namespace {namespace}, missing permissions: job.read."
        ))),
    }
}

pub(super) fn require_write<'a>(caller: &'a Caller, namespace: &str) -> HubResult<(&'a Account, Namespace)> {
    let account = caller.require_permission(Permission::JobWrite, namespace)?;
    let found = Namespace::of(account, namespace)
        .ok_or_else(|| HubError::forbidden(format!("There is no namespace {namespace}")))?;
    Ok((account, found))
}

async fn find(hub: &Hub, namespace: &Namespace, id: &str) -> HubResult<Job> {
    hub.jobs
        .inner
        .store
        .find(&namespace.name, id)
        .await?
        .ok_or_else(|| HubError::not_found("Job not found"))
}

fn reply(hub: &Hub, job: &Job) -> Json<Value> {
    Json(job.to_json(hub.clock.now()))
}

pub(super) fn read(body: Result<Bytes, BytesRejection>) -> HubResult<Bytes> {
    body.map_err(|rejection| HubError::new(rejection.status(), rejection.body_text()))
}

impl From<Refusal> for HubError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text) => Self::bad_request(text),
            Refusal::NotServed(what) => Self::not_served(what),
        }
    }
}

impl From<NotTaken> for HubError {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Store(error) => error.into(),
            NotTaken::QueueFull => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many jobs wait on this Hub: wait until some are done, or cancel some",
            ),
            NotTaken::Closing => Self::new(StatusCode::SERVICE_UNAVAILABLE, "This Hub is shutting down"),
        }
    }
}

/// 402 without credit. The start of the text is the Hub's, the rest is not known.
pub(super) async fn require_credit(hub: &Hub, account: &Account) -> HubResult<()> {
    if hub.jobs.balance(&account.name).await?.is_none_or(|left| left > 0) {
        return Ok(());
    }
    Err(no_credit())
}

pub(super) fn no_credit() -> HubError {
    HubError::new(
        StatusCode::PAYMENT_REQUIRED,
        "Pre-paid credit balance is insufficient - jobs need a positive balance (here: credit_usd of the account, less \
         what its jobs cost)",
    )
}

/// Refuses volumes the caller may not read.
pub(super) async fn check_volumes(hub: &Hub, caller: &Caller, spec: &JobSpec) -> HubResult<()> {
    super::volumes::check(hub, caller, spec).await
}

/// Who started something, as the Hub shows it.
pub(super) fn initiator(account: &Account) -> Value {
    json!({"type": "user", "id": account.id, "name": account.name, "avatarUrl": avatar_url(&account.id)})
}

/// `POST /api/jobs/{namespace}`
async fn create_job(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> HubResult<Json<Value>> {
    let (account, namespace) = require_write(&caller, &namespace)?;
    let Submission {
        spec,
        labels,
        secrets,
    } = Submission::parse(&read(body)?)?;
    check_volumes(&hub, &caller, &spec).await?;
    require_credit(&hub, account).await?;
    let people = people(account, &namespace, initiator(account));
    let job = hub
        .jobs
        .submit(&namespace.name, people, spec, labels, secrets)
        .await?;
    Ok(reply(&hub, &job))
}

pub(super) fn people(account: &Account, namespace: &Namespace, initiator: Value) -> People {
    People {
        owner: namespace.to_json(),
        created_by: json!({"id": account.id, "name": account.name}),
        initiator,
    }
}

/// What a list asks for.
#[derive(Default)]
pub(super) struct ListQuery {
    pub(super) filter: Filter,
    before: Option<i64>,
    /// The query without its cursor, for the link to the next page.
    rest: String,
}

pub(super) fn parse_list_query(query: Option<&str>) -> HubResult<ListQuery> {
    let mut parsed = ListQuery::default();
    let mut problems = Problems::default();
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*key {
            "stage" => match Stage::parse(&value) {
                Some(stage) => parsed.filter.stages.push(stage.as_str()),
                None => problems.no_option(&Stage::ALL.map(Stage::as_str), "stage"),
            },
            "label" => match parse_label_filter(&value) {
                Some((key, value)) => parsed.filter.labels.push((key.to_owned(), value.to_owned())),
                None => problems.add(
                    "Invalid string: must match pattern /^[a-zA-Z0-9._-]+=[a-zA-Z0-9._-]*$/",
                    "label",
                ),
            },
            "cursor" => match parse_cursor(&value) {
                Some(before) => parsed.before = Some(before),
                None => problems.add(
                    "Invalid cursor: take it from the Link header of the page before",
                    "cursor",
                ),
            },
            _ => {}
        }
        if key != "cursor" {
            rest.append_pair(&key, &value);
        }
    }
    parsed.rest = rest.finish();
    if problems.text.is_empty() {
        Ok(parsed)
    } else {
        Err(HubError::bad_request(problems.text))
    }
}

fn parse_cursor(text: &str) -> Option<i64> {
    if text.len() > MAX_CURSOR {
        return None;
    }
    let bytes: [u8; 8] = hex::decode(text).ok()?.try_into().ok()?;
    Some(i64::from_be_bytes(bytes)).filter(|&before| before > 0)
}

/// `GET /api/jobs/{namespace}`
async fn list_jobs(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> HubResult<Response> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let ListQuery {
        filter,
        before,
        mut rest,
    } = parse_list_query(query.as_deref())?;
    let mut jobs = hub
        .jobs
        .inner
        .store
        .list(&namespace.name, &filter, before, PAGE + 1)
        .await?;
    let more = jobs.len() > PAGE as usize;
    jobs.truncate(PAGE as usize);
    let now = hub.clock.now();
    let page: Vec<Value> = jobs.iter().map(|job| job.to_json(now)).collect();
    let mut response = Json(page).into_response();
    if let (true, Some(last)) = (more, jobs.last()) {
        if !rest.is_empty() {
            rest.push('&');
        }
        let cursor = hex::encode(last.seq.to_be_bytes());
        let link = format!(
            "<{}/api/jobs/{}?{rest}cursor={cursor}>; rel=\"next\"",
            hub.origins.hub, namespace.name
        );
        let link = link
            .parse()
            .map_err(|error: http::header::InvalidHeaderValue| HubError::internal(&error))?;
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// `GET /api/jobs/{namespace}/count`
async fn count_jobs(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let query = parse_list_query(query.as_deref())?;
    let count = hub
        .jobs
        .inner
        .store
        .count(&namespace.name, &query.filter.stages)
        .await?;
    Ok(Json(json!({"count": count})))
}

/// `GET /api/jobs/{namespace}/{id}`
async fn inspect_job(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    Ok(reply(&hub, &find(&hub, &namespace, &id).await?))
}

/// `POST /api/jobs/{namespace}/{id}/cancel`: answers when the job is over.
///
/// What the Hub says to the cancel of a finished job is not known; here it is the job, unchanged.
async fn cancel_job(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_write(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    hub.jobs.cancel(&job).await?;
    Ok(reply(&hub, &find(&hub, &namespace, &id).await?))
}

/// `POST /api/jobs/{namespace}/{id}/duplicate`
async fn duplicate_job(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let (account, namespace) = require_write(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    let secrets = match hub.jobs.find_live(&id) {
        Some(live) => live.secrets.clone(),
        None if job.spec.secret_names.is_empty() => Secrets::default(),
        None => {
            return Err(HubError::conflict(format!(
                "This Hub keeps secrets only while a job waits or runs, and this one is over: submit it again with {}",
                job.spec.secret_names.join(", ")
            )));
        }
    };
    check_volumes(&hub, &caller, &job.spec).await?;
    require_credit(&hub, account).await?;
    let people = people(
        account,
        &namespace,
        json!({"type": "duplicated-job", "id": job.id}),
    );
    let job = hub
        .jobs
        .submit(&namespace.name, people, job.spec, job.labels, secrets)
        .await?;
    Ok(reply(&hub, &job))
}

/// `PUT /api/jobs/{namespace}/{id}/labels`: replaces all.
async fn set_labels(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> HubResult<Json<Value>> {
    let (_, namespace) = require_write(&caller, &namespace)?;
    let mut job = find(&hub, &namespace, &id).await?;
    job.labels = parse_labels(&read(body)?)?;
    hub.jobs.inner.store.set_labels(&id, &job.labels).await?;
    Ok(reply(&hub, &find(&hub, &namespace, &id).await?))
}

/// `PUT /api/jobs/{namespace}/{id}/expose`: 501. A port of a job is a port of this machine, which others have already; the Hub gives
/// each job an address of its own, and that takes a container.
async fn expose(caller: Caller, Path((namespace, _id)): Path<(String, String)>) -> HubResult<Json<Value>> {
    require_write(&caller, &namespace)?;
    Err(HubError::not_served(
        "Exposing ports of a job, which is a process without an address of its own,",
    ))
}

/// `GET /api/jobs/{namespace}/{id}/logs`
async fn stream_logs(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> HubResult<Response> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    let mut tail = None;
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == "tail" {
            let lines = value.parse().map_err(|_no_number| {
                let mut problems = Problems::default();
                problems.add("Invalid input: expected number, received NaN", "tail");
                HubError::bad_request(problems.text)
            })?;
            tail = Some(lines);
        }
    }
    Ok(sse::log(&hub.jobs, &job.id, tail, hub.closing.clone()).await?)
}

/// `GET /api/jobs/{namespace}/{id}/metrics`: 406 when the job is over.
async fn stream_metrics(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Response> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    sse::metrics(&hub.jobs, &job.id, hub.closing.clone())
        .ok_or_else(|| HubError::new(StatusCode::NOT_ACCEPTABLE, "Job is not running"))
}

/// `GET /api/jobs/{namespace}/{id}/events`
async fn stream_events(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id)): Path<(String, String)>,
) -> HubResult<Response> {
    let (_, namespace) = require_read(&caller, &namespace)?;
    let job = find(&hub, &namespace, &id).await?;
    Ok(sse::stages(&hub.jobs, &job.id, hub.closing.clone()))
}

fn check(caller: &Caller, namespace: &str, permission: &str) -> HubResult<(Namespace, Json<Value>)> {
    let (account, namespace) = match permission {
        "read" => require_read(caller, namespace)?,
        "write" => require_write(caller, namespace)?,
        _ => {
            let mut problems = Problems::default();
            problems.no_option(&["read", "write"], "perms");
            return Err(HubError::bad_request(problems.text));
        }
    };
    let body = json!({
        "namespace": {"id": namespace.id, "name": namespace.name},
        "user": {"id": account.id, "name": account.name},
    });
    Ok((namespace, Json(body)))
}

/// `POST /api/jobs/{namespace}/auth-check/{permission}`
async fn check_namespace(
    caller: Caller,
    Path((namespace, permission)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    check(&caller, &namespace, &permission).map(|(_, body)| body)
}

/// `POST /api/jobs/{namespace}/{id}/auth-check/{permission}`
async fn check_job(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, id, permission)): Path<(String, String, String)>,
) -> HubResult<Json<Value>> {
    let (namespace, body) = check(&caller, &namespace, &permission)?;
    find(&hub, &namespace, &id).await?;
    Ok(body)
}

/// `GET /api/settings/billing/usage/jobs`: simulated, the published price of the flavor times the real duration.
///
/// How the Hub rounds minutes is not known; here nothing is rounded but the sum of each job, to whole micro-USD.
async fn read_usage(State(hub): State<AppState>, caller: Caller) -> HubResult<Json<Value>> {
    let account = caller.require()?;
    let now = hub.clock.now();
    let start = now
        .to_zoned(TimeZone::UTC)
        .first_of_month()
        .and_then(|first| first.start_of_day())
        .map_err(|error| HubError::internal(&error))?;
    let end = start
        .checked_add(1.month())
        .map_err(|error| HubError::internal(&error))?;
    let from = start.timestamp();
    let mut used_micro_usd = 0;
    let mut used_minutes = 0.0;
    let mut details = Vec::new();
    for job in hub.jobs.spend_of(&account.name, from, now).await? {
        used_micro_usd += job.micro_usd;
        used_minutes += job.minutes;
        let mut detail = json!({
            "jobId": job.job_id,
            "hardwareFlavor": job.flavor,
            "totalMinutes": job.minutes,
            "totalCostMicroUsd": job.micro_usd,
            "startedAt": timestamp(job.started_at),
        });
        if let Some(finished) = job.finished_at {
            detail["completedAt"] = timestamp(finished).into();
        }
        details.push(detail);
    }
    let left = hub.jobs.balance(&account.name).await?;
    Ok(Json(json!({
        "usage": {
            "usedMicroUsd": used_micro_usd,
            "totalMinutes": used_minutes,
            "periodStart": timestamp(from),
            "periodEnd": timestamp(end.timestamp()),
            "jobDetails": details,
        },
        "hasAccess": left.is_none_or(|left| left > 0),
    })))
}
