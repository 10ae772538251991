//! What the app of a Space stands in here: its run, and the Hub.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::EMBEDDED;
use super::start::Student;
use crate::app::{AppHost, Sessions, SpaceFile};
use crate::inference::{Answering, Wanted};
use crate::repos::Repo;
use crate::spaces::routes;
use crate::spaces::run::AppRun;
use crate::state::AppState;

struct InHub {
    hub: AppState,
    run: Arc<AppRun>,
    served: Arc<Student>,
    space_id: String,
    root: String,
}

/// The surroundings of a Space's app, for one request to it.
pub(in crate::spaces) fn host(
    hub: &AppState,
    repo: &Repo,
    run: Arc<AppRun>,
    served: Arc<Student>,
) -> Arc<dyn AppHost> {
    Arc::new(InHub {
        hub: Arc::clone(hub),
        run,
        served,
        space_id: repo.id.path(),
        root: routes::host(hub, repo).trim_end_matches('/').to_owned(),
    })
}

#[async_trait]
impl AppHost for InHub {
    fn file(&self) -> &SpaceFile {
        &self.served.file
    }

    fn sessions(&self) -> &Arc<Sessions> {
        &self.run.sessions
    }

    fn space_id(&self) -> &str {
        &self.space_id
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn runtime(&self) -> &'static str {
        EMBEDDED
    }

    fn framed_by(&self) -> Option<&str> {
        None
    }

    fn closing(&self) -> &CancellationToken {
        &self.hub.closing
    }

    fn now_ms(&self) -> i64 {
        self.hub.clock.now_ms()
    }

    fn touch(&self) {
        self.run.touch(self.now_ms());
    }

    fn log(&self, line: String) {
        self.run.run_line(self.now_ms(), line);
    }

    async fn answer(&self, prompt: &str, wanted: Wanted) -> Result<Answering, String> {
        self.served.model.answer(&self.hub, prompt, wanted).await
    }
}
