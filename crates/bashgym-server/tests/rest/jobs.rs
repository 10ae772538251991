//! Lists of jobs: from what is kept, brought to date while the Hub answers, and as they were while it does not.

use std::sync::Arc;
use std::time::Duration;

use bashgym_core::SystemClock;
use bashgym_core::launch::{BoardError, BoardPage, BoardPolicy, JobBoard};
use bashgym_core::run::Target;
use bashgym_core::store::{MemoryStore, SeenJobFilter, SeenJobStore};
use futures::TryStreamExt;
use hf_core::JobId;
use hf_jobs::{HfJobRunner, JobFilter};
use hf_local::{FaultKind, FaultRule};
use serde_json::json;

use crate::spaces::{Place, place};

/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A board that asks the Hub each time, and waits for it that long.
fn board(store: &Arc<MemoryStore>, patience: Duration) -> JobBoard {
    let policy = BoardPolicy {
        fresh: Duration::ZERO,
        rest: Duration::ZERO,
        patience,
        ..BoardPolicy::default()
    };
    JobBoard::new(store.clone(), Arc::new(SystemClock::new()), policy)
}

fn ada() -> Target {
    Target {
        hub: Target::EMBEDDED.to_owned(),
        namespace: "ada".to_owned(),
    }
}

async fn list(board: &JobBoard, runner: &HfJobRunner) -> Result<BoardPage, BoardError> {
    board
        .list(runner, &ada(), &SeenJobFilter::default(), None, 100)
        .await
}

fn ids(page: &BoardPage) -> Vec<String> {
    page.jobs.iter().map(|job| job.id.to_string()).collect()
}

async fn on_the_hub(runner: &HfJobRunner) -> Vec<String> {
    let jobs: Vec<_> = runner
        .list_jobs(&JobFilter::default())
        .try_collect()
        .await
        .unwrap();
    jobs.iter().map(|job| job.id.to_string()).collect()
}

async fn make(place: &Place, team: &str) -> JobId {
    place.job_behind_our_back(&json!({ "team": team })).await
}

#[tokio::test]
async fn a_board_has_what_the_hub_has_and_keeps_it_when_the_hub_is_gone() {
    let place = place().await;
    let runner = place.jobs();
    let store = Arc::new(MemoryStore::default());
    let board = board(&store, DEADLINE);
    for _ in 0..3 {
        make(&place, "blue").await;
    }
    let first = list(&board, &runner).await.unwrap();
    assert_eq!((ids(&first), first.stale), (on_the_hub(&runner).await, None));
    // What is new, and what became of what was open.
    let fourth = make(&place, "red").await;
    runner.cancel_job(&fourth).await.ok();
    let over = async {
        loop {
            let page = list(&board, &runner).await.unwrap();
            assert_eq!(page.jobs.len(), 4, "none is lost");
            if page.jobs.iter().all(|job| job.stage().is_terminal()) {
                return page;
            }
        }
    };
    let page = tokio::time::timeout(DEADLINE, over).await.unwrap();
    assert_eq!(ids(&page), on_the_hub(&runner).await);
    let red = SeenJobFilter {
        label: Some(("team".to_owned(), "red".to_owned())),
        ..SeenJobFilter::default()
    };
    let red = board.list(&runner, &ada(), &red, None, 100).await.unwrap();
    assert_eq!(ids(&red), [fourth.to_string()]);
    let rest = board
        .list(&runner, &ada(), &SeenJobFilter::default(), Some(&fourth), 2)
        .await
        .unwrap();
    assert_eq!(ids(&rest), ids(&page)[1..3]);

    let empty = Arc::new(MemoryStore::default());
    let Place { hub, server, .. } = place;
    hub.shutdown().await;
    let kept = list(&board, &runner).await.unwrap();
    let stale = kept.stale.clone().unwrap();
    let look = store.find_job_look(&ada()).await.unwrap().unwrap();
    assert_eq!((ids(&kept), stale.seen_at), (ids(&page), look.at));
    assert!(!stale.why.is_empty());
    let nothing = list(&self::board(&empty, DEADLINE), &runner).await;
    assert!(matches!(nothing, Err(BoardError::Hub(_))), "{nothing:?}");
    server.end().await;
}

#[tokio::test]
async fn a_slow_hub_does_not_slow_a_list_that_is_kept() {
    let place = place().await;
    let runner = place.jobs();
    let store = Arc::new(MemoryStore::default());
    make(&place, "blue").await;
    let known = list(&board(&store, DEADLINE), &runner).await.unwrap();
    let stall = FaultKind::Stall { ms: 600_000 };
    place
        .hub
        .faults()
        .add(FaultRule::new(stall).path_contains("/api/jobs").times(100));
    let hasty = board(&store, Duration::ZERO);
    let answered = tokio::time::timeout(DEADLINE, list(&hasty, &runner))
        .await
        .unwrap();
    let answered = answered.unwrap();
    assert_eq!(ids(&answered), ids(&known));
    assert!(answered.stale.unwrap().why.contains("not answered"));
    let Place { server, .. } = place;
    server.end().await;
}

#[tokio::test]
async fn the_list_of_jobs_says_since_when_it_is_old_while_the_hub_is_down() {
    let place = place().await;
    let request = json!({"command": ["true"]});
    let job = place
        .server
        .with_key("POST", "/api/hf/jobs", Some(&request))
        .await;
    assert_eq!(job.status, 201, "{}", job.body);
    let known = async {
        loop {
            let page = place.get("/api/hf/jobs").await;
            assert_eq!(page["items"][0]["id"], job.json()["id"]);
            if place.server.store.find_job_look(&ada()).await.unwrap().is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, known).await.unwrap();
    let Place { hub, server, .. } = place;
    hub.shutdown().await;
    let old = async {
        loop {
            let page = server.with_key("GET", "/api/hf/jobs", None).await;
            assert_eq!(page.status, 200, "{}", page.body);
            assert_eq!(page.json()["items"][0]["id"], job.json()["id"]);
            if page.json()["stale"]["why"].is_string() {
                return page.json();
            }
        }
    };
    let page = tokio::time::timeout(DEADLINE, old).await.unwrap();
    assert!(page["stale"]["seen_at"].is_string(), "{page}");
    // What is not kept says that the Hub does not answer.
    for (method, path, body) in [
        ("GET", "/api/hf/jobs/66aa66aa66aa66aa66aa66aa", None),
        ("GET", "/api/hf/spaces", None),
        ("POST", "/api/hf/jobs", Some(&request)),
    ] {
        let answer = server.with_key(method, path, body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (502, "hub_unreachable".to_owned()),
            "{path}"
        );
    }
    server.end().await;
}
