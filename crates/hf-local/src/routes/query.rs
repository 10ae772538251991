//! Query strings, as loosely as the Hub takes them: unknown keys are passed over, lists come as `a=1&a=2` or `a[]=1`.

use axum::extract::FromRequestParts;
use http::request::Parts;
use std::convert::Infallible;

/// The pairs of a query string.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

impl Params {
    /// Reads a query string or a form.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A value that is there and says something.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// All values of a key, in both spellings.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let fits = move |name: &str| name == key || name.strip_suffix("[]") == Some(key);
        self.0
            .iter()
            .filter(move |(name, _)| fits(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a key says yes.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| matches!(value, "true" | "True" | "1"))
    }

    /// A number, at most `max`; `default` if it is missing or not one.
    pub(crate) fn number(&self, key: &str, default: u64, max: u64) -> u64 {
        self.get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
            .min(max)
    }

    /// The query string again, with one key set to a new value.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.0.iter().filter(|(name, _)| name != key) {
            text.append_pair(name, value);
        }
        text.append_pair(key, value);
        text.finish()
    }
}
