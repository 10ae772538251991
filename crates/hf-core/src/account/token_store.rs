//! The token of the official clients on this machine: replaced only by one that works.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::types::WhoAmI;
use crate::auth::Token;
use crate::client::{HfClient, RequestSpec, WHOAMI};
use crate::error::HfError;
use crate::settings::{HuggingFaceSettings, Source};

/// The official token file, which the official clients read too.
///
/// A token in the environment, or in a project's `.env`, wins over the file and is not ours to change: as long as one is
/// set, the file is left alone.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_auth.py`: plain text, one token, mode 0600. Its list of named tokens
/// (`stored_tokens`) is neither read nor written here.
#[derive(Debug, Clone)]
pub struct TokenStore {
    path: PathBuf,
}

impl TokenStore {
    /// Finds the file of these settings.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when no home folder is known, or when a token comes from the environment or a `.env`.
    pub fn open(settings: &HuggingFaceSettings) -> Result<Self, HfError> {
        if let Some(source @ (Source::Env { .. } | Source::DotEnv { .. })) = settings.sources().get("token")
            && settings.token.is_some()
        {
            let place = match source {
                Source::DotEnv { path } => format!("take the line out of {}", path.display()),
                Source::Env { var } => format!("unset {var}"),
                _ => String::new(),
            };
            return Err(HfError::invalid(format!(
                "the token in use comes from the {source}; it wins over a stored one and can not be changed here: {place}, then \
                 try again"
            )));
        }
        let path = settings.token_path.clone().ok_or_else(|| {
            HfError::invalid("there is no place for a token: set HF_HOME, or HOME, to a folder")
        })?;
        Ok(Self { path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `client`'s token in the place of the stored one, if the Hub takes it.
    ///
    /// The Hub is asked first. Whatever goes wrong, the old token stays and works.
    ///
    /// # Errors
    /// [`HfError::Auth`] when the Hub refuses the new token, [`HfError::Transport`] and others when it can not be asked,
    /// [`HfError::Io`] when the file can not be written.
    pub async fn replace(&self, client: &HfClient) -> Result<Arc<WhoAmI>, HfError> {
        let me = client.ask_whoami(RequestSpec::get(WHOAMI)).await?;
        let token = client.token().ok_or_else(|| HfError::Auth {
            message: "no token is set".to_owned(),
            context: None,
        })?;
        self.write(token)?;
        Ok(Arc::new(me))
    }

    /// Removes the stored token; false when there was none.
    ///
    /// It stays valid on the Hub until it is deleted there.
    ///
    /// # Errors
    /// [`HfError::Io`].
    pub fn remove(&self) -> Result<bool, HfError> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.io("remove", &self.path, error)),
        }
    }

    /// Writes the file whole or not at all; only this user may read it.
    fn write(&self, token: &Token) -> Result<(), HfError> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(folder)
            .map_err(|error| self.io("make the folder", folder, error))?;
        let mut half = self.path.as_os_str().to_owned();
        half.push(format!(".{}.new", std::process::id()));
        let half = PathBuf::from(half);
        let written = (|| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&half)?;
            file.write_all(token.expose().as_bytes())?;
            file.sync_all()?;
            fs::rename(&half, &self.path)
        })();
        written.map_err(|error| {
            // What is half-written holds a token; that it can not be removed either is not the first worry.
            let _ = fs::remove_file(&half);
            self.io("write the token file", &self.path, error)
        })
    }

    #[expect(clippy::unused_self, reason = "reads like the other failures of the store")]
    fn io(&self, action: &str, path: &Path, error: std::io::Error) -> HfError {
        HfError::Io {
            action: format!("{action} {}", path.display()),
            message: error.to_string(),
            source: error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::testing::{Reply, ScriptedTransport};
    use crate::{HfErrorKind, RetryPolicy, SettingsInput, TransportKind};

    const OLD: &str = "hf_oldoldoldoldoldoldoldold";
    const NEW: &str = "hf_canarycanarycanarycanary0123456789";

    fn input(home: &Path, env: &[(&str, &str)]) -> SettingsInput {
        let mut all: BTreeMap<String, String> = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        all.insert("HF_HOME".to_owned(), home.to_str().unwrap().to_owned());
        SettingsInput {
            env: all,
            ..SettingsInput::default()
        }
    }

    fn settings(home: &Path, env: &[(&str, &str)]) -> HuggingFaceSettings {
        HuggingFaceSettings::resolve(input(home, env)).unwrap()
    }

    fn client(token: &str, reply: Reply) -> HfClient {
        HfClient::builder()
            .token(Token::parse(token).unwrap())
            .transport(Arc::new(ScriptedTransport::with_replies([reply])))
            .retry(RetryPolicy::never())
            .build()
            .unwrap()
    }

    /// Acceptance case 2.
    #[tokio::test]
    async fn case_2_an_invalid_replacement_is_refused_and_the_old_token_still_works() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), OLD).unwrap();
        let store = TokenStore::open(&settings(home.path(), &[])).unwrap();
        for (reply, kind) in [
            (
                Reply::json(401, json!({"error": "Invalid username or password."})),
                HfErrorKind::Auth,
            ),
            (Reply::fail(TransportKind::Connect), HfErrorKind::Transport),
            (Reply::status(503), HfErrorKind::Http),
        ] {
            let error = store.replace(&client(NEW, reply)).await.unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(!format!("{error} {error:?}").contains("canary"));
            let now = settings(home.path(), &[]);
            assert_eq!(now.token.unwrap().expose(), OLD);
            assert_eq!(
                fs::read_dir(home.path()).unwrap().count(),
                1,
                "nothing half-written"
            );
        }
        let me = Reply::json(200, json!({"name": "ada"}));
        assert_eq!(store.replace(&client(NEW, me)).await.unwrap().name, "ada");
        assert_eq!(settings(home.path(), &[]).token.unwrap().expose(), NEW);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_this_user_s_alone_and_its_folder_is_made() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        let store = TokenStore::open(&settings(&folder, &[])).unwrap();
        store
            .replace(&client(NEW, Reply::json(200, json!({"name": "ada"}))))
            .await
            .unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(store.path()), mode(&folder)), (0o600, 0o700));
        assert!(store.remove().unwrap());
        assert!(!store.remove().unwrap());
    }

    /// Acceptance case 3.
    #[test]
    fn case_3_an_environment_token_can_not_be_changed_and_wins_over_the_stored_one() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), OLD).unwrap();
        for var in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            let with_env = settings(home.path(), &[(var, NEW)]);
            assert_eq!(with_env.token.as_ref().unwrap().expose(), NEW);
            let error = TokenStore::open(&with_env).unwrap_err();
            assert_eq!(error.kind(), HfErrorKind::InvalidArgument);
            let text = error.to_string();
            assert!(
                text.contains(&format!("unset {var}")) && !text.contains("canary"),
                "{text}"
            );
        }
        fs::write(home.path().join(".env"), format!("HF_TOKEN={NEW}\n")).unwrap();
        let dotenv =
            HuggingFaceSettings::resolve(input(home.path(), &[]).with_dotenv_dir(home.path())).unwrap();
        assert!(
            TokenStore::open(&dotenv)
                .unwrap_err()
                .to_string()
                .contains(".env")
        );
        assert_eq!(fs::read_to_string(home.path().join("token")).unwrap(), OLD);
    }
}
