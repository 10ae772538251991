//! What every handler shares.

pub(crate) mod db;
pub(crate) mod dirs;
pub(crate) mod files;
pub(crate) mod ids;
pub(crate) mod sign;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, Rates};
use crate::clock::HubClock;
use crate::config::UvConfig;
use crate::faults::Faults;
use crate::git::Oid;
use crate::inference::Inference;
use crate::jobs::Jobs;
use crate::large::LargeObjects;
use crate::repos::{Cache, Facts, ObjectCache, RepoKind, Seen, Sweeping};
use crate::spaces::Apps;
use db::Db;
use dirs::Dirs;
use sign::Signer;

/// The state as handlers get it.
pub(crate) type AppState = Arc<Hub>;

/// A running Hub.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) db: Db,
    pub(crate) dirs: Dirs,
    pub(crate) objects: ObjectCache,
    pub(crate) facts: Cache<(RepoKind, Oid), Arc<Facts>>,
    /// Files of rows that the viewer has read.
    pub(crate) tables: crate::viewer::Tables,
    pub(crate) seen: Seen,
    pub(crate) sweeping: Sweeping,
    pub(crate) large: LargeObjects,
    #[cfg(feature = "xet")]
    pub(crate) xet: crate::xet::XetStore,
    pub(crate) accounts: Accounts,
    pub(crate) clock: HubClock,
    pub(crate) origins: Origins,
    pub(crate) signer: Signer,
    pub(crate) faults: Faults,
    pub(crate) rates: Rates,
    pub(crate) jobs: Jobs,
    pub(crate) inference: Inference,
    /// The Spaces that run.
    pub(crate) apps: Apps,
    /// What builds the Spaces that run as processes.
    pub(crate) uv: Option<UvConfig>,
    /// What every process of theirs finds in its environment, `PATH` among it.
    pub(crate) program_environment: BTreeMap<String, String>,
    /// When the data folder was first used.
    pub(crate) created_ms: i64,
    /// Cancelled when the Hub shuts down: streams without an end stop then.
    pub(crate) closing: CancellationToken,
}

/// Where the Hub is reached. No trailing slash.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    pub(crate) hub: String,
    pub(crate) payload: String,
}
