//! What a job uses, second by second.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{BoxStream, Stream, StreamExt};
use hf_core::{HfError, JobId, RequestSpec, SseEvent};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::lenient;
use crate::runner::{HfJobRunner, pause};

/// How long a silence makes the stream look whether the job is over. There is an event each second.
const QUIET: Duration = Duration::from_secs(10);
/// How many failures in a row end the stream.
const MAX_FAILURES: u32 = 5;

/// What a job used in one second.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `fetch_job_metrics`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobMetrics {
    /// The share of its processors in use, in percent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub cpu_usage_pct: Option<f64>,
    /// Its processors, in thousandths of one.
    #[serde(default, deserialize_with = "lenient::number")]
    pub cpu_millicores: Option<u64>,
    /// Memory in use.
    #[serde(default, deserialize_with = "lenient::number")]
    pub memory_used_bytes: Option<u64>,
    /// Memory there is.
    #[serde(default, deserialize_with = "lenient::number")]
    pub memory_total_bytes: Option<u64>,
    /// Bits received a second, as the Hub counts them.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub rx_bps: Option<f64>,
    /// Bits sent a second, as the Hub counts them.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub tx_bps: Option<f64>,
    /// Its GPUs by their names.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub gpus: BTreeMap<String, GpuMetrics>,
    /// Which of its replicas this is of.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub replica: Option<String>,
}

/// What one GPU of a job did in one second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GpuMetrics {
    /// The share in use, in percent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub utilization: Option<f64>,
    /// Memory in use.
    #[serde(default, deserialize_with = "lenient::number")]
    pub memory_used_bytes: Option<u64>,
    /// Memory there is.
    #[serde(default, deserialize_with = "lenient::number")]
    pub memory_total_bytes: Option<u64>,
}

impl HfJobRunner {
    /// What a job uses from now on, an item a second until it is over: `GET /api/jobs/{namespace}/{id}/metrics`.
    ///
    /// The Hub keeps no history of it. A job that is over has none, which is no error: the stream is empty then.
    ///
    /// # Errors
    /// A 4xx other than 406 at once; another failure after five in a row. The stream ends then; the job's state is not
    /// known from it.
    pub fn stream_metrics(
        &self,
        id: &JobId,
    ) -> impl Stream<Item = Result<JobMetrics, HfError>> + Send + Unpin + use<> {
        let reader = Reader {
            jobs: self.clone(),
            id: id.clone(),
            events: None,
            failures: 0,
            done: false,
        };
        let items = futures::stream::unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            reader.done |= item.is_err();
            Some((item, reader))
        });
        items.boxed()
    }

    /// The stages of a job as the Hub tells them: `GET /api/jobs/{namespace}/{id}/events`, the text of each event.
    ///
    /// The stream ends with the connection; nothing is opened again. To wait for an end, use [`HfJobRunner::wait`].
    ///
    /// # Errors
    /// As of [`hf_core::HfClient::events`].
    ///
    /// # Source
    /// Hub OpenAPI. What the events hold is not known: no client reads it.
    pub fn stream_events(
        &self,
        id: &JobId,
    ) -> impl Stream<Item = Result<String, HfError>> + Send + Unpin + use<> {
        let path = format!("{}/events", self.job_path(id));
        self.client()
            .events(&path, &[])
            .map(|event| event.map(|event| event.data))
    }
}

struct Reader {
    jobs: HfJobRunner,
    id: JobId,
    events: Option<BoxStream<'static, Result<SseEvent, HfError>>>,
    failures: u32,
    done: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<JobMetrics, HfError>> {
        while !self.done {
            let events = self.events.get_or_insert_with(|| {
                let path = format!("{}/metrics", self.jobs.job_path(&self.id));
                self.jobs.client().events_of(RequestSpec::get(path)).boxed()
            });
            let quiet = self.jobs.client().clock().sleep(QUIET);
            let event = match select(events.next(), quiet).await {
                Either::Left((event, _)) => Some(event),
                Either::Right(((), _)) => None,
            };
            let Some(event) = event else {
                // The hardware may not be there yet, or the job is over and nobody said so.
                if let Some(end) = self.look().await {
                    return end;
                }
                continue;
            };
            match event {
                Some(Ok(event)) => match serde_json::from_str(&event.data) {
                    Ok(metrics) => {
                        self.failures = 0;
                        return Some(Ok(metrics));
                    }
                    Err(error) => debug!(%error, "an event that is no metric"),
                },
                // "Not acceptable" is how the Hub says that the job does not run.
                Some(Err(error)) if error.status().is_some_and(|status| status.as_u16() == 406) => {
                    return None;
                }
                Some(Err(error)) => {
                    self.events = None;
                    // It used to say so with a 500.
                    if let Some(end) = self.look().await {
                        return end;
                    }
                    self.failures += 1;
                    if !error.is_transient() || self.failures > MAX_FAILURES {
                        return Some(Err(error));
                    }
                    self.jobs.client().clock().sleep(pause(self.failures)).await;
                }
                None => {
                    self.events = None;
                    if let Some(end) = self.look().await {
                        return end;
                    }
                    self.failures += 1;
                    if self.failures > MAX_FAILURES {
                        return None;
                    }
                    self.jobs.client().clock().sleep(pause(self.failures)).await;
                }
            }
        }
        None
    }

    /// Looks whether the job is over; what ends the stream, if anything does.
    async fn look(&mut self) -> Option<Option<Result<JobMetrics, HfError>>> {
        match self.jobs.get_job_status(&self.id).await {
            Ok(status) if status.stage.is_terminal() => Some(None),
            Ok(_) => None,
            Err(error) if error.is_transient() => {
                debug!(%error, "the job could not be looked at");
                None
            }
            Err(error) => Some(Some(Err(error))),
        }
    }
}
