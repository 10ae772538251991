//! One circuit breaker for each model at each provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hf_core::Clock;
use serde::Serialize;

/// When a circuit opens and how long it stays so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open the first time; each failed probe doubles it.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(10),
            open_at_most: Duration::from_mins(5),
        }
    }
}

/// How a circuit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// No call goes through.
    Open {
        /// Seconds until a probe may.
        retry_in_seconds: u64,
    },
    /// One call goes through, to see.
    HalfOpen,
}

/// Whom a circuit is about: a model, and a provider or none where the router chooses.
type Key = (String, Option<String>);

#[derive(Debug, Clone, Copy, Default)]
struct Circuit {
    failures: u32,
    /// When a probe may go through; none while closed.
    open_until: Option<Duration>,
    /// How often it was opened without a success between.
    opened: u32,
    probing: bool,
}

/// The breakers of one client. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Breakers {
    policy: BreakerPolicy,
    clock: Arc<dyn Clock>,
    circuits: Arc<Mutex<HashMap<Key, Circuit>>>,
}

/// The leave to make one call. Dropped without an outcome, a probe is given back, and nothing is counted.
pub(crate) struct Pass {
    breakers: Breakers,
    key: Key,
    probe: bool,
    settled: bool,
}

impl Breakers {
    pub(crate) fn new(policy: BreakerPolicy, clock: Arc<dyn Clock>) -> Self {
        Self {
            policy,
            clock,
            circuits: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Circuit>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for leave to call.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub(crate) fn pass(&self, model: &str, provider: Option<&str>) -> Result<Pass, Duration> {
        let key = (model.to_owned(), provider.map(str::to_owned));
        let mut probe = false;
        if let Some(circuit) = self.lock().get_mut(&key)
            && let Some(until) = circuit.open_until
        {
            let now = self.clock.elapsed();
            if now < until {
                return Err(until.saturating_sub(now));
            }
            if circuit.probing {
                return Err(self.policy.open_for);
            }
            circuit.probing = true;
            probe = true;
        }
        Ok(Pass {
            breakers: self.clone(),
            key,
            probe,
            settled: false,
        })
    }

    /// How all circuits stand that were ever troubled.
    pub(crate) fn states(&self) -> Vec<(String, Option<String>, BreakerState)> {
        let now = self.clock.elapsed();
        let mut states: Vec<_> = self
            .lock()
            .iter()
            .map(|((model, provider), circuit)| {
                let state = match circuit.open_until {
                    None => BreakerState::Closed {
                        failures: circuit.failures,
                    },
                    Some(until) if now < until => BreakerState::Open {
                        retry_in_seconds: until.saturating_sub(now).as_secs().max(1),
                    },
                    Some(_) => BreakerState::HalfOpen,
                };
                (model.clone(), provider.clone(), state)
            })
            .collect();
        states.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        states
    }
}

impl Pass {
    /// The call was answered.
    pub(crate) fn succeeded(mut self) {
        self.settled = true;
        self.breakers.lock().remove(&self.key);
    }

    /// The provider failed; `asked_wait` is what it asked for.
    pub(crate) fn failed(mut self, asked_wait: Option<Duration>) {
        self.settled = true;
        let policy = &self.breakers.policy;
        let now = self.breakers.clock.elapsed();
        let mut circuits = self.breakers.lock();
        let circuit = circuits.entry(self.key.clone()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if self.probe || circuit.failures >= policy.failures {
            let factor = 2_u32.saturating_pow(circuit.opened.min(16));
            let wait = policy.open_for.saturating_mul(factor).min(policy.open_at_most);
            let wait = wait.max(asked_wait.unwrap_or_default());
            circuit.open_until = Some(now.saturating_add(wait));
            circuit.opened = circuit.opened.saturating_add(1);
            circuit.probing = false;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe
            && !self.settled
            && let Some(circuit) = self.breakers.lock().get_mut(&self.key)
        {
            circuit.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use hf_core::testing::ManualClock;
    use jiff::Timestamp;

    use super::*;

    fn breakers() -> (Breakers, ManualClock) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let policy = BreakerPolicy {
            failures: 3,
            open_for: Duration::from_secs(10),
            open_at_most: Duration::from_secs(30),
        };
        (Breakers::new(policy, Arc::new(clock.clone())), clock)
    }

    fn fail(breakers: &Breakers, times: u32) {
        for _ in 0..times {
            breakers.pass("m", Some("p")).ok().unwrap().failed(None);
        }
    }

    #[test]
    fn one_bad_call_closes_no_door_and_three_do() {
        let (breakers, _clock) = breakers();
        fail(&breakers, 2);
        breakers.pass("m", Some("p")).ok().unwrap().succeeded();
        fail(&breakers, 2);
        assert!(
            breakers.pass("m", Some("p")).is_ok(),
            "a success in between starts the count anew"
        );
        fail(&breakers, 1);
        assert_eq!(breakers.pass("m", Some("p")).err(), Some(Duration::from_secs(10)));
        assert!(
            breakers.pass("m", Some("q")).is_ok(),
            "another provider is not concerned"
        );
        assert!(
            breakers.pass("n", Some("p")).is_ok(),
            "another model is not concerned"
        );
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let (breakers, clock) = breakers();
        fail(&breakers, 3);
        clock.advance(Duration::from_secs(10));
        let probe = breakers.pass("m", Some("p")).ok().unwrap();
        assert!(
            breakers.pass("m", Some("p")).is_err(),
            "a second call waits for the probe"
        );
        probe.failed(None);
        assert_eq!(
            breakers.pass("m", Some("p")).err(),
            Some(Duration::from_secs(20)),
            "a failed probe doubles the wait"
        );
        clock.advance(Duration::from_secs(20));
        drop(breakers.pass("m", Some("p")));
        let probe = breakers.pass("m", Some("p"));
        probe.ok().unwrap().succeeded();
        assert!(breakers.states().is_empty(), "a success forgets it all");
    }

    #[test]
    fn the_longest_wait_is_bounded_unless_the_server_asks_for_more() {
        let (breakers, clock) = breakers();
        fail(&breakers, 3);
        for _ in 0..5 {
            clock.advance(Duration::from_secs(30));
            breakers.pass("m", Some("p")).ok().unwrap().failed(None);
        }
        assert_eq!(breakers.pass("m", Some("p")).err(), Some(Duration::from_secs(30)));
        clock.advance(Duration::from_secs(30));
        let probe = breakers.pass("m", Some("p")).ok().unwrap();
        probe.failed(Some(Duration::from_secs(90)));
        assert_eq!(breakers.pass("m", Some("p")).err(), Some(Duration::from_secs(90)));
    }
}
