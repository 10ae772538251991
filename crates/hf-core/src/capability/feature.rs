//! The features an account may or may not have.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};
use url::Url;

/// Something an account may or may not do on the Hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Feature {
    /// Read public repositories.
    ReadPublic,
    /// Read one's own private repositories.
    ReadPrivate,
    /// Upload public datasets and models.
    UploadPublicDatasets,
    /// Upload private datasets and models.
    UploadPrivateDatasets,
    /// How much private data is kept.
    PrivateStorage,
    /// The Data Studio (viewer) on private datasets.
    DataStudioPrivate,
    /// Call Inference Providers.
    Inference,
    /// Start jobs, such as cloud training.
    Jobs,
    /// Let an organisation pay.
    BillOrg,
    /// Host Spaces on `ZeroGPU`.
    ZeroGpuSpaces,
    /// Use `ZeroGPU` time in Spaces.
    ZeroGpuTime,
    /// Make static Spaces.
    StaticSpaces,
    /// Make Gradio or Docker Spaces on the free CPU.
    CpuSpaces,
    /// Put a Space on paid hardware.
    PaidSpaceHardware,
    /// Dev Mode: a shell in a running Space.
    DevMode,
    /// See what was spent.
    BillingUsage,
}

impl Feature {
    /// All features, in the order they are shown.
    pub const ALL: [Self; 16] = [
        Self::ReadPublic,
        Self::ReadPrivate,
        Self::UploadPublicDatasets,
        Self::UploadPrivateDatasets,
        Self::PrivateStorage,
        Self::DataStudioPrivate,
        Self::Inference,
        Self::Jobs,
        Self::BillOrg,
        Self::ZeroGpuSpaces,
        Self::ZeroGpuTime,
        Self::StaticSpaces,
        Self::CpuSpaces,
        Self::PaidSpaceHardware,
        Self::DevMode,
        Self::BillingUsage,
    ];

    /// A stable word for JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadPublic => "read_public",
            Self::ReadPrivate => "read_private",
            Self::UploadPublicDatasets => "upload_public_datasets",
            Self::UploadPrivateDatasets => "upload_private_datasets",
            Self::PrivateStorage => "private_storage",
            Self::DataStudioPrivate => "data_studio_private",
            Self::Inference => "inference",
            Self::Jobs => "jobs",
            Self::BillOrg => "bill_org",
            Self::ZeroGpuSpaces => "zero_gpu_spaces",
            Self::ZeroGpuTime => "zero_gpu_time",
            Self::StaticSpaces => "static_spaces",
            Self::CpuSpaces => "cpu_spaces",
            Self::PaidSpaceHardware => "paid_space_hardware",
            Self::DevMode => "dev_mode",
            Self::BillingUsage => "billing_usage",
        }
    }

    /// The name people read.
    pub fn title(self) -> &'static str {
        match self {
            Self::ReadPublic => "Read public repositories",
            Self::ReadPrivate => "Read private repositories",
            Self::UploadPublicDatasets => "Upload public datasets",
            Self::UploadPrivateDatasets => "Upload private datasets",
            Self::PrivateStorage => "Private storage",
            Self::DataStudioPrivate => "Data Studio on private data",
            Self::Inference => "Inference Providers",
            Self::Jobs => "Jobs (cloud training)",
            Self::BillOrg => "Bill an organisation",
            Self::ZeroGpuSpaces => "Host ZeroGPU Spaces",
            Self::ZeroGpuTime => "Use ZeroGPU time",
            Self::StaticSpaces => "Static Spaces",
            Self::CpuSpaces => "Gradio and Docker Spaces",
            Self::PaidSpaceHardware => "Paid Space hardware",
            Self::DevMode => "Dev Mode of Spaces",
            Self::BillingUsage => "See what was spent",
        }
    }

    /// The permission a fine-grained token needs for it.
    ///
    /// # Source
    /// Permissions of recorded `whoami` answers and the Hub's `OpenAPI`. That hosting Spaces needs `repo.write` is
    /// inferred: a Space is a repository.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::ReadPublic | Self::ZeroGpuTime => None,
            Self::ReadPrivate | Self::DataStudioPrivate => Some("repo.content.read"),
            Self::UploadPublicDatasets
            | Self::UploadPrivateDatasets
            | Self::PrivateStorage
            | Self::ZeroGpuSpaces
            | Self::StaticSpaces
            | Self::CpuSpaces
            | Self::PaidSpaceHardware
            | Self::DevMode => Some("repo.write"),
            Self::Inference => Some("inference.serverless.write"),
            Self::Jobs | Self::BillOrg => Some("job.write"),
            Self::BillingUsage => Some("user.billing.read"),
        }
    }

    /// What a request uses, with the namespace it acts in, where its address tells.
    pub fn of_request(method: &Method, url: &Url) -> Option<(Self, Option<String>)> {
        let parts: Vec<&str> = url.path_segments()?.filter(|part| !part.is_empty()).collect();
        let start = parts.iter().position(|part| matches!(*part, "api" | "v1"))?;
        let own = |name: &str| Some(name.to_owned());
        match (method, &parts[start..]) {
            (&Method::POST, ["api", "jobs" | "scheduled-jobs", namespace]) => {
                Some((Self::Jobs, own(namespace)))
            }
            (&Method::POST, ["v1", ..]) => Some((Self::Inference, None)),
            (&Method::POST, ["api", "spaces", namespace, _, "dev-mode"]) => {
                Some((Self::DevMode, own(namespace)))
            }
            (&Method::POST, ["api", "spaces", namespace, _, "hardware"]) => {
                Some((Self::PaidSpaceHardware, own(namespace)))
            }
            (&Method::POST, ["api", "repos", "create"]) => Some((Self::CpuSpaces, None)),
            (&Method::GET, ["api", "settings", "billing", ..]) => Some((Self::BillingUsage, None)),
            _ => None,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}
