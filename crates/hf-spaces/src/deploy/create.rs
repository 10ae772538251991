//! A new Space.

use hf_core::{HfError, RepoId, RequestSpec};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::follow::is_same;
use super::plan::{hub, validate};
use super::{DeployCause, DeployError, DeployEvent, DeployOptions, DeployRequest, Deployment, Left, Smoke};
use crate::config::{ModelAccess, SpaceConfig};
use crate::manager::{HfSpaceManager, insert_pairs, pairs};
use crate::program::{Program, SpaceApp};
use crate::runtime::SpaceInfo;
use crate::template::{DOCKERFILE, SPACE_FILE, SpaceFile, TextFile, render};

/// How often a creation without a clear answer is looked up.
const LOOKUPS: u32 = 3;

impl HfSpaceManager {
    /// Makes a Space that serves a model, and waits until it answers.
    ///
    /// The account, its free slots and the model are looked at first. The repository, its files, secrets, variables and hardware are
    /// one call, sent once; after an unclear answer the Space is looked up by the id of this deployment. The hardware is read
    /// back, the build followed, a first question asked. Whatever fails after the Space was made, it is removed again.
    ///
    /// # Errors
    /// [`DeployError`], which says why, what is left, and what the log tells.
    pub async fn create_inference_space(
        &self,
        request: &DeployRequest,
        options: &DeployOptions,
    ) -> Result<Deployment, DeployError> {
        let before = DeployError::before;
        let config = &request.config;
        validate(config).map_err(before)?;
        let namespace = request.space.namespace().unwrap_or(self.namespace().as_str());
        self.check_hosting(namespace, &config.hardware).await?;
        let student = self
            .student(
                &request.model,
                config.model_revision.as_ref(),
                &config.model_access,
                config.app,
            )
            .await
            .map_err(before)?;
        let program = program_of(config.app, options).await.map_err(before)?;
        options.tell(DeployEvent::Planned {
            model: student.shown.clone(),
        });
        let title = config
            .title
            .clone()
            .unwrap_or_else(|| request.space.name().to_owned());
        let deployment = uuid::Uuid::new_v4().to_string();
        let mut file = SpaceFile::new(deployment, title, student, config.hardware.clone());
        file.app = config.app;
        file.limits = config.limits;
        file.trust_remote_code = config.trust_remote_code;
        let files = render(&file).map_err(|error| before(hub("take the files")(error)))?;
        for file in &files {
            options.inspect(file.path, file.text.as_bytes()).map_err(before)?;
        }
        // Without its Dockerfile a Space waits for the commit that brings the program.
        let first: Vec<TextFile> = files
            .iter()
            .filter(|file| program.is_none() || file.path != DOCKERFILE)
            .cloned()
            .collect();
        self.make(&request.space, config, &first, &file.deployment)
            .await?;
        options.tell(DeployEvent::Committed {
            space_id: request.space.to_string(),
        });
        match self.finish(&request.space, config, &file, &files, options).await {
            Ok(deployment) => Ok(deployment),
            Err(cause) => Err(self.undo_creation(&request.space, cause, options).await),
        }
    }

    /// Makes the repository, once.
    async fn make(
        &self,
        id: &RepoId,
        config: &SpaceConfig,
        files: &[TextFile],
        deployment: &str,
    ) -> Result<(), DeployError> {
        let before = DeployError::before;
        let wrong = |error| before(hub("take the configuration")(error));
        let body = creation(id, config, files).map_err(wrong)?;
        let spec = RequestSpec::post("/api/repos/create")
            .json(&body)
            .map_err(wrong)?;
        let error = match self.client().request_bytes(spec).await {
            Ok(_) => return Ok(()),
            Err(HfError::Conflict { .. }) => return Err(before(DeployCause::NameTaken(id.to_string()))),
            Err(error) if error.is_ambiguous() => error,
            Err(error) => return Err(before(hub("make the Space")(error))),
        };
        warn!(%error, space_id = %id, "the answer to a creation is unclear; looking the Space up");
        let mut not_seen = None;
        for lookup in 1..=LOOKUPS {
            let pause = self.client().backoff(lookup);
            self.client().clock().sleep(pause).await;
            not_seen = match self.space_file(id, "main").await {
                Ok(Some(found)) if found.deployment == deployment => return Ok(()),
                Ok(_) | Err(HfError::NotFound { .. }) => None,
                Err(why) => Some(why),
            };
        }
        let mut failed = before(hub("make the Space")(error));
        if let Some(why) = not_seen {
            failed.left = Left::Unfinished(format!("whether {id} was made could not be seen: {why}"));
        }
        Err(failed)
    }

    async fn finish(
        &self,
        id: &RepoId,
        config: &SpaceConfig,
        file: &SpaceFile,
        files: &[TextFile],
        options: &DeployOptions,
    ) -> Result<Deployment, DeployCause> {
        let mut info = self.get_space(id).await.map_err(hub("show the Space"))?;
        // A Hub that makes the repository without its files has made an empty Space.
        if files.iter().any(|file| !info.has_file(file.path)) {
            let commit = self
                .bring(id, files, file.app, "Serve a model", info.sha.as_deref(), options)
                .await
                .map_err(hub("take the files"))?;
            info.sha = Some(commit);
        }
        self.check_requested(id, config).await?;
        let runtime = self
            .until_running(id, info.sha.as_deref(), Some(&config.hardware), options)
            .await?;
        if config.dev_mode {
            self.set_dev_mode(id, true)
                .await
                .map_err(hub("turn Dev Mode on"))?;
        }
        let info = self.get_space(id).await.map_err(hub("show the Space"))?;
        let smoke = self.first_answer(id, &info, options).await?;
        Ok(self.deployed(id, &info, runtime, file, smoke))
    }

    /// Commits the files of an app, with its program where it has one.
    pub(super) async fn bring(
        &self,
        id: &RepoId,
        files: &[TextFile],
        app: SpaceApp,
        summary: &str,
        parent: Option<&str>,
        options: &DeployOptions,
    ) -> Result<String, HfError> {
        match &options.program {
            Some(program) if app == SpaceApp::Bashgym => {
                options.tell(DeployEvent::Uploading);
                program.commit(id, files, summary, parent).await
            }
            _ => self.commit_files(id, files, summary, parent).await,
        }
    }

    /// Reads back which hardware the Hub noted, and asks again where it noted none or another.
    async fn check_requested(&self, id: &RepoId, config: &SpaceConfig) -> Result<(), DeployCause> {
        let runtime = self
            .get_space_status(id)
            .await
            .map_err(hub("show the state of the Space"))?;
        let noted = runtime.hardware.requested.or(runtime.hardware.current);
        if noted.is_some_and(|noted| is_same(&config.hardware, &noted)) {
            return Ok(());
        }
        let runtime = self
            .request_hardware(id, &config.hardware, config.sleep_time)
            .await
            .map_err(hub("give the hardware"))?;
        match runtime.hardware.requested.or(runtime.hardware.current) {
            Some(noted) if !is_same(&config.hardware, &noted) => Err(DeployCause::OtherHardware {
                wanted: config.hardware.to_string(),
                got: noted,
            }),
            _ => Ok(()),
        }
    }

    pub(super) async fn first_answer(
        &self,
        id: &RepoId,
        info: &SpaceInfo,
        options: &DeployOptions,
    ) -> Result<Smoke, DeployCause> {
        let Some(prompt) = &options.smoke_prompt else {
            return Ok(Smoke::NotAsked {
                why: "no question was to be asked".to_owned(),
            });
        };
        options.tell(DeployEvent::Asking);
        let smoke = self.smoke(id, info, prompt).await?;
        // An app that dies of its first question may look like a way to it that broke.
        if matches!(smoke, Smoke::NotAsked { .. })
            && let Ok(runtime) = self.get_space_status(id).await
            && runtime.stage.is_failure()
        {
            return Err(DeployCause::Ended {
                stage: runtime.stage,
                message: runtime.error_message,
            });
        }
        Ok(smoke)
    }

    pub(super) fn deployed(
        &self,
        id: &RepoId,
        info: &SpaceInfo,
        runtime: crate::runtime::SpaceRuntime,
        file: &SpaceFile,
        smoke: Smoke,
    ) -> Deployment {
        Deployment {
            space_id: id.clone(),
            url: self.page_url(id),
            app_url: info.app_url(),
            stage: runtime.stage,
            hardware: runtime.hardware.current.or(runtime.hardware.requested),
            model_repo: file.shown.repo_id.clone(),
            model_revision: file.shown.revision.clone(),
            commit: info.sha.clone(),
            smoke,
        }
    }

    async fn undo_creation(&self, id: &RepoId, cause: DeployCause, options: &DeployOptions) -> DeployError {
        options.tell(DeployEvent::Undoing);
        // Before it is removed: its log goes with it.
        let log = self.explain(id, &cause).await;
        let left = match self.delete_space(id).await {
            Ok(()) => Left::Removed,
            Err(error) => Left::Unfinished(format!("{id} could not be removed: {error}")),
        };
        DeployError {
            cause: Box::new(cause),
            left,
            log,
        }
    }

    /// What a Space says it serves; none when it has no such file.
    ///
    /// # Errors
    /// [`HfError::Decode`] when the file is none of this template.
    pub async fn space_file(&self, id: &RepoId, revision: &str) -> Result<Option<SpaceFile>, HfError> {
        match self.text_file(id, revision, SPACE_FILE).await? {
            Some(text) => SpaceFile::parse(&text).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn text_file(
        &self,
        id: &RepoId,
        revision: &str,
        path: &str,
    ) -> Result<Option<String>, HfError> {
        let path = format!(
            "/spaces/{id}/resolve/{}/{}",
            hf_core::encode_segment(revision),
            hf_core::encode_path(path)
        );
        match self.client().get_text(&path, &[]).await {
            Ok(text) => Ok(Some(text)),
            Err(HfError::NotFound {
                resource: hf_core::Resource::Entry,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The program that an app needs, seen to start in its container.
pub(super) async fn program_of(
    app: SpaceApp,
    options: &DeployOptions,
) -> Result<Option<&Program>, DeployCause> {
    if app == SpaceApp::Gradio {
        return Ok(None);
    }
    let none = || DeployCause::NoProgram("none was given".to_owned());
    let program = options.program.as_ref().ok_or_else(none)?;
    if let Some(remark) = program.check().await.map_err(DeployCause::NoProgram)? {
        options.tell(DeployEvent::Remark(remark));
    }
    Ok(Some(program))
}

/// The body of `POST /api/repos/create`.
fn creation(id: &RepoId, config: &SpaceConfig, files: &[TextFile]) -> Result<Map<String, Value>, HfError> {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(id.name()));
    body.insert("organization".to_owned(), json!(id.namespace()));
    body.insert("visibility".to_owned(), json!(config.visibility.as_str()));
    body.insert("type".to_owned(), json!("space"));
    body.insert("sdk".to_owned(), json!(config.app.sdk()));
    body.insert("hardware".to_owned(), json!(config.hardware));
    if let Some(time) = config.sleep_time {
        body.insert("sleepTimeSeconds".to_owned(), json!(time.to_wire()));
    }
    let mut secrets = pairs(config.secrets.iter().map(|(key, value)| (key, value.expose())));
    if let ModelAccess::Token(token) = &config.model_access {
        secrets.retain(|(key, _)| key != "HF_TOKEN");
        secrets.push(("HF_TOKEN".to_owned(), token.expose().to_owned()));
    }
    insert_pairs(&mut body, "secrets", secrets)?;
    let variables = pairs(config.variables.iter().map(|(key, value)| (key, value.as_str())));
    insert_pairs(&mut body, "variables", variables)?;
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({"path": file.path, "content": file.text, "encoding": "utf-8"}))
        .collect();
    body.insert("files".to_owned(), Value::Array(files));
    Ok(body)
}
