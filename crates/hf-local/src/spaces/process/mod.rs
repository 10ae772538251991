//! Gradio Spaces as processes of this machine.
//!
//! The files of the commit are written into a folder of their own, [`build`] makes an environment there with `uv` and installs what
//! the front matter and `requirements.txt` name, and [`start`] runs the app on a free port of loopback. Its address is the Space's
//! own on the payload origin; [`forward`] passes requests on, without the visitor's token.
//!
//! What differs from the Hub, where an app runs in a container:
//! - it can read what the user who runs the Hub can read: this isolates mistakes, not malice. Who is on this machine reaches its
//!   port without a token, and its pages share an origin with those of other Spaces;
//! - `packages.txt` and `pre-requirements.txt` are not installed, and the Python is one of this machine;
//! - every hardware is this machine's own; the package `spaces` lends no graphics processor;
//! - values of secrets live as long as the Hub that was told them.
//!
//! A process ends with everything it started when its Space is paused, removed, asleep or served by a newer commit, and when the Hub
//! stops. One that a Hub left behind is ended by the next Hub on the same folder.

mod build;
mod forward;
mod start;

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

pub(super) use forward::forward;
pub(super) use start::start;

use crate::git::Oid;
use crate::jobs::{Tree, kill_now};
use crate::state::Hub;

/// What is said wherever the code of a Space runs.
pub(super) const PROCESS: &str = "process: the code of the Space runs on this machine, in an environment that uv made, without a container";

/// The variable by which the processes of an app are found.
const MARKER: &str = "BASHGYM_SPACE_RUN";

fn marker(run: &str) -> String {
    format!("{MARKER}={run}")
}

/// Where the folders of apps are.
fn root(hub: &Hub) -> PathBuf {
    hub.dirs.root().join("apps")
}

/// An app that answers at a port of this machine.
#[derive(Debug)]
pub(crate) struct Process {
    /// The commit of the Space.
    pub(super) commit: Oid,
    port: u16,
    pid: i32,
    end: CancellationToken,
}

impl Process {
    /// Ends it, soon.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// Ends it at once, for a Hub that goes without a shutdown.
    pub(super) fn kill(&self) {
        kill_now(self.pid, &[]);
    }
}

/// Ends what a Hub on this folder left running, and removes its folders.
pub(crate) async fn end_left_behind(hub: &Hub) {
    let Ok(mut entries) = tokio::fs::read_dir(root(hub)).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name().to_string_lossy().into_owned();
        let left = Tree::new(None, marker(&name)).kill().await;
        if left > 0 {
            tracing::error!(
                run = name,
                left,
                "processes of an app of an earlier Hub could not be killed"
            );
        }
        if let Err(error) = tokio::fs::remove_dir_all(entry.path()).await {
            tracing::warn!(run = name, %error, "the folder of an app could not be removed");
        }
    }
}
