//! What to do before a commit.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;

use super::body::JsonBody;
use super::commit::MAX_REGULAR_BYTES;
use super::target::Target;
use crate::extract::Caller;
use crate::git::Attributes;
use crate::reply::{HubError, HubResult};
use crate::repos::{RepoPath, front_matter, parse_front_matter};
use crate::state::AppState;
use crate::wire::commit::{
    Preupload, PreuploadAnswer, PreuploadReply, ValidateYaml, YamlMessage, YamlReport,
};

const MAX_FILES: usize = 1000;

/// `POST /api/{type}s/{id}/preupload/{rev}`
///
/// # Source
/// `huggingface_hub` 2.4.0 `_commit_api.py`, `_fetch_upload_modes`. How the Hub chooses is not published; here a file
/// is large if `.gitattributes` says so, if its sample is binary, or if it has more than 10 MiB.
pub(crate) async fn preupload(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<Preupload>,
) -> HubResult<Json<PreuploadReply>> {
    let repo = target.write(&hub, &caller).await?;
    if body.files.len() > MAX_FILES {
        return Err(HubError::bad_request(format!(
            "\u{2716} Too big: at most {MAX_FILES} files\n  \u{2192} at files"
        )));
    }
    let head = hub.revision(&repo, &target.name()?).await?;
    let attributes = match body.git_attributes {
        Some(text) => text,
        None => hub
            .text_file(head.tree, ".gitattributes")
            .await?
            .unwrap_or_default(),
    };
    let ignore = match body.git_ignore {
        Some(text) => text,
        None => hub.text_file(head.tree, ".gitignore").await?.unwrap_or_default(),
    };
    let attributes = Attributes::parse(&attributes);
    let ignore = Ignore::parse(&ignore);
    let mut files = Vec::with_capacity(body.files.len());
    for file in body.files {
        let path = RepoPath::parse(&file.path)?;
        let sample = BASE64_STANDARD
            .decode(&file.sample)
            .map_err(|_| HubError::bad_request(format!("The sample of {path} is not base64")))?;
        let large =
            file.size > MAX_REGULAR_BYTES as u64 || attributes.is_large(path.as_str()) || is_binary(&sample);
        let oid = hub
            .file(head.tree, &path)
            .await?
            .map(|(oid, blob)| match &blob.pointer {
                Some(pointer) => pointer.sha256.clone(),
                None => oid.to_string(),
            });
        files.push(PreuploadAnswer {
            upload_mode: if large { "lfs" } else { "regular" },
            should_ignore: ignore.is_ignored(path.as_str()),
            oid,
            path: file.path,
        });
    }
    Ok(Json(PreuploadReply {
        files,
        commit_oid: Some(head.oid.to_string()),
    }))
}

/// Returns whether the first bytes of a file are no text: a zero byte, or no UTF-8 (a character that the sample cuts is
/// fine).
fn is_binary(sample: &[u8]) -> bool {
    if sample.contains(&0) {
        return true;
    }
    match str::from_utf8(sample) {
        Ok(_) => false,
        Err(error) => error.error_len().is_some(),
    }
}

/// The rules of a `.gitignore`.
struct Ignore {
    rules: Vec<(String, bool)>,
}

impl Ignore {
    fn parse(text: &str) -> Self {
        let rules = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| match line.strip_prefix('!') {
                Some(kept) => (kept.to_owned(), false),
                None => (line.to_owned(), true),
            })
            .collect();
        Self { rules }
    }

    fn is_ignored(&self, path: &str) -> bool {
        // A rule that fits a folder above the file covers the file.
        let ends = path
            .match_indices('/')
            .map(|(at, _)| (at, true))
            .chain([(path.len(), false)]);
        let mut ignored = false;
        for (end, is_dir) in ends {
            let part = path.get(..end).unwrap_or(path);
            for (pattern, ignores) in &self.rules {
                let (pattern, dirs_only) = match pattern.strip_suffix('/') {
                    Some(pattern) => (pattern, true),
                    None => (pattern.as_str(), false),
                };
                if (is_dir || !dirs_only) && crate::git::fits(pattern, part) {
                    ignored = *ignores;
                }
            }
            if ignored && is_dir {
                return true;
            }
        }
        ignored
    }
}

/// `POST /api/validate-yaml`: clients ask it before every commit with a README.
pub(crate) async fn validate_yaml(JsonBody(body): JsonBody<ValidateYaml>) -> Response {
    let message = |text: &str| YamlMessage {
        message: text.to_owned(),
    };
    let report = match front_matter(&body.content) {
        None => YamlReport {
            warnings: vec![message("empty or missing yaml metadata in repo card")],
            errors: Vec::new(),
            error: None,
        },
        Some((yaml, _)) => match parse_front_matter(yaml) {
            Ok(_) => YamlReport {
                warnings: Vec::new(),
                errors: Vec::new(),
                error: None,
            },
            Err(problem) => {
                let text = format!("Invalid metadata in README.md: {problem}");
                let report = YamlReport {
                    warnings: Vec::new(),
                    errors: vec![message(&text)],
                    error: Some(text),
                };
                return (StatusCode::BAD_REQUEST, Json(report)).into_response();
            }
        },
    };
    Json(report).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_even_if_the_sample_ends_within_a_character() {
        assert!(!is_binary("é".repeat(300).as_bytes().get(..511).unwrap()));
        assert!(!is_binary(b""));
        assert!(is_binary(&[0xff, b'a', b'b']));
        assert!(is_binary(b"a\0b"));
    }

    #[test]
    fn ignored_folders_cover_what_is_in_them() {
        let ignore = Ignore::parse("*.log\n!keep.log\n/build/\n# x\n__pycache__/\n");
        for ignored in ["a.log", "x/b.log", "build/x", "a/__pycache__/b.pyc"] {
            assert!(ignore.is_ignored(ignored), "{ignored}");
        }
        for kept in ["keep.log", "build", "src/build/x", "a.txt"] {
            assert!(!ignore.is_ignored(kept), "{kept}");
        }
    }
}
