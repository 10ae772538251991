//! Large files by Xet, on the transfer layer of the official Rust client (`hf-xet`, which `hf-hub` is built on).
//!
//! `hf-hub` itself is not used here: its only way to Xet ends in its own commit call, which repeats a commit whose
//! answer was lost, puts large files into the commit when the Hub does not offer Xet, and keeps Xet's cache where
//! only an environment variable can move it.

use std::time::Duration;

use hf_core::{Endpoint, HfError, RequestSpec, Revision, TransportKind};
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;
use xet::XetError;
use xet::xet_session::{Sha256Policy, XetConfig, XetFileUpload, XetSessionBuilder, XetUploadCommit};

use super::commit::{CommitOptions, Planned, Source};
use super::{RepoFiles, wire};
use crate::{blocking, io_error};

/// How often progress is looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Stops a transfer whose caller went away.
struct AbortOnDrop(Option<XetUploadCommit>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(commit) = self.0.take() {
            let _ = commit.abort();
        }
    }
}

impl RepoFiles {
    fn xet_token_path(&self, revision: &Revision) -> String {
        format!("{}/xet-write-token/{}", self.api_path(), revision.encoded())
    }

    /// Asks for leave to write by Xet; `None` when the Hub has no Xet, or it must not be used.
    pub(super) async fn xet_token(&self, revision: &Revision) -> Result<Option<wire::XetToken>, HfError> {
        let answer = self
            .client
            .request_json::<wire::XetToken>(RequestSpec::get(self.xet_token_path(revision)))
            .await;
        match answer {
            Ok(token) if leads_through_a_proxy(&token.cas_url, |name| std::env::var_os(name).is_some()) => {
                tracing::debug!(
                    "a proxy is set, and the Xet layer would use it toward loopback; LFS is used"
                );
                Ok(None)
            }
            Ok(token) => Ok(Some(token)),
            Err(error)
                if matches!(
                    error.status(),
                    Some(StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends files by Xet.
    pub(super) async fn send_by_xet(
        &self,
        files: &[&Planned],
        token: wire::XetToken,
        options: &CommitOptions,
    ) -> Result<(), HfError> {
        let store = Url::parse(&token.cas_url)
            .map_err(|error| HfError::decode("the Xet token", format!("its address is no URL: {error}")))?;
        self.gate.check_url(&store)?;
        let temporary = match &self.xet_cache {
            Some(_) => None,
            None => Some(
                tempfile::tempdir()
                    .map_err(|error| io_error("create a folder in", &std::env::temp_dir(), error))?,
            ),
        };
        let cache = match (&self.xet_cache, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => std::env::temp_dir(),
        };
        let config = XetConfig::new()
            .with_config("telemetry.enabled", false)
            .map_err(|error| HfError::decode("the Xet settings", error.to_string()))?;
        let session = XetSessionBuilder::new_with_config(config)
            .with_cache_dir(cache)
            .build()
            .map_err(|error| from_xet(&error))?;
        let refresh = self
            .client
            .endpoint()
            .join(&self.xet_token_path(&options.revision))?;
        let mut builder = session
            .new_upload_commit()
            .map_err(|error| from_xet(&error))?
            .with_endpoint(token.cas_url)
            .with_token_info(token.access_token, token.exp);
        let mut headers = HeaderMap::new();
        if let Some(own) = self.client.token()
            && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", own.expose()))
        {
            value.set_sensitive(true);
            headers.insert(http::header::AUTHORIZATION, value);
        }
        builder = builder.with_token_refresh_url(refresh.to_string(), headers);
        let commit = builder.build().await.map_err(|error| from_xet(&error))?;
        let mut guard = AbortOnDrop(Some(commit.clone()));
        let mut running: Vec<(&Planned, XetFileUpload, u64)> = Vec::with_capacity(files.len());
        for file in files {
            let sha256 = Sha256Policy::from_hex(file.sha256()?);
            let upload = match &file.source {
                Source::File(path) => commit.upload_from_path(path.clone(), sha256).await,
                Source::Bytes(bytes) => {
                    commit
                        .upload_bytes(bytes.to_vec(), sha256, Some(file.path.clone()))
                        .await
                }
            };
            running.push((*file, upload.map_err(|error| from_xet(&error))?, 0));
        }
        let finishing = commit.commit();
        tokio::pin!(finishing);
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        let report = loop {
            tokio::select! {
                report = &mut finishing => break report.map_err(|error| from_xet(&error))?,
                _ = tick.tick() => {
                    for (file, upload, told) in &mut running {
                        if let Some(item) = upload.progress()
                            && item.bytes_completed > *told
                        {
                            *told = item.bytes_completed;
                            options.progress.advanced(&file.path, item.bytes_completed.min(file.size), file.size);
                        }
                    }
                }
            }
        };
        guard.0 = None;
        for (file, upload, _) in &running {
            let sent = report
                .uploads
                .get(&upload.task_id())
                .and_then(|metadata| metadata.xet_info.file_size);
            if sent.is_some_and(|size| size != file.size) {
                if let Source::File(path) = &file.source {
                    return Err(super::body::changed(path));
                }
                return Err(HfError::decode(
                    "the Xet upload",
                    format!("{:?} was stored with another size", file.path),
                ));
            }
            // A file that is through before the first look is told of all the same.
            options.progress.advanced(&file.path, file.size, file.size);
            options.progress.file_done(&file.path, file.size, false);
        }
        drop(session);
        if let Some(folder) = temporary {
            blocking(move || {
                // A leftover in the system's temporary folder is no reason to fail an upload that succeeded.
                if let Err(error) = folder.close() {
                    tracing::debug!(%error, "the temporary Xet cache stays");
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Whether the Xet layer, which reads proxies from the environment by itself, would send loopback traffic to one.
///
/// Our own transport never does. There is no other way to know, so this looks at the same variables.
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
