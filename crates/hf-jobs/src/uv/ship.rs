//! Bringing files into a job: through Xet storage into a bucket, which is then mounted.

use std::path::{Path, PathBuf};

use hf_core::{Endpoint, HfError, RequestSpec, TransportKind};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use xet::XetError;
use xet::xet_session::{Sha256Policy, XetConfig, XetSessionBuilder};

use super::bucket::{AddFile, Bucket, content_type};
use crate::runner::HfJobRunner;
use crate::volume::{Volume, VolumeKind};

/// The bucket of a namespace that holds what its jobs were started with.
///
/// # Source
/// `huggingface_hub` 2.4.0 `constants.py`, `HF_JOBS_ARTIFACTS_BUCKET_NAME`.
const BUCKET: &str = "jobs-artifacts";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct XetToken {
    cas_url: String,
    access_token: String,
    exp: u64,
}

/// Sends files, each under its name, into a folder of their own; returns it as a volume.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `_upload_scripts_to_bucket`.
pub(super) async fn ship(
    jobs: &HfJobRunner,
    files: &[(PathBuf, String)],
    mount_path: &str,
) -> Result<Volume, HfError> {
    let client = jobs.client();
    let bucket = Bucket::new(client, jobs.namespace().as_str(), BUCKET);
    bucket.ensure().await?;
    let hashes = send(jobs, &bucket, files).await?;
    let folder = folder_name(client.clock().now());
    let mut adds = Vec::with_capacity(files.len());
    for ((path, name), xet_hash) in files.iter().zip(hashes) {
        adds.push(AddFile {
            path: format!("{folder}/{name}"),
            xet_hash,
            mtime: modified_ms(path).await?,
            content_type: content_type(name),
        });
    }
    bucket.add(&adds).await?;
    Ok(Volume {
        kind: VolumeKind::Bucket,
        source: bucket.id,
        mount_path: mount_path.to_owned(),
        revision: None,
        read_only: Some(false),
        path: Some(folder),
    })
}

/// `YYYYMMDDThhmmss-` and six digits nobody else has.
fn folder_name(now: Timestamp) -> String {
    use sha2::{Digest, Sha256};
    use std::hash::{BuildHasher, RandomState};
    // The standard library's hash keys are random, anew for each.
    let random = RandomState::new().hash_one(now.as_nanosecond());
    let digits = hex::encode(&Sha256::digest(random.to_le_bytes())[..3]);
    format!("{}-{digits}", now.strftime("%Y%m%dT%H%M%S"))
}

async fn modified_ms(path: &Path) -> Result<i64, HfError> {
    let modified = tokio::fs::metadata(path).await.and_then(|found| found.modified());
    let modified = modified.map_err(|error| HfError::io(format!("look at {}", path.display()), error))?;
    Ok(Timestamp::try_from(modified).map_or(0, Timestamp::as_millisecond))
}

/// Sends the files' bytes to Xet storage; returns their hashes.
async fn send(
    jobs: &HfJobRunner,
    bucket: &Bucket<'_>,
    files: &[(PathBuf, String)],
) -> Result<Vec<String>, HfError> {
    let client = jobs.client();
    let token: XetToken = client.request_json(RequestSpec::get(bucket.token_path())).await?;
    if leads_through_a_proxy(&token.cas_url, |name| std::env::var_os(name).is_some()) {
        return Err(HfError::invalid(
            "a proxy is set in the environment, and the Xet layer would send loopback traffic to it; unset it for this command",
        ));
    }
    let cache = tempfile::tempdir().map_err(|error| HfError::io("make a temporary folder", error))?;
    let config = XetConfig::new()
        .with_config("telemetry.enabled", false)
        .map_err(|error| HfError::decode("the Xet settings", error.to_string()))?;
    let session = XetSessionBuilder::new_with_config(config)
        .with_cache_dir(cache.path().to_owned())
        .build()
        .map_err(|error| from_xet(&error))?;
    let mut headers = HeaderMap::new();
    if let Some(own) = client.token()
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", own.expose()))
    {
        value.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, value);
    }
    let refresh = client.endpoint().join(&bucket.token_path())?;
    let commit = session
        .new_upload_commit()
        .map_err(|error| from_xet(&error))?
        .with_endpoint(token.cas_url)
        .with_token_info(token.access_token, token.exp)
        .with_token_refresh_url(refresh.to_string(), headers)
        .build()
        .await
        .map_err(|error| from_xet(&error))?;
    let mut running = Vec::with_capacity(files.len());
    for (path, _) in files {
        let path = std::path::absolute(path)
            .map_err(|error| HfError::io(format!("find {}", path.display()), error))?;
        // A bucket is not looked up by SHA-256, so none is computed.
        let upload = commit.upload_from_path(path, Sha256Policy::Skip).await;
        running.push(upload.map_err(|error| from_xet(&error))?);
    }
    let report = commit.commit().await.map_err(|error| from_xet(&error))?;
    running
        .iter()
        .map(|upload| {
            report
                .uploads
                .get(&upload.task_id())
                .map(|sent| sent.xet_info.hash.clone())
                .ok_or_else(|| HfError::decode("the Xet upload", "a file was sent and is not in its report"))
        })
        .collect()
}

/// Whether the Xet layer, which reads proxies from the environment by itself, would send loopback traffic to one.
fn leads_through_a_proxy(address: &str, is_set: impl Fn(&str) -> bool) -> bool {
    let local = Endpoint::parse(address).is_ok_and(|endpoint| endpoint.is_loopback());
    let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    local && names.into_iter().any(is_set)
}

/// Translates an error of the Xet layer by its meaning.
fn from_xet(error: &XetError) -> HfError {
    let message = hf_core::scrub_secrets(&error.to_string());
    let transport = |kind| HfError::Transport {
        kind,
        request: "Xet upload".to_owned(),
        message: message.clone(),
        source: None,
    };
    match error {
        XetError::Network(_) => transport(TransportKind::Connect),
        XetError::ServerError(_) | XetError::RateLimited(_) => transport(TransportKind::Reset),
        XetError::Timeout(_) => transport(TransportKind::Timeout),
        XetError::Authentication(_) => HfError::Auth {
            message,
            context: None,
        },
        XetError::Io(_) => HfError::io("read or write for the Xet upload", std::io::Error::other(message)),
        _ => HfError::decode("the Xet upload", message),
    }
}
