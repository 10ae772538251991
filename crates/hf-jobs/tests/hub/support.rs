//! A Hub in this process, and a runner for one of its accounts.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use hf_core::testing::ManualClock;
use hf_core::{Clock, HfClient, HfError, JobId, Namespace, RetryPolicy, SystemClock, Token};
use hf_jobs::{HfJobRunner, JobInfo, JobSpec, LogLine, LogOptions};
use hf_local::{AccountConfig, FaultKind, FaultRule, LocalHub, LocalHubConfig, Plan, TokenRole};
use tempfile::TempDir;

/// How long anything here may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);

/// May do everything, and can pay.
pub(crate) const ADA: &str = "hf_ada_all";
/// Only reads.
pub(crate) const ADA_READ: &str = "hf_ada_read";
/// Has no credit.
pub(crate) const BOB: &str = "hf_bob_all";

pub(crate) struct TestHub {
    pub(crate) hub: LocalHub,
    folder: TempDir,
}

impl TestHub {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let accounts = vec![
            AccountConfig::new("ada", ADA).plan(Plan::Pro),
            AccountConfig::new("ada", ADA_READ)
                .plan(Plan::Pro)
                .role(TokenRole::Read),
            AccountConfig::new("bob", BOB).credit_usd(0.0),
        ];
        let hub = LocalHub::start(LocalHubConfig::new(folder.path()).accounts(accounts))
            .await
            .unwrap();
        Self { hub, folder }
    }

    /// Where the Hub keeps everything.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The jobs of `ada`.
    pub(crate) fn jobs(&self) -> HfJobRunner {
        self.jobs_of("ada", ADA)
    }

    pub(crate) fn jobs_of(&self, namespace: &str, token: &str) -> HfJobRunner {
        self.jobs_by(Arc::new(SystemClock::new()), namespace, token)
    }

    /// The jobs of `ada`, through a client that does not really wait between its tries.
    pub(crate) fn hasty_jobs(&self) -> HfJobRunner {
        self.jobs_by(Arc::new(ManualClock::auto()), "ada", ADA)
    }

    fn jobs_by(&self, clock: Arc<dyn Clock>, namespace: &str, token: &str) -> HfJobRunner {
        let retry = RetryPolicy {
            base: Duration::from_millis(20),
            seed: Some(1),
            ..RetryPolicy::default()
        };
        let client = HfClient::builder()
            .endpoint(self.hub.endpoint().parse().unwrap())
            .token(Token::parse(token).unwrap())
            .clock(clock)
            .retry(retry)
            .build()
            .unwrap();
        HfJobRunner::new(&client, Namespace::parse(namespace).unwrap())
    }

    pub(crate) fn fail(&self, method: &str, path: &str, kind: FaultKind) {
        self.hub
            .faults()
            .add(FaultRule::new(kind).method(method).path_contains(path));
    }

    pub(crate) async fn stop(self) {
        self.hub.shutdown().await;
    }
}

/// A job on `sh` with a script.
pub(crate) fn sh(script: &str) -> JobSpec {
    JobSpec::docker("alpine", ["sh", "-c", script])
}

/// Waits for a job's end, but not for ever.
pub(crate) async fn finished(jobs: &HfJobRunner, id: &JobId) -> JobInfo {
    tokio::time::timeout(DEADLINE, jobs.wait(id))
        .await
        .expect("the job ends")
        .unwrap()
}

/// Follows, looking early at a silent job.
pub(crate) fn follow() -> LogOptions {
    LogOptions {
        quiet: Duration::from_millis(500),
        max_failures: 20,
        ..LogOptions::default()
    }
}

/// Whether a line is the local Hub's own, which says what it does differently.
pub(crate) fn is_added(line: &str) -> bool {
    line.starts_with("hf-local: ")
}

/// Follows a log up to this line, and returns the stream.
pub(crate) async fn wait_for_line(
    jobs: &HfJobRunner,
    id: &JobId,
    text: &str,
) -> impl Stream<Item = Result<LogLine, HfError>> + Unpin + use<> {
    let mut lines = jobs.stream_logs(id, follow());
    let found = async {
        while let Some(line) = lines.try_next().await.unwrap() {
            if line.text == text {
                return;
            }
        }
        panic!("the log ends without {text:?}");
    };
    tokio::time::timeout(DEADLINE, found)
        .await
        .expect("the line comes");
    lines
}
