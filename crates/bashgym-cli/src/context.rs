//! What commands share: the home folder, the settings, the store, and the way to the Hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bashgym_core::ledger::{Book, Ledger};
use bashgym_core::run::Target;
use bashgym_store::SqlStore;
use hf_core::{
    Clock, HfClient, HuggingFaceSettings, Namespace, SettingsInput, SettingsOverrides, Source, SystemClock,
    Token,
};

use crate::account_memory::AccountMemory;
use crate::config_file::{self, ConfigFile};
use crate::embedded_hub::EmbeddedHub;
use crate::error::{CliError, Kind, io_error};
use crate::global::Global;
use crate::kept::Kept;
use crate::output::Output;

/// What every command gets.
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is remembered of the account behind the configured token.
    pub(crate) account_memory: AccountMemory,
    /// What flags and the environment leave open.
    pub(crate) file: ConfigFile,
    global: Global,
    home: PathBuf,
}

/// A Hub, and who we are there.
pub(crate) struct Connection {
    pub(crate) client: HfClient,
    pub(crate) namespace: Namespace,
    pub(crate) embedded: bool,
}

impl Connection {
    /// The token this connection speaks with.
    pub(crate) fn token(&self) -> Result<Token, CliError> {
        self.client.token().cloned().ok_or_else(no_token)
    }

    /// How the connection is remembered with a run.
    pub(crate) fn target(&self) -> Target {
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
    pub(crate) fn repo_id(&self, name: &str) -> Result<hf_core::RepoId, CliError> {
        Ok(hf_core::RepoId::within(&self.namespace, name)?)
    }
}

pub(crate) fn no_token() -> CliError {
    CliError::new(Kind::Auth, "there is no token for this Hub")
        .hint("set HF_TOKEN, or sign in with the official client: `hf auth login`")
        .hint("`--local` uses the embedded Hub, which needs none")
}

impl Context {
    pub(crate) fn new(global: Global, output: Output) -> Result<Self, CliError> {
        let home = home_folder()?;
        let file = ConfigFile::open(global.config.as_deref(), &home)?;
        Ok(Self {
            file,
            output,
            clock: Arc::new(SystemClock::new()),
            account_memory: AccountMemory::new(&home),
            global,
            home,
        })
    }

    /// The same context once more, for what outlives the command that made it.
    pub(crate) fn again(&self) -> Result<Self, CliError> {
        Self::new(self.global.clone(), self.output)
    }

    /// Whether the store is a database that was named.
    pub(crate) fn has_database_url(&self) -> bool {
        self.own("database_url").is_some()
    }

    /// The config file, if one was read.
    pub(crate) fn config_path(&self) -> Option<&Path> {
        self.file.path()
    }

    /// The value of a setting of this program by its name in the config file: its variable, then the file.
    pub(crate) fn own(&self, name: &str) -> Option<String> {
        let variable = config_file::find(name).and_then(|setting| setting.variable);
        variable
            .and_then(own_variable)
            .or_else(|| self.file.text(name).map(str::to_owned))
    }

    /// Where [`Context::own`] has the value of a setting from.
    pub(crate) fn source_of_own(&self, name: &str) -> String {
        let variable = config_file::find(name).and_then(|setting| setting.variable);
        let variable = variable.filter(|variable| own_variable(variable).is_some());
        match variable {
            Some(variable) => format!("environment variable {variable}"),
            None => self.file.source(name).unwrap_or(Source::Default).to_string(),
        }
    }

    /// The home folder, made if it is not there; only this user may look inside.
    pub(crate) fn home(&self) -> Result<&Path, CliError> {
        if !self.home.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.home)
                .map_err(|error| io_error("make the folder", &self.home, error))?;
        }
        Ok(&self.home)
    }

    /// The home folder's path, whether or not it is there.
    pub(crate) fn home_path(&self) -> &Path {
        &self.home
    }

    /// The settings: flags, environment, `.env` here, the official token file, the config file, defaults.
    pub(crate) fn settings(&self) -> Result<HuggingFaceSettings, CliError> {
        self.settings_with(self.flag_token()?)
    }

    /// The text in the file of `--token-file`.
    pub(crate) fn flag_token(&self) -> Result<Option<String>, CliError> {
        let path = self.global.token_file.as_ref();
        path.map(|path| std::fs::read_to_string(path).map_err(|error| io_error("read", path, error)))
            .transpose()
    }

    /// The settings, with this token as the flag's.
    pub(crate) fn settings_with(&self, token: Option<String>) -> Result<HuggingFaceSettings, CliError> {
        let overrides = SettingsOverrides {
            endpoint: self.global.endpoint.clone(),
            token,
            default_org: self.global.org.clone(),
            ..SettingsOverrides::default()
        };
        let input = SettingsInput::from_process()
            .with_dotenv_dir(".")
            .with_fallback(self.fallback()?)
            .with_overrides(overrides);
        Ok(HuggingFaceSettings::resolve(input)?)
    }

    /// What holds where neither a flag nor the environment says: the config file, and what the dashboard keeps.
    fn fallback(&self) -> Result<BTreeMap<&'static str, (String, Source)>, CliError> {
        let path = Kept::file(&self.home);
        let org = Kept::read(&self.home)?.default_org;
        let kept = org.map(|name| ("default_org", (name, Source::Kept { path })));
        // The file comes last and wins.
        Ok(kept.into_iter().chain(self.file.of_the_hub()).collect())
    }

    /// Whether commands go to the embedded Hub: asked for, or nothing else is configured.
    pub(crate) fn is_embedded(&self, settings: &HuggingFaceSettings) -> bool {
        let no_endpoint = matches!(settings.sources().get("endpoint"), None | Some(Source::Default));
        self.global.local || (no_endpoint && settings.token.is_none())
    }

    /// The book of what commands ask for now: what a Hub of this machine counts is simulated.
    pub(crate) fn book(&self) -> Result<Book, CliError> {
        let settings = self.settings()?;
        Ok(if self.is_embedded(&settings) {
            Book::Simulated
        } else {
            Book::at(&settings.endpoint)
        })
    }

    pub(crate) fn embedded_hub(&self) -> EmbeddedHub {
        EmbeddedHub::new(&self.home)
    }

    /// Connects to the Hub: the configured one, or the embedded one, which is started if need be.
    pub(crate) async fn connect(&self) -> Result<Connection, CliError> {
        let settings = self.settings()?;
        if self.is_embedded(&settings) {
            return self.connect_embedded().await;
        }
        let client = HfClient::from_settings(&settings)?;
        self.account_memory.attach(&client);
        let namespace = match settings.namespace() {
            Some(namespace) => namespace.clone(),
            None => self.account_memory.name(&client).await?.parse()?,
        };
        Ok(Connection {
            client,
            namespace,
            embedded: false,
        })
    }

    async fn connect_embedded(&self) -> Result<Connection, CliError> {
        self.home()?;
        let (running, started) = self.embedded_hub().ensure().await?;
        if started {
            self.output.note(format!(
                "The embedded Hub runs at {} (process {}); `bashgym hub stop` ends it.",
                running.ready.endpoint, running.pid
            ));
        }
        let account = running
            .ready
            .accounts
            .first()
            .map(|account| account.name.clone())
            .unwrap_or_default();
        let client = running.client()?;
        Ok(Connection {
            client,
            namespace: account.parse()?,
            embedded: true,
        })
    }

    /// The store, brought to today's form: a file in the home folder, or the PostgreSQL database that
    /// `BASHGYM_DATABASE_URL` or the config file names.
    pub(crate) async fn store(&self) -> Result<SqlStore, CliError> {
        match self.own("database_url") {
            Some(url) => Ok(SqlStore::connect(&url).await?),
            None => Ok(SqlStore::open(&self.home()?.join("bashgym.db")).await?),
        }
    }

    /// The ledger, kept in the store.
    pub(crate) async fn ledger(&self) -> Result<Ledger, CliError> {
        let store = self.store().await?;
        Ok(Ledger::new(Arc::new(store), Arc::clone(&self.clock)))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this program that reads its own variables"
)]
pub(crate) fn own_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn home_folder() -> Result<PathBuf, CliError> {
    let path = match own_variable("BASHGYM_HOME") {
        Some(path) => PathBuf::from(path),
        None => match std::env::home_dir() {
            Some(home) => home.join(".bashgym"),
            None => {
                return Err(CliError::new(Kind::Usage, "there is no home folder")
                    .hint("set BASHGYM_HOME to a folder"));
            }
        },
    };
    std::path::absolute(&path).map_err(|error| io_error("find", &path, error))
}
