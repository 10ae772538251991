//! A server at a free port, on a store in memory and a Hub that nobody answers at.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::inference::MemoryCalls;
use bashgym_core::ledger::{Book, Ledger, MemoryLedger};
use bashgym_core::plan::ChatRenderer;
use bashgym_core::run::RunService;
use bashgym_core::store::MemoryStore;
use bashgym_core::trainer::TrainingBackend;
use bashgym_gate::{Gate, GateKey, Inspector, Policy};
use bashgym_server::{
    AccountView, Code, Composition, FindingView, GatewayParts, HubConnection, Problem, Roots, Server,
    ServerConfig, ServerKey, ServerParts, SettingView, TokenView,
};
use hf_core::{SystemClock, Wallet};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A secret that must appear nowhere.
pub(crate) const CANARY: &str = "hf_CANARYcanaryCANARYcanaryCANARY1234";

/// A composition without a Hub, or with the one it is given.
pub(crate) struct NoHub(pub(crate) Option<HubConnection>);

fn no_hub() -> Problem {
    Problem::new(Code::HubUnreachable, format!("the Hub refused {CANARY}"))
}

#[async_trait]
impl Composition for NoHub {
    async fn connect(&self) -> Result<HubConnection, Problem> {
        self.0.clone().ok_or_else(no_hub)
    }

    fn run_service(&self, _: &HubConnection, _: Arc<dyn TrainingBackend>) -> Result<RunService, Problem> {
        Err(no_hub())
    }

    fn gate(&self) -> Result<Gate, Problem> {
        self.0.as_ref().ok_or_else(no_hub)?;
        Ok(Gate::new(GateKey::public()).unwrap())
    }

    fn inspector(&self) -> Result<Inspector, Problem> {
        match self.0 {
            Some(_) => Ok(Inspector::new(GateKey::public(), Policy::default(), Vec::new())),
            None => Err(no_hub()),
        }
    }

    fn remember_secrets(&self, _: &[&str]) -> Result<(), Problem> {
        self.0.as_ref().map(drop).ok_or_else(no_hub)
    }

    fn findings(&self, _: &std::path::Path) -> Result<Vec<FindingView>, Problem> {
        Err(no_hub())
    }

    fn decide(&self, _: &FindingView, _: bool) -> Result<(), Problem> {
        Err(no_hub())
    }

    fn chat(&self) -> Arc<dyn ChatRenderer> {
        unreachable!("nothing is planned without a Hub")
    }

    fn book(&self) -> Result<Book, Problem> {
        Ok(self
            .0
            .as_ref()
            .map_or(Book::Account, |hub| Book::at(hub.client.endpoint())))
    }

    async fn account(&self) -> Result<AccountView, Problem> {
        Ok(AccountView {
            account: json!({ "state": "unreachable", "why": format!("no answer to {CANARY}") }),
            capabilities: Vec::new(),
            endpoint: None,
            embedded: false,
        })
    }

    async fn wallet(&self) -> Result<Wallet, Problem> {
        Ok(Wallet::closed(None, "no token is set", "set HF_TOKEN"))
    }

    fn settings(&self) -> Result<Vec<SettingView>, Problem> {
        Ok(Vec::new())
    }

    fn token(&self) -> Result<TokenView, Problem> {
        Ok(TokenView {
            set: true,
            source: Some("test".to_owned()),
            changeable: false,
            why: Some("it comes from the environment".to_owned()),
        })
    }

    async fn replace_token(&self, _: String) -> Result<Value, Problem> {
        Err(Problem::new(
            Code::Conflict,
            "the token comes from the environment",
        ))
    }

    async fn set_default_org(&self, _: Option<String>) -> Result<(), Problem> {
        self.0.as_ref().map(drop).ok_or_else(no_hub)
    }

    fn set_roots(&self, _: &[std::path::PathBuf]) -> Result<(), Problem> {
        Ok(())
    }

    fn remove_token(&self) -> Result<bool, Problem> {
        Ok(false)
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) key: ServerKey,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) ledger: Ledger,
    pub(crate) folder: TempDir,
    pub(crate) login_url: String,
    parts: ServerParts,
    end: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let code = body["code"].as_str().or(body["error"]["code"].as_str());
        code.unwrap_or_default().to_owned()
    }
}

pub(crate) fn config(key: &ServerKey) -> ServerConfig {
    ServerConfig {
        address: ([127, 0, 0, 1], 0).into(),
        allow_remote: false,
        key: key.clone(),
        hosts: Vec::new(),
        head_timeout: None,
    }
}

pub(crate) fn parts(store: &Arc<MemoryStore>, folder: &TempDir) -> ServerParts {
    let clock = Arc::new(SystemClock::new());
    let sessions = folder.path().join("sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    ServerParts {
        join_trace: None,
        version: "0.0.0",
        composition: Arc::new(NoHub(None)),
        store: store.clone(),
        jobs: store.clone(),
        seen: store.clone(),
        tasks: store.clone(),
        events: store.clone(),
        calls: Arc::new(MemoryCalls::default()),
        ledger: Ledger::new(Arc::new(MemoryLedger::default()), clock.clone()),
        clock,
        agents: bashgym_traces::AgentHomes {
            home: folder.path().to_path_buf(),
            claude_config_dir: None,
            codex_home: None,
            gemini_cli_home: None,
            xdg_data_home: None,
            copilot_home: None,
            pi_agent_dir: None,
        },
        sessions: bashgym_traces::SessionIndex::new(folder.path().join("sessions.json")),
        roots: Arc::new(Roots::open([sessions])),
        datasets_dir: folder.path().join("datasets"),
        bulk_dir: folder.path().join("bulk"),
        archive_dir: folder.path().join("archive"),
        work_dir: folder.path().join("plan"),
        gateway: GatewayParts::default(),
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::start_made(change, |_| {}).await
    }

    pub(crate) async fn start_made(
        change: impl FnOnce(&mut ServerConfig),
        make: impl FnOnce(&mut ServerParts),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::default());
        let key = ServerKey::generate();
        let mut config = config(&key);
        change(&mut config);
        let mut parts = parts(&store, &folder);
        make(&mut parts);
        Self::start_parts(key, config, folder, store, parts).await
    }

    /// A server that is connected to a Hub.
    pub(crate) async fn at_hub(hub: HubConnection) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::default());
        let key = ServerKey::generate();
        let mut parts = parts(&store, &folder);
        parts.composition = Arc::new(NoHub(Some(hub)));
        Self::start_parts(key.clone(), config(&key), folder, store, parts).await
    }

    async fn start_parts(
        key: ServerKey,
        config: ServerConfig,
        folder: TempDir,
        store: Arc<MemoryStore>,
        parts: ServerParts,
    ) -> Self {
        let ledger = parts.ledger.clone();
        let server = Server::bind(config, parts.clone()).await.unwrap();
        let address = server.address();
        let login_url = server.login_url();
        let end = CancellationToken::new();
        let ended = tokio::spawn(server.run(end.clone().cancelled_owned()));
        Self {
            address,
            key,
            store,
            ledger,
            folder,
            login_url,
            parts,
            end,
            ended,
        }
    }

    /// Ends the server, and starts another one with the same parts.
    pub(crate) async fn again(self) -> Self {
        let Self {
            key,
            store,
            folder,
            parts,
            end,
            ended,
            ..
        } = self;
        end.cancel();
        ended.await.unwrap();
        Self::start_parts(key.clone(), config(&key), folder, store, parts).await
    }

    /// Ends the server as a signal does, and waits until it has.
    pub(crate) async fn end(self) {
        self.end.cancel();
        self.ended.await.unwrap();
    }

    /// Sends a request as it is written.
    pub(crate) async fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        use std::fmt::Write;
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            write!(request, "Host: {}\r\n", self.address).unwrap();
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        let body = body.map(ToString::to_string).unwrap_or_default();
        if !body.is_empty() {
            write!(
                request,
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
            .unwrap();
        }
        write!(request, "\r\n{body}").unwrap();
        self.raw(&request).await
    }

    /// Asks with the key.
    pub(crate) async fn with_key(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.key.expose());
        self.ask(method, path, &[("Authorization", &bearer)], body).await
    }
}

pub(crate) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A server that hangs is a failed test.
    tokio::time::timeout(Duration::from_mins(2), stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
