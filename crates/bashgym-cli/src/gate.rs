//! The secret gate of this home: its key, what reviews decided, and the secrets this process knows.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bashgym_core::router::{Exchange, ExchangeGate};
use bashgym_gate::{Gate, GateKey, Inspector, Policy, PolicyError, RulesError, Scanner};

use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;

/// Bytes of the secret behind placeholders.
const SECRET: usize = 32;

impl From<RulesError> for CliError {
    fn from(error: RulesError) -> Self {
        Self::new(
            Kind::Internal,
            "the secret gate cannot read its rules, so nothing passes",
        )
        .because(error)
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        Self::new(Kind::Io, error.to_string())
            .because(error)
            .hint("a lost deny list would let through what was refused; restore the file, or remove it to begin anew")
    }
}

/// What the commands of this home know about secrets.
pub(crate) struct HomeGate {
    key: GateKey,
    pub(crate) policy: Policy,
    pub(crate) policy_file: PathBuf,
    known: Vec<String>,
}

impl HomeGate {
    /// Opens the gate of the home; its key is made at first use.
    pub(crate) fn open(context: &Context) -> Result<Self, CliError> {
        let folder = context.home()?.join("gate");
        std::fs::create_dir_all(&folder).map_err(|error| io_error("make the folder", &folder, error))?;
        let file = folder.join("key");
        let secret = match std::fs::read(&file) {
            Ok(secret) if secret.len() == SECRET => secret,
            Ok(_) => {
                return Err(CliError::new(Kind::Io, format!("{} is damaged", file.display()))
                    .hint("restore it; without it, placeholders change and decisions of reviews are lost"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut secret = vec![0; SECRET];
                let source = std::path::Path::new("/dev/urandom");
                std::fs::File::open(source)
                    .and_then(|mut random| random.read_exact(&mut secret))
                    .map_err(|error| io_error("read", source, error))?;
                write_whole(&file, &secret)?;
                secret
            }
            Err(error) => return Err(io_error("read", &file, error)),
        };
        let policy_file = folder.join("reviewed.json");
        let policy = Policy::read(&policy_file, GateKey::derive(&secret, "review"))?;
        // A token that cannot be read is no reason to look for fewer secrets than are known.
        let known = context
            .settings()
            .ok()
            .and_then(|settings| settings.token.as_ref().map(|token| token.expose().to_owned()))
            .into_iter()
            .chain(crate::job_token::known(context))
            .collect();
        Ok(Self {
            key: GateKey::derive(&secret, "placeholders"),
            policy,
            policy_file,
            known,
        })
    }

    /// Also looks for these, such as the secrets of a job.
    pub(crate) fn with_known(mut self, secrets: impl IntoIterator<Item = String>) -> Self {
        self.known.extend(secrets);
        self
    }

    /// Remembers secrets for good, so that builds, scans and pushes of this home find them whatever they look like. Only
    /// keyed hashes are kept.
    pub(crate) fn remember<'s>(
        &mut self,
        kind: &str,
        secrets: impl IntoIterator<Item = &'s str>,
    ) -> Result<(), CliError> {
        let mut new = false;
        for secret in secrets {
            new |= self.policy.deny(kind, secret);
        }
        if new {
            self.policy.write(&self.policy_file)?;
        }
        Ok(())
    }

    fn known(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str)
    }

    /// What cleans sessions.
    pub(crate) fn gate(&self) -> Result<Gate, CliError> {
        Ok(Gate::new(self.key.clone())?
            .with_policy(self.policy.clone())
            .with_known(self.known()))
    }

    /// What cleans what was said in calls, before it is kept.
    pub(crate) fn exchanges(&self) -> Result<Arc<dyn ExchangeGate>, CliError> {
        Ok(Arc::new(Exchanges(Mutex::new(self.gate()?))))
    }

    /// What looks for findings.
    pub(crate) fn scanner(&self) -> Result<Scanner, CliError> {
        Ok(Scanner::new(self.key.clone(), self.policy.clone())?.with_known(self.known()))
    }

    /// What decides about uploads.
    pub(crate) fn inspector(&self) -> Inspector {
        Inspector::new(self.key.clone(), self.policy.clone(), self.known.clone())
    }
}

struct Exchanges(Mutex<Gate>);

impl ExchangeGate for Exchanges {
    fn clean(&self, exchange: Exchange) -> Option<Exchange> {
        let text = serde_json::to_string(&exchange).ok()?;
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::from_str(&gate.json(&text)).ok()
    }
}
