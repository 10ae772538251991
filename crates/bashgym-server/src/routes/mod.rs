//! The routes, a file a noun.

mod account;
mod budget;
mod dataset_tasks;
mod datasets;
mod hardware;
mod health;
mod inference;
mod job_logs;
mod job_request;
mod jobs;
mod not_built;
mod pages;
mod review;
mod runs;
mod session;
mod sessions;
mod settings;
mod tasks;
mod training;
mod usage;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use not_built::NOT_BUILT;
pub(crate) use tasks::task_service;

use crate::state::AppState;

/// Every described route.
pub(crate) fn all() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
        .routes(routes!(health::description))
        .routes(routes!(session::proof))
        .routes(routes!(session::show, session::begin, session::end))
        .routes(routes!(session::code))
        .routes(routes!(account::status))
        .routes(routes!(account::capability))
        .routes(routes!(account::wallet))
        .routes(routes!(hardware::list))
        .routes(routes!(jobs::list, jobs::submit))
        .routes(routes!(jobs::show, jobs::cancel))
        .routes(routes!(job_logs::page))
        .routes(routes!(job_logs::follow))
        .routes(routes!(job_logs::metrics))
        .routes(routes!(jobs::plan))
        .routes(routes!(datasets::list, datasets::upload))
        .routes(routes!(datasets::remove))
        .routes(routes!(datasets::rows))
        .routes(routes!(datasets::build))
        .routes(routes!(inference::generate))
        .routes(routes!(inference::embed))
        .routes(routes!(inference::classify))
        .routes(routes!(inference::usage))
        .routes(routes!(review::show))
        .routes(routes!(review::decide))
        .routes(routes!(sessions::list))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::events))
        .routes(routes!(runs::cancel))
        .routes(routes!(training::plan))
        .routes(routes!(training::start))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show, tasks::cancel))
        .routes(routes!(budget::show))
        .routes(routes!(budget::set, budget::unset))
        .routes(routes!(usage::sums))
        .routes(routes!(usage::entries))
        .routes(routes!(settings::show))
        .routes(routes!(
            settings::token,
            settings::replace_token,
            settings::remove_token
        ))
}

/// The routes that the description leaves out: pages for people, and what is not built yet.
pub(crate) fn undescribed() -> Router<AppState> {
    not_built::routes().merge(pages::routes())
}
