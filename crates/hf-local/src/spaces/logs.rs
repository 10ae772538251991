//! The logs of a Space, as event streams. Where the app is not run here, what they hold is simulated, and says so in its first line.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::json;

use super::SIMULATED;
use super::routes::Space;
use super::stage::{self, BUILD_MS, START_MS};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::routes::query::Params;
use crate::state::AppState;
use crate::wire;

/// `GET /api/spaces/{id}/logs/{build|run}?tail=N`: what there is now. The Hub keeps the stream open while the app runs; here it
/// ends, and whoever follows asks again.
pub(super) async fn stream(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name, kind)): Path<(String, String, String)>,
    params: Params,
) -> HubResult<Response> {
    let space = Space::write(&hub, &caller, Path((namespace, name))).await?;
    let head = hub.head(&space.repo).await?;
    let stage = stage::of(&hub, &space.repo, &space.row, head.as_ref()).await?;
    let since = stage.since_ms;
    let now = hub.clock.now_ms();
    let sha = head.map_or_else(|| "none".to_owned(), |head| head.oid.to_string());
    let mut lines: Vec<(i64, String)> = Vec::new();
    match (kind.as_str(), &stage.run) {
        ("build", Some(run)) => lines = run.build_log(),
        ("run", Some(run)) => lines = run.run_log(),
        ("build", None) => {
            lines.push((since, format!("===== {SIMULATED} =====")));
            lines.push((since, format!("Commit {sha}")));
            if let Some(error) = &stage.error {
                lines.push((since, format!("ERROR: {error}")));
            } else if now >= since + BUILD_MS {
                lines.push((
                    since + BUILD_MS,
                    "Simulated build done; nothing was installed".to_owned(),
                ));
            }
        }
        ("run", None) if stage.error.is_none() && now >= since + BUILD_MS => {
            let at = since + BUILD_MS;
            lines.push((
                at,
                format!("===== Application Startup at {} =====", wire::time(at)),
            ));
            lines.push((at, SIMULATED.to_owned()));
            if stage.is_running() && now >= at + START_MS {
                lines.push((
                    at + START_MS,
                    "Simulated start done; the app does not answer".to_owned(),
                ));
            }
        }
        ("run", None) => {}
        _ => return Err(HubError::bad_request("The log is `build` or `run`")),
    }
    let tail = usize::try_from(params.number("tail", u64::MAX, u64::MAX)).unwrap_or(usize::MAX);
    let skip = lines.len().saturating_sub(tail);
    let mut text = String::new();
    for (at, line) in lines.into_iter().skip(skip) {
        let event = json!({"data": format!("{line}\n"), "timestamp": wire::time(at)});
        text.push_str("data: ");
        text.push_str(&event.to_string());
        text.push_str("\n\n");
    }
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, text).into_response())
}
