//! Following jobs in the background, whoever launched them: this server, the command line, or another server.

use std::sync::Arc;
use std::time::Duration;

use bashgym_core::launch::{FollowerPolicy, FollowerService, LaunchRecord, LaunchService};
use uuid::Uuid;

use crate::parts::HubConnection;
use crate::state::AppState;

/// The time between two looks whether there is something to follow, and whether the Hub is still the same.
const LOOK: Duration = Duration::from_secs(10);

/// Follows what is unfinished until the server ends. The Hub is asked nothing as long as nothing is.
pub(crate) async fn run(state: AppState) {
    while !state.ending.is_cancelled() {
        if unfinished(&state).await.is_empty() {
            wait(&state).await;
            continue;
        }
        match state.parts.composition.connect().await {
            Ok(hub) => follow(&state, hub).await,
            Err(problem) => {
                tracing::warn!(why = problem.detail(), "jobs cannot be followed now");
                wait(&state).await;
            }
        }
    }
}

async fn unfinished(state: &AppState) -> Vec<LaunchRecord> {
    match state.parts.jobs.list_unfinished_launches().await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the unfinished jobs cannot be listed");
            Vec::new()
        }
    }
}

async fn wait(state: &AppState) {
    tokio::select! {
        () = state.parts.clock.sleep(LOOK) => {}
        () = state.launched.notified() => {}
        // Whoever watches a page sees at once what another process launched.
        () = state.live.hub().new_job() => {}
        () = state.ending.cancelled() => {}
    }
}

/// Follows on one connection, until another one takes its place or nothing is left.
async fn follow(state: &AppState, hub: HubConnection) {
    let stop = state.ending.child_token();
    let mut context = state.parts.starter(&hub).context();
    context.holder = format!("server {}", Uuid::now_v7());
    let policy = FollowerPolicy {
        scan: Duration::from_secs(2),
        ..FollowerPolicy::default()
    };
    let followers = FollowerService::new(
        LaunchService::new(context),
        Arc::clone(&state.parts.events),
        policy,
    );
    let watching = async {
        loop {
            wait(state).await;
            let ours = hub.target().hub;
            let left = unfinished(state).await;
            let same = state.parts.composition.connect().await.is_ok_and(|now| {
                now.client.endpoint() == hub.client.endpoint()
                    && now.client.token().map(hf_core::Token::expose)
                        == hub.client.token().map(hf_core::Token::expose)
            });
            if !same || !left.iter().any(|record| record.hub == ours) || state.ending.is_cancelled() {
                stop.cancel();
                return;
            }
        }
    };
    tokio::join!(followers.run(stop.clone()), watching);
    if !state.ending.is_cancelled()
        && unfinished(state)
            .await
            .iter()
            .all(|record| record.hub != hub.target().hub)
    {
        // What is left belongs to another Hub.
        wait(state).await;
    }
}
