//! The list of the sessions that were imported, so that they can be named by their id.

use bashgym_traces::SessionIndex;

use crate::context::Context;
use crate::error::CliError;
use crate::files::SESSION_INDEX;

/// The list, where it may be added to.
pub(super) fn index(context: &Context) -> Result<SessionIndex, CliError> {
    Ok(SessionIndex::new(context.home()?.join(SESSION_INDEX)))
}

/// The list, to look at.
pub(super) fn known(context: &Context) -> SessionIndex {
    SessionIndex::new(context.home_path().join(SESSION_INDEX))
}
