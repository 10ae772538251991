//! Sessions of a browser: a cookie that scripts cannot read, a token that other sites cannot send, and one-time codes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::key::{random_text, same};

/// The cookie's name.
pub(crate) const COOKIE: &str = "bashgym_session";
const SESSION_LASTS: Duration = Duration::from_hours(12);
const CODE_LASTS: Duration = Duration::from_mins(1);
const SESSIONS: usize = 256;
const CODES: usize = 32;

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// What changing requests carry in `X-CSRF-Token`.
    pub(crate) csrf: String,
    until: Duration,
}

impl Session {
    pub(crate) fn has_csrf(&self, given: &str) -> bool {
        same(&self.csrf, given)
    }
}

/// The sessions of this server. They are kept in memory, by hash: a restart ends them.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: HashMap<blake3::Hash, Session>,
    codes: HashMap<blake3::Hash, Duration>,
}

fn hash(secret: &str) -> blake3::Hash {
    blake3::hash(secret.as_bytes())
}

impl Sessions {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a session; returns its cookie's value.
    pub(super) fn begin(&self, now: Duration) -> (String, Session) {
        let secret = random_text();
        let session = Session {
            csrf: random_text(),
            until: now + SESSION_LASTS,
        };
        self.with(|inner| {
            inner.sessions.retain(|_, session| session.until > now);
            if inner.sessions.len() >= SESSIONS {
                let oldest = inner.sessions.iter().min_by_key(|(_, session)| session.until);
                if let Some(oldest) = oldest.map(|(name, _)| *name) {
                    inner.sessions.remove(&oldest);
                }
            }
            inner.sessions.insert(hash(&secret), session.clone());
        });
        (secret, session)
    }

    pub(super) fn find(&self, secret: &str, now: Duration) -> Option<Session> {
        let name = hash(secret);
        self.with(|inner| inner.sessions.get(&name).cloned())
            .filter(|session| session.until > now)
    }

    pub(super) fn end(&self, secret: &str) {
        let name = hash(secret);
        self.with(|inner| inner.sessions.remove(&name));
    }

    /// Makes a code that begins one session within a minute.
    pub(super) fn make_code(&self, now: Duration) -> String {
        let code = random_text();
        self.with(|inner| {
            inner.codes.retain(|_, until| *until > now);
            if inner.codes.len() >= CODES {
                inner.codes.clear();
            }
            inner.codes.insert(hash(&code), now + CODE_LASTS);
        });
        code
    }

    /// Uses a code up.
    pub(super) fn take_code(&self, code: &str, now: Duration) -> bool {
        let name = hash(code);
        self.with(|inner| inner.codes.remove(&name))
            .is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CODE_LASTS, Sessions};

    #[test]
    fn a_code_begins_one_session_within_a_minute() {
        let sessions = Sessions::default();
        let now = Duration::ZERO;
        let code = sessions.make_code(now);
        assert!(!sessions.take_code("other", now));
        assert!(sessions.take_code(&code, now));
        assert!(!sessions.take_code(&code, now), "used up");
        let late = sessions.make_code(now);
        assert!(!sessions.take_code(&late, now + CODE_LASTS));
    }

    #[test]
    fn a_session_ends_with_its_time_or_when_told() {
        let sessions = Sessions::default();
        let now = Duration::ZERO;
        let (secret, session) = sessions.begin(now);
        assert!(session.has_csrf(&session.csrf) && !session.has_csrf("other"));
        assert!(sessions.find(&secret, now).is_some());
        assert!(sessions.find(&secret, now + Duration::from_hours(12)).is_none());
        sessions.end(&secret);
        assert!(sessions.find(&secret, now).is_none());
    }

    #[test]
    fn sessions_do_not_pile_up() {
        let sessions = Sessions::default();
        let (first, _) = sessions.begin(Duration::ZERO);
        for second in 1..=256 {
            sessions.begin(Duration::from_secs(second));
        }
        assert!(sessions.find(&first, Duration::ZERO).is_none());
        assert_eq!(sessions.with(|inner| inner.sessions.len()), 256);
    }
}
