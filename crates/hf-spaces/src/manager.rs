//! Every call of the Hub about Spaces.

use std::collections::BTreeMap;

use futures::{Stream, TryStreamExt};
use hf_core::{HfClient, HfError, Namespace, RepoId, RepoType, RequestSpec, SecretValue, ZeroGpuQuota};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::{SleepTime, Visibility, check_key};
use crate::hardware::{SpaceFlavor, SpaceHardware};
use crate::runtime::{SpaceInfo, SpaceRuntime};
use crate::ssh::SshCredentials;

/// The Spaces of one namespace. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct HfSpaceManager {
    client: HfClient,
    namespace: Namespace,
}

/// A secret, without its value, which the Hub does not give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceSecret {
    /// Its name.
    #[serde(default)]
    pub key: String,
    /// What its owner says of it.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was set.
    #[serde(default)]
    pub updated_at: Option<String>,
}

/// A variable, which everybody who sees the Space can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceVariable {
    /// Its value.
    #[serde(default)]
    pub value: String,
    /// What its owner says of it.
    #[serde(default)]
    pub description: Option<String>,
    /// When it was set.
    #[serde(default)]
    pub updated_at: Option<String>,
}

/// How a copy of a Space differs from it.
#[derive(Debug, Clone, Default)]
pub struct DuplicateOptions {
    /// Who may see it; none is as the original.
    pub visibility: Option<Visibility>,
    /// What it runs on; none is as the Hub decides.
    pub hardware: Option<SpaceHardware>,
    /// When it falls asleep.
    pub sleep_time: Option<SleepTime>,
    /// Its secrets: those of the original are not copied.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
}

impl HfSpaceManager {
    /// Binds a client to a namespace.
    pub fn new(client: &HfClient, namespace: Namespace) -> Self {
        Self {
            client: client.clone(),
            namespace,
        }
    }

    /// The client.
    pub fn client(&self) -> &HfClient {
        &self.client
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The id of a Space that may be named without its namespace.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the rule the name breaks.
    pub fn space_id(&self, name: &str) -> Result<RepoId, HfError> {
        RepoId::within(&self.namespace, name)
    }

    /// The page of a Space, for people.
    pub fn page_url(&self, id: &RepoId) -> String {
        format!("{}/spaces/{id}", self.client.endpoint())
    }

    pub(crate) fn path(id: &RepoId, below: &str) -> String {
        format!("{}{below}", id.api_path(RepoType::Space))
    }

    async fn control(&self, id: &RepoId, below: &str, body: &Value) -> Result<SpaceRuntime, HfError> {
        self.client.post_json(&Self::path(id, below), body).await
    }

    /// The Spaces of the namespace with their states, page after page: `GET /api/spaces`.
    ///
    /// # Errors
    /// Items are errors as of [`HfClient::pages`]; the stream ends after one.
    pub fn list_spaces(&self) -> impl Stream<Item = Result<SpaceInfo, HfError>> + Send + Unpin + use<> {
        let mut query = vec![("author", self.namespace.as_str())];
        query.extend(
            [
                "author",
                "lastModified",
                "private",
                "runtime",
                "sdk",
                "sha",
                "subdomain",
            ]
            .map(|field| ("expand", field)),
        );
        self.client.pages("/api/spaces", &query)
    }

    /// A Space: `GET /api/spaces/{id}`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there, or not for this account.
    pub async fn get_space(&self, id: &RepoId) -> Result<SpaceInfo, HfError> {
        self.client.get_json(&Self::path(id, ""), &[]).await
    }

    /// Where a Space is: `GET /api/spaces/{id}/runtime`.
    ///
    /// # Errors
    /// As [`HfSpaceManager::get_space`].
    pub async fn get_space_status(&self, id: &RepoId) -> Result<SpaceRuntime, HfError> {
        self.client.get_json(&Self::path(id, "/runtime"), &[]).await
    }

    /// Removes a Space and everything in it: `DELETE /api/repos/delete`. One that is gone already is fine.
    ///
    /// # Errors
    /// [`HfError::Forbidden`] and others.
    pub async fn delete_space(&self, id: &RepoId) -> Result<(), HfError> {
        let mut body = json!({"name": id.name(), "organization": id.namespace()});
        body["type"] = json!("space");
        match self.client.delete_json("/api/repos/delete", &body).await {
            Err(HfError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Asks for other hardware: `POST /api/spaces/{id}/hardware`.
    ///
    /// # Errors
    /// [`HfError::Forbidden`], [`HfError::QuotaExceeded`] or [`HfError::ProRequired`] when the account does not allow it.
    pub async fn request_hardware(
        &self,
        id: &RepoId,
        hardware: &SpaceHardware,
        sleep_time: Option<SleepTime>,
    ) -> Result<SpaceRuntime, HfError> {
        let mut body = json!({"flavor": hardware});
        if let Some(time) = sleep_time {
            body["sleepTimeSeconds"] = json!(time.to_wire());
        }
        self.control(id, "/hardware", &body).await
    }

    /// Sets when a Space falls asleep: `POST /api/spaces/{id}/sleeptime`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn set_sleep_time(&self, id: &RepoId, time: SleepTime) -> Result<SpaceRuntime, HfError> {
        self.control(id, "/sleeptime", &json!({"seconds": time.to_wire()}))
            .await
    }

    /// Pauses a Space: `POST /api/spaces/{id}/pause`. Nothing is billed until it is restarted.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] for a static Space.
    pub async fn pause(&self, id: &RepoId) -> Result<SpaceRuntime, HfError> {
        let spec = RequestSpec::post(Self::path(id, "/pause")).idempotent();
        self.client.request_json(spec).await
    }

    /// Starts a Space again: `POST /api/spaces/{id}/restart`. With `factory` it is built anew, without the cache.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] for a static Space.
    pub async fn restart(&self, id: &RepoId, factory: bool) -> Result<SpaceRuntime, HfError> {
        let mut spec = RequestSpec::post(Self::path(id, "/restart"));
        if factory {
            spec = spec.query("factory", "true");
        }
        self.client.request_json(spec).await
    }

    /// Turns Dev Mode on and says how to get a shell: `POST /api/spaces/{id}/dev-mode`.
    ///
    /// # Errors
    /// [`HfError::ProRequired`] and others; [`HfError::Decode`] when the Hub does not tell the Space's subdomain.
    pub async fn enable_dev_mode(&self, id: &RepoId) -> Result<SshCredentials, HfError> {
        self.set_dev_mode(id, true).await?;
        let info = self.get_space(id).await?;
        SshCredentials::of(&info)
    }

    /// Turns Dev Mode on or off: `POST /api/spaces/{id}/dev-mode`.
    ///
    /// # Errors
    /// [`HfError::ProRequired`] and others.
    pub async fn set_dev_mode(&self, id: &RepoId, enabled: bool) -> Result<SpaceRuntime, HfError> {
        self.control(id, "/dev-mode", &json!({"enabled": enabled})).await
    }

    /// The names of the secrets: `GET /api/spaces/{id}/secrets`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn list_secrets(&self, id: &RepoId) -> Result<BTreeMap<String, SpaceSecret>, HfError> {
        self.client.get_json(&Self::path(id, "/secrets"), &[]).await
    }

    /// Sets a secret; the app restarts: `POST /api/spaces/{id}/secrets`.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the name can not be one.
    pub async fn set_secret(
        &self,
        id: &RepoId,
        key: &str,
        value: &SecretValue,
        description: Option<&str>,
    ) -> Result<(), HfError> {
        let spec = self.setting(id, "/secrets", key, value.expose(), description)?;
        self.client.request_bytes(spec).await.map(drop)
    }

    /// Removes a secret: `DELETE /api/spaces/{id}/secrets`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn delete_secret(&self, id: &RepoId, key: &str) -> Result<(), HfError> {
        self.client
            .delete_json(&Self::path(id, "/secrets"), &json!({"key": key}))
            .await
    }

    /// The variables: `GET /api/spaces/{id}/variables`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn list_variables(&self, id: &RepoId) -> Result<BTreeMap<String, SpaceVariable>, HfError> {
        self.client.get_json(&Self::path(id, "/variables"), &[]).await
    }

    /// Sets a variable; the app restarts: `POST /api/spaces/{id}/variables`.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the name can not be one.
    pub async fn set_variable(
        &self,
        id: &RepoId,
        key: &str,
        value: &str,
        description: Option<&str>,
    ) -> Result<BTreeMap<String, SpaceVariable>, HfError> {
        let spec = self.setting(id, "/variables", key, value, description)?;
        self.client.request_json(spec).await
    }

    /// Removes a variable: `DELETE /api/spaces/{id}/variables`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn delete_variable(
        &self,
        id: &RepoId,
        key: &str,
    ) -> Result<BTreeMap<String, SpaceVariable>, HfError> {
        let spec = RequestSpec::delete(Self::path(id, "/variables")).json(&json!({"key": key}))?;
        self.client.request_json(spec).await
    }

    #[expect(clippy::unused_self, reason = "a call of this manager like its siblings")]
    fn setting(
        &self,
        id: &RepoId,
        below: &str,
        key: &str,
        value: &str,
        description: Option<&str>,
    ) -> Result<RequestSpec, HfError> {
        check_key(key)?;
        let mut body = json!({"key": key, "value": value});
        if let Some(description) = description {
            body["description"] = json!(description);
        }
        // Setting it twice is setting it once.
        Ok(RequestSpec::post(Self::path(id, below)).json(&body)?.idempotent())
    }

    /// What Spaces can run on, with prices: `GET /api/spaces/hardware`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn hardware(&self) -> Result<Vec<SpaceFlavor>, HfError> {
        self.client.get_json("/api/spaces/hardware", &[]).await
    }

    /// Copies a Space: `POST /api/spaces/{id}/duplicate`. Sent once.
    ///
    /// # Errors
    /// [`HfError::Conflict`] when the name is taken; else as creating one.
    pub async fn duplicate(
        &self,
        from: &RepoId,
        to: &RepoId,
        options: &DuplicateOptions,
    ) -> Result<String, HfError> {
        #[derive(Deserialize)]
        struct Made {
            url: String,
        }
        let mut body = Map::new();
        body.insert("repository".to_owned(), json!(to));
        if let Some(visibility) = options.visibility {
            body.insert("visibility".to_owned(), json!(visibility.as_str()));
        }
        if let Some(hardware) = &options.hardware {
            body.insert("hardware".to_owned(), json!(hardware));
        }
        if let Some(time) = options.sleep_time {
            body.insert("sleepTimeSeconds".to_owned(), json!(time.to_wire()));
        }
        let secrets = pairs(options.secrets.iter().map(|(key, value)| (key, value.expose())));
        insert_pairs(&mut body, "secrets", secrets)?;
        let variables = pairs(options.variables.iter().map(|(key, value)| (key, value.as_str())));
        insert_pairs(&mut body, "variables", variables)?;
        let made: Made = self
            .client
            .post_json(&Self::path(from, "/duplicate"), &body)
            .await?;
        Ok(made.url)
    }

    /// How much `ZeroGPU` time the caller has left: `GET /api/spaces/zero-gpu/quota`.
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn zero_gpu_quota(&self) -> Result<ZeroGpuQuota, HfError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            base: f64,
            current: f64,
            resets_at: Option<Timestamp>,
            #[serde(default)]
            overquota_used: f64,
        }
        let wire: Wire = self.client.get_json("/api/spaces/zero-gpu/quota", &[]).await?;
        Ok(ZeroGpuQuota {
            base_seconds: wire.base,
            left_seconds: wire.current,
            resets_at: wire.resets_at,
            over_quota_seconds: wire.overquota_used,
        })
    }

    /// How many Spaces of the namespace are hosted on `ZeroGPU`, oldest change first.
    ///
    /// # Errors
    /// As [`HfSpaceManager::list_spaces`].
    pub async fn zero_gpu_spaces(&self) -> Result<Vec<SpaceInfo>, HfError> {
        let mut held: Vec<SpaceInfo> = self
            .list_spaces()
            .try_filter(|space| {
                let hardware = space.runtime.as_ref().map(|runtime| &runtime.hardware);
                let zero = hardware.is_some_and(|hardware| {
                    let wanted = hardware.requested.as_deref().or(hardware.current.as_deref());
                    wanted.is_some_and(|name| name.parse::<SpaceHardware>().is_ok_and(|it| it.is_zero_gpu()))
                });
                futures::future::ready(zero)
            })
            .try_collect()
            .await?;
        held.sort_by_key(|space| space.last_modified);
        Ok(held)
    }
}

pub(crate) fn pairs<'a>(all: impl Iterator<Item = (&'a String, &'a str)>) -> Vec<(String, String)> {
    all.map(|(key, value)| (key.clone(), value.to_owned())).collect()
}

pub(crate) fn insert_pairs(
    body: &mut Map<String, Value>,
    name: &str,
    all: Vec<(String, String)>,
) -> Result<(), HfError> {
    if all.is_empty() {
        return Ok(());
    }
    let mut list = Vec::new();
    for (key, value) in all {
        check_key(&key)?;
        list.push(json!({"key": key, "value": value}));
    }
    body.insert(name.to_owned(), Value::Array(list));
    Ok(())
}
