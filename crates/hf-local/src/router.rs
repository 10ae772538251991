//! Every route, once.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;

use crate::accounts;
use crate::extract::Caller;
use crate::reply::HubError;
use crate::repos::RepoKind;
use crate::routes::{commit, control, duplicate, info, lfs, preupload, refs, repos, resolve, tree, whoami};
use crate::state::{AppState, Hub};
use crate::{buckets, faults, guard, inference, jobs, spaces, viewer};

/// Bodies of calls that carry lists: 1,000 files with their samples, 2,000 paths.
const LIST_BODY_BYTES: usize = 16 << 20;

/// The routes of the Hub origin.
pub(crate) fn hub(hub: &Arc<Hub>) -> Router {
    let mut routes = account_routes()
        .merge(accounts::router())
        .merge(control_routes())
        .merge(all_repos_routes());
    for kind in RepoKind::ALL {
        routes = routes.merge(repo_routes(kind)).merge(file_routes(kind));
        #[cfg(feature = "xet")]
        {
            routes = routes.merge(xet_routes(kind));
        }
    }
    routes = routes
        .merge(jobs::router())
        .merge(buckets::router())
        .merge(spaces::router())
        .merge(inference::router())
        .merge(viewer::router());
    finish(routes, hub).layer(from_fn_with_state(Arc::clone(hub), guard::around))
}

/// The routes of the payload origin.
pub(crate) fn payload(hub: &Arc<Hub>) -> Router {
    let routes = object_routes().merge(spaces::app_router());
    #[cfg(feature = "xet")]
    let routes = routes.merge(crate::xet::routes(hub.xet.clone()));
    finish(routes, hub).layer(from_fn_with_state(Arc::clone(hub), guard::around_payload))
}

fn finish(routes: Router<AppState>, hub: &Arc<Hub>) -> Router {
    routes
        .fallback(not_served)
        .method_not_allowed_fallback(not_served)
        .layer(from_fn_with_state(Arc::clone(hub), faults::apply))
        .layer(CatchPanicLayer::new())
        .with_state(Arc::clone(hub))
}

fn account_routes() -> Router<AppState> {
    Router::new()
        .route("/api/whoami-v2", get(whoami::whoami))
        .route("/api/agent-harnesses", get(whoami::no_harnesses))
        .route("/api/settings/repositories", get(repos::storage_own))
        .route(
            "/api/organizations/{org}/settings/repositories",
            get(repos::storage_org),
        )
}

fn all_repos_routes() -> Router<AppState> {
    Router::new()
        .route("/api/models", get(info::list_models))
        .route("/api/datasets", get(info::list_datasets))
        .route("/api/spaces", get(info::list_spaces))
        .route(
            "/api/repos/create",
            post(repos::create).layer(DefaultBodyLimit::max(LIST_BODY_BYTES)),
        )
        .route("/api/repos/delete", delete(repos::delete))
        .route("/api/repos/move", post(repos::move_to))
        .route(
            "/api/validate-yaml",
            post(preupload::validate_yaml).layer(DefaultBodyLimit::max(LIST_BODY_BYTES)),
        )
}

fn repo_routes(kind: RepoKind) -> Router<AppState> {
    let repo = format!("/api/{}/{{namespace}}/{{name}}", kind.plural());
    let at = |below: &str| format!("{repo}{below}");
    let lists = || DefaultBodyLimit::max(LIST_BODY_BYTES);
    Router::new()
        // Repos of the Hub's first days have no namespace; there are none here.
        .route(&format!("/api/{}/{{name}}", kind.plural()), get(no_such_repo))
        .route(&repo, get(info::info))
        .route(&at("/revision/{*revision}"), get(info::info_at))
        .route(&at("/settings"), put(repos::settings))
        .route(&at("/duplicate"), post(duplicate::duplicate))
        .route(&at("/auth-check"), get(repos::auth_check))
        .route(&at("/auth-check/write"), get(repos::auth_check_write))
        .route(&at("/tree/{*revision_and_path}"), get(tree::tree))
        .route(&at("/treesize/{*revision_and_path}"), get(tree::tree_size))
        .route(
            &at("/paths-info/{*revision}"),
            post(tree::paths_info).layer(lists()),
        )
        .route(&at("/refs"), get(refs::list))
        .route(
            &at("/branch/{*name}"),
            post(refs::create_branch).delete(refs::delete_branch),
        )
        .route(
            &at("/tag/{*revision_or_tag}"),
            post(refs::create_tag).delete(refs::delete_tag),
        )
        .route(&at("/commits/{*revision}"), get(refs::commits))
        .route(&at("/super-squash/{*revision}"), post(refs::super_squash))
        .route(
            &at("/preupload/{*revision}"),
            post(preupload::preupload).layer(lists()),
        )
        .route(
            &at("/commit/{*revision}"),
            post(commit::commit).layer(DefaultBodyLimit::disable()),
        )
}

fn file_routes(kind: RepoKind) -> Router<AppState> {
    let repo = format!("/{}{{namespace}}/{{name}}", kind.web_prefix());
    let at = |below: &str| format!("{repo}{below}");
    Router::new()
        .route(
            &format!("/{}{{name}}/resolve/{{*revision_and_path}}", kind.web_prefix()),
            get(no_such_repo),
        )
        .route(&at("/resolve/{*revision_and_path}"), get(resolve::resolve))
        .route(&at("/raw/{*revision_and_path}"), get(resolve::raw))
        .route(&at("/info/lfs/objects/batch"), post(lfs::batch))
        .route(&at("/info/lfs/verify"), post(lfs::verify))
        .route(&at("/info/lfs/locks/verify"), post(lfs::locks_verify))
}

#[cfg(feature = "xet")]
fn xet_routes(kind: RepoKind) -> Router<AppState> {
    let at = |below: &str| format!("/api/{}/{{namespace}}/{{name}}{below}", kind.plural());
    Router::new()
        .route(
            &at("/xet-read-token/{*revision}"),
            get(crate::xet::hub::read_token),
        )
        .route(
            &at("/xet-write-token/{*revision}"),
            get(crate::xet::hub::write_token),
        )
}

fn control_routes() -> Router<AppState> {
    Router::new()
        .route(
            "/_local/faults",
            get(control::list_faults)
                .post(control::add_fault)
                .delete(control::clear_faults),
        )
        .route("/_local/clock", post(control::set_clock))
        .route(
            "/_local/rate-limits",
            get(control::rate_limits).put(control::set_rate_limits),
        )
}

fn object_routes() -> Router<AppState> {
    Router::new()
        .route(
            "/objects/{sha256}",
            get(resolve::get_object)
                .put(lfs::put_object)
                .layer(DefaultBodyLimit::disable()),
        )
        .route("/parts/{sha256}/complete", post(lfs::complete))
        .route(
            "/parts/{sha256}/{number}",
            put(lfs::put_part).layer(DefaultBodyLimit::disable()),
        )
}

async fn no_such_repo(caller: Caller) -> HubError {
    caller.no_such_repo()
}

async fn not_served(request: Request) -> HubError {
    HubError::not_served(&format!("{} {}", request.method(), request.uri().path()))
}
