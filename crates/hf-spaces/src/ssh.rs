//! A shell in a Space.

use hf_core::HfError;
use serde::Serialize;

use crate::runtime::SpaceInfo;

/// How to get a shell in a Space with Dev Mode on. There is no password: the account's own SSH key lets in.
///
/// # Source
/// `huggingface_hub` 2.4.0 `cli/spaces.py`: `{subdomain}@ssh.hf.space`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SshCredentials {
    /// The host.
    pub host: String,
    /// The user: the Space's subdomain.
    pub user: String,
    /// The command to type.
    pub command: String,
    /// Where the public key has to be registered.
    pub keys_page: String,
}

impl SshCredentials {
    pub(crate) fn of(info: &SpaceInfo) -> Result<Self, HfError> {
        let host = "ssh.hf.space";
        let user = info.subdomain.as_deref().filter(|name| {
            !name.is_empty()
                && !name.starts_with('-')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        let Some(user) = user else {
            return Err(HfError::decode(
                format!("the Space {}", info.id),
                "the Hub does not tell its subdomain, so there is no name to sign in with",
            ));
        };
        Ok(Self {
            host: host.to_owned(),
            user: user.to_owned(),
            command: format!("ssh {user}@{host}"),
            keys_page: "https://huggingface.co/settings/keys".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subdomain_that_is_an_option_or_a_command_is_refused() {
        let of = |subdomain: serde_json::Value| {
            let info = serde_json::from_value(json!({"id": "ada/demo", "subdomain": subdomain})).unwrap();
            SshCredentials::of(&info)
        };
        assert_eq!(
            of(json!("ada-demo")).unwrap().command,
            "ssh ada-demo@ssh.hf.space"
        );
        for wrong in [
            json!(null),
            json!(""),
            json!("-oProxyCommand=x"),
            json!("a b"),
            json!("a;b"),
            json!("a@b"),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
