//! Another model in a Space that is there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hf_core::{HfError, RepoId, RequestBody, RequestSpec, Revision};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;

use super::create::program_of;
use super::plan::hub;
use super::{DeployCause, DeployError, DeployEvent, DeployOptions, Deployment, Left};
use crate::config::ModelAccess;
use crate::manager::HfSpaceManager;
use crate::program::{PROGRAM_FILE, SpaceApp};
use crate::template::{PinnedModel, SPACE_FILE, SpaceFile, Student, TextFile, render};

/// A Space of this template as it is.
pub(super) struct Current {
    pub(super) head: String,
    pub(super) file: SpaceFile,
    /// Whether `bashgym` lies in it.
    pub(super) has_program: bool,
}

impl HfSpaceManager {
    /// Gives a Space another model, pinned, and waits until it answers; the settings stay. Where that fails, the files from before
    /// are put back.
    ///
    /// # Errors
    /// [`DeployError`], which says why, what is left, and what the log tells.
    pub async fn update_space_model(
        &self,
        id: &RepoId,
        model: &RepoId,
        revision: Option<&Revision>,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let current = self.current(id).await.map_err(DeployError::before)?;
        let access = self
            .access(id, &current.file)
            .await
            .map_err(DeployError::before)?;
        let student = self
            .student(model, revision, &access, current.file.app)
            .await
            .map_err(DeployError::before)?;
        self.swap(id, current, student, options).await
    }

    /// Goes back to the model before the one that is served.
    ///
    /// # Errors
    /// [`DeployCause::NothingBefore`], else as [`HfSpaceManager::update_space_model`].
    pub async fn rollback_space(
        &self,
        id: &RepoId,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let current = self.current(id).await.map_err(DeployError::before)?.file;
        let Some(previous) = current.previous else {
            return Err(DeployError::before(DeployCause::NothingBefore(id.to_string())));
        };
        self.to_pinned(id, &previous, options).await
    }

    /// Puts the model that one Space serves into another, at the same commit.
    ///
    /// # Errors
    /// As [`HfSpaceManager::update_space_model`].
    pub async fn promote_space(
        &self,
        from: &RepoId,
        to: &RepoId,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let tried = self.current(from).await.map_err(DeployError::before)?.file;
        self.to_pinned(to, &tried.shown, options).await
    }

    async fn to_pinned(
        &self,
        id: &RepoId,
        model: &PinnedModel,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let named = |error: HfError| DeployError::before(hub("take the name of the model")(error));
        let repo: RepoId = model.repo_id.parse().map_err(named)?;
        let revision: Revision = model.revision.parse().map_err(named)?;
        self.update_space_model(id, &repo, Some(&revision), options).await
    }

    /// The head of a Space and what it serves.
    pub(super) async fn current(&self, id: &RepoId) -> Result<Current, DeployCause> {
        let info = self.get_space(id).await.map_err(hub("show the Space"))?;
        let has_program = info.has_file(PROGRAM_FILE);
        let head = info.sha.ok_or_else(|| DeployCause::NotOurs(id.to_string()))?;
        let file = self
            .space_file(id, &head)
            .await
            .map_err(hub("show what the Space serves"))?
            .ok_or_else(|| DeployCause::NotOurs(id.to_string()))?;
        Ok(Current {
            head,
            file,
            has_program,
        })
    }

    /// How the app reads models: with its own token, if it has one.
    async fn access(&self, id: &RepoId, current: &SpaceFile) -> Result<ModelAccess, DeployCause> {
        let secrets = self
            .list_secrets(id)
            .await
            .map_err(hub("name the secrets of the Space"))?;
        if secrets.contains_key("HF_TOKEN") {
            return Ok(ModelAccess::OfTheRuntime);
        }
        // What serves a private model without a token now will serve the next.
        let repo: Result<RepoId, _> = current.shown.repo_id.parse();
        let Ok(repo) = repo else {
            return Ok(ModelAccess::Public);
        };
        match self
            .student(&repo, None, &ModelAccess::Public, SpaceApp::Gradio)
            .await
        {
            Err(DeployCause::ModelIsPrivate(_)) => Ok(ModelAccess::OfTheRuntime),
            _ => Ok(ModelAccess::Public),
        }
    }

    /// Commits what the Space is to serve, waits for its answer, and goes back where there is none.
    pub(super) async fn swap(
        &self,
        id: &RepoId,
        current: Current,
        student: Student,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let before = DeployError::before;
        let Current {
            head,
            file: current,
            has_program,
        } = current;
        // A program that is there stays.
        let brings_program = current.app == SpaceApp::Bashgym && !has_program;
        if brings_program {
            program_of(current.app, options).await.map_err(before)?;
        }
        options.tell(DeployEvent::Planned {
            model: student.shown.clone(),
        });
        let next = SpaceFile {
            deployment: uuid::Uuid::new_v4().to_string(),
            previous: (current.shown != student.shown)
                .then(|| current.shown.clone())
                .or_else(|| current.previous.clone()),
            model: student.model,
            adapter: student.adapter,
            shown: student.shown,
            ..current
        };
        let files = render(&next).map_err(|error| before(hub("take the files")(error)))?;
        for file in &files {
            options.inspect(file.path, file.text.as_bytes()).map_err(before)?;
        }
        let mut old = Vec::new();
        for file in &files {
            let text = self
                .text_file(id, &head, file.path)
                .await
                .map_err(|error| before(hub("show the files of the Space")(error)))?;
            old.push((file.path, text));
        }
        let summary = format!("Serve {} at {}", next.shown.repo_id, next.shown.revision);
        let committed = if brings_program {
            self.bring(id, &files, next.app, &summary, Some(&head), options)
                .await
        } else {
            self.commit_files(id, &files, &summary, Some(&head)).await
        };
        let commit = match committed {
            Ok(commit) => commit,
            Err(error) if error.is_ambiguous() => match self.arrived(id, &next).await {
                Some(commit) => commit,
                None => return Err(before(hub("take the files")(error))),
            },
            Err(error) => return Err(before(hub("take the files")(error))),
        };
        options.tell(DeployEvent::Committed {
            space_id: id.to_string(),
        });
        match self.proven(id, &commit, &next, options).await {
            Ok(deployment) => Ok(deployment),
            Err(cause) => Err(self.undo_update(id, &commit, &old, cause, options).await),
        }
    }

    /// Whether a commit with an unclear answer is there.
    async fn arrived(&self, id: &RepoId, file: &SpaceFile) -> Option<String> {
        let info = self.get_space(id).await.ok()?;
        let head = info.sha?;
        let found = self.space_file(id, &head).await.ok()??;
        (found.deployment == file.deployment).then_some(head)
    }

    async fn proven(
        &self,
        id: &RepoId,
        commit: &str,
        file: &SpaceFile,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployCause> {
        let runtime = self.until_running(id, Some(commit), None, options).await?;
        let info = self.get_space(id).await.map_err(hub("show the Space"))?;
        let smoke = self.first_answer(id, &info, options).await?;
        Ok(self.deployed(id, &info, runtime, file, smoke))
    }

    async fn undo_update(
        &self,
        id: &RepoId,
        commit: &str,
        old: &[(&'static str, Option<String>)],
        cause: DeployCause,
        options: &DeployOptions,
    ) -> DeployError {
        options.tell(DeployEvent::Undoing);
        let log = self.explain(id, &cause).await;
        let files: Vec<TextFile> = old
            .iter()
            .filter_map(|(path, text)| {
                Some(TextFile {
                    path,
                    text: text.clone()?,
                })
            })
            .collect();
        let left = match self
            .commit_files(id, &files, "Go back: the new model did not answer", Some(commit))
            .await
        {
            Ok(_) => Left::AsBefore,
            Err(error) => Left::Unfinished(format!("{id} could not be put back: {error}")),
        };
        DeployError {
            cause: Box::new(cause),
            left,
            log,
        }
    }

    /// Commits small text files: `POST /api/spaces/{id}/commit/main`. Sent once; returns the commit.
    ///
    /// With `parent` the commit is refused when the Space has changed since.
    ///
    /// # Errors
    /// [`HfError::PreconditionFailed`] when it has.
    pub async fn commit_files(
        &self,
        id: &RepoId,
        files: &[TextFile],
        summary: &str,
        parent: Option<&str>,
    ) -> Result<String, HfError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            commit_oid: String,
        }
        let mut header = json!({"summary": summary, "description": ""});
        if let Some(parent) = parent {
            header["parentCommit"] = json!(parent);
        }
        let mut text = json!({"key": "header", "value": header}).to_string();
        for file in files {
            let content = BASE64_STANDARD.encode(&file.text);
            let value = json!({"path": file.path, "content": content, "encoding": "base64"});
            text.push('\n');
            text.push_str(&json!({"key": "file", "value": value}).to_string());
        }
        text.push('\n');
        let spec = RequestSpec::post(Self::path(id, "/commit/main"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
            .body(RequestBody::Bytes(text.into_bytes().into()));
        let made: Made = self.client().request_json(spec).await?;
        Ok(made.commit_oid)
    }

    /// What a Space serves, as its `space.json` at the head of `main` says.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when there is no such Space; [`HfError::Decode`] when the file is of another form.
    pub async fn served_model(&self, id: &RepoId) -> Result<Option<SpaceFile>, HfError> {
        tracing::debug!(space_id = %id, file = SPACE_FILE, "asking what the Space serves");
        self.space_file(id, "main").await
    }
}
