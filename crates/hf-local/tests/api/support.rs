//! A Hub of its own for each test, and short words for its calls.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hf_local::{AccountConfig, LocalHub, LocalHubConfig, OrgConfig, Plan, TokenRole};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const ADA: &str = "hf_ada";
pub(crate) const ADA_READ: &str = "hf_ada_read";
pub(crate) const ADA_FINE: &str = "hf_ada_fine";
pub(crate) const BOB: &str = "hf_bob";

pub(crate) fn accounts() -> Vec<AccountConfig> {
    vec![
        AccountConfig::new("ada", ADA)
            .plan(Plan::Pro)
            .orgs(vec![OrgConfig::new("lab")]),
        AccountConfig::new("ada", ADA_READ)
            .plan(Plan::Pro)
            .role(TokenRole::Read),
        AccountConfig::new("ada", ADA_FINE)
            .plan(Plan::Pro)
            .role(TokenRole::FineGrained)
            .permissions(["repo.content.read", "job.write"]),
        AccountConfig::new("bob", BOB),
    ]
}

pub(crate) struct TestHub {
    pub(crate) hub: LocalHub,
    pub(crate) dir: TempDir,
    pub(crate) client: Client,
}

pub(crate) struct Caller<'a> {
    hub: &'a TestHub,
    token: Option<&'a str>,
}

impl TestHub {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hub = LocalHub::start(LocalHubConfig::new(dir.path()).accounts(accounts()))
            .await
            .unwrap();
        // No redirects: what the Hub answers is what is looked at.
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { hub, dir, client }
    }

    pub(crate) fn ada(&self) -> Caller<'_> {
        self.caller(Some(ADA))
    }

    pub(crate) fn caller<'a>(&'a self, token: Option<&'a str>) -> Caller<'a> {
        Caller { hub: self, token }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.hub.endpoint())
    }
}

impl Caller<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            self.hub.url(path)
        };
        let request = self.hub.client.request(method, url);
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn head(&self, path: &str) -> Response {
        self.request(Method::HEAD, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn create(&self, kind: &str, name: &str) -> Value {
        let body = json!({ "type": kind, "name": name, "sdk": (kind == "space").then_some("static") });
        let response = self.post("/api/repos/create", &body).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    pub(crate) async fn commit_to(
        &self,
        repo: &str,
        revision: &str,
        header: Value,
        lines: &[Value],
    ) -> Response {
        let mut body = json!({ "key": "header", "value": header }).to_string();
        for line in lines {
            body.push('\n');
            body.push_str(&line.to_string());
        }
        self.request(Method::POST, &format!("/api/{repo}/commit/{revision}"))
            .header("content-type", "application/x-ndjson")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    /// Commits and returns the id of the commit.
    pub(crate) async fn commit(&self, repo: &str, title: &str, lines: &[Value]) -> String {
        let response = self
            .commit_to(repo, "main", json!({ "summary": title }), lines)
            .await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        body["commitOid"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn paths(&self, repo: &str) -> Vec<String> {
        let tree = self.json(&format!("/api/{repo}/tree/main?recursive=true")).await;
        let files = tree
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["type"] == "file");
        files
            .map(|item| item["path"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Uploads a large file over basic LFS and returns its sha256.
    pub(crate) async fn upload(&self, web: &str, content: &[u8]) -> String {
        let oid = sha256(content);
        let answer = self
            .batch(web, "upload", &["basic"], &[(&oid, content.len())])
            .await;
        if let Some(href) = answer["objects"][0]["actions"]["upload"]["href"].as_str() {
            let put = self
                .hub
                .client
                .put(href)
                .body(content.to_vec())
                .send()
                .await
                .unwrap();
            assert_eq!(put.status(), StatusCode::OK);
        }
        oid
    }

    pub(crate) async fn batch(
        &self,
        web: &str,
        operation: &str,
        transfers: &[&str],
        objects: &[(&str, usize)],
    ) -> Value {
        let objects: Vec<Value> = objects
            .iter()
            .map(|(oid, size)| json!({ "oid": oid, "size": size }))
            .collect();
        let body = json!({ "operation": operation, "transfers": transfers, "objects": objects, "hash_algo": "sha256" });
        let response = self
            .post(&format!("/{web}.git/info/lfs/objects/batch"), &body)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }
}

pub(crate) fn file(path: &str, content: impl AsRef<[u8]>) -> Value {
    let content = BASE64_STANDARD.encode(content);
    json!({ "key": "file", "value": { "path": path, "content": content, "encoding": "base64" } })
}

pub(crate) fn lfs_file(path: &str, oid: &str, size: usize) -> Value {
    json!({ "key": "lfsFile", "value": { "path": path, "algo": "sha256", "oid": oid, "size": size } })
}

pub(crate) fn delete(key: &str, path: &str) -> Value {
    json!({ "key": key, "value": { "path": path } })
}

pub(crate) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Bytes that are the same every time and compress badly.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
