//! Who serves a model, and which of them a request goes to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::{InferenceTask, ModelPlan};
use super::error::{Answer, Refusal};
use super::scripted::ScriptedModel;
use crate::extract::Caller;
use crate::reply::HubResult;
use crate::repos::{Commit, ListFilter, Repo, RepoId, RepoKind};
use crate::state::Hub;

/// The provider that is this machine.
pub(super) const LOCAL: &str = "hf-inference";

/// A model of a repository, and how it is served.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) repo: Repo,
    pub(super) commit: Commit,
    pub(super) plan: Arc<ModelPlan>,
}

/// One that serves a model.
pub(super) enum Server {
    Local(Box<Local>),
    Scripted(String, ScriptedModel),
}

/// What is known of a model that was asked for.
pub(super) enum Found {
    /// There is no such repository for this caller, and no script.
    Nothing,
    /// Who serves it; nobody, perhaps.
    Servers(Vec<Server>),
}

impl Server {
    pub(super) fn provider(&self) -> &str {
        match self {
            Self::Local(_) => LOCAL,
            Self::Scripted(name, _) => name,
        }
    }

    fn is_live(&self) -> bool {
        !matches!(self, Self::Scripted(_, model) if model.down)
    }

    fn throughput(&self, hub: &Hub) -> f64 {
        match self {
            Self::Local(local) => hub
                .inference
                .measured(local.commit.oid)
                .map_or(0.0, |it| it.tokens_per_second),
            Self::Scripted(_, model) => model.throughput.unwrap_or(0.0),
        }
    }

    fn output_price(&self) -> f64 {
        match self {
            Self::Local(_) => 0.0,
            Self::Scripted(_, model) => model.pricing.map_or(f64::INFINITY, |price| price.output),
        }
    }

    /// How `/v1/models` describes it. What this machine serves costs nothing; its speed is what was measured last.
    pub(super) fn describe(&self, hub: &Hub) -> Value {
        let mut entry =
            json!({"provider": self.provider(), "status": if self.is_live() { "live" } else { "error" }});
        match self {
            Self::Local(local) => {
                entry["pricing"] = json!({"input": 0.0, "output": 0.0});
                entry["is_free"] = true.into();
                entry["supports_tools"] = local.plan.supports_tools.into();
                entry["supports_structured_output"] = false.into();
                if let Some(length) = local.plan.context_length {
                    entry["context_length"] = length.into();
                }
                if let Some(measured) = hub.inference.measured(local.commit.oid) {
                    entry["first_token_latency_ms"] = measured.first_token_ms.into();
                    entry["throughput"] = measured.tokens_per_second.into();
                }
            }
            Self::Scripted(_, model) => {
                let claims = json!({"pricing": model.pricing, "throughput": model.throughput,
                    "context_length": model.context_length, "supports_tools": model.supports_tools});
                for (name, claim) in claims.as_object().into_iter().flatten() {
                    if !claim.is_null() {
                        entry[name] = claim.clone();
                    }
                }
            }
        }
        entry
    }

    /// How `inferenceProviderMapping` writes it.
    pub(super) fn mapping(&self, model: &str) -> Value {
        match self {
            Self::Local(local) => {
                json!({"status": "live", "providerId": model, "task": local.plan.task.name()})
            }
            Self::Scripted(_, script) => json!({
                "status": if script.down { "error" } else { "live" },
                "providerId": script.provider_id.as_deref().unwrap_or(model), "task": "conversational"}),
        }
    }
}

/// Finds the repository of a model that the caller may read, and how its head is served.
pub(super) async fn local(
    hub: &Hub,
    caller: &Caller,
    model: &str,
) -> HubResult<Option<(Repo, Option<Local>)>> {
    let Some((namespace, name)) = model.split_once('/') else {
        return Ok(None);
    };
    let id = RepoId::new(RepoKind::Model, namespace.to_owned(), name.to_owned());
    let repo = match hub.find_repo(&id).await? {
        Some(repo) if caller.sees(repo.is_public(), &repo.id.namespace) => repo,
        _ => return Ok(None),
    };
    let served = served(hub, &repo).await?;
    Ok(Some((repo, served)))
}

/// How the head of a repository is served.
pub(super) async fn served(hub: &Hub, repo: &Repo) -> HubResult<Option<Local>> {
    let Some(commit) = hub.head(repo).await? else {
        return Ok(None);
    };
    Ok(hub.inference.plan(hub, &commit).await?.map(|plan| Local {
        repo: repo.clone(),
        commit,
        plan,
    }))
}

/// Who chats as a model.
pub(super) async fn chat_servers(hub: &Hub, caller: &Caller, model: &str) -> HubResult<Found> {
    let scripts = hub.inference.scripted.of(model);
    let found = local(hub, caller, model).await?;
    if found.is_none() && scripts.is_empty() {
        return Ok(Found::Nothing);
    }
    let mut servers = Vec::new();
    if let Some((_, Some(local))) = found
        && local.plan.task == InferenceTask::Conversational
    {
        servers.push(Server::Local(Box::new(local)));
    }
    servers.extend(
        scripts
            .into_iter()
            .map(|(name, model)| Server::Scripted(name, model)),
    );
    Ok(Found::Servers(servers))
}

/// Lists every model that somebody chats as, of those the caller may see.
pub(super) async fn chat_models(hub: &Hub, caller: &Caller) -> HubResult<Vec<(String, i64, Vec<Server>)>> {
    let mut models: Vec<(String, i64, Vec<Server>)> = Vec::new();
    for repo in hub.list_repos(RepoKind::Model, &ListFilter::default()).await? {
        if !caller.sees(repo.is_public(), &repo.id.namespace) {
            continue;
        }
        if let Some(local) = served(hub, &repo).await?
            && local.plan.task == InferenceTask::Conversational
        {
            let created = repo.created_ms / 1000;
            models.push((repo.id.path(), created, vec![Server::Local(Box::new(local))]));
        }
    }
    for name in hub.inference.scripted.models() {
        let scripts = hub.inference.scripted.of(&name);
        let servers = scripts
            .into_iter()
            .map(|(provider, model)| Server::Scripted(provider, model));
        match models.iter_mut().find(|(known, _, _)| *known == name) {
            Some((_, _, known)) => known.extend(servers),
            None => models.push((name, hub.created_ms / 1000, servers.collect())),
        }
    }
    Ok(models)
}

/// Chooses who answers, by the suffix of the model: a provider, or a way to choose; none is the fastest.
pub(super) async fn choose(hub: &Hub, caller: &Caller, asked: &str) -> Answer<(String, Server)> {
    let (model, suffix) = match asked.split_once(':') {
        Some((model, suffix)) => (model, Some(suffix)),
        None => (asked, None),
    };
    let Found::Servers(mut servers) = chat_servers(hub, caller, model).await? else {
        return Err(Refusal::not_found(model));
    };
    servers.retain(Server::is_live);
    match suffix {
        None | Some("fastest") => {
            servers.sort_by(|a, b| b.throughput(hub).total_cmp(&a.throughput(hub)));
        }
        Some("cheapest") => servers.sort_by(|a, b| a.output_price().total_cmp(&b.output_price())),
        // No account has an order of its own here: this machine first.
        Some("preferred") => {}
        Some(provider) => {
            let known = provider == LOCAL || hub.inference.scripted.list().iter().any(|it| it.0 == provider);
            if !known {
                return Err(Refusal::no_such_provider(provider));
            }
            servers.retain(|server| server.provider() == provider);
        }
    }
    match servers.into_iter().next() {
        Some(server) => Ok((model.to_owned(), server)),
        None => Err(Refusal::not_supported(model)),
    }
}
