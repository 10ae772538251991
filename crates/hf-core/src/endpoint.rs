//! The address of a Hub.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::HfError;

/// The Hub everybody means when nobody says otherwise.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The base address of a Hub: scheme, host, perhaps a port and a path, no trailing slash.
///
/// ```
/// let endpoint: hf_core::Endpoint = "http://127.0.0.1:8080/".parse().unwrap();
/// assert_eq!(endpoint.as_str(), "http://127.0.0.1:8080");
/// assert!(endpoint.is_loopback());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    url: Url,
    text: String,
}

impl Endpoint {
    /// Reads an address; trailing slashes are removed.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the text is no `http` or `https` URL, or carries a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let trimmed = text.trim().trim_end_matches('/');
        // A URL may hold a password, so a wrong one is not repeated beyond its scheme.
        let refuse = |why: &str| {
            Err(HfError::invalid(format!(
                "the Hub endpoint {why}; expected something like {DEFAULT_ENDPOINT} or http://127.0.0.1:8080"
            )))
        };
        if trimmed.is_empty() {
            return refuse("is empty");
        }
        let Ok(url) = Url::parse(trimmed) else {
            return refuse(&format!(
                "is not a URL ({:?})",
                trimmed.chars().take(60).collect::<String>()
            ));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("carries a user or password; put the token in HF_TOKEN");
        }
        if !matches!(url.scheme(), "http" | "https") {
            return refuse(&format!(
                "has the scheme {:?} instead of http or https",
                url.scheme()
            ));
        }
        if url.host().is_none() {
            return refuse("names no host");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("carries a query or a fragment");
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, text })
    }

    /// The address without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address as a URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether this is a loopback address: an IP literal in 127.0.0.0/8, `::1`, or the name `localhost`.
    ///
    /// The parsed host decides, so `http://127.0.0.1.example.org` is not one.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// Whether this is [`DEFAULT_ENDPOINT`].
    pub fn is_default(&self) -> bool {
        self.text == DEFAULT_ENDPOINT
    }

    /// Whether `url` has this endpoint's scheme, host and port.
    pub fn same_origin(&self, url: &Url) -> bool {
        self.url.origin() == url.origin()
    }

    /// The URL of an encoded `path` (it starts with `/`) under this endpoint.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the path does not start with `/`, carries a query, or holds `.` or `..`
    /// segments, which a URL would silently resolve into another path.
    pub fn join(&self, path: &str) -> Result<Url, HfError> {
        let wrong = |why: &str| HfError::invalid(format!("the request path {path:?} {why}"));
        if !path.starts_with('/') {
            return Err(wrong("does not start with /"));
        }
        if path.contains(['?', '#']) {
            return Err(wrong("holds ? or #; encode it, or pass a query"));
        }
        let text = format!("{}{path}", self.text);
        let url = Url::parse(&text).map_err(|error| wrong(&format!("makes no URL: {error}")))?;
        if !self.same_origin(&url) || url.as_str() != text {
            return Err(wrong(
                "is not an encoded path: it holds . or .. segments, or characters that need encoding",
            ));
        }
        Ok(url)
    }
}

/// Whether a URL's host is a loopback literal or `localhost`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
        Self::parse(DEFAULT_ENDPOINT).expect("the default endpoint is a URL")
    }
}

impl FromStr for Endpoint {
    type Err = HfError;

    fn from_str(text: &str) -> Result<Self, HfError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = HfError;

    fn try_from(text: String) -> Result<Self, HfError> {
        Self::parse(&text)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.text
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_parses() {
        assert!(Endpoint::default().is_default());
        assert!(!Endpoint::default().is_loopback());
    }

    #[test]
    fn loopback_is_decided_by_the_parsed_host() {
        for (text, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.8.9.1", true),
            ("http://127.1", true),
            ("http://[::1]:80", true),
            ("http://localhost", true),
            ("https://LOCALHOST:9", true),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("http://example.org/127.0.0.1", false),
            ("http://example.org/localhost", false),
            ("http://0.0.0.0:8080", false),
            ("http://10.0.0.1", false),
            ("http://[::ffff:7f00:1]", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_without_repeating_a_password() {
        for bad in [
            "",
            "  ",
            "huggingface.co",
            "ftp://a",
            "http://",
            "https://a/?x=1",
            "https://a/#b",
            "//host",
        ] {
            assert!(
                matches!(Endpoint::parse(bad), Err(HfError::InvalidArgument { .. })),
                "{bad}"
            );
        }
        let error = Endpoint::parse("https://user:hunter2@a.example").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn paths_stay_where_they_were_meant() {
        let endpoint = Endpoint::parse("http://127.0.0.1:1/hub/").unwrap();
        assert_eq!(
            endpoint.join("/api/models/a/b").unwrap().as_str(),
            "http://127.0.0.1:1/hub/api/models/a/b"
        );
        for bad in [
            "api",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a?b",
            "/a b",
            "/a#b",
            "",
        ] {
            assert!(endpoint.join(bad).is_err(), "{bad}");
        }
        // Two slashes do not become another host.
        assert_eq!(
            endpoint.join("//evil.example/x").unwrap().host_str(),
            Some("127.0.0.1")
        );
    }
}
