//! An app on its own, outside of a Hub.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::api::handle;
use super::error::SpaceAppError;
use super::host::AppHost;
use super::queue::Sessions;
use super::space_file::SpaceFile;
use crate::clock::HubClock;
use crate::inference::{Answering, LoadedModel, Wanted};

/// What is said of the model to visitors.
const RUNTIME: &str = "the model of space.json is loaded in the process that answers: bashgym";
/// How often answers that nobody came for are looked for.
const SWEEP: Duration = Duration::from_secs(30);

/// The app of a Space that serves a student, on its own: `/`, `/config`, and Gradio's HTTP API below `/gradio_api`.
///
/// # Source
/// Gradio 6.31.0, as [`crate`]'s Spaces answer it.
pub struct SpaceApp(Arc<Alone>);

struct Alone {
    file: SpaceFile,
    model: Arc<dyn LoadedModel>,
    sessions: Arc<Sessions>,
    space_id: String,
    root: String,
    framed_by: Option<String>,
    clock: HubClock,
    closing: CancellationToken,
    log: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for SpaceApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpaceApp")
            .field("file", &self.0.file)
            .field("space_id", &self.0.space_id)
            .field("root", &self.0.root)
            .finish_non_exhaustive()
    }
}

impl SpaceApp {
    /// An app around a model that is loaded. `log` takes the lines of its log: how many tokens and seconds requests took, and why
    /// some failed; nothing of what was asked or answered.
    pub fn new(
        file: SpaceFile,
        model: Arc<dyn LoadedModel>,
        address: SpaceAddress,
        log: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Alone {
            file,
            model,
            sessions: Arc::default(),
            space_id: address.space_id,
            root: address.root.trim_end_matches('/').to_owned(),
            framed_by: address.framed_by,
            clock: HubClock::real(),
            closing: CancellationToken::new(),
            log: Box::new(log),
        }))
    }

    /// Lets the model answer once: an app that can not is better not served.
    ///
    /// # Errors
    /// [`SpaceAppError::NoAnswer`].
    pub async fn first_answer(&self) -> Result<(), SpaceAppError> {
        let first = Wanted {
            max_tokens: 1,
            temperature: 0.0,
        };
        let answering = self.0.answer("Hello", first).await;
        let ended = match answering {
            Ok(answering) => answering.until_end().await,
            Err(why) => Err(why),
        };
        ended.map_err(SpaceAppError::NoAnswer)
    }

    /// Serves visitors until `closing`; answers that are being given then are broken off.
    ///
    /// # Errors
    /// [`SpaceAppError::Serve`].
    pub async fn serve(
        self,
        listener: TcpListener,
        closing: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), SpaceAppError> {
        let host: Arc<dyn AppHost> = self.0.clone();
        let app = Router::new().fallback(move |request: Request| answer(Arc::clone(&host), request));
        let alone = self.0;
        let sweeping = {
            let alone = Arc::clone(&alone);
            async move {
                loop {
                    tokio::time::sleep(SWEEP).await;
                    alone.sessions.sweep(alone.clock.now_ms());
                }
            }
        };
        let stop = async move {
            closing.await;
            alone.closing.cancel();
            alone.sessions.close();
        };
        tokio::select! {
            served = axum::serve(listener, app).with_graceful_shutdown(stop).into_future() => {
                served.map_err(SpaceAppError::Serve)
            }
            () = sweeping => Ok(()),
        }
    }
}

async fn answer(host: Arc<dyn AppHost>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    handle(host, &path, request).await.into_response()
}

/// Where an app is, and who shows it.
#[derive(Clone, Debug, Default)]
pub struct SpaceAddress {
    /// `namespace/name` of the Space; empty where there is none.
    pub space_id: String,
    /// Where visitors reach it.
    pub root: String,
    /// The origin whose pages show it in a frame.
    pub framed_by: Option<String>,
}

#[async_trait]
impl AppHost for Alone {
    fn file(&self) -> &SpaceFile {
        &self.file
    }

    fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    fn space_id(&self) -> &str {
        &self.space_id
    }

    fn root(&self) -> &str {
        &self.root
    }

    fn runtime(&self) -> &'static str {
        RUNTIME
    }

    fn framed_by(&self) -> Option<&str> {
        self.framed_by.as_deref()
    }

    fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn touch(&self) {}

    fn log(&self, line: String) {
        (self.log)(&line);
    }

    async fn answer(&self, prompt: &str, wanted: Wanted) -> Result<Answering, String> {
        let (model, name) = (Arc::clone(&self.model), &self.file.shown.repo_id);
        Answering::of(model, name, prompt, wanted, &self.closing).await
    }
}
