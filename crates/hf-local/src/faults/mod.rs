//! Failures on request: what a client has to survive, made to happen.

mod apply;

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub(crate) use apply::apply;

/// What goes wrong.
///
/// # Shape
/// `{"kind": "status", "code": 503, "retry_after": 2}`, `{"kind": "reset_before"}`,
/// `{"kind": "reset_after_bytes", "n": 100}`, `{"kind": "stall", "ms": 500}`, `{"kind": "hold_reply", "ms": 500}`,
/// `{"kind": "truncate", "n": 100}`, `{"kind": "created_but_500"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The reply is this status and nothing is done.
    Status {
        /// The status.
        code: u16,
        /// Seconds for the `Retry-After` header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// The connection is reset before a byte of the reply; nothing is done.
    ResetBefore,
    /// The request is served, and the connection reset once that many bytes of the reply (head included) are out.
    ResetAfterBytes {
        /// How many bytes get out.
        n: u64,
    },
    /// The request is served, but only after a while.
    Stall {
        /// How long, in milliseconds of the machine's clock.
        ms: u64,
    },
    /// The request is served at once, and its reply held back for a while.
    HoldReply {
        /// How long, in milliseconds of the machine's clock.
        ms: u64,
    },
    /// The request is served, and the body ends early.
    Truncate {
        /// How many bytes of the body get out at most; the connection may take the last of them with it.
        n: u64,
    },
    /// The request is served, and the reply is a 500 all the same.
    #[serde(rename = "created_but_500")]
    CreatedBut500,
}

/// Which requests go wrong, how, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaultRule {
    /// A part of the path and query; empty means any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path_contains: String,
    /// The method; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// For how many more requests.
    #[serde(default = "once")]
    pub times: u64,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn once() -> u64 {
    1
}

impl FaultRule {
    /// Makes the next request go wrong, whichever it is.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            path_contains: String::new(),
            method: None,
            times: 1,
            kind,
        }
    }

    /// Only where the path and query contain `part`.
    #[must_use]
    pub fn path_contains(mut self, part: impl Into<String>) -> Self {
        self.path_contains = part.into();
        self
    }

    /// Only for one method.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = Some(method.into());
        self
    }

    /// For so many requests.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && path.contains(&self.path_contains)
            && self
                .method
                .as_deref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
    }
}

/// The faults of a running Hub. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<FaultRule>>>,
}

impl Faults {
    /// Adds a rule; earlier rules are used up first.
    pub fn add(&self, rule: FaultRule) {
        self.rules().push(rule);
    }

    /// Returns the rules that are not used up.
    pub fn list(&self) -> Vec<FaultRule> {
        self.rules().clone()
    }

    /// Drops all rules.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Takes one use of the first rule that fits a request.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<FaultKind> {
        let mut rules = self.rules();
        let at = rules.iter().position(|rule| rule.matches(method, path))?;
        let rule = rules.get_mut(at)?;
        rule.times -= 1;
        let kind = rule.kind.clone();
        if rule.times == 0 {
            rules.remove(at);
        }
        Some(kind)
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<FaultRule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_used_up_by_the_requests_it_fits() {
        let faults = Faults::default();
        faults.add(
            FaultRule::new(FaultKind::ResetBefore)
                .path_contains("/commit/")
                .method("post")
                .times(2),
        );
        assert_eq!(faults.take("GET", "/api/models/a/b/commit/main"), None);
        assert_eq!(faults.take("POST", "/api/whoami-v2"), None);
        assert_eq!(
            faults.take("POST", "/x/commit/main"),
            Some(FaultKind::ResetBefore)
        );
        assert_eq!(faults.list().len(), 1);
        assert_eq!(
            faults.take("POST", "/x/commit/main"),
            Some(FaultKind::ResetBefore)
        );
        assert!(faults.list().is_empty());
    }

    #[test]
    fn rules_read_as_documented() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"path_contains":"/resolve/","kind":"status","code":503,"retry_after":2}"#,
        )
        .unwrap();
        assert_eq!(
            rule.kind,
            FaultKind::Status {
                code: 503,
                retry_after: Some(2)
            }
        );
        assert_eq!(rule.times, 1);
        let rule: FaultRule =
            serde_json::from_str(r#"{"method":"PUT","times":3,"kind":"created_but_500"}"#).unwrap();
        assert_eq!((rule.kind, rule.times), (FaultKind::CreatedBut500, 3));
    }
}
