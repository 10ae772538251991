//! The little of buckets that shipping a script needs.

use hf_core::{HfClient, HfError, RequestBody, RequestSpec, encode_segment};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A storage bucket.
#[derive(Debug)]
pub(super) struct Bucket<'a> {
    client: &'a HfClient,
    /// `namespace/name`.
    pub(super) id: String,
    path: String,
}

/// A file for a bucket, whose bytes are in Xet storage already.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "addFile", rename_all = "camelCase")]
pub(super) struct AddFile {
    pub(super) path: String,
    pub(super) xet_hash: String,
    /// Milliseconds since 1970.
    pub(super) mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<&'static str>,
}

#[derive(Deserialize)]
struct Info {
    private: bool,
}

impl<'a> Bucket<'a> {
    pub(super) fn new(client: &'a HfClient, namespace: &str, name: &str) -> Self {
        Self {
            client,
            id: format!("{namespace}/{name}"),
            path: format!(
                "/api/buckets/{}/{}",
                encode_segment(namespace),
                encode_segment(name)
            ),
        }
    }

    /// Where leave to write is asked for.
    pub(super) fn token_path(&self) -> String {
        format!("{}/xet-write-token", self.path)
    }

    /// Makes the bucket, private, unless it is there: `POST /api/buckets/{id}`.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when it is there and public: whoever looks could read what jobs are given.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `hf_api.py`, `create_bucket` with `exist_ok`, then `bucket_info`, at which it only warns.
    pub(super) async fn ensure(&self) -> Result<(), HfError> {
        let spec = RequestSpec::post(&self.path)
            .json(&json!({"visibility": "private"}))?
            .idempotent();
        let Err(error) = self.client.request_bytes(spec).await else {
            return Ok(());
        };
        match error.status() {
            Some(StatusCode::CONFLICT) => self.require_private().await,
            // A token that may not make it may still write to one that is there.
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => match self.require_private().await {
                Err(public @ HfError::InvalidArgument { .. }) => Err(public),
                other => other.map_err(|_not_there| error),
            },
            _ => Err(error),
        }
    }

    async fn require_private(&self) -> Result<(), HfError> {
        let info: Info = self.client.request_json(RequestSpec::get(&self.path)).await?;
        if info.private {
            return Ok(());
        }
        let page = format!("{}/buckets/{}", self.client.endpoint(), self.id);
        Err(HfError::invalid(format!(
            "the bucket {} is public, and what a job is given would be too; make it private first: {page}",
            self.id
        )))
    }

    /// Puts files into the bucket: `POST /api/buckets/{id}/batch`. The same files twice are the same as once.
    pub(super) async fn add(&self, files: &[AddFile]) -> Result<(), HfError> {
        let mut lines = Vec::new();
        for file in files {
            serde_json::to_writer(&mut lines, file)
                .map_err(|error| HfError::invalid(format!("a file can not be written as JSON: {error}")))?;
            lines.push(b'\n');
        }
        let spec = RequestSpec::post(format!("{}/batch", self.path))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
            .body(RequestBody::Bytes(lines.into()))
            .idempotent();
        self.client.request_bytes(spec).await.map(drop)
    }
}

/// The type a file's name stands for, as far as scripts and their settings go.
pub(super) fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "py" => "text/x-python",
        "sh" => "application/x-sh",
        "json" => "application/json",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "md" => "text/markdown",
        _ => return None,
    })
}
