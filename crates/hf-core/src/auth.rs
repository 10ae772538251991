//! The access token, which never prints.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

use crate::error::HfError;

/// What stands for a token wherever it would be printed.
pub(crate) const REDACTED: &str = "hf_***";

/// A Hugging Face access token.
///
/// Printing or serialising it shows `hf_***`; [`Token::expose`] is the only way to the text, and easy to search for.
///
/// ```
/// let token = hf_core::Token::parse(" hf_abcdefghijklmnop\n").unwrap();
/// assert_eq!(format!("{token:?}"), "hf_***");
/// assert_eq!(token.expose(), "hf_abcdefghijklmnop");
/// ```
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// Reads a token: line breaks are removed anywhere, blanks at both ends.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when nothing is left, or a character may not stand in an HTTP header. The message
    /// does not repeat the token.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `utils/_auth.py`: CR and LF are removed.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let cleaned: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let cleaned = cleaned.trim();
        if cleaned.is_empty() {
            return Err(HfError::invalid(
                "the token is empty; create one at https://huggingface.co/settings/tokens",
            ));
        }
        if let Some(position) = cleaned.chars().position(|c| !c.is_ascii_graphic()) {
            return Err(HfError::invalid(format!(
                "character {} of the token can not stand in an HTTP header; copy the token again, without quotes or spaces",
                position + 1
            )));
        }
        Ok(Self(SecretString::from(cleaned.to_owned())))
    }

    /// The token's text. Keep it out of logs, arguments, URLs and files.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The `Authorization` header of this token, marked sensitive.
    pub(crate) fn header(&self) -> Result<HeaderValue, HfError> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.expose()))
            .map_err(|_| HfError::invalid("the token can not stand in an HTTP header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

/// Any secret text, such as a job's secret: what a [`Token`] is, without its rules.
///
/// ```
/// let secret = hf_core::SecretValue::from("wandb-key");
/// assert_eq!(format!("{secret:?}"), "***");
/// assert_eq!(secret.expose(), "wandb-key");
/// ```
#[derive(Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// The text. Keep it out of logs, arguments, URLs and files.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<&Token> for SecretValue {
    fn from(token: &Token) -> Self {
        Self::from(token.expose())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_and_blanks_are_removed() {
        assert_eq!(Token::parse("  hf_ab\r\ncd \n").unwrap().expose(), "hf_abcd");
    }

    #[test]
    fn never_prints() {
        let token = Token::parse("hf_secretsecret").unwrap();
        let shown = format!("{token:?} {token:#?} {}", serde_json::to_string(&token).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"hf_***\"");
    }

    #[test]
    fn bad_tokens_are_refused_without_repeating_them() {
        for bad in ["", " \n", "hf_with space", "hf_\u{e9}t\u{e9}", "hf_tab\there"] {
            let error = Token::parse(bad).unwrap_err();
            assert!(matches!(error, HfError::InvalidArgument { .. }));
            assert!(
                bad.trim().is_empty() || !error.to_string().contains(bad.trim()),
                "{error}"
            );
        }
    }
}
