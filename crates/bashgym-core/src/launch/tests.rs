use std::time::Duration;

use hf_jobs::JobStage;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stage(word: &str) -> Observation {
    Observation::Stage(StageSeen {
        stage: JobStage::from(word.to_owned()),
        ..StageSeen::default()
    })
}

fn view(words: &[Observation]) -> JobView {
    let mut view = JobView::new(true, Some(3600));
    for (second, observation) in (0..).zip(words) {
        view.apply(at(second), observation.clone());
    }
    view
}

#[test]
fn case_14_a_stage_of_an_unknown_word_is_kept_and_is_no_failure() {
    let mut view = view(&[stage("RUNNING"), stage("HIBERNATING")]);
    assert!(matches!(&view.state, JobState::Unknown { why } if why.contains("HIBERNATING")));
    assert!(!view.ended && !view.state.is_final());
    view.apply(at(9), stage("RUNNING"));
    assert_eq!(view.state, JobState::Running);
}

#[test]
fn unreachable_is_not_failed_and_passes() {
    let why = "no connection".to_owned();
    let mut view = view(&[stage("RUNNING"), Observation::NotSeen { why: why.clone() }]);
    assert_eq!(view.state, JobState::Unknown { why: why.clone() });
    view.apply(at(5), stage("COMPLETED"));
    assert_eq!(view.state, JobState::Unverified);
    // Once the end is known, nothing is unknown about it any more.
    view.apply(at(6), Observation::NotSeen { why });
    assert_eq!(view.state, JobState::Unverified);
}

#[test]
fn completed_is_a_success_only_with_the_model_at_a_revision() {
    let pushed = || Observation::Pushed {
        revision: "abc".into(),
    };
    let succeeded = JobState::Succeeded {
        revision: Some("abc".into()),
    };
    assert_eq!(view(&[stage("COMPLETED")]).state, JobState::Unverified);
    assert_eq!(view(&[stage("COMPLETED"), pushed()]).state, succeeded);
    assert_eq!(view(&[pushed(), stage("COMPLETED")]).state, succeeded);
    assert_eq!(
        view(&[pushed(), stage("ERROR")]).state,
        JobState::Failed { message: None }
    );
    let mut plain = JobView::new(false, None);
    plain.apply(at(0), stage("COMPLETED"));
    assert_eq!(plain.state, JobState::Succeeded { revision: None });
}

#[test]
fn case_18_a_time_out_is_told_from_a_failure() {
    let ended = |message: Option<&str>, ran| {
        let seen = StageSeen {
            stage: JobStage::Error,
            message: message.map(str::to_owned),
            running_secs: Some(ran),
            ..StageSeen::default()
        };
        let checkpoint = Observation::Checkpoint {
            step: 7,
            revision: None,
        };
        view(&[stage("RUNNING"), checkpoint, Observation::Stage(seen)]).state
    };
    assert!(
        matches!(ended(Some("Job timeout"), 3600.0), JobState::TimedOut { checkpoint: Some(last) } if last.step == 7)
    );
    assert!(matches!(ended(None, 3600.0), JobState::TimedOut { .. }));
    assert!(matches!(ended(None, 12.0), JobState::Failed { .. }));
    assert!(matches!(
        ended(Some("Job failed with exit code: 1"), 3600.0),
        JobState::Failed { .. }
    ));
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "SCHEDULING", "RUNNING", "COMPLETED", "ERROR", "CANCELED", "DELETED", "NAPPING",
        ]).prop_map(stage),
        1 => Just(Observation::Sending),
        1 => Just(Observation::NotSeen { why: "x".into() }),
        1 => Just(Observation::Refused { reason: "x".into() }),
        1 => Just(Observation::Drifted { reason: "x".into() }),
        1 => Just(Observation::Pushed { revision: "abc".into() }),
        1 => Just(Observation::CancelAsked { by: CancelCause::User }),
        1 => (0..9_u64).prop_map(|count| Observation::Lines { count }),
        1 => (0..9_u64).prop_map(|step| Observation::Checkpoint { step, revision: None }),
        1 => Just(Observation::Measured { gpu_percent: Some(0.0) }),
    ]
}

proptest! {
    /// Whatever races: one terminal event at most, a final state is never left, lines and steps never go back.
    #[test]
    fn case_15_any_order_of_observations_gives_one_terminal_event(all in prop::collection::vec(observation(), 0..40)) {
        let mut view = JobView::new(true, Some(3600));
        let mut ends = Vec::new();
        for (second, observation) in (0..).zip(all) {
            let before = view.clone();
            ends.extend(view.apply(at(second), observation));
            prop_assert!(view.lines >= before.lines);
            if before.state.is_final() {
                prop_assert_eq!(
                    std::mem::discriminant(&before.state),
                    std::mem::discriminant(&view.state)
                );
            }
            if let JobState::Succeeded { revision } = &view.state {
                prop_assert!(revision.is_some() && view.ended);
            }
        }
        prop_assert_eq!(ends.len(), usize::from(view.state.is_final()));
    }
}

#[test]
fn the_watchdog_sees_what_is_stuck_and_cancels_only_when_told_to() {
    let policy = WatchPolicy::default();
    let late = at(24 * 3600);
    let waiting = view(&[stage("SCHEDULING")]);
    assert_eq!(
        policy.findings(&waiting, late),
        [(WatchFinding::StuckInScheduling, WatchAction::Warn)]
    );
    assert_eq!(policy.findings(&waiting, at(60)), []);
    let idle = view(&[
        stage("RUNNING"),
        Observation::Measured {
            gpu_percent: Some(0.2),
        },
    ]);
    assert_eq!(
        policy.findings(&idle, late),
        [
            (WatchFinding::IdleGpu, WatchAction::Warn),
            (WatchFinding::NoProgress, WatchAction::Warn)
        ]
    );
    let busy = view(&[
        stage("RUNNING"),
        Observation::Measured {
            gpu_percent: Some(0.0),
        },
        Observation::Measured {
            gpu_percent: Some(90.0),
        },
    ]);
    assert_eq!(
        policy.findings(&busy, late),
        [(WatchFinding::NoProgress, WatchAction::Warn)]
    );
    // What can not be seen is not judged.
    let unseen = view(&[stage("SCHEDULING"), Observation::NotSeen { why: "x".into() }]);
    assert_eq!(policy.findings(&unseen, late), []);
    let strict = WatchPolicy {
        scheduling: WatchRule {
            after: Duration::from_mins(1),
            action: WatchAction::Cancel,
        },
        ..policy
    };
    assert_eq!(
        strict.findings(&waiting, at(61)),
        [(WatchFinding::StuckInScheduling, WatchAction::Cancel)]
    );
}

#[test]
fn a_price_that_is_not_known_gives_no_cost_and_minutes_are_billed_whole() {
    let price = LaunchPrice {
        micro_usd_per_minute: Some(100),
        timeout_secs: Some(90),
        ..LaunchPrice::default()
    };
    assert_eq!(price.worst_micro_usd(), Some(200));
    assert_eq!(
        [0.0, 0.5, 60.0, 60.1].map(|seconds| price.cost_micro_usd(seconds)),
        [Some(0), Some(100), Some(100), Some(200)]
    );
    let unknown = LaunchPrice {
        micro_usd_per_minute: None,
        ..price
    };
    assert_eq!(
        (unknown.worst_micro_usd(), unknown.cost_micro_usd(60.0)),
        (None, None)
    );
}
