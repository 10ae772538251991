//! A simulated Hub behind the transport's seam: jobs over time, and everything that can go wrong on the way to them.
//!
//! It is a model of what the wire contract says, not a server: no socket, no process.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use hf_core::{Clock, HttpBody, HttpRequest, HttpResponse, HttpTransport, TransportError, TransportKind};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::job::SimJob;
use super::world::{Rng, SimClock, turn};

/// How badly this world's network behaves, in percent of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) post: u64,
    pub(crate) get: u64,
    pub(crate) logs: u64,
    /// The longest time until a new job is in the list, in milliseconds.
    pub(crate) list_lag: u64,
    /// The longest time a request that timed out may still be on its way, in milliseconds.
    pub(crate) in_flight: u64,
    /// Whether the Hub drops the beginning of logs.
    pub(crate) rotates: bool,
    /// Whether a job may come out with another time-out than asked.
    pub(crate) drifts: bool,
    /// Whether the Hub ends jobs at their time-out, as it says.
    pub(crate) keeps_timeout: bool,
    /// How busy its GPU is, in percent, where the machine is measured; the measurements break off each minute.
    pub(crate) gpu_percent: Option<f64>,
}

pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) jobs: Vec<SimJob>,
    /// Requests on their way that make a job when they arrive.
    in_flight: Vec<(Duration, Value, &'static str)>,
    pub(crate) violations: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) faults: u64,
    /// How many machines without a common store are at work.
    pub(crate) machines: usize,
    /// How many lines of a job each machine keeps; the Hub may drop those that all of them have.
    pub(crate) kept: BTreeMap<(String, &'static str), usize>,
    /// When a request to cancel a job first came, answered or not.
    pub(crate) cancel_came: BTreeMap<String, Duration>,
    /// When a job was first written down as not what was asked for.
    pub(crate) drift_known: BTreeMap<String, Duration>,
    /// How many answers showed a machine a job that goes on beside an older one, before any cancel of it came.
    pub(crate) shown_beside: BTreeMap<(String, &'static str), usize>,
}

impl State {
    /// How many lines of a job every machine has.
    fn kept_by_all(&self, id: &str) -> usize {
        let kept: Vec<usize> = self
            .kept
            .iter()
            .filter(|((job, _), _)| job == id)
            .map(|(_, kept)| *kept)
            .collect();
        if kept.len() == self.machines {
            kept.into_iter().min().unwrap_or_default()
        } else {
            0
        }
    }
}

#[derive(Clone)]
pub(crate) struct SimHub {
    pub(crate) clock: SimClock,
    /// The machine that speaks with it.
    pub(crate) machine: &'static str,
    start: Timestamp,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimHub")
    }
}

enum Fate {
    Well,
    /// Served, then no answer or this status.
    After(Option<u16>),
    /// Not served, and no answer or this status.
    Before(Option<u16>),
    TimesOut {
        served: bool,
    },
    Malformed,
}

impl SimHub {
    pub(crate) fn new(clock: &SimClock, seed: u64, weather: Weather) -> Self {
        Self {
            clock: clock.clone(),
            machine: "here",
            start: clock.now(),
            state: Arc::new(Mutex::new(State {
                rng: Rng::new(seed),
                weather,
                jobs: Vec::new(),
                in_flight: Vec::new(),
                violations: Vec::new(),
                requests: 0,
                faults: 0,
                machines: 1,
                kept: BTreeMap::new(),
                cancel_came: BTreeMap::new(),
                drift_known: BTreeMap::new(),
                shown_beside: BTreeMap::new(),
            })),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        let now = self.clock.elapsed();
        let due: Vec<_> = state.in_flight.extract_if(.., |(at, ..)| *at <= now).collect();
        for (at, request, machine) in due {
            state.create(at, request, machine);
        }
        state
    }

    /// The same Hub, seen from another machine.
    pub(crate) fn on_machine(&self, machine: &'static str) -> Self {
        Self {
            machine,
            ..self.clone()
        }
    }

    fn fate(&self, percent: u64) -> Fate {
        let mut state = self.state();
        state.requests += 1;
        if !state.rng.percent(percent) {
            return Fate::Well;
        }
        state.faults += 1;
        let status = [500, 502, 503, 504][usize::try_from(state.rng.below(4)).unwrap()];
        match state.rng.below(7) {
            0 => Fate::After(Some(status)),
            1 => Fate::After(None),
            2 => Fate::Before(Some(status)),
            3 => Fate::Before(None),
            4 => Fate::TimesOut { served: true },
            5 => Fate::TimesOut { served: false },
            _ => Fate::Malformed,
        }
    }

    async fn answer(
        &self,
        fate: Fate,
        serve: impl FnOnce(&mut State) -> (u16, Value),
        later: impl FnOnce(&mut State),
    ) -> Result<HttpResponse, TransportError> {
        let broken = |kind| Err(TransportError::new(kind, "simulated"));
        let odd = json!({"error": "simulated"});
        if let Fate::TimesOut { served } = fate {
            if served {
                later(&mut self.state());
            }
            self.clock.sleep(Duration::from_secs(20)).await;
            return broken(TransportKind::Timeout);
        }
        let mut state = self.state();
        match fate {
            Fate::Well => {
                let (status, body) = serve(&mut state);
                Ok(reply(status, &body))
            }
            Fate::After(status) => {
                serve(&mut state);
                status.map_or_else(|| broken(TransportKind::Reset), |status| Ok(reply(status, &odd)))
            }
            Fate::Before(status) => {
                status.map_or_else(|| broken(TransportKind::Reset), |status| Ok(reply(status, &odd)))
            }
            Fate::Malformed | Fate::TimesOut { .. } => {
                serve(&mut state);
                let mut reply = reply(200, &Value::Null);
                reply.body = futures::stream::iter([Ok(Bytes::from_static(b"<html>oops"))]).boxed();
                Ok(reply)
            }
        }
    }

    async fn post(&self, request: Value) -> Result<HttpResponse, TransportError> {
        let percent = self.state().weather.post;
        let fate = self.fate(percent);
        let now = self.clock.elapsed();
        let start = self.start;
        let broke = self.state().rng.percent(30);
        if broke && matches!(fate, Fate::Before(Some(503))) {
            return Ok(reply(
                402,
                &json!({"error": "Pre-paid credit balance is insufficient"}),
            ));
        }
        let (again, machine) = (request.clone(), self.machine);
        self.answer(
            fate,
            move |state| {
                let job = state.create(now, request, machine);
                (200, job.to_json(now, start))
            },
            move |state| {
                let lag = state.weather.in_flight;
                let at = now + state.rng.millis(lag);
                state.in_flight.push((at, again, machine));
            },
        )
        .await
    }

    fn metrics(&self, id: String) -> HttpResponse {
        let mut state = self.state();
        state.requests += 1;
        let (hub, now) = (self.clone(), self.clock.elapsed());
        let job = state.jobs.iter().find(|job| job.id == id);
        let Some(percent) = state
            .weather
            .gpu_percent
            .filter(|_| job.is_some_and(|job| job.stage(now) == "RUNNING"))
        else {
            return reply(406, &json!({"error": "not acceptable"}));
        };
        let body = futures::stream::unfold(0, move |count| {
            let (hub, id) = (hub.clone(), id.clone());
            async move {
                hub.clock.sleep(Duration::from_secs(1)).await;
                let now = hub.clock.elapsed();
                let runs = |job: &SimJob| job.id == id && job.stage(now) == "RUNNING";
                if count == 60 || !hub.state().jobs.iter().any(runs) {
                    return None;
                }
                let event = json!({"cpu_usage_pct": 3, "gpus": {"gpu0": {"utilization": percent}}});
                Some((
                    Ok(Bytes::from(format!("event: metric\ndata: {event}\n\n"))),
                    count + 1,
                ))
            }
        });
        HttpResponse {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.boxed(),
        }
    }

    fn logs(&self, id: &str) -> Result<HttpResponse, TransportError> {
        let now = self.clock.elapsed();
        let mut state = self.state();
        state.requests += 1;
        let fault = {
            let percent = state.weather.logs;
            state.rng.percent(percent)
        };
        if state.weather.rotates && state.rng.percent(30) {
            let kept = state.kept_by_all(id);
            if let Some(job) = state.jobs.iter_mut().find(|job| job.id == id) {
                job.dropped = job.dropped.max(kept.saturating_sub(3));
            }
        }
        let (way, cut) = (state.rng.below(4), state.rng.below(1200));
        let Some(job) = state.jobs.iter().find(|job| job.id == id).cloned() else {
            return Ok(reply(404, &json!({"error": "not found"})));
        };
        let mut budget = u64::MAX;
        let mut clean = false;
        if fault {
            state.faults += 1;
            match way {
                0 => return Err(TransportError::new(TransportKind::Reset, "simulated")),
                1 => return Ok(reply(503, &json!({"error": "simulated"}))),
                // Half a log that ends in good order could not be told from a whole one once the job is over.
                2 if !job.is_over(now) => {
                    clean = true;
                    budget = cut;
                }
                _ => budget = cut,
            }
        }
        drop(state);
        let closes = way == 3;
        let (clock, hub, start, at) = (self.clock.clone(), self.clone(), self.start, job.dropped);
        let id = job.id.clone();
        let body = futures::stream::unfold((at, budget, false), move |(mut next, mut budget, ended)| {
            let (clock, hub, id) = (clock.clone(), hub.clone(), id.clone());
            async move {
                if ended {
                    return None;
                }
                let broken = || {
                    Some((
                        Err(TransportError::new(TransportKind::Body, "simulated")),
                        (0, 0, true),
                    ))
                };
                loop {
                    let now = clock.elapsed();
                    let job = hub.state().jobs.iter().find(|job| job.id == id).cloned()?;
                    let shown = now.min(job.over_at());
                    let mut text = String::new();
                    while let Some((at, line)) = job.lines.get(next).filter(|(at, _)| *at <= shown) {
                        let stamp = start.saturating_add(*at).unwrap();
                        let event = json!({"data": line, "timestamp": stamp.to_string()});
                        write!(text, "data: {event}\n\n").unwrap();
                        next += 1;
                        if clean && text.len() as u64 > budget {
                            // Between two events.
                            return Some((Ok(Bytes::from(text)), (next, 0, true)));
                        }
                    }
                    if !text.is_empty() {
                        let mut bytes = Bytes::from(text);
                        if bytes.len() as u64 >= budget && !clean {
                            bytes.truncate(usize::try_from(budget).unwrap());
                            return Some((Ok(bytes), (next, 0, false)));
                        }
                        budget = budget.saturating_sub(bytes.len() as u64);
                        return Some((Ok(bytes), (next, budget, false)));
                    }
                    if budget == 0 {
                        return broken();
                    }
                    if job.is_over(now) {
                        if closes {
                            return None;
                        }
                        // Open and silent for ever, as the real one may be.
                        std::future::pending::<()>().await;
                    }
                    let wake = job
                        .lines
                        .get(next)
                        .map_or(job.ends, |(at, _)| (*at).min(job.ends));
                    clock
                        .sleep(wake.saturating_sub(now).max(Duration::from_millis(200)))
                        .await;
                }
            }
        });
        Ok(HttpResponse {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.boxed(),
        })
    }
}

fn reply(status: u16, body: &Value) -> HttpResponse {
    HttpResponse {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: futures::stream::iter([Ok(Bytes::from(body.to_string()))]).boxed(),
    }
}

#[async_trait]
impl HttpTransport for SimHub {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        turn().await;
        let pause = self.state().rng.millis(300);
        self.clock.sleep(pause).await;
        let (now, start) = (self.clock.elapsed(), self.start);
        let path = request.url.path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let get = self.state().weather.get;
        let answer = match (request.method.as_str(), &parts[..]) {
            ("POST", ["api", "jobs", "ada"]) => {
                let HttpBody::Full(body) = request.body else {
                    panic!("a job is sent whole");
                };
                self.post(serde_json::from_slice(&body).unwrap()).await
            }
            ("GET", ["api", "jobs", "ada"]) => {
                let label = request.url.query_pairs().find(|(key, _)| key == "label");
                let label = label.map(|(_, value)| value.into_owned()).unwrap_or_default();
                let (fate, machine) = (self.fate(get), self.machine);
                let well = matches!(fate, Fate::Well);
                let serve = |state: &mut State| {
                    let found = state.jobs.iter().rev().filter(|job| {
                        job.visible <= now && label == format!("bashgym-intent={}", job.intent)
                    });
                    let found: Vec<SimJob> = found.cloned().collect();
                    if well {
                        state.shown(&found, now, machine);
                    }
                    let list = found.iter().map(|job| job.to_json(now, start));
                    (200, list.collect::<Value>())
                };
                self.answer(fate, serve, |_| {}).await
            }
            ("GET", ["api", "jobs", "ada", _, "logs"]) => self.logs(parts[3]),
            ("GET", ["api", "jobs", "ada", id, "metrics"]) => Ok(self.metrics((*id).to_owned())),
            ("GET", ["api", "jobs", "ada", id]) => {
                let serve = |state: &mut State| match state.jobs.iter().find(|job| job.id == *id) {
                    Some(job) => (200, job.to_json(now, start)),
                    None => (404, json!({"error": "not found"})),
                };
                self.answer(self.fate(get), serve, |_| {}).await
            }
            ("POST", ["api", "jobs", "ada", id, "cancel"]) => {
                let cancel = |state: &mut State| {
                    let job = state.jobs.iter_mut().find(|job| job.id == *id);
                    let Some(job) = job else {
                        return (404, json!({"error": "not found"}));
                    };
                    if !job.is_over(now) {
                        job.canceled = Some(now);
                    }
                    (200, job.to_json(now, start))
                };
                self.state().cancel_came.entry((*id).to_owned()).or_insert(now);
                self.answer(self.fate(get), cancel, |_| {}).await
            }
            other => panic!("the simulated Hub has no {other:?}"),
        };
        turn().await;
        answer
    }
}
