//! Services that live beside a Hub.

use std::sync::Arc;

use super::HfClient;
use crate::endpoint::Endpoint;
use crate::error::HfError;

impl HfClient {
    /// A client of a service that the Hub keeps under a word before its own host name, with the same token.
    ///
    /// `datasets-server` of `https://huggingface.co` is `https://datasets-server.huggingface.co`. A Hub on loopback
    /// serves everything on its own origin, so this client is returned as it is.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the word can't be part of a host name, or the Hub is known by its IP address,
    /// which no word can stand before.
    ///
    /// # Source
    /// `datasets` 5.2 `utils/_dataset_viewer.py`: `HF_ENDPOINT.replace("://", "://datasets-server.")`.
    pub fn service(&self, word: &str) -> Result<Self, HfError> {
        let endpoint = self.endpoint();
        if endpoint.is_loopback() {
            return Ok(self.clone());
        }
        let is_label = !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let url = endpoint.url();
        let Some(host) = url.domain().filter(|_| is_label) else {
            return Err(HfError::invalid(format!(
                "there is no service {word:?} beside {endpoint}; it needs a Hub with a host name"
            )));
        };
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let endpoint = Endpoint::parse(&format!("{}://{word}.{host}{port}", url.scheme()))?;
        Self::builder()
            .endpoint(endpoint)
            .token(self.inner.token.clone())
            .transport(Arc::clone(&self.inner.transport))
            .clock(Arc::clone(&self.inner.clock))
            .retry(self.inner.retry.clone())
            .idle_timeout(self.inner.idle_timeout)
            .offline(self.inner.offline)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    fn client(endpoint: &str) -> HfClient {
        let token = Token::parse("hf_secret").unwrap();
        HfClient::builder()
            .endpoint(Endpoint::parse(endpoint).unwrap())
            .token(token)
            .build()
            .unwrap()
    }

    #[test]
    fn a_service_is_a_word_before_the_host() {
        let cases = [
            ("https://huggingface.co", "https://datasets-server.huggingface.co"),
            (
                "https://hub.example.org:8443",
                "https://datasets-server.hub.example.org:8443",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ];
        for (hub, service) in cases {
            let service_client = client(hub).service("datasets-server").unwrap();
            assert_eq!(service_client.endpoint().as_str(), service);
            assert!(service_client.token().is_some());
        }
    }

    #[test]
    fn no_word_leads_to_another_host() {
        let hub = client("https://huggingface.co");
        for word in ["", "evil.org/", "a.b", "a@b", "A", "a b"] {
            assert!(hub.service(word).is_err(), "{word:?}");
        }
        assert!(client("http://192.0.2.7").service("datasets-server").is_err());
    }
}
