//! A running Hub, a client of it, and folders to move.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use hf_core::{Endpoint, HfClient, Namespace, RepoId, RepoType, RetryPolicy, Token};
use hf_datasets::{CreateOptions, HfDatasetManager, Progress, RepoFiles, TransferEvent};
use hf_local::{LocalHub, LocalHubConfig};
use rand::{RngCore as _, SeedableRng as _};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) hub: LocalHub,
    pub(crate) client: HfClient,
    pub(crate) namespace: Namespace,
    _data: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(LocalHubConfig::new(data.path())).await.unwrap();
        let account = hub.accounts()[0].clone();
        let client = client(hub.endpoint(), Some(&account.token));
        Self {
            client,
            namespace: Namespace::parse(&account.name).unwrap(),
            hub,
            _data: data,
        }
    }

    pub(crate) fn datasets(&self) -> HfDatasetManager {
        HfDatasetManager::new(self.client.clone(), self.namespace.clone())
    }

    /// A new, empty repository.
    pub(crate) async fn repo(&self, name: &str) -> RepoFiles {
        let id = RepoId::new(&self.namespace, name).unwrap();
        let repo = RepoFiles::new(&self.client, RepoType::Dataset, id);
        let created = repo.create(&CreateOptions::default()).await.unwrap();
        assert!(!created.existed);
        repo
    }

    /// How many commits the branch `main` has.
    pub(crate) async fn commits(&self, repo: &RepoFiles) -> usize {
        let path = format!("{}/commits/main", repo.repo_id().api_path(RepoType::Dataset));
        self.client
            .pages::<serde_json::Value>(&path, &[])
            .map(Result::unwrap)
            .count()
            .await
    }
}

pub(crate) fn client(endpoint: &str, token: Option<&str>) -> HfClient {
    let retry = RetryPolicy {
        base: Duration::from_millis(5),
        cap: Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    HfClient::builder()
        .endpoint(Endpoint::parse(endpoint).unwrap())
        .token(token.map(|token| Token::parse(token).unwrap()))
        .retry(retry)
        .idle_timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

pub(crate) fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

/// Every file below a folder.
pub(crate) fn read_all(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, at: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, into);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                into.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(root, root, &mut files);
    files
}

/// Keeps what was reported.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<TransferEvent>>>);

impl Events {
    pub(crate) fn progress(&self) -> Progress {
        let events = self.0.clone();
        Progress::new(move |event: &TransferEvent| events.lock().unwrap().push(event.clone()))
    }

    pub(crate) fn all(&self) -> Vec<TransferEvent> {
        self.0.lock().unwrap().clone()
    }
}
