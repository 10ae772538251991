//! What is remembered of an account between two commands: the last `whoami`, and what the Hub refused.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hf_core::{Account, AccountCache, HfClient, Refusal, StoredAccount};
use serde::{Deserialize, Serialize};

use crate::context::no_token;
use crate::error::CliError;
use crate::files::write_whole;

/// The file's contents. It holds no token, only a fingerprint of it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    key: String,
    account: Option<serde_json::Value>,
    #[serde(default)]
    refusals: Vec<Refusal>,
}

/// The memory of one home folder. It is a help, so that none of its failures stops a command.
#[derive(Debug)]
pub(crate) struct AccountMemory {
    home: PathBuf,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    client: Option<HfClient>,
    account: Option<StoredAccount>,
    /// The Hub refused the token: what was remembered of it is not true any more.
    forget: bool,
}

impl AccountMemory {
    pub(crate) fn new(home: &Path) -> Self {
        Self {
            home: home.to_path_buf(),
            now: Mutex::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.home.join("account.json")
    }

    fn read(&self, key: &str) -> Option<Kept> {
        let bytes = std::fs::read(self.path()).ok()?;
        let kept: Kept = serde_json::from_slice(&bytes).ok()?;
        (kept.key == key).then_some(kept)
    }

    /// Tells a client what was refused before, and keeps in the end what it was refused now.
    pub(crate) fn attach(&self, client: &HfClient) {
        let Some(key) = AccountCache::new(client.clone()).key() else {
            return;
        };
        if let Some(kept) = self.read(&key) {
            client.refusals().restore(kept.refusals);
        }
        self.now.lock().unwrap_or_else(PoisonError::into_inner).client = Some(client.clone());
    }

    /// The cache of a client's account, with what is remembered.
    pub(crate) fn cache(&self, client: &HfClient) -> AccountCache {
        let cache = AccountCache::new(client.clone());
        let stored = cache
            .key()
            .and_then(|key| self.read(&key))
            .and_then(|kept| serde_json::from_value(kept.account?).ok());
        cache.remembering(stored)
    }

    /// The name of a client's account: what the Hub tells, or told the last time where it can not be asked now.
    pub(crate) async fn name(&self, client: &HfClient) -> Result<String, CliError> {
        let cache = self.cache(client);
        let account = cache.get().await;
        self.note(&cache, &account).await;
        match account {
            Account::Known { me, .. } => Ok(me.name.clone()),
            Account::Refused(doubt) | Account::Unknown(doubt) => Err(doubt.into()),
            _ => Err(no_token()),
        }
    }

    /// Takes note of what the Hub told of the account.
    pub(crate) async fn note(&self, cache: &AccountCache, account: &Account) {
        let stored = cache.stored().await;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.account = stored;
        now.forget = matches!(account, Account::Refused(_));
    }

    /// Writes down what this command learnt.
    pub(crate) fn keep(&self) {
        let now = std::mem::take(&mut *self.now.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(client) = now.client else {
            return;
        };
        let Some(key) = AccountCache::new(client.clone()).key() else {
            return;
        };
        let before = self.read(&key).unwrap_or_default();
        let account = now
            .account
            .and_then(|account| serde_json::to_value(account).ok())
            .or_else(|| before.account.clone().filter(|_| !now.forget));
        let kept = Kept {
            key,
            account,
            refusals: client.refusals().all(),
        };
        // Nothing worth a file, or nothing new.
        let empty = kept.account.is_none() && kept.refusals.is_empty();
        if kept == before || (empty && before == Kept::default()) {
            return;
        }
        if !self.home.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.home);
            if made.is_err() {
                return;
            }
        }
        // If it can not be written, the next command asks the Hub again; that is all that is lost.
        if let Ok(bytes) = serde_json::to_vec(&kept) {
            let _ = write_whole(&self.path(), &bytes);
        }
    }
}
