//! The jobs of one namespace.

use std::path::Path;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use hf_core::{HfClient, HfError, JobId, Namespace, RepoId, RequestSpec, SecretValue, UploadGate};
use serde::Deserialize;
use tracing::info;

use crate::config::HfJobConfig;
use crate::hardware::JobHardware;
use crate::info::{JobInfo, JobStatus};
use crate::logs::{self, CollectedLogs, LogItem, LogLimits, LogLine, LogOptions};
use crate::spec::JobSpec;
use crate::stage::JobStage;

/// The longest pause between two looks at a job.
const SLOWEST_POLL: Duration = Duration::from_secs(10);
/// How many looks in a row may fail, each after the client's own retries, before waiting gives up.
const MAX_FAILED_LOOKS: u32 = 5;
/// The largest script [`HfJobRunner::submit_training_job`] can pass on: Linux limits one argument to 128 KiB.
const MAX_SCRIPT_BYTES: usize = 120 * 1024;

/// The jobs of one namespace: a user, an organisation or a resource group. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct HfJobRunner {
    client: HfClient,
    namespace: Namespace,
    gate: UploadGate,
}

/// Which jobs to list. All conditions hold together; several stages are alternatives.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only jobs in one of these stages; none means all.
    pub stages: Vec<JobStage>,
    /// Only jobs with all these labels.
    pub labels: Vec<(String, String)>,
}

impl HfJobRunner {
    /// Binds a client to a namespace.
    pub fn new(client: &HfClient, namespace: Namespace) -> Self {
        Self {
            client: client.clone(),
            namespace,
            gate: UploadGate::default(),
        }
    }

    /// Says what scans the files that jobs are started with. Without it they only go to a Hub on this machine.
    #[must_use]
    pub fn with_gate(mut self, gate: UploadGate) -> Self {
        self.gate = gate;
        self
    }

    pub(crate) fn gate(&self) -> &UploadGate {
        &self.gate
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The client.
    pub fn client(&self) -> &HfClient {
        &self.client
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/jobs/{}", self.namespace)
    }

    pub(crate) fn job_path(&self, id: &JobId) -> String {
        format!("/api/jobs/{}/{id}", self.namespace)
    }

    /// The page of a job, for people.
    pub fn job_url(&self, job: &JobInfo) -> String {
        let owner = job.owner.as_ref().and_then(|owner| owner.name.as_deref());
        let namespace = owner.unwrap_or(self.namespace.as_str());
        format!("{}/jobs/{namespace}/{}", self.client.endpoint(), job.id)
    }

    /// Checks a job before anything is sent, also for this client's own token where others can read it.
    pub(crate) fn check(&self, spec: &JobSpec) -> Result<(), HfError> {
        spec.validate()?;
        if let Some(token) = self.client.token()
            && let Some(place) = spec.find_in_the_open(|text| text.contains(token.expose()))
        {
            return Err(HfError::invalid(format!(
                "{place} holds your token, which everybody who sees the job can read; pass it as a secret"
            )));
        }
        if let Some((name, place)) = spec.find_secret_in_the_open() {
            return Err(HfError::invalid(format!(
                "{place} holds the value of the secret {name}, which everybody who sees the job can read; let the job read it from \
                 its environment"
            )));
        }
        Ok(())
    }

    /// Submits a job: `POST /api/jobs/{namespace}`. Sent once, whatever happens.
    ///
    /// When [`HfError::is_ambiguous`] says so, the job may exist although this failed; [`HfJobRunner::submit`] deals with that.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] before anything is sent; [`HfError::QuotaExceeded`] without credit;
    /// [`HfError::Forbidden`] when the token may not start jobs there.
    pub async fn run(&self, spec: &JobSpec) -> Result<JobInfo, HfError> {
        self.check(spec)?;
        let job: JobInfo = self.client.post_json(&self.path(), &spec.to_wire()).await?;
        info!(job_id = %job.id, flavor = spec.flavor, "job submitted");
        Ok(job)
    }

    /// Submits a Python training script with two arguments: the dataset repository and the output repository.
    ///
    /// The script's text travels as `python3 -c …`, so nothing is uploaded and the image must have `python3`. Both names
    /// are also in the environment, as `DATASET_REPO` and `OUTPUT_REPO`. Unless the configuration sets `HF_TOKEN`, the client's
    /// own token is passed as a secret of that name, so that the job can read the one and write the other.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the script can not be read, is no UTF-8 or is larger than 120 KiB; else as
    /// [`HfJobRunner::run`].
    pub async fn submit_training_job(
        &self,
        training_script: &Path,
        dataset_repo: &RepoId,
        output_repo: &RepoId,
        config: &HfJobConfig,
    ) -> Result<JobInfo, HfError> {
        let wrong =
            |why: &str| HfError::invalid(format!("the training script {} {why}", training_script.display()));
        let script = tokio::fs::read(training_script)
            .await
            .map_err(|error| wrong(&format!("can not be read: {error}")))?;
        if script.len() > MAX_SCRIPT_BYTES {
            return Err(wrong(
                "is larger than 120 KiB; put it into a repository and run it from there",
            ));
        }
        let script = String::from_utf8(script).map_err(|_| wrong("is no UTF-8 text"))?;
        if script.trim().is_empty() {
            return Err(wrong("is empty"));
        }
        let mut spec = config.job([
            "python3",
            "-c",
            &script,
            dataset_repo.as_str(),
            output_repo.as_str(),
        ])?;
        spec.environment
            .insert("DATASET_REPO".to_owned(), dataset_repo.to_string());
        spec.environment
            .insert("OUTPUT_REPO".to_owned(), output_repo.to_string());
        if let Some(token) = self.client.token() {
            spec.secrets
                .entry("HF_TOKEN".to_owned())
                .or_insert_with(|| SecretValue::from(token));
        }
        self.run(&spec).await
    }

    /// A job: `GET /api/jobs/{namespace}/{id}`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there, or in another namespace.
    pub async fn get_job(&self, id: &JobId) -> Result<JobInfo, HfError> {
        self.client.get_json(&self.job_path(id), &[]).await
    }

    /// Where a job is.
    ///
    /// # Errors
    /// As [`HfJobRunner::get_job`].
    pub async fn get_job_status(&self, id: &JobId) -> Result<JobStatus, HfError> {
        Ok(self.get_job(id).await?.status)
    }

    /// The jobs of the namespace, newest first, page after page as they are asked for: `GET /api/jobs/{namespace}`.
    ///
    /// # Errors
    /// Items are errors as of [`HfClient::pages`]; the stream ends after one.
    pub fn list_jobs(
        &self,
        filter: &JobFilter,
    ) -> impl Stream<Item = Result<JobInfo, HfError>> + Send + Unpin + use<> {
        let labels: Vec<String> = filter
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let stages = filter.stages.iter().map(|stage| ("stage", stage.as_str()));
        let query: Vec<(&str, &str)> = stages
            .chain(labels.iter().map(|label| ("label", label.as_str())))
            .collect();
        self.client.pages(&self.path(), &query)
    }

    /// How many jobs are in one of these stages; none means all: `GET /api/jobs/{namespace}/count`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn count_jobs(&self, stages: &[JobStage]) -> Result<u64, HfError> {
        #[derive(Deserialize)]
        struct Count {
            count: u64,
        }
        let query: Vec<(&str, &str)> = stages.iter().map(|stage| ("stage", stage.as_str())).collect();
        let count: Count = self
            .client
            .get_json(&format!("{}/count", self.path()), &query)
            .await?;
        Ok(count.count)
    }

    /// The newest job with the label `key` = `value`.
    ///
    /// # Errors
    /// As [`HfJobRunner::list_jobs`].
    pub async fn find_by_label(&self, key: &str, value: &str) -> Result<Option<JobInfo>, HfError> {
        let filter = JobFilter {
            labels: vec![(key.to_owned(), value.to_owned())],
            ..JobFilter::default()
        };
        let mut jobs = self.list_jobs(&filter);
        while let Some(job) = jobs.try_next().await? {
            // A server that does not know the filter sends all jobs.
            if job.labels.get(key).is_some_and(|found| found == value) {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// The lines of a job's log, each once and in order: `GET /api/jobs/{namespace}/{id}/logs`.
    ///
    /// The log is read from its beginning (or from [`LogOptions::tail`] or [`LogOptions::skip`] on). When the connection breaks,
    /// the Hub sends the log again and what was already given is left out. With [`LogOptions::follow`] the stream ends when the job
    /// is over and a last reading of its log, begun after that was known, brought nothing more; a connection that stays
    /// open and silent after the end does not keep it.
    ///
    /// # Errors
    /// A 4xx at once; another failure after [`LogOptions::max_failures`] in a row without a new line. The stream ends then; the
    /// job's state is not known from it.
    pub fn stream_logs(
        &self,
        id: &JobId,
        options: LogOptions,
    ) -> impl Stream<Item = Result<LogLine, HfError>> + Send + Unpin + use<> {
        logs::stream(self.clone(), id.clone(), options)
    }

    /// As [`HfJobRunner::stream_logs`], and says too when the Hub's log no longer begins where it did.
    ///
    /// # Errors
    /// As [`HfJobRunner::stream_logs`].
    pub fn follow_log(
        &self,
        id: &JobId,
        options: LogOptions,
    ) -> impl Stream<Item = Result<LogItem, HfError>> + Send + Unpin + use<> {
        logs::items(self.clone(), id.clone(), options)
    }

    /// The log as it is now, as one text of bounded size: the last 10,000 lines and 1 MiB at most.
    ///
    /// # Errors
    /// As [`HfJobRunner::stream_logs`].
    pub async fn get_job_logs(&self, id: &JobId) -> Result<String, HfError> {
        Ok(self.collect_logs(id, LogLimits::default()).await?.text)
    }

    /// The end of the log as it is now, within `limits`.
    ///
    /// # Errors
    /// As [`HfJobRunner::stream_logs`].
    pub async fn collect_logs(&self, id: &JobId, limits: LogLimits) -> Result<CollectedLogs, HfError> {
        logs::collect(self.clone(), id.clone(), limits).await
    }

    /// Cancels a job and returns it as it is then: `POST /api/jobs/{namespace}/{id}/cancel`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there.
    pub async fn cancel_job(&self, id: &JobId) -> Result<JobInfo, HfError> {
        let path = format!("{}/cancel", self.job_path(id));
        // Canceling twice does no more than canceling once.
        let body = self
            .client
            .request_bytes(RequestSpec::post(path).idempotent())
            .await?;
        match serde_json::from_slice(&body) {
            Ok(job) => Ok(job),
            // The official client does not read this answer, so neither is it relied on here.
            Err(_) => self.get_job(id).await,
        }
    }

    /// Waits until a job is over and returns it, however it ended; see [`JobInfo::require_success`].
    ///
    /// # Errors
    /// [`HfError::NotFound`] and other final errors at once; what may pass after five failed looks in a row. The
    /// job goes on all the same.
    pub async fn wait(&self, id: &JobId) -> Result<JobInfo, HfError> {
        let mut looks = 0;
        let mut failed = 0;
        loop {
            match self.get_job(id).await {
                Ok(job) if job.stage().is_terminal() => return Ok(job),
                Ok(_) => failed = 0,
                Err(error) => {
                    failed += 1;
                    if !error.is_transient() || failed >= MAX_FAILED_LOOKS {
                        return Err(error);
                    }
                }
            }
            self.client.clock().sleep(pause(looks)).await;
            looks += 1;
        }
    }

    /// What jobs can run on, with prices: `GET /api/jobs/hardware`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn hardware(&self) -> Result<Vec<JobHardware>, HfError> {
        self.client.get_json("/api/jobs/hardware", &[]).await
    }
}

/// 1, 2, 4, 8 and then 10 seconds.
pub(crate) fn pause(round: u32) -> Duration {
    Duration::from_secs(1 << round.min(4)).min(SLOWEST_POLL)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hf_core::testing::{ManualClock, Reply, ScriptedTransport};
    use hf_core::{HfErrorKind, Quota, Token, TransportKind};
    use serde_json::{Value, json};

    use super::*;

    fn runner(replies: impl IntoIterator<Item = Reply>) -> (HfJobRunner, ScriptedTransport) {
        let transport = ScriptedTransport::with_replies(replies);
        let client = HfClient::builder()
            .token(Token::parse("hf_testtoken").unwrap())
            .transport(Arc::new(transport.clone()))
            .clock(Arc::new(ManualClock::auto()))
            .build()
            .unwrap();
        (
            HfJobRunner::new(&client, Namespace::parse("ada").unwrap()),
            transport,
        )
    }

    fn job(id: &str, stage: &str, labels: &Value) -> Value {
        json!({"id": id, "status": {"stage": stage}, "labels": labels})
    }

    fn one(stage: &str) -> Reply {
        Reply::json(200, job("66aa", stage, &json!({})))
    }

    fn id() -> JobId {
        JobId::parse("66aa").unwrap()
    }

    fn spec() -> JobSpec {
        JobSpec::docker("python:3.12", ["python"])
    }

    #[tokio::test]
    async fn a_job_is_submitted_once_and_only_once() {
        let (jobs, transport) = runner([one("SCHEDULING")]);
        let job = jobs.run(&spec()).await.unwrap();
        assert_eq!((job.id, job.status.stage), (id(), JobStage::Scheduling));
        let asked = &transport.requests()[0];
        assert_eq!((asked.method.as_str(), asked.path()), ("POST", "/api/jobs/ada"));
        assert_eq!(asked.json()["dockerImage"], "python:3.12");

        for failure in [
            Reply::status(500),
            Reply::status(429),
            Reply::fail(TransportKind::Reset),
        ] {
            let (jobs, transport) = runner([failure, one("RUNNING")]);
            jobs.run(&spec()).await.unwrap_err();
            assert_eq!(transport.requests().len(), 1);
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_of_a_wrong_job_or_one_that_shows_the_token() {
        let (jobs, transport) = runner([]);
        let mut wrong = spec();
        wrong.flavor.clear();
        let mut telling = spec();
        telling
            .environment
            .insert("HF_TOKEN".into(), "hf_testtoken".into());
        for bad in [wrong, telling] {
            assert_eq!(
                jobs.run(&bad).await.unwrap_err().kind(),
                HfErrorKind::InvalidArgument
            );
        }
        assert!(transport.requests().is_empty());
    }

    #[tokio::test]
    async fn missing_credit_has_its_own_error() {
        let (jobs, _) = runner([Reply::json(
            402,
            json!({"error": "Pre-paid credit balance is insufficient - add"}),
        )]);
        let error = jobs.run(&spec()).await.unwrap_err();
        assert!(matches!(
            error,
            HfError::QuotaExceeded {
                resource: Quota::Credit,
                ..
            }
        ));
    }

    #[tokio::test]
    async fn a_training_script_travels_with_its_repositories() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("train.py");
        std::fs::write(&script, "import sys\nprint(sys.argv)\n").unwrap();
        let (data, out): (RepoId, RepoId) = ("ada/data".parse().unwrap(), "ada/out".parse().unwrap());
        let (jobs, transport) = runner([one("SCHEDULING")]);
        let config = HfJobConfig::default();
        jobs.submit_training_job(&script, &data, &out, &config)
            .await
            .unwrap();
        let sent = transport.requests()[0].json();
        let command = json!([
            "python3",
            "-c",
            "import sys\nprint(sys.argv)\n",
            "ada/data",
            "ada/out"
        ]);
        assert_eq!(sent["command"], command);
        assert_eq!(
            sent["environment"],
            json!({"DATASET_REPO": "ada/data", "OUTPUT_REPO": "ada/out"})
        );
        assert_eq!(sent["secrets"], json!({"HF_TOKEN": "hf_testtoken"}));

        for (name, text) in [
            ("empty.py", String::new()),
            ("huge.py", "#".repeat(MAX_SCRIPT_BYTES + 1)),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for name in ["empty.py", "huge.py", "missing.py"] {
            let error = jobs
                .submit_training_job(&folder.path().join(name), &data, &out, &config)
                .await
                .unwrap_err();
            assert!(
                error.kind() == HfErrorKind::InvalidArgument && error.to_string().contains(name),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn lists_carry_their_filter_through_all_pages() {
        let next = "<https://huggingface.co/api/jobs/ada?cursor=c>; rel=\"next\"";
        let (jobs, transport) = runner([
            Reply::json(200, [job("1", "RUNNING", &json!({}))]).header("link", next),
            Reply::json(200, [job("2", "NAPPING", &json!({}))]),
        ]);
        let filter = JobFilter {
            stages: vec![JobStage::Running, JobStage::Scheduling],
            labels: vec![("name".into(), "a-b".into())],
        };
        let all: Vec<JobInfo> = jobs.list_jobs(&filter).try_collect().await.unwrap();
        assert_eq!(
            all.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(),
            ["1", "2"]
        );
        let queries: Vec<String> = transport
            .requests()
            .iter()
            .map(|r| r.url.query().unwrap().to_owned())
            .collect();
        assert_eq!(
            queries,
            ["stage=RUNNING&stage=SCHEDULING&label=name%3Da-b", "cursor=c"]
        );
    }

    #[tokio::test]
    async fn waiting_survives_failures_and_ends_with_the_job() {
        let (jobs, _) = runner([
            one("SCHEDULING"),
            Reply::status(503),
            one("RUNNING"),
            one("NAPPING"),
            one("ERROR"),
        ]);
        assert_eq!(jobs.wait(&id()).await.unwrap().status.stage, JobStage::Error);

        let (jobs, transport) = runner([one("RUNNING"), Reply::status(404)]);
        assert_eq!(jobs.wait(&id()).await.unwrap_err().kind(), HfErrorKind::NotFound);
        assert_eq!(transport.requests().len(), 2);

        let (jobs, transport) = runner((0..100).map(|_| Reply::fail(TransportKind::Connect)));
        assert_eq!(jobs.wait(&id()).await.unwrap_err().kind(), HfErrorKind::Transport);
        assert_eq!(transport.requests().len(), 30, "5 looks of 6 tries");
    }

    #[tokio::test]
    async fn canceling_returns_the_job_whatever_the_answer_holds() {
        let (jobs, transport) = runner([Reply::status(503), one("CANCELED")]);
        assert_eq!(
            jobs.cancel_job(&id()).await.unwrap().status.stage,
            JobStage::Canceled
        );
        assert_eq!(transport.requests()[1].path(), "/api/jobs/ada/66aa/cancel");
        let (jobs, _) = runner([Reply::status(200), one("CANCELED")]);
        assert_eq!(
            jobs.cancel_job(&id()).await.unwrap().status.stage,
            JobStage::Canceled
        );
    }

    #[tokio::test]
    async fn status_count_and_hardware_are_read() {
        let (jobs, _) = runner([
            one("RUNNING"),
            Reply::json(200, json!({"count": 3})),
            Reply::json(200, json!([{"name": "cpu-basic", "accelerator": null}])),
        ]);
        assert_eq!(jobs.get_job_status(&id()).await.unwrap().stage, JobStage::Running);
        assert_eq!(jobs.count_jobs(&[JobStage::Running]).await.unwrap(), 3);
        assert_eq!(jobs.hardware().await.unwrap()[0].micro_usd_per_minute(), None);
    }
}
