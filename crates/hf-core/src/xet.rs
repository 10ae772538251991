//! Sending files to Xet storage, on the transfer layer of the official Rust client (`hf-xet`, which `hf-hub` is built on).
//!
//! Only bytes go this way; what they are called and where they belong is said to the Hub afterwards, by a commit or a batch.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use tempfile::TempDir;
use url::Url;
use xet::XetError;
use xet::xet_session::{
    Sha256Policy, XetConfig, XetFileUpload, XetSession, XetSessionBuilder, XetUploadCommit,
};

use crate::{Endpoint, HfClient, HfError, RequestSpec, TransportKind, UploadGate};

/// How often progress is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Where leave to write is asked for, and the leave itself.
///
/// # Source
/// The Hub's answer to `GET …/xet-write-token`: `casUrl`, `accessToken`, `exp`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WriteToken {
    cas_url: String,
    access_token: String,
    exp: u64,
}

/// Leave to write to the Xet storage of one repository or bucket.
pub struct XetLeave {
    path: String,
    token: WriteToken,
}

impl std::fmt::Debug for XetLeave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XetLeave")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl XetLeave {
    /// Asks for leave: `GET {path}`, such as `/api/models/ada/x/xet-write-token/main`.
    ///
    /// # Errors
    /// Any [`HfError`]; a 404 or 501 comes from a Hub without Xet.
    pub async fn ask(client: &HfClient, path: impl Into<String>) -> Result<Self, HfError> {
        let path = path.into();
        let token = client.request_json(RequestSpec::get(path.as_str())).await?;
        Ok(Self { path, token })
    }

    /// Whether the Xet layer, which reads proxies from the environment by itself, would send loopback traffic to one.
    ///
    /// Our own transport never does. There is no other way to know, so this looks at the same variables.
    pub fn leads_through_a_proxy(&self) -> bool {
        leads_through_a_proxy(&self.token.cas_url, |name| std::env::var_os(name).is_some())
    }
}

fn leads_through_a_proxy(address: &str, is_set: impl Fn(&str) -> bool) -> bool {
    let local = Endpoint::parse(address).is_ok_and(|endpoint| endpoint.is_loopback());
    local
        && [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ]
        .into_iter()
        .any(is_set)
}

/// What is sent.
#[derive(Debug, Clone)]
pub enum XetBytes {
    /// A file, by its absolute path.
    File(PathBuf),
    /// Bytes, and what they are called in traces.
    Bytes(Vec<u8>, String),
}

/// A file that is in Xet storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XetSent {
    /// Its Xet hash, by which a commit or a bucket names it.
    pub hash: String,
    /// How many bytes were stored, where the layer says so.
    pub size_bytes: Option<u64>,
}

/// One transfer of several files. Dropping it stops what has not been finished.
pub struct XetTransfer {
    commit: AbortOnDrop,
    running: Vec<XetFileUpload>,
    // After the commit: it runs in the session, and that keeps its cache in the folder.
    _session: XetSession,
    temporary: Option<TempDir>,
}

impl std::fmt::Debug for XetTransfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XetTransfer")
            .field("files", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// Stops a transfer whose caller went away.
struct AbortOnDrop(Option<XetUploadCommit>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(commit) = self.0.take() {
            let _ = commit.abort();
        }
    }
}

impl XetTransfer {
    /// Begins a transfer. Without a `cache` folder a temporary one is used.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the gate forbids the storage's address; what beginning can bring.
    pub async fn begin(
        client: &HfClient,
        leave: XetLeave,
        gate: &UploadGate,
        cache: Option<&Path>,
    ) -> Result<Self, HfError> {
        let XetLeave { path, token } = leave;
        let store = Url::parse(&token.cas_url)
            .map_err(|error| HfError::decode("the Xet token", format!("its address is no URL: {error}")))?;
        gate.check_url(&store)?;
        let temporary = match cache {
            Some(_) => None,
            None => Some(
                tempfile::tempdir()
                    .map_err(|error| HfError::io("make a temporary folder for Xet's cache", error))?,
            ),
        };
        let folder = cache
            .or(temporary.as_ref().map(TempDir::path))
            .map_or_else(std::env::temp_dir, Path::to_owned);
        let config = XetConfig::new()
            .with_config("telemetry.enabled", false)
            .map_err(|error| HfError::decode("the Xet settings", error.to_string()))?;
        let session = XetSessionBuilder::new_with_config(config)
            .with_cache_dir(folder)
            .build()
            .map_err(|error| from_xet(&error))?;
        let mut headers = HeaderMap::new();
        if let Some(own) = client.token()
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", own.expose()))
        {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let refresh = client.endpoint().join(&path)?;
        let commit = session
            .new_upload_commit()
            .map_err(|error| from_xet(&error))?
            .with_endpoint(token.cas_url)
            .with_token_info(token.access_token, token.exp)
            .with_token_refresh_url(refresh.to_string(), headers)
            .build()
            .await
            .map_err(|error| from_xet(&error))?;
        Ok(Self {
            commit: AbortOnDrop(Some(commit)),
            running: Vec::new(),
            _session: session,
            temporary,
        })
    }

    /// Adds a file. `sha256` is its hash in hex, where the storage is to be looked up by it.
    ///
    /// # Errors
    /// A file that cannot be read; what sending can bring.
    pub async fn add(&mut self, bytes: XetBytes, sha256: Option<&str>) -> Result<(), HfError> {
        let Some(commit) = &self.commit.0 else {
            return Err(HfError::invalid("the Xet transfer is over"));
        };
        let policy = sha256.map_or(Sha256Policy::Skip, Sha256Policy::from_hex);
        let upload = match bytes {
            XetBytes::File(path) => commit.upload_from_path(path, policy).await,
            XetBytes::Bytes(bytes, name) => commit.upload_bytes(bytes, policy, Some(name)).await,
        };
        self.running.push(upload.map_err(|error| from_xet(&error))?);
        Ok(())
    }

    /// Sends everything, and returns what became of each file, in the order they were added.
    ///
    /// `progress` is told the number of a file and how many of its bytes are through, whenever that grew.
    ///
    /// # Errors
    /// What sending can bring.
    pub async fn finish(mut self, mut progress: impl FnMut(usize, u64)) -> Result<Vec<XetSent>, HfError> {
        let Some(commit) = self.commit.0.clone() else {
            return Err(HfError::invalid("the Xet transfer is over"));
        };
        let report = {
            let mut told = vec![0; self.running.len()];
            let finishing = commit.commit();
            tokio::pin!(finishing);
            let mut tick = tokio::time::interval(PROGRESS_EVERY);
            loop {
                tokio::select! {
                    report = &mut finishing => break report.map_err(|error| from_xet(&error))?,
                    _ = tick.tick() => {
                        for (number, (upload, told)) in self.running.iter().zip(&mut told).enumerate() {
                            if let Some(item) = upload.progress()
                                && item.bytes_completed > *told
                            {
                                *told = item.bytes_completed;
                                progress(number, item.bytes_completed);
                            }
                        }
                    }
                }
            }
        };
        self.commit.0 = None;
        let sent = self
            .running
            .iter()
            .map(|upload| {
                let info = &report.uploads.get(&upload.task_id())?.xet_info;
                Some(XetSent {
                    hash: info.hash.clone(),
                    size_bytes: info.file_size,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| HfError::decode("the Xet upload", "a file was sent and is not in its report"))?;
        let temporary = self.temporary.take();
        drop(self);
        if let Some(folder) = temporary {
            // A leftover in the system's temporary folder is no reason to fail an upload that succeeded.
            let closed = tokio::task::spawn_blocking(move || folder.close()).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!("the temporary Xet cache stays");
            }
        }
        Ok(sent)
    }
}

/// Translates an error of the Xet layer by its meaning.
fn from_xet(error: &XetError) -> HfError {
    let message = crate::scrub_secrets(&error.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_data_does_not_go_to_a_proxy() {
        let proxy = |name: &str| name == "http_proxy";
        assert!(leads_through_a_proxy("http://127.0.0.1:9", proxy));
        assert!(!leads_through_a_proxy("http://127.0.0.1:9", |_| false));
        assert!(!leads_through_a_proxy("https://cas-server.xethub.hf.co", proxy));
    }
}
