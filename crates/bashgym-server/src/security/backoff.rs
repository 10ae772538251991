//! Patience with wrong keys: after a few, each next one waits longer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong keys that cost nothing yet.
const FREE: u32 = 5;
const LONGEST: Duration = Duration::from_mins(1);
/// Peers remembered at most.
const PEERS: usize = 1024;

/// Counts wrong keys by peer. A right key always passes: it has 256 bits, so what waiting protects is the log and the
/// processor, and nobody else on this machine can lock its owner out.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    until: Duration,
}

impl Backoff {
    /// Notes a wrong key; returns for how many seconds this peer is to wait, if it was too early or is one too many.
    pub(super) fn failed(&self, peer: IpAddr, now: Duration) -> Option<u64> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.retain(|_, failures| failures.until > now);
            if peers.len() >= PEERS {
                return Some(LONGEST.as_secs());
            }
        }
        let failures = peers.entry(peer).or_insert(Failures { count: 0, until: now });
        if failures.until > now {
            return Some(failures.until.saturating_sub(now).as_secs().max(1));
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count <= FREE {
            return None;
        }
        let wait = Duration::from_secs(1 << (failures.count - FREE - 1).min(6)).min(LONGEST);
        failures.until = now + wait;
        Some(wait.as_secs())
    }

    /// Notes a right key.
    pub(super) fn passed(&self, peer: IpAddr) {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn wrong_keys_wait_longer_each_time_until_a_right_one() {
        let backoff = Backoff::default();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut now = Duration::ZERO;
        for _ in 0..5 {
            assert_eq!(backoff.failed(peer, now), None);
        }
        assert_eq!(backoff.failed(peer, now), Some(1));
        now += Duration::from_secs(1);
        assert_eq!(backoff.failed(peer, now), Some(2));
        assert_eq!(backoff.failed(peer, now), Some(2), "too early does not count");
        for _ in 0..20 {
            now += Duration::from_mins(1);
            assert!(backoff.failed(peer, now).is_some_and(|wait| wait <= 60));
        }
        backoff.passed(peer);
        assert_eq!(backoff.failed(peer, now), None);
    }
}
