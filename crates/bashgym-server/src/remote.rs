//! A server that runs already: found out to be ours before the key is sent to it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::security::{ServerKey, prove, random_text, same};

/// How long a server of this machine may take.
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST_ANSWER: usize = 64 * 1024;

/// A running server that proved to have the key.
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    key: ServerKey,
}

impl Remote {
    /// Asks whoever listens at `address` to prove that it has the key. The key itself is not sent.
    ///
    /// `None` when nobody answers, or somebody else does.
    pub async fn find(address: SocketAddr, key: &ServerKey) -> Option<Self> {
        let nonce = random_text();
        let asked = json!({ "nonce": nonce });
        let (status, answer) = ask(address, Method::POST, "/api/proof", None, &asked)
            .await
            .ok()?;
        let proof = answer["proof"].as_str()?;
        let ours = status == StatusCode::OK && same(proof, &prove(key, &nonce, address.port()));
        ours.then(|| Self {
            address,
            key: key.clone(),
        })
    }

    /// A link that signs a browser in, once and within a minute.
    ///
    /// # Errors
    /// Any [`io::Error`] of the connection; `InvalidData` when the answer is none of a server.
    pub async fn login_url(&self) -> io::Result<String> {
        let (_, answer) = ask(
            self.address,
            Method::POST,
            "/api/session/code",
            Some(&self.key),
            &Value::Null,
        )
        .await?;
        let path = answer["path"]
            .as_str()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the server made no link"))?;
        Ok(format!("http://{}{path}", self.address))
    }
}

async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    key: Option<&ServerKey>,
    body: &Value,
) -> io::Result<(StatusCode, Value)> {
    let asked = async {
        let stream = TcpStream::connect(address).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.expose()));
        }
        let request = request
            .body(Body::from(body.to_string()))
            .map_err(io::Error::other)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = response.status();
            let body = to_bytes(Body::new(response.into_body()), LARGEST_ANSWER)
                .await
                .map_err(io::Error::other)?;
            let value = serde_json::from_slice(&body).unwrap_or_default();
            Ok((status, value))
        };
        tokio::select! {
            answer = answered => answer,
            // The connection ends before the answer does only when it broke.
            ended = connection => Err(io::Error::other(ended.err().map_or_else(
                || "the server hung up".to_owned(),
                |error| error.to_string(),
            ))),
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
