//! Spaces: repositories with a runtime.
//!
//! What is real: the repository, hardware and sleep time as asked for, variables, the names of secrets, the limits of plans,
//! and static Spaces, which are served from the payload origin at `/apps/{namespace}/{name}/`.
//!
//! A Space of Bash Gym's template runs in this process where there is an engine: [`embedded`].
//!
//! Other gradio Spaces run as processes of this machine where uv is there to build them: [`process`].
//!
//! What is simulated, and says so in the runtime (`simulated`), in the logs and at the app's address: the build, and the app of
//! other docker Spaces, and of gradio Spaces where nothing runs them. Their code is not run. Stages follow the Hub's clock: [`stage::BUILD_MS`] of building,
//! [`stage::START_MS`] of starting. Values of secrets are kept in memory only, for the
//! processes of this Hub's life.

mod access;
mod app;
mod apps;
mod embedded;
mod limits;
mod logs;
mod process;
mod routes;
mod run;
mod settings;
mod setup;
mod stage;
mod store;

pub(crate) use app::router as app_router;
pub(crate) use apps::Apps;
pub(crate) use process::end_left_behind;
pub(crate) use routes::{describe, host, router, subdomain};
pub(crate) use setup::{Pair, Setup, setup};
pub(crate) use store::{MIGRATIONS, insert};

/// What is said wherever something of a Space is not real.
pub(crate) const SIMULATED: &str =
    "hf-local does not run the code of gradio and docker Spaces: the build and the stages are simulated";
