//! Starting and stopping a local Hub.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::{AccountInfo, Accounts, Rates};
use crate::clock::HubClock;
use crate::config::LocalHubConfig;
use crate::error::LocalHubError;
use crate::faults::Faults;
use crate::inference::{Inference, ScriptedProviders};
use crate::jobs::{Credits, Jobs};
use crate::large::{LargeObjects, LfsStore};
use crate::listener::{HubListener, Peer};
use crate::repos::{Cache, ObjectCache, Seen, Sweeping, start_sweeping};
use crate::router;
use crate::spaces::Apps;
use crate::state::db::Db;
use crate::state::dirs::Dirs;
use crate::state::sign::Signer;
use crate::state::{Hub, Origins};

/// How long requests that are running may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// A Hub that is running. Dropping it stops it without waiting for what is running.
#[derive(Debug)]
pub struct LocalHub {
    hub: Arc<Hub>,
    servers: Vec<JoinHandle<()>>,
    force: CancellationToken,
}

impl LocalHub {
    /// Opens the data folder and both ports, and serves until [`LocalHub::shutdown`].
    ///
    /// # Errors
    /// [`LocalHubError::DataDirInUse`], [`LocalHubError::PortInUse`], [`LocalHubError::Account`] and the others, each
    /// before anything is served.
    pub async fn start(config: LocalHubConfig) -> Result<Self, LocalHubError> {
        let dirs = Dirs::open(&config.data_dir)?;
        let accounts = Accounts::open(config.accounts, dirs.root())?;
        let signer = Signer::open(dirs.root())?;
        let (hub_tcp, hub_origin) = listen(config.port).await?;
        let (payload_tcp, payload_origin) = listen(config.payload_port).await?;
        let db = Db::open(dirs.root()).await?;
        let created_ms = db.created_ms(dirs.root(), config.clock.now_ms()).await?;
        let mut program_environment = config.executor.environment.clone();
        program_environment.insert("PATH".to_owned(), config.executor.path());
        let jobs = Jobs::open(
            db.clone(),
            config.clock.clone(),
            dirs.root(),
            hub_origin.clone(),
            config.executor,
            Credits::of(&accounts),
        )
        .await
        .map_err(|error| LocalHubError::Part {
            part: "jobs",
            reason: error.to_string(),
        })?;
        #[cfg(feature = "xet")]
        let xet = crate::xet::XetStore::open(dirs.root().join("xet"), config.clock.clone()).await?;
        #[cfg(feature = "xet")]
        let xet_storage: Option<Arc<dyn crate::large::XetStore>> = Some(Arc::new(xet.clone()));
        #[cfg(not(feature = "xet"))]
        let xet_storage = None;
        let hub = Arc::new(Hub {
            db,
            objects: ObjectCache::default(),
            facts: Cache::new(2_000),
            tables: crate::viewer::tables(),
            seen: Seen::default(),
            sweeping: Sweeping::default(),
            large: LargeObjects::new(LfsStore::new(&dirs), xet_storage),
            #[cfg(feature = "xet")]
            xet,
            dirs,
            accounts,
            apps: Apps::new(config.clock.now_ms()),
            uv: config.uv,
            program_environment,
            clock: config.clock,
            origins: Origins {
                hub: hub_origin,
                payload: payload_origin,
            },
            signer,
            faults: Faults::default(),
            rates: Rates::default(),
            jobs,
            inference: Inference::new(config.engine, ScriptedProviders::default()),
            created_ms,
            closing: CancellationToken::new(),
        });
        hub.jobs.attach(&hub);
        start_sweeping(&hub);
        crate::spaces::end_left_behind(&hub).await;
        tokio::spawn(Apps::keep_resting(Arc::clone(&hub)));
        let force = CancellationToken::new();
        let servers = vec![
            serve(hub_tcp, router::hub(&hub), &hub, &force),
            serve(payload_tcp, router::payload(&hub), &hub, &force),
        ];
        Ok(Self { hub, servers, force })
    }

    /// Where the Hub is reached: `http://127.0.0.1:PORT`, what `HF_ENDPOINT` has to be.
    pub fn endpoint(&self) -> &str {
        &self.hub.origins.hub
    }

    /// Where large files move; clients are sent there.
    pub fn payload_endpoint(&self) -> &str {
        &self.hub.origins.payload
    }

    /// Where inference is reached, what `https://router.huggingface.co` is in the cloud: the Hub origin.
    pub fn inference_endpoint(&self) -> &str {
        &self.hub.origins.hub
    }

    /// Names and tokens of the accounts, in the order they were given.
    pub fn accounts(&self) -> &[AccountInfo] {
        self.hub.accounts.infos()
    }

    /// The faults to be made.
    pub fn faults(&self) -> &Faults {
        &self.hub.faults
    }

    /// The scripted providers of inference.
    pub fn scripted_providers(&self) -> &ScriptedProviders {
        self.hub.inference.scripted()
    }

    /// The rate limits, and who was refused by them.
    pub fn rates(&self) -> &Rates {
        &self.hub.rates
    }

    /// The Hub's time.
    pub fn clock(&self) -> &HubClock {
        &self.hub.clock
    }

    /// Cancels the jobs that run, stops taking requests, lets running ones end (five seconds at most), and closes the
    /// data folder.
    pub async fn shutdown(mut self) {
        // First, while a job that ends in good order still finds its Hub.
        self.hub.jobs.shutdown().await;
        self.hub.closing.cancel();
        self.hub.apps.ended().await;
        let deadline = tokio::time::Instant::now() + GRACE;
        for server in &mut self.servers {
            if tokio::time::timeout_at(deadline, &mut *server).await.is_err() {
                self.force.cancel();
                let _ = tokio::time::timeout(GRACE, server).await;
            }
        }
        self.hub.db.close().await;
        self.hub.dirs.release();
    }
}

impl Drop for LocalHub {
    fn drop(&mut self) {
        self.hub.closing.cancel();
        self.hub.jobs.abandon();
        self.hub.apps.abandon();
        self.force.cancel();
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn listen(port: u16) -> Result<(TcpListener, String), LocalHubError> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => LocalHubError::PortInUse { port },
            _ => LocalHubError::Listen { port, source },
        })?;
    let addr = tcp
        .local_addr()
        .map_err(|source| LocalHubError::Listen { port, source })?;
    Ok((tcp, format!("http://{addr}")))
}

fn serve(tcp: TcpListener, app: Router, hub: &Arc<Hub>, force: &CancellationToken) -> JoinHandle<()> {
    let listener = HubListener {
        tcp,
        force: force.clone(),
    };
    let closing = hub.closing.clone();
    tokio::spawn(async move {
        let served = axum::serve(listener, app.into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(closing.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "a listener stopped");
        }
    })
}
