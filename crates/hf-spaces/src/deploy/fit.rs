//! Limits that fit what requests to the app really took.

use hf_core::{HfError, RepoId};

use super::{DeployCause, DeployError, DeployOptions, Deployment};
use crate::config::AppLimits;
use crate::deploy::plan::hub;
use crate::logs::SpaceLog;
use crate::manager::HfSpaceManager;
use crate::measured::MeasuredRequests;
use crate::template::Student;

/// Lines of the app's log that are read for what requests took.
const LOG_LINES: usize = 2_000;

/// What came of fitting the limits of an app.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fitted {
    /// The limits fit already; nothing was sent.
    AsIs {
        /// What requests took.
        measured: MeasuredRequests,
        /// The limits.
        limits: AppLimits,
    },
    /// The app runs with other limits.
    Changed {
        /// What requests took.
        measured: MeasuredRequests,
        /// The limits from before.
        before: AppLimits,
        /// The limits now.
        limits: AppLimits,
        /// How the app serves now.
        deployment: Box<Deployment>,
    },
}

impl Fitted {
    /// What requests took, the limits from before, and the limits now.
    pub fn parts(&self) -> (&MeasuredRequests, &AppLimits, &AppLimits) {
        match self {
            Self::AsIs { measured, limits } => (measured, limits, limits),
            Self::Changed {
                measured,
                before,
                limits,
                ..
            } => (measured, before, limits),
        }
    }
}

impl HfSpaceManager {
    /// What requests to the app took, as far as its log still tells; none where it tells of none.
    ///
    /// # Errors
    /// As [`HfSpaceManager::stream_logs`].
    pub async fn measured_requests(&self, id: &RepoId) -> Result<Option<MeasuredRequests>, HfError> {
        let lines = self.recent_logs(id, SpaceLog::Run, LOG_LINES).await?;
        Ok(MeasuredRequests::read(&lines))
    }

    /// Gives the app the limits that fit what its requests took; the model and the settings stay. An app that does not answer with
    /// them gets the ones from before back.
    ///
    /// On `ZeroGPU` a request asks for GPU time by these limits: what is too long waits in the queue for nothing and takes
    /// from a visitor's quota, what is too short is cut off.
    ///
    /// # Errors
    /// [`DeployCause::TooFewRequests`], else as [`HfSpaceManager::update_space_model`].
    pub async fn fit_space(&self, id: &RepoId, options: &DeployOptions) -> Result<Fitted, DeployError> {
        let mut current = self.current(id).await.map_err(DeployError::before)?;
        let measured = self
            .measured_requests(id)
            .await
            .map_err(|error| DeployError::before(hub("show the log of the app")(error)))?;
        let requests = measured.map_or(0, |measured| measured.requests);
        let Some(measured) = measured.filter(|_| requests >= MeasuredRequests::LEAST) else {
            return Err(DeployError::before(DeployCause::TooFewRequests {
                space: id.to_string(),
                requests,
                needed: MeasuredRequests::LEAST,
            }));
        };
        let before = current.file.limits;
        let Some(limits) = measured.propose(before) else {
            return Ok(Fitted::AsIs {
                measured,
                limits: before,
            });
        };
        let student = Student {
            model: current.file.model.clone(),
            adapter: current.file.adapter.clone(),
            shown: current.file.shown.clone(),
        };
        current.file.limits = limits;
        let deployment = Box::new(self.swap(id, current, student, options).await?);
        Ok(Fitted::Changed {
            measured,
            before,
            limits,
            deployment,
        })
    }
}
