//! The app of a Space that serves a student: Gradio's HTTP API and a page, around a model in this process.
//!
//! What a Space of Bash Gym's template serves is in its `space.json`; so an app reads that file, and answers as the template's
//! own `app.py` would. The Hub gives one to each such Space it runs (the embedded runtime), and [`SpaceApp`] is one on its own:
//! what the container of a Space runs.

mod api;
mod error;
mod host;
mod page;
mod queue;
mod shapes;
mod space_app;
mod space_file;
mod stream;

pub use error::SpaceAppError;
pub use space_app::{SpaceAddress, SpaceApp};
pub use space_file::SpaceFile;

pub(crate) use api::handle;
pub(crate) use host::AppHost;
pub(crate) use page::{style, trouble};
pub(crate) use queue::Sessions;
