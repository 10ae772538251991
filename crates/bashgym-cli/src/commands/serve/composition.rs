//! What the server is made of, out of this home: the Hub, the gate, the account, the token.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::ledger::{Book, Ledger};
use bashgym_core::plan::ChatRenderer;
use bashgym_core::run::{RunContext, RunService};
use bashgym_core::trainer::TrainingBackend;
use bashgym_gate::{Gate, Inspector, Verdict};
use bashgym_server::{
    AccountView, Code, Composition, FindingView, HubConnection, Problem, SettingView, TokenView,
};
use bashgym_store::SqlStore;
use hf_core::{HfClient, Namespace, Source, TokenStore, Wallet};
use serde_json::{Value, json};

use crate::account::Look;
use crate::commands::data::scan::each_file;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::job_token;
use crate::kept::Kept;
use crate::student::{EngineChat, EngineSampler};

/// For how long an account that was looked at is taken to be as it was.
const LOOK_LASTS: Duration = Duration::from_secs(10);

/// This home, for a server.
pub(super) struct HomeComposition {
    context: Context,
    store: Arc<SqlStore>,
    /// The only Hub beside the embedded one that this server talks to, whatever the settings say later.
    endpoint: String,
    known: Mutex<Option<Known>>,
    looked: Mutex<Option<(Duration, String, AccountView)>>,
    keeping: Mutex<()>,
}

/// A connection, and what it was made from.
struct Known {
    from: String,
    hub: HubConnection,
}

impl HomeComposition {
    pub(super) fn new(context: Context, store: Arc<SqlStore>) -> Result<Self, CliError> {
        let endpoint = context.settings()?.endpoint.to_string();
        Ok(Self {
            context,
            store,
            endpoint,
            known: Mutex::default(),
            looked: Mutex::default(),
            keeping: Mutex::default(),
        })
    }

    /// Changes what this home keeps of a person's choices.
    fn keep(&self, change: impl FnOnce(&mut Kept)) -> Result<(), Problem> {
        let home = self.context.home().map_err(problem)?;
        // One after the other: each reads what the one before wrote.
        let _turn = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Kept::read(home).map_err(problem)?;
        change(&mut kept);
        kept.write(home).map_err(problem)
    }

    /// What a connection would be made from now: the token, or the record of the embedded Hub.
    fn made_from(&self) -> Result<(String, bool), Problem> {
        let settings = self.context.settings().map_err(problem)?;
        if settings.endpoint.to_string() != self.endpoint {
            return Err(Problem::new(
                Code::Conflict,
                "the settings name another Hub than the one this server was started for",
            )
            .hint("start the server again to use it"));
        }
        if self.context.is_embedded(&settings) {
            return Ok((self.context.embedded_hub().record(), true));
        }
        let token = settings.token.as_ref().map(hf_core::Token::expose);
        let org = settings.default_org.as_ref().map(ToString::to_string);
        Ok((
            format!("{} {}", token.unwrap_or_default(), org.unwrap_or_default()),
            false,
        ))
    }
}

/// A failed command as the server tells it.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn problem(error: CliError) -> Problem {
    let code = match error.kind {
        Kind::Usage => Code::Invalid,
        Kind::Data => Code::Data,
        Kind::Auth => Code::HubAuth,
        Kind::Quota => Code::QuotaExceeded,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::Conflict,
        Kind::Unreachable => Code::HubUnreachable,
        Kind::JobFailed => Code::JobFailed,
        Kind::Io => Code::Storage,
        Kind::Internal | Kind::Interrupted | Kind::OutputClosed => Code::Internal,
    };
    error
        .hints()
        .iter()
        .fold(Problem::new(code, error.to_string()), |problem, hint| {
            problem.hint(hint.clone())
        })
}

#[async_trait]
impl Composition for HomeComposition {
    async fn connect(&self) -> Result<HubConnection, Problem> {
        let (from, embedded) = self.made_from()?;
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.as_ref()
                && known.from == from
                && (!embedded || self.context.embedded_hub().is_alive(&from))
            {
                return Ok(known.hub.clone());
            }
        }
        let connection = self.context.connect().await.map_err(problem)?;
        // The next server knows the account although the Hub may be away by then.
        self.context.account_memory.keep();
        let job_token = job_token::of_connection(&self.context, &connection).map_err(problem)?;
        let job_token = job_token.map(|own| own.token);
        let hub = HubConnection {
            client: connection.client,
            namespace: connection.namespace,
            embedded: connection.embedded,
            job_token,
        };
        // The embedded Hub may have been started just now.
        let (from, _) = self.made_from()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Known {
            from,
            hub: hub.clone(),
        });
        Ok(hub)
    }

    fn run_service(
        &self,
        hub: &HubConnection,
        backend: Arc<dyn TrainingBackend>,
    ) -> Result<RunService, Problem> {
        let gate = HomeGate::open(&self.context).map_err(problem)?;
        let token = hub.client.token().cloned();
        let token = token.ok_or_else(|| problem(crate::context::no_token()))?;
        let home = self.context.home().map_err(problem)?;
        let clock = Arc::clone(&self.context.clock);
        Ok(RunService::new(RunContext {
            client: hub.client.clone(),
            token,
            store: self.store.clone(),
            jobs: self.store.clone(),
            budget: Some(Arc::new(
                Ledger::new(self.store.clone(), Arc::clone(&clock)).at(hub.client.endpoint()),
            )),
            backend,
            sampler: Arc::new(EngineSampler),
            clock,
            runs_dir: home.join("runs"),
            gate: gate.gate().map_err(problem)?,
            inspector: gate.inspector(),
        }))
    }

    fn gate(&self) -> Result<Gate, Problem> {
        HomeGate::open(&self.context)
            .and_then(|gate| gate.gate())
            .map_err(problem)
    }

    fn inspector(&self) -> Result<Inspector, Problem> {
        Ok(HomeGate::open(&self.context).map_err(problem)?.inspector())
    }

    fn remember_secrets(&self, secrets: &[&str]) -> Result<(), Problem> {
        let mut home = HomeGate::open(&self.context).map_err(problem)?;
        home.remember("job_secret", secrets.iter().copied())
            .map_err(problem)
    }

    fn findings(&self, dir: &Path) -> Result<Vec<FindingView>, Problem> {
        let mut scanner = HomeGate::open(&self.context)
            .and_then(|gate| gate.scanner())
            .map_err(problem)?;
        let mut found: Vec<FindingView> = Vec::new();
        each_file(&[dir.to_path_buf()], &mut scanner, |file, hit| {
            if let Some(known) = found.iter_mut().find(|known| known.id == hit.id) {
                known.places += 1;
            } else {
                let file = file.strip_prefix(dir).unwrap_or(file);
                found.push(FindingView {
                    id: hit.id.clone(),
                    kind: hit.kind,
                    file: file.display().to_string(),
                    line: hit.line,
                    length: hit.length,
                    context: hit.context.clone(),
                    places: 1,
                });
            }
            Ok(())
        })
        .map_err(problem)?;
        Ok(found)
    }

    fn decide(&self, finding: &FindingView, allow: bool) -> Result<(), Problem> {
        let mut gate = HomeGate::open(&self.context).map_err(problem)?;
        let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
        gate.policy
            .decide(&finding.id, finding.kind, finding.length, verdict);
        let written = gate.policy.write(&gate.policy_file);
        written.map_err(|error| problem(CliError::from(error)))
    }

    fn chat(&self) -> Arc<dyn ChatRenderer> {
        Arc::new(EngineChat)
    }

    fn book(&self) -> Result<Book, Problem> {
        self.context.book().map_err(problem)
    }

    async fn account(&self) -> Result<AccountView, Problem> {
        let now = self.context.clock.elapsed();
        let (from, _) = self.made_from()?;
        {
            let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, of, view)) = looked.as_ref()
                && *of == from
                && now.saturating_sub(*at) < LOOK_LASTS
            {
                return Ok(view.clone());
            }
        }
        let look = Look::take(&self.context).await.map_err(problem)?;
        let view = AccountView {
            account: look.account_json(),
            capabilities: look.capabilities(),
            endpoint: look.endpoint.clone(),
            embedded: look.embedded,
        };
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        *looked = Some((now, from, view.clone()));
        Ok(view)
    }

    async fn wallet(&self) -> Result<Wallet, Problem> {
        let look = Look::take(&self.context).await.map_err(problem)?;
        Ok(look.wallet().await)
    }

    fn settings(&self) -> Result<Vec<SettingView>, Problem> {
        super::super::config::settings(&self.context).map_err(problem)
    }

    fn token(&self) -> Result<TokenView, Problem> {
        let settings = self.context.settings().map_err(problem)?;
        let store = TokenStore::open(&settings);
        Ok(TokenView {
            set: settings.token.is_some(),
            source: settings.sources().get("token").map(ToString::to_string),
            changeable: store.is_ok(),
            why: store.err().map(|error| error.to_string()),
        })
    }

    async fn replace_token(&self, text: String) -> Result<Value, Problem> {
        let before = self.context.settings_with(None).map_err(problem)?;
        let store = TokenStore::open(&before).map_err(fixed)?;
        let settings = self.context.settings_with(Some(text)).map_err(problem)?;
        if settings.token.is_none() {
            return Err(Problem::new(Code::Invalid, "this is no token"));
        }
        let client = HfClient::from_settings(&settings)?;
        let me = store.replace(&client).await.map_err(|error| {
            Problem::from(error).hint("the token that was stored before, if any, stays and works")
        })?;
        Ok(json!({
            "stored": true, "name": me.name, "plan": me.plan().to_string(),
            "role": me.token_role().map(ToString::to_string),
        }))
    }

    async fn set_default_org(&self, name: Option<String>) -> Result<(), Problem> {
        let settings = self.context.settings().map_err(problem)?;
        let source = settings.sources().get("default_org");
        if let Some(source) = source.filter(|source| !matches!(source, Source::Default | Source::Kept { .. }))
        {
            return Err(Problem::new(
                Code::Conflict,
                format!("the organisation comes from the {source}, which wins over what is chosen here"),
            ));
        }
        if let Some(name) = &name {
            Namespace::parse(name)?;
            if settings.token.is_some() && !self.context.is_embedded(&settings) {
                let me = HfClient::from_settings(&settings)?.whoami().await?;
                let orgs: Vec<&str> = me.orgs.iter().map(|org| org.name.as_str()).collect();
                if !orgs.contains(&name.as_str()) {
                    let are = if orgs.is_empty() {
                        "none".to_owned()
                    } else {
                        orgs.join(", ")
                    };
                    return Err(Problem::new(
                        Code::Invalid,
                        format!("{} is no member of an organisation {name}", me.name),
                    )
                    .hint(format!("its organisations are: {are}")));
                }
            }
        }
        self.keep(|kept| kept.default_org = name)
    }

    fn set_roots(&self, folders: &[PathBuf]) -> Result<(), Problem> {
        self.keep(|kept| kept.roots = folders.to_vec())
    }

    fn remove_token(&self) -> Result<bool, Problem> {
        let settings = self.context.settings_with(None).map_err(problem)?;
        Ok(TokenStore::open(&settings).map_err(fixed)?.remove()?)
    }
}

/// A token of the environment or of a flag stays what it is.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn fixed(error: hf_core::HfError) -> Problem {
    let hint = error.hint();
    let problem = Problem::new(Code::Conflict, error.to_string());
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
