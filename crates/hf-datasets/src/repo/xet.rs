//! Large files by Xet, through [`hf_core::XetTransfer`].
//!
//! `hf-hub` itself is not used here: its only way to Xet ends in its own commit call, which repeats a commit whose
//! answer was lost, puts large files into the commit when the Hub does not offer Xet, and keeps Xet's cache where
//! only an environment variable can move it.

use hf_core::{HfError, Revision, XetBytes, XetLeave, XetTransfer};
use http::StatusCode;

use super::RepoFiles;
use super::commit::{CommitOptions, Planned, Source};

impl RepoFiles {
    fn xet_token_path(&self, revision: &Revision) -> String {
        format!("{}/xet-write-token/{}", self.api_path(), revision.encoded())
    }

    /// Asks for leave to write by Xet; `None` when the Hub has no Xet, or it must not be used.
    pub(super) async fn xet_leave(&self, revision: &Revision) -> Result<Option<XetLeave>, HfError> {
        match XetLeave::ask(&self.client, self.xet_token_path(revision)).await {
            Ok(leave) if leave.leads_through_a_proxy() => {
                tracing::debug!(
                    "a proxy is set, and the Xet layer would use it toward loopback; LFS is used"
                );
                Ok(None)
            }
            Ok(leave) => Ok(Some(leave)),
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
        leave: XetLeave,
        options: &CommitOptions,
    ) -> Result<(), HfError> {
        let cache = self.xet_cache.as_deref();
        let mut transfer = XetTransfer::begin(&self.client, leave, &self.gate, cache).await?;
        for file in files {
            let bytes = match &file.source {
                Source::File(path) => XetBytes::File(path.clone()),
                Source::Bytes(bytes) => XetBytes::Bytes(bytes.to_vec(), file.path.clone()),
            };
            transfer.add(bytes, Some(file.sha256()?)).await?;
        }
        let progress = |number: usize, done: u64| {
            if let Some(file) = files.get(number) {
                options
                    .progress
                    .advanced(&file.path, done.min(file.size), file.size);
            }
        };
        let sent = transfer.finish(progress).await?;
        for (file, sent) in files.iter().zip(&sent) {
            if sent.size_bytes.is_some_and(|size| size != file.size) {
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
        Ok(())
    }
}
