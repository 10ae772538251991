//! What Spaces did since they were last looked at.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hf_spaces::{SpaceRuntime, SpaceStage};
use serde_json::json;

use crate::events::NewEvent;

/// The topic of a Space.
pub fn space_topic(space_id: &str) -> String {
    format!("space:{space_id}")
}

/// What was seen of a Space.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    stage: SpaceStage,
    commit: Option<String>,
}

/// Remembers how Spaces stood, and tells what is new. The Hub tells nobody when a Space becomes ready: whoever wants to know looks.
#[derive(Debug, Default)]
pub struct SpaceNews {
    seen: Mutex<HashMap<String, Option<Seen>>>,
}

impl SpaceNews {
    /// A Space was made or changed by us: whatever is seen of it next is news.
    pub fn changed(&self, space_id: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(space_id.to_owned(), None);
    }

    /// A stage was told without the rest: a deployment that is followed tells these.
    pub fn see_stage(&self, space_id: &str, stage: &SpaceStage) -> Option<NewEvent> {
        let mut runtime = SpaceRuntime::default();
        runtime.stage = stage.clone();
        self.see(space_id, &runtime)
    }

    /// What follows from how a Space stands now. Nothing does the first time it is seen: how it stood before is not known.
    pub fn see(&self, space_id: &str, now: &SpaceRuntime) -> Option<NewEvent> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(space_id).cloned();
        let known = before.as_ref().and_then(Option::as_ref);
        let same_commit = match (known.and_then(|seen| seen.commit.as_ref()), &now.sha) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        };
        let is_new = match (&before, known) {
            (None, _) => false,
            (_, None) => true,
            (_, Some(seen)) => seen.stage != now.stage || !same_commit,
        };
        let commit = now
            .sha
            .clone()
            .or_else(|| known.and_then(|seen| seen.commit.clone()));
        let stage = now.stage.clone();
        seen.insert(space_id.to_owned(), Some(Seen { stage, commit }));
        is_new.then(|| {
            let data = json!({
                "space_id": space_id, "stage": now.stage, "commit": now.sha, "error": now.error_message,
                "hardware": now.hardware.current.as_ref().or(now.hardware.requested.as_ref()),
            });
            NewEvent::new(kind(&now.stage), space_topic(space_id), data)
        })
    }

    /// A Space is gone.
    pub fn deleted(&self, space_id: &str) -> NewEvent {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(space_id);
        let data = json!({ "space_id": space_id });
        NewEvent::new("hf:space:deleted", space_topic(space_id), data)
    }
}

fn kind(stage: &SpaceStage) -> &'static str {
    match stage {
        SpaceStage::Building | SpaceStage::RunningBuilding => "hf:space:building",
        SpaceStage::AppStarting | SpaceStage::RunningAppStarting => "hf:space:starting",
        SpaceStage::Running => "hf:space:ready",
        SpaceStage::NoAppFile
        | SpaceStage::ConfigError
        | SpaceStage::BuildError
        | SpaceStage::RuntimeError => "hf:space:failed",
        SpaceStage::Paused => "hf:space:paused",
        SpaceStage::Sleeping => "hf:space:sleeping",
        SpaceStage::Stopped => "hf:space:stopped",
        SpaceStage::Deleting => "hf:space:deleting",
        SpaceStage::Unknown(_) => "hf:space:stage",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(stage: SpaceStage, commit: &str) -> SpaceRuntime {
        let mut runtime = SpaceRuntime::default();
        runtime.stage = stage;
        runtime.sha = Some(commit.to_owned());
        runtime
    }

    #[test]
    fn a_space_is_ready_once_for_each_time_it_becomes_so() {
        let news = SpaceNews::default();
        let mut told = Vec::new();
        let mut see =
            |stage, commit| told.extend(news.see("me/a", &at(stage, commit)).map(|event| event.kind));
        see(SpaceStage::Running, "1");
        see(SpaceStage::Running, "1");
        see(SpaceStage::RunningBuilding, "1");
        see(SpaceStage::Running, "2");
        see(SpaceStage::Running, "3");
        see(SpaceStage::RuntimeError, "3");
        assert_eq!(
            told,
            [
                "hf:space:building",
                "hf:space:ready",
                "hf:space:ready",
                "hf:space:failed"
            ]
        );
    }

    #[test]
    fn what_was_asked_for_is_news_even_when_it_is_done_at_once() {
        let news = SpaceNews::default();
        news.changed("me/a");
        let event = news.see("me/a", &at(SpaceStage::Running, "1")).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.topic.as_str()),
            ("hf:space:ready", "space:me/a")
        );
        // A stage without its commit is no other commit.
        assert_eq!(news.see_stage("me/a", &SpaceStage::Running), None);
        assert_eq!(news.see("me/a", &at(SpaceStage::Running, "1")), None);
        assert_eq!(news.deleted("me/a").kind, "hf:space:deleted");
        assert_eq!(news.see("me/a", &at(SpaceStage::Building, "9")), None);
    }
}
