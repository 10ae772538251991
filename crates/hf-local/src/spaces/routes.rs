//! The routes of Spaces that other repos have not.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::run::Nature;
use super::store::{SpaceRow, find, save};
use super::{SIMULATED, access, limits, logs, settings, stage};
use crate::extract::Caller;
use crate::jobs::{FLAVORS, Flavor};
use crate::reply::{HubError, HubResult};
use crate::repos::{Commit, Repo, RepoId, RepoKind};
use crate::routes::body::JsonBody;
use crate::routes::query::Params;
use crate::state::{AppState, Hub};

/// The namespace and name in a path.
pub(super) type Named = Path<(String, String)>;

/// All routes below `/api/spaces/{namespace}/{name}` that are about the app. Missing and answered 501: volumes,
/// replicas, events, metrics.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `add_space_secret` to `restart_space`; Hub OpenAPI.
pub(crate) fn router() -> Router<AppState> {
    let at = |below: &str| format!("/api/spaces/{{namespace}}/{{name}}{below}");
    Router::new()
        .route("/api/spaces/hardware", get(hardware_list))
        .route(&at("/runtime"), get(runtime))
        .route(&at("/hardware"), post(hardware))
        .route(&at("/sleeptime"), post(sleep_time))
        .route(&at("/pause"), post(pause))
        .route(&at("/restart"), post(restart))
        .route(&at("/dev-mode"), post(dev_mode))
        .route(
            &at("/secrets"),
            get(settings::list_secrets)
                .post(settings::set_secret)
                .delete(settings::delete_secret),
        )
        .route(
            &at("/variables"),
            get(settings::list_variables)
                .post(settings::set_variable)
                .delete(settings::delete_variable),
        )
        .route(&at("/logs/{kind}"), get(logs::stream))
        .route(&at("/host"), get(app_host))
        .route(&at("/jwt"), get(access::key))
}

pub(super) fn id_of(Path((namespace, name)): Named) -> RepoId {
    RepoId::new(RepoKind::Space, namespace, name)
}

/// A Space with its row.
pub(super) struct Space {
    pub(super) repo: Repo,
    pub(super) row: SpaceRow,
}

impl Space {
    pub(super) async fn read(hub: &Hub, caller: &Caller, named: Named) -> HubResult<Self> {
        Self::of(hub, caller.require_read(hub, &id_of(named)).await?).await
    }

    pub(super) async fn write(hub: &Hub, caller: &Caller, named: Named) -> HubResult<Self> {
        Self::of(hub, caller.require_repo_write(hub, &id_of(named)).await?).await
    }

    async fn of(hub: &Hub, repo: Repo) -> HubResult<Self> {
        let row = find(hub, repo.row, is_static(&repo), repo.created_ms).await?;
        Ok(Self { repo, row })
    }

    fn refuse_static(&self) -> HubResult<()> {
        if is_static(&self.repo) {
            return Err(HubError::bad_request(
                "Static Spaces are always running and have no hardware",
            ));
        }
        Ok(())
    }

    async fn saved(self, hub: &AppState) -> HubResult<Json<Value>> {
        save(hub, self.repo.row, &self.row).await?;
        self.shown(hub).await
    }

    async fn shown(&self, hub: &AppState) -> HubResult<Json<Value>> {
        let head = hub.head(&self.repo).await?;
        show(hub, &self.repo, &self.row, head.as_ref()).await.map(Json)
    }
}

fn is_static(repo: &Repo) -> bool {
    repo.sdk.as_deref() == Some("static")
}

/// Where the app of a Space is reached: on the payload origin, so that its pages are not of the Hub's own. Gradio's clients join
/// paths to it as they are, which takes a slash at its end.
pub(crate) fn host(hub: &Hub, repo: &Repo) -> String {
    format!("{}/apps/{}/", hub.origins.payload, repo.id.path())
}

/// `GET /api/spaces/{id}/host`: what Gradio's clients ask for.
async fn app_host(State(hub): State<AppState>, caller: Caller, named: Named) -> HubResult<Json<Value>> {
    let repo = caller.require_read(&hub, &id_of(named)).await?;
    let subdomain = subdomain(&repo.id);
    Ok(Json(json!({"host": host(&hub, &repo), "subdomain": subdomain})))
}

/// The runtime of a Space, for descriptions of it: that of its head, whichever commit is described.
pub(crate) async fn describe(hub: &AppState, repo: &Repo) -> HubResult<Value> {
    let row = find(hub, repo.row, is_static(repo), repo.created_ms).await?;
    let head = hub.head(repo).await?;
    show(hub, repo, &row, head.as_ref()).await
}

/// The first label of the host that a Space has on the Hub.
pub(crate) fn subdomain(id: &RepoId) -> String {
    format!("{}-{}", id.namespace, id.name)
        .to_lowercase()
        .replace(['_', '.'], "-")
}

async fn show(hub: &AppState, repo: &Repo, row: &SpaceRow, head: Option<&Commit>) -> HubResult<Value> {
    let stage = stage::of(hub, repo, row, head).await?;
    let sleep = stage::sleep_s(row);
    let serves = stage.word.starts_with("RUNNING");
    let mut shown = json!({
        "stage": stage.word,
        "hardware": {"current": row.hardware.as_ref().filter(|_| serves), "requested": row.hardware},
        "storage": null,
        "gcTimeout": sleep,
        "replicas": {"requested": 1},
        "devMode": row.dev_mode,
    });
    if serves {
        shown["replicas"]["current"] = json!(1);
    }
    let runs = stage.run.as_ref().and_then(|run| run.serves());
    if let Some(sha) = runs.or(head.map(|head| head.oid)) {
        shown["sha"] = json!(sha.to_string());
    }
    if let Some(error) = stage.error {
        shown["errorMessage"] = json!(error);
    }
    if let Some(run) = &stage.run {
        let key = match run.nature {
            Nature::Embedded => "embedded",
            Nature::Process => "process",
        };
        shown[key] = json!(run.nature.words());
    } else if !is_static(repo) {
        shown["simulated"] = json!(SIMULATED);
    }
    Ok(shown)
}

/// `GET /api/spaces/hardware`: needs no token.
async fn hardware_list() -> Json<Vec<Value>> {
    let mut all: Vec<Value> = FLAVORS.iter().map(Flavor::to_json).collect();
    for flavor in &mut all {
        if let Some(fields) = flavor.as_object_mut() {
            fields.remove("ephemeralStorage");
        }
        if flavor["name"] == "cpu-basic" {
            flavor["unitCostMicroUSD"] = json!(0);
            flavor["unitCostUSD"] = json!(0);
        }
    }
    all.push(json!({"name": limits::ZERO_GPU, "prettyName": "ZeroGPU", "cpu": null, "ram": null,
        "accelerator": {"type": "gpu", "model": "RTX Pro 6000 Blackwell", "quantity": "1", "vram": "48 GB", "manufacturer": "Nvidia"},
        "unitCostMicroUSD": 0, "unitCostUSD": 0, "unitLabel": "minute"}));
    Json(all)
}

/// `GET /api/spaces/{id}/runtime`
async fn runtime(State(hub): State<AppState>, caller: Caller, named: Named) -> HubResult<Json<Value>> {
    Space::read(&hub, &caller, named).await?.shown(&hub).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WantedHardware {
    flavor: String,
    sleep_time_seconds: Option<i64>,
}

/// `POST /api/spaces/{id}/hardware`
async fn hardware(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(wanted): JsonBody<WantedHardware>,
) -> HubResult<Json<Value>> {
    let mut space = Space::write(&hub, &caller, named).await?;
    space.refuse_static()?;
    let flavor = limits::flavor(&wanted.flavor, false)?;
    let sdk = space.repo.sdk.clone().unwrap_or_default();
    let namespace = space.repo.id.namespace.clone();
    limits::check(
        &hub,
        caller.require()?,
        &namespace,
        &sdk,
        &flavor,
        Some(space.repo.row),
    )
    .await?;
    if space.row.hardware.as_ref() != Some(&flavor) {
        space.row.started_ms = hub.clock.now_ms();
    }
    space.row.hardware = Some(flavor);
    space.row.sleep_s = wanted.sleep_time_seconds.or(space.row.sleep_s);
    space.saved(&hub).await
}

#[derive(Deserialize)]
struct WantedSleep {
    seconds: i64,
}

/// `POST /api/spaces/{id}/sleeptime`
async fn sleep_time(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(wanted): JsonBody<WantedSleep>,
) -> HubResult<Json<Value>> {
    let mut space = Space::write(&hub, &caller, named).await?;
    space.refuse_static()?;
    if wanted.seconds < -1 {
        return Err(HubError::bad_request(
            "\u{2716} Too small: expected number to be >=-1\n  \u{2192} at seconds",
        ));
    }
    space.row.sleep_s = Some(wanted.seconds);
    space.saved(&hub).await
}

/// `POST /api/spaces/{id}/pause`
async fn pause(State(hub): State<AppState>, caller: Caller, named: Named) -> HubResult<Json<Value>> {
    let mut space = Space::write(&hub, &caller, named).await?;
    space.refuse_static()?;
    space.row.paused = true;
    space.saved(&hub).await
}

/// `POST /api/spaces/{id}/restart`: the simulated build is the same with and without `factory`.
async fn restart(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    _: Params,
) -> HubResult<Json<Value>> {
    let mut space = Space::write(&hub, &caller, named).await?;
    space.refuse_static()?;
    space.row.paused = false;
    space.row.started_ms = hub.clock.now_ms();
    space.saved(&hub).await
}

#[derive(Deserialize)]
struct WantedDevMode {
    enabled: bool,
}

/// `POST /api/spaces/{id}/dev-mode`: noted; there is no shell to get.
async fn dev_mode(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(wanted): JsonBody<WantedDevMode>,
) -> HubResult<Json<Value>> {
    let mut space = Space::write(&hub, &caller, named).await?;
    if wanted.enabled {
        limits::check_dev_mode(caller.require()?, is_static(&space.repo))?;
    }
    space.row.dev_mode = wanted.enabled;
    space.saved(&hub).await
}
