//! The routes, a file a noun.

mod account;
mod budget;
mod built;
mod bulk;
mod dataset_tasks;
mod datasets;
mod demo;
mod hardware;
mod health;
mod inference;
mod job_changes;
mod job_logs;
mod job_request;
mod jobs;
mod lineage;
mod next;
mod pages;
mod review;
mod router_decisions;
mod router_now;
mod router_replay;
mod router_report;
mod runs;
mod schedules;
mod session;
mod session_archive;
mod session_steps;
mod session_tasks;
mod sessions;
mod settings;
mod space_copy;
mod space_live;
mod space_settings;
mod space_tasks;
mod spaces;
mod tasks;
mod training;
mod usage;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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
        .routes(routes!(job_changes::labels))
        .routes(routes!(job_changes::ports))
        .routes(routes!(job_changes::duplicate))
        .routes(routes!(schedules::list, schedules::create))
        .routes(routes!(schedules::show, schedules::change, schedules::remove))
        .routes(routes!(schedules::run))
        .routes(routes!(job_logs::page))
        .routes(routes!(job_logs::follow))
        .routes(routes!(job_logs::search))
        .routes(routes!(job_logs::metrics))
        .routes(routes!(jobs::plan))
        .routes(routes!(datasets::list, datasets::upload))
        .routes(routes!(datasets::remove))
        .routes(routes!(datasets::rows))
        .routes(routes!(datasets::pull))
        .routes(routes!(built::hub_card))
        .routes(routes!(built::list, datasets::build))
        .routes(routes!(built::rows))
        .routes(routes!(built::card))
        .routes(routes!(spaces::list, spaces::create))
        .routes(routes!(spaces::show, spaces::remove))
        .routes(routes!(spaces::update))
        .routes(routes!(spaces::rollback))
        .routes(routes!(spaces::fit))
        .routes(routes!(spaces::promote))
        .routes(routes!(space_copy::duplicate))
        .routes(routes!(space_live::logs))
        .routes(routes!(space_live::follow))
        .routes(routes!(space_live::ask))
        .routes(routes!(space_settings::secrets, space_settings::set_secret))
        .routes(routes!(space_settings::remove_secret))
        .routes(routes!(space_settings::variables, space_settings::set_variable))
        .routes(routes!(space_settings::remove_variable))
        .routes(routes!(space_settings::hardware_list))
        .routes(routes!(space_settings::hardware))
        .routes(routes!(space_settings::sleep_time))
        .routes(routes!(space_settings::dev_mode))
        .routes(routes!(space_settings::pause))
        .routes(routes!(space_settings::restart))
        .routes(routes!(inference::generate))
        .routes(routes!(inference::embed))
        .routes(routes!(inference::classify))
        .routes(routes!(inference::usage))
        .routes(routes!(router_now::show))
        .routes(routes!(router_report::report))
        .routes(routes!(router_replay::replay))
        .routes(routes!(router_decisions::list))
        .routes(routes!(router_decisions::show))
        .routes(routes!(router_decisions::judge))
        .routes(routes!(review::show))
        .routes(routes!(review::decide))
        .routes(routes!(sessions::list))
        .routes(routes!(session_tasks::start))
        .routes(routes!(session_archive::show, session_archive::start))
        .routes(routes!(bulk::start))
        .routes(routes!(session_steps::show))
        .routes(routes!(session_steps::steps))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::show))
        .routes(routes!(runs::events))
        .routes(routes!(lineage::show))
        .routes(routes!(demo::show, demo::start))
        .routes(routes!(next::show))
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
        .routes(routes!(settings::set_org))
        .routes(routes!(settings::roots, settings::set_roots))
        .routes(routes!(
            settings::token,
            settings::replace_token,
            settings::remove_token
        ))
        .merge(crate::gateway::routes())
}

/// The routes that the description leaves out: pages for people.
pub(crate) fn undescribed() -> Router<AppState> {
    pages::routes()
}
