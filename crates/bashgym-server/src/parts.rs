//! What the server is made of. A composition root brings it; the server has no settings, no SQL and no engine of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bashgym_core::events::EventLog;
use bashgym_core::inference::CallStore;
use bashgym_core::launch::JobStarter;
use bashgym_core::ledger::{Book, Ledger};
use bashgym_core::plan::ChatRenderer;
use bashgym_core::run::{RunService, Target};
use bashgym_core::store::{JobStore, SeenJobStore, Store};
use bashgym_core::task::TaskStore;
use bashgym_core::trainer::TrainingBackend;
use bashgym_gate::{Gate, Inspector};
use bashgym_traces::{AgentHomes, SessionIndex};
use hf_core::{Capability, Clock, HfClient, Namespace, RepoId, Token, Wallet};
use hf_jobs::HfJobRunner;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::gateway::GatewayParts;
use crate::problem::Problem;
use crate::roots::{PathRefusal, Roots};

/// A Hub, and who we are there.
#[derive(Clone)]
pub struct HubConnection {
    /// The client, which holds the token.
    pub client: HfClient,
    /// Who owns what is made, and pays.
    pub namespace: Namespace,
    /// Whether it is the embedded Hub of this machine.
    pub embedded: bool,
    /// The token that jobs get, where it is not the client's own.
    pub job_token: Option<Token>,
}

impl HubConnection {
    /// How the connection is remembered with a run.
    pub fn target(&self) -> Target {
        let hub = if self.embedded {
            Target::EMBEDDED.to_owned()
        } else {
            self.client.endpoint().to_string()
        };
        Target {
            hub,
            namespace: self.namespace.to_string(),
        }
    }

    /// The full name of a repository that may be named without its namespace.
    ///
    /// # Errors
    /// [`Problem`] of code `invalid`.
    pub fn repo_id(&self, name: &str) -> Result<RepoId, Problem> {
        Ok(RepoId::within(&self.namespace, name)?)
    }

    /// The token that jobs get.
    pub(crate) fn token_of_jobs(&self) -> Option<&Token> {
        self.job_token.as_ref().or_else(|| self.client.token())
    }

    /// The jobs of the namespace.
    pub fn jobs(&self) -> HfJobRunner {
        HfJobRunner::new(&self.client, self.namespace.clone())
    }
}

/// Who is signed in, and what that gives.
#[derive(Clone)]
pub struct AccountView {
    /// The account, as `bashgym status --format json` shows it: its `state` is `signed_in`, `refused`, `unreachable`,
    /// `no_token` or `not_running`.
    pub account: Value,
    /// Each feature, and whether it can be used now.
    pub capabilities: Vec<Capability>,
    /// The Hub's address, once it is known.
    pub endpoint: Option<String>,
    /// Whether requests go to the embedded Hub of this machine.
    pub embedded: bool,
}

/// A setting and where its value came from. Secrets are shown as set or unset.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettingView {
    /// Its name.
    pub name: String,
    /// Its value.
    #[schema(required)]
    pub value: Value,
    /// A flag, a variable, a file, or the default.
    pub source: String,
    /// Whether it can be changed here: one of a flag or of the environment cannot.
    pub changeable: bool,
}

/// Something that the secret gate found in a dataset, masked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FindingView {
    /// Its id: the same value has the same id.
    pub id: String,
    /// What it is.
    pub kind: &'static str,
    /// The first file it is in, below the dataset.
    pub file: String,
    /// The line there, from 1.
    pub line: u64,
    /// Its length in bytes.
    pub length: usize,
    /// The text around it, with everything found masked.
    pub context: String,
    /// In how many places it is.
    pub places: u64,
}

/// What may be known of the token.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TokenView {
    /// Whether there is one.
    pub set: bool,
    /// Where it came from.
    #[schema(required)]
    pub source: Option<String>,
    /// Whether it can be replaced here: one of the environment or of a flag cannot.
    pub changeable: bool,
    /// Why it cannot.
    #[schema(required)]
    pub why: Option<String>,
}

/// What only the composition root can make.
#[async_trait]
pub trait Composition: Send + Sync {
    /// The Hub as it is configured now; another token is another connection, to the same host as ever.
    ///
    /// # Errors
    /// [`Problem`] of code `hub_auth` or `hub_unreachable`.
    async fn connect(&self) -> Result<HubConnection, Problem>;

    /// What drives runs on a connection.
    ///
    /// # Errors
    /// [`Problem`] when the gate cannot be opened, so that nothing may pass.
    fn run_service(
        &self,
        hub: &HubConnection,
        backend: Arc<dyn TrainingBackend>,
    ) -> Result<RunService, Problem>;

    /// What cleans sessions.
    ///
    /// # Errors
    /// [`Problem`] when the gate cannot be opened.
    fn gate(&self) -> Result<Gate, Problem>;

    /// What scans what is to be uploaded.
    ///
    /// # Errors
    /// [`Problem`] when the gate cannot be opened.
    fn inspector(&self) -> Result<Inspector, Problem>;

    /// Remembers secrets that jobs are given, so that no upload from here may hold them.
    ///
    /// # Errors
    /// [`Problem`] when they cannot be kept; nothing is started then.
    fn remember_secrets(&self, secrets: &[&str]) -> Result<(), Problem>;

    /// What the secret gate finds in a dataset folder. Reads every file: call it where waiting is allowed.
    ///
    /// # Errors
    /// [`Problem`] when the gate cannot be opened or a file cannot be read.
    fn findings(&self, dir: &Path) -> Result<Vec<FindingView>, Problem>;

    /// Lets a finding through from now on, or never.
    ///
    /// # Errors
    /// [`Problem`] of code `storage` when the decision cannot be kept.
    fn decide(&self, finding: &FindingView, allow: bool) -> Result<(), Problem>;

    /// Renders rows for plans.
    fn chat(&self) -> Arc<dyn ChatRenderer>;

    /// The book of what is asked for now; asks nobody.
    ///
    /// # Errors
    /// [`Problem`] when the settings cannot be read.
    fn book(&self) -> Result<Book, Problem>;

    /// Who is signed in. A Hub that cannot be reached is part of what is seen.
    ///
    /// # Errors
    /// [`Problem`] when the settings cannot be read.
    async fn account(&self) -> Result<AccountView, Problem>;

    /// What was spent at the Hub and what is left there.
    ///
    /// # Errors
    /// [`Problem`] when the settings cannot be read.
    async fn wallet(&self) -> Result<Wallet, Problem>;

    /// Every setting and where its value came from.
    ///
    /// # Errors
    /// [`Problem`] when the settings cannot be read.
    fn settings(&self) -> Result<Vec<SettingView>, Problem>;

    /// What may be known of the token.
    ///
    /// # Errors
    /// [`Problem`] when the settings cannot be read.
    fn token(&self) -> Result<TokenView, Problem>;

    /// Asks the Hub about a token and stores it in place of the one before.
    ///
    /// # Errors
    /// [`Problem`]: `conflict` where the token comes from the environment, `hub_auth` where the Hub refuses it.
    async fn replace_token(&self, text: String) -> Result<Value, Problem>;

    /// Keeps the organisation that owns what is made from now on, and pays; none for the account itself.
    ///
    /// # Errors
    /// [`Problem`]: `conflict` where it comes from a flag or the environment, `invalid` for one that the account is no
    /// member of.
    async fn set_default_org(&self, name: Option<String>) -> Result<(), Problem>;

    /// Keeps the folders that requests may name paths in, for this server's next start.
    ///
    /// # Errors
    /// [`Problem`] of code `storage`.
    fn set_roots(&self, folders: &[PathBuf]) -> Result<(), Problem>;

    /// Removes the stored token; says whether there was one.
    ///
    /// # Errors
    /// [`Problem`] of code `conflict` where the token comes from the environment.
    fn remove_token(&self) -> Result<bool, Problem>;
}

/// All parts of a server.
#[derive(Clone)]
pub struct ServerParts {
    /// The version of the program.
    pub version: &'static str,
    /// What only the composition root can make.
    pub composition: Arc<dyn Composition>,
    /// Where runs and their events are remembered.
    pub store: Arc<dyn Store>,
    /// Where jobs and their lines are remembered; the same store, as a rule.
    pub jobs: Arc<dyn JobStore>,
    /// Where it is remembered how jobs were seen; the same store, as a rule.
    pub seen: Arc<dyn SeenJobStore>,
    /// Where tasks are remembered; the same store, as a rule.
    pub tasks: Arc<dyn TaskStore>,
    /// The log of everything that happened; the same store, as a rule.
    pub events: Arc<dyn EventLog>,
    /// Where calls of models are remembered; the same store, as a rule.
    pub calls: Arc<dyn CallStore>,
    /// The ledger.
    pub ledger: Ledger,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Puts the span of a request below the one that its headers name, where traces are exported.
    pub join_trace: Option<fn(&tracing::Span, &http::HeaderMap)>,
    /// Where the coding agents of this machine keep their sessions.
    pub agents: AgentHomes,
    /// What is known of the sessions that were imported.
    pub sessions: SessionIndex,
    /// The folders that requests may name paths in.
    pub roots: Arc<Roots>,
    /// The folder for datasets built here, one folder each.
    pub datasets_dir: PathBuf,
    /// The folder for what was asked and answered about many rows.
    pub bulk_dir: PathBuf,
    /// Where the originals of sessions are kept.
    pub archive_dir: PathBuf,
    /// The folder for what a plan looks at for a moment.
    pub work_dir: PathBuf,
    /// The models behind the gateway's names.
    pub gateway: GatewayParts,
}

impl ServerParts {
    /// Checks a path of a request and returns it as it really is. An agent's own folder is allowed as soon as it is there,
    /// be it that the server was started before.
    ///
    /// # Errors
    /// [`PathRefusal`].
    pub(crate) fn resolve(&self, path: &str) -> Result<PathBuf, PathRefusal> {
        self.roots.resolve(path).or_else(|refusal| {
            if refusal != PathRefusal::Outside {
                return Err(refusal);
            }
            let folders = self.agents.folders().into_iter().map(|folder| folder.path);
            Roots::open(folders).resolve(path)
        })
    }

    /// What starts jobs on a connection.
    pub(crate) fn starter(&self, hub: &HubConnection) -> JobStarter {
        JobStarter {
            runner: hub.jobs(),
            hub: hub.target().hub,
            store: Arc::clone(&self.jobs),
            ledger: self.ledger.at(hub.client.endpoint()),
        }
    }
}
