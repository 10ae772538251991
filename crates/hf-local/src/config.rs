//! How a local Hub is set up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::accounts::AccountConfig;
use crate::clock::HubClock;
use crate::inference::InferenceEngine;
use crate::jobs::ExecutorConfig;

/// Says where a local Hub keeps its data, where it listens and whom it knows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalHubConfig {
    pub(crate) data_dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) payload_port: u16,
    pub(crate) accounts: Option<Vec<AccountConfig>>,
    pub(crate) clock: HubClock,
    pub(crate) executor: ExecutorConfig,
    pub(crate) engine: Option<Arc<dyn InferenceEngine>>,
    pub(crate) uv: Option<UvConfig>,
}

/// What builds the environments of Spaces whose code runs.
#[derive(Clone, Debug)]
pub(crate) struct UvConfig {
    pub(crate) program: PathBuf,
    /// What it finds around it; nothing is inherited.
    pub(crate) environment: BTreeMap<String, String>,
}

impl LocalHubConfig {
    /// Keeps everything below `data_dir`, picks free ports and makes one PRO account named `local`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: 0,
            payload_port: 0,
            accounts: None,
            clock: HubClock::real(),
            executor: ExecutorConfig::default(),
            engine: None,
            uv: None,
        }
    }

    /// Sets the port of the Hub origin; 0 picks a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the port of the payload origin; 0 picks a free one.
    #[must_use]
    pub fn payload_port(mut self, port: u16) -> Self {
        self.payload_port = port;
        self
    }

    /// Sets whom the Hub knows. Entries with one name are several tokens of one user.
    #[must_use]
    pub fn accounts(mut self, accounts: Vec<AccountConfig>) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// Sets the Hub's time.
    #[must_use]
    pub fn clock(mut self, clock: HubClock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets what runs the models of the Hub's repositories. Without one no model is served.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn InferenceEngine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Sets the `uv` that builds gradio Spaces, which then run as processes of this machine. Without one their code is not run.
    /// `environment` is what uv finds around it, such as where packages come from; nothing is inherited, and apps do not get it.
    #[must_use]
    pub fn uv(mut self, program: impl Into<PathBuf>, environment: BTreeMap<String, String>) -> Self {
        self.uv = Some(UvConfig {
            program: program.into(),
            environment,
        });
        self
    }

    /// Sets how jobs run.
    #[must_use]
    pub fn executor(mut self, executor: ExecutorConfig) -> Self {
        self.executor = executor;
        self
    }
}
