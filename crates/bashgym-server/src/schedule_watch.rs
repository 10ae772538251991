//! Books what schedules run, as time goes by: the Hub starts those jobs without asking anybody here.

use std::time::Duration;

use bashgym_core::launch::ScheduleBooks;

use crate::parts::HubConnection;
use crate::problem::Problem;
use crate::state::AppState;

/// The time between two looks at the runs of schedules.
const LOOK: Duration = Duration::from_mins(1);

/// The books of the schedules on a connection.
pub(crate) fn books(state: &AppState, hub: &HubConnection) -> ScheduleBooks {
    let mut books = books_of(state, hub.target().hub);
    books.ledger = books.ledger.at(hub.client.endpoint());
    books
}

fn books_of(state: &AppState, hub: String) -> ScheduleBooks {
    ScheduleBooks {
        ledger: state.parts.ledger.clone(),
        store: state.parts.jobs.clone(),
        hub,
        clock: state.parts.clock.clone(),
    }
}

/// Books runs, now and from time to time, until the server ends. The Hub is asked nothing while no schedule was made here.
pub(crate) async fn run(state: AppState) {
    while !state.ending.is_cancelled() {
        match state.ending.run_until_cancelled(look(&state)).await {
            // What was booked is followed and settled like any launch.
            Some(Ok(true)) => state.launched.notify_one(),
            Some(Ok(false)) | None => {}
            Some(Err(problem)) => {
                tracing::warn!(
                    why = problem.detail(),
                    "the runs of schedules cannot be booked now"
                );
            }
        }
        tokio::select! {
            () = state.parts.clock.sleep(LOOK) => {}
            () = state.ending.cancelled() => {}
        }
    }
}

/// Whether something was booked.
async fn look(state: &AppState) -> Result<bool, Problem> {
    // Which schedules are open is the ledger's to say, whatever the Hub.
    if books_of(state, String::new()).open_schedules().await?.is_empty() {
        return Ok(false);
    }
    let hub = state.parts.composition.connect().await?;
    let booked = books(state, &hub).book_runs(&hub.jobs()).await?;
    Ok(!booked.is_empty())
}
