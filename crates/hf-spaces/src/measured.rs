//! What requests to an app really took, and the limits that follow from it.

use serde::{Deserialize, Serialize};

use crate::config::AppLimits;
use crate::logs::SpaceLogLine;

/// Seconds a call asks for besides those of its tokens, as the template's `gpu_seconds` has them.
const STARTING_S: f64 = 5.0;
/// The longest call a proposal allows.
const LONGEST_S: u32 = 300;

/// What the requests of a log took.
///
/// # Shape
/// `{"requests","ms_per_token","longest_s"}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MeasuredRequests {
    /// How many there are.
    pub requests: usize,
    /// Milliseconds a token took in all but the slowest tenth of them.
    pub ms_per_token: f64,
    /// The longest, in seconds.
    pub longest_s: f64,
}

#[derive(Deserialize)]
struct Line {
    bashgym_request: Request,
}

#[derive(Deserialize)]
struct Request {
    tokens: u32,
    seconds: f64,
}

impl MeasuredRequests {
    /// Requests that are needed before anything is proposed.
    pub const LEAST: usize = 5;

    /// Reads the lines that the template's app writes, one a request; none when there are none.
    pub fn read(log: &[SpaceLogLine]) -> Option<Self> {
        let all: Vec<Request> = log
            .iter()
            .filter_map(|line| serde_json::from_str::<Line>(line.text.trim()).ok())
            .map(|line| line.bashgym_request)
            .filter(|request| request.tokens > 0 && request.seconds.is_finite() && request.seconds >= 0.0)
            .collect();
        let mut each: Vec<f64> = all
            .iter()
            .map(|request| request.seconds * 1_000.0 / f64::from(request.tokens))
            .collect();
        each.sort_by(f64::total_cmp);
        let at = (each.len() * 9).div_ceil(10).saturating_sub(1);
        Some(Self {
            requests: all.len(),
            ms_per_token: *each.get(at)?,
            longest_s: all.iter().map(|request| request.seconds).fold(0.0, f64::max),
        })
    }

    /// The limits that fit what was measured; none while too little was, or where the ones there are fit.
    #[must_use]
    pub fn propose(&self, now: AppLimits) -> Option<AppLimits> {
        if self.requests < Self::LEAST {
            return None;
        }
        let ms_per_token = whole(self.ms_per_token.max(1.0), u32::MAX);
        let needed = STARTING_S + f64::from(now.max_new_tokens) * f64::from(ms_per_token) / 1_000.0;
        let proposed = AppLimits {
            ms_per_token,
            max_gpu_seconds: whole(needed, LONGEST_S),
            ..now
        };
        (proposed != now).then_some(proposed)
    }
}

/// The next whole number, at most `most`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a u32"
)]
fn whole(number: f64, most: u32) -> u32 {
    number.ceil().clamp(0.0, f64::from(most)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<SpaceLogLine> {
        let line = |text: &&str| SpaceLogLine {
            timestamp: None,
            text: (*text).to_owned(),
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn limits_follow_from_what_requests_took() {
        assert_eq!(
            MeasuredRequests::read(&log(&["hello", "{\"bashgym_request\": {}}"])),
            None
        );
        let quick = r#"{"bashgym_request": {"tokens": 100, "seconds": 2.0}}"#;
        let slow = r#"{"bashgym_request": {"tokens": 10, "seconds": 9.0}}"#;
        let nothing = r#"{"bashgym_request": {"tokens": 0, "seconds": 1.0}}"#;
        let few = MeasuredRequests::read(&log(&["===== Startup", quick, nothing, quick])).unwrap();
        assert_eq!((few.requests, few.propose(AppLimits::default())), (2, None));
        let mut lines = vec![quick; 9];
        lines.push(slow);
        let measured = MeasuredRequests::read(&log(&lines)).unwrap();
        assert_eq!((measured.requests, measured.longest_s), (10, 9.0));
        assert!(
            (measured.ms_per_token - 20.0).abs() < 1e-9,
            "the slowest tenth is left out"
        );
        let proposed = measured.propose(AppLimits::default()).unwrap();
        // 1024 tokens of 20 ms, and 5 seconds to start.
        assert_eq!((proposed.ms_per_token, proposed.max_gpu_seconds), (20, 26));
        assert_eq!(measured.propose(proposed), None, "what fits is left as it is");
    }
}
