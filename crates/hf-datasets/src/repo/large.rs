//! Large files: what the Hub lacks is sent to its storage before the commit names it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hf_core::{HfError, HfResponse, Redirects, RequestBody, RequestSpec};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;
use url::Url;

use super::body::{FaultSlot, file_part};
use super::commit::{CommitOptions, LargeFiles, Planned, Source};
use super::{RepoFiles, wire};
use crate::progress::{Progress, TransferEvent};

/// How many objects one batch question names.
const BATCH: usize = 100;
/// How many files travel at the same time.
const PARALLEL: usize = 4;
/// How often one PUT is tried.
const PUT_ATTEMPTS: u32 = 5;
/// The most parts of one object; more are a broken answer.
const MAX_PARTS: u64 = 10_000;

impl RepoFiles {
    /// Brings the large files among `files` to the Hub's storage.
    pub(super) async fn send_large_files(
        &self,
        files: &[Planned],
        options: &CommitOptions,
    ) -> Result<(), HfError> {
        // Two files with the same content are one object.
        let mut objects: HashMap<&str, &Planned> = HashMap::new();
        for file in files.iter().filter(|file| file.large) {
            objects.insert(file.sha256()?, file);
        }
        let mut objects: Vec<&Planned> = objects.into_values().collect();
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        for batch in objects.chunks(BATCH) {
            self.send_batch(batch, options).await?;
        }
        for file in files.iter().filter(|file| file.large) {
            file.check_unchanged()?;
        }
        Ok(())
    }

    async fn send_batch(&self, files: &[&Planned], options: &CommitOptions) -> Result<(), HfError> {
        let mut offer: &[&str] = match options.large_files {
            LargeFiles::Auto => &["basic", "multipart", "xet"],
            LargeFiles::Lfs => &["basic", "multipart"],
        };
        loop {
            let answer = self.lfs_batch(files, options, offer).await?;
            let transfer = answer.transfer.as_deref().unwrap_or("basic").to_owned();
            let missing = sort_answer(files, answer, &options.progress)?;
            if missing.is_empty() {
                return Ok(());
            }
            match transfer.as_str() {
                "xet" if offer.contains(&"xet") => {
                    let files: Vec<&Planned> = missing.iter().map(|(file, _)| *file).collect();
                    match self.xet_leave(&options.revision).await? {
                        Some(leave) => return self.send_by_xet(&files, leave, options).await,
                        // A Hub that offers Xet without giving tokens is asked for the older way.
                        None => offer = &["basic", "multipart"],
                    }
                }
                "basic" | "multipart" => {
                    // Collected: a future that holds the closure is `Send` for one lifetime only.
                    let sends: Vec<_> = missing
                        .into_iter()
                        .map(|(file, actions)| self.send_object(file, actions, &options.progress))
                        .collect();
                    return stream::iter(sends).buffer_unordered(PARALLEL).try_collect().await;
                }
                other => {
                    return Err(HfError::decode(
                        "the answer to the LFS batch",
                        format!(
                            "it asks for the transfer {other:?}, which is none of {}",
                            offer.join(", ")
                        ),
                    ));
                }
            }
        }
    }

    /// Asks which objects are missing and how to send them.
    ///
    /// # Source
    ///
    /// `huggingface_hub` 2.4.0 `lfs.py` `post_lfs_batch_info`.
    async fn lfs_batch(
        &self,
        files: &[&Planned],
        options: &CommitOptions,
        offer: &[&str],
    ) -> Result<wire::LfsBatch, HfError> {
        let mut objects = Vec::with_capacity(files.len());
        for file in files {
            objects.push(json!({ "oid": file.sha256()?, "size": file.size }));
        }
        let body = json!({
            "operation": "upload",
            "transfers": offer,
            "hash_algo": "sha256",
            "ref": { "name": options.revision.as_str() },
            "objects": objects,
        });
        let kind = HeaderValue::from_static("application/vnd.git-lfs+json");
        let path = format!(
            "/{}{}.git/info/lfs/objects/batch",
            self.repo_type.url_prefix(),
            self.repo_id
        );
        let spec = RequestSpec::post(path)
            .json(&body)?
            .header(ACCEPT, kind.clone())
            .header(CONTENT_TYPE, kind)
            .idempotent();
        self.client.request_json(spec).await
    }

    /// Sends one object by LFS, in one piece or in parts.
    async fn send_object(
        &self,
        file: &Planned,
        actions: wire::LfsActions,
        progress: &Progress,
    ) -> Result<(), HfError> {
        let Some(mut upload) = actions.upload else {
            return Ok(());
        };
        let done = Arc::new(AtomicU64::new(0));
        let chunk = upload.header.remove("chunk_size");
        if let Some(chunk) = chunk {
            self.send_parts(file, &upload, &chunk, progress, &done).await?;
        } else {
            let spec = self.action_spec(Method::PUT, &upload)?;
            self.put(spec, file, 0, file.size, progress, &done).await?;
        }
        if let Some(verify) = actions.verify {
            let body = json!({ "oid": file.sha256()?, "size": file.size });
            let spec = self
                .action_spec(Method::POST, &verify)?
                .json(&body)?
                .header(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/vnd.git-lfs+json"),
                )
                .idempotent();
            self.client.request_bytes(spec).await?;
        }
        progress.file_done(&file.path, file.size, false);
        Ok(())
    }

    async fn send_parts(
        &self,
        file: &Planned,
        upload: &wire::LfsAction,
        chunk: &str,
        progress: &Progress,
        done: &Arc<AtomicU64>,
    ) -> Result<(), HfError> {
        let wrong = |why: String| HfError::decode("the answer to the LFS batch", why);
        let chunk: u64 = chunk
            .parse()
            .ok()
            .filter(|chunk| *chunk > 0)
            .ok_or_else(|| wrong(format!("the chunk size {chunk:?} is no number")))?;
        let parts = file.size.div_ceil(chunk);
        if parts > MAX_PARTS {
            return Err(wrong(format!("{parts} parts are more than {MAX_PARTS}")));
        }
        let addresses: HashMap<u64, &String> = upload
            .header
            .iter()
            .filter_map(|(key, url)| Some((key.parse().ok()?, url)))
            .collect();
        let sends = (1..=parts).map(|number| {
            let address = addresses.get(&number).copied();
            async move {
                let Some(href) = address else {
                    return Err(wrong(format!("the address of part {number} is missing")));
                };
                let action = wire::LfsAction {
                    href: href.clone(),
                    header: BTreeMap::default(),
                };
                let spec = self.action_spec(Method::PUT, &action)?;
                let offset = (number - 1) * chunk;
                let length = chunk.min(file.size - offset);
                let answer = self.put(spec, file, offset, length, progress, done).await?;
                let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
                let etag =
                    etag.ok_or_else(|| wrong(format!("the storage gave no ETag for part {number}")))?;
                Ok(json!({ "partNumber": number, "etag": etag }))
            }
        });
        let parts: Vec<serde_json::Value> = stream::iter(sends).buffered(PARALLEL).try_collect().await?;
        let action = wire::LfsAction {
            href: upload.href.clone(),
            header: BTreeMap::default(),
        };
        let kind = HeaderValue::from_static("application/vnd.git-lfs+json");
        let spec = self
            .action_spec(Method::POST, &action)?
            .json(&json!({ "oid": file.sha256()?, "parts": parts }))?
            .header(ACCEPT, kind.clone())
            .header(CONTENT_TYPE, kind)
            .idempotent();
        self.client.request_bytes(spec).await.map(drop)
    }

    /// A request to an address the Hub named. It must be one the gate allows.
    fn action_spec(&self, method: Method, action: &wire::LfsAction) -> Result<RequestSpec, HfError> {
        let wrong = |why: &str| HfError::decode("the answer to the LFS batch", why);
        let base = self.client.endpoint().url();
        let url: Url = base
            .join(&action.href)
            .map_err(|_| wrong("an address in it is no URL"))?;
        self.gate.check_url(&url)?;
        let mut spec = RequestSpec::to_url(method, url).redirects(Redirects::Manual);
        for (name, value) in &action.header {
            let name: HeaderName = name
                .parse()
                .map_err(|_| wrong("a header name in it is not valid"))?;
            let value =
                HeaderValue::from_str(value).map_err(|_| wrong("a header value in it is not valid"))?;
            spec = spec.header(name, value);
        }
        Ok(spec)
    }

    /// Sends a part of a file; a PUT to storage can be repeated without harm.
    async fn put(
        &self,
        spec: RequestSpec,
        file: &Planned,
        offset: u64,
        length: u64,
        progress: &Progress,
        done: &Arc<AtomicU64>,
    ) -> Result<HfResponse, HfError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let slot = FaultSlot::default();
            // What this try has sent, to be taken back should it fail.
            let sent = Arc::new(AtomicU64::new(0));
            let spec = spec
                .clone()
                .body(part_body(file, offset, length, &slot, progress, done, &sent))
                .no_retry();
            let answer = self.client.request(spec).await;
            let error = match answer {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => {
                    return Err(HfError::decode(
                        "the answer of the storage",
                        format!("its status is {}", answer.status()),
                    ));
                }
                Err(error) => error,
            };
            done.fetch_sub(sent.swap(0, Ordering::AcqRel), Ordering::AcqRel);
            if let Some(fault) = slot.take() {
                return Err(fault);
            }
            if attempt >= PUT_ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            progress.emit(|| TransferEvent::Retrying {
                what: file.path.clone(),
                why: error.to_string(),
            });
            self.client.clock().sleep(self.client.backoff(attempt)).await;
        }
    }
}

fn part_body(
    file: &Planned,
    offset: u64,
    length: u64,
    slot: &FaultSlot,
    progress: &Progress,
    done: &Arc<AtomicU64>,
    sent: &Arc<AtomicU64>,
) -> RequestBody {
    match &file.source {
        Source::Bytes(bytes) => {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = usize::try_from(offset + length)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            RequestBody::Bytes(bytes.slice(start..end))
        }
        Source::File(path) => {
            let (path, name, total) = (path.clone(), file.path.clone(), file.size);
            let (slot, progress, done, sent) = (slot.clone(), progress.clone(), done.clone(), sent.clone());
            RequestBody::factory(Some(length), move || {
                let (name, progress, done, sent) =
                    (name.clone(), progress.clone(), done.clone(), sent.clone());
                file_part(path.clone(), offset, length, slot.clone(), move |bytes| {
                    sent.fetch_add(bytes, Ordering::AcqRel);
                    let all = done.fetch_add(bytes, Ordering::AcqRel) + bytes;
                    progress.advanced(&name, all.min(total), total);
                })
            })
        }
    }
}

/// Pairs the answer with the files; what needs no upload is reported as done.
fn sort_answer<'a>(
    files: &[&'a Planned],
    answer: wire::LfsBatch,
    progress: &Progress,
) -> Result<Vec<(&'a Planned, wire::LfsActions)>, HfError> {
    let mut by_oid: HashMap<String, wire::LfsObject> = answer
        .objects
        .into_iter()
        .map(|object| (object.oid.clone(), object))
        .collect();
    let mut missing = Vec::new();
    for file in files {
        let object = by_oid.remove(file.sha256()?).ok_or_else(|| {
            HfError::decode(
                "the answer to the LFS batch",
                format!("it leaves out {:?}", file.path),
            )
        })?;
        if let Some(error) = object.error {
            return Err(crate::invalid(format!(
                "the Hub's storage refuses {:?}: {} (code {})",
                file.path, error.message, error.code
            )));
        }
        match object.actions {
            Some(actions) if actions.upload.is_some() => missing.push((*file, actions)),
            _ => progress.file_done(&file.path, file.size, true),
        }
    }
    Ok(missing)
}
