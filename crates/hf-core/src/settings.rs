//! Where the Hub is and who asks: resolved once, with a record of where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::auth::Token;
use crate::endpoint::Endpoint;
use crate::error::HfError;
use crate::ids::{Namespace, RepoId};

/// The resolved settings of a Hugging Face client.
///
/// Each value is the first found of: flag, environment, `.env`, the official token file (for the token), what the calling
/// program brings for the rest ([`SettingsInput::fallback`]), default.
///
/// | value | variable | default |
/// | --- | --- | --- |
/// | `endpoint` | `HF_ENDPOINT` | [`DEFAULT_ENDPOINT`](crate::DEFAULT_ENDPOINT) |
/// | `token` | `HF_TOKEN`, then `HUGGING_FACE_HUB_TOKEN` | the file at `HF_TOKEN_PATH`, else `token` in `hf_home` |
/// | `username` | `HF_USERNAME` | none; ask `whoami` |
/// | `default_org` | `HF_ORG` | none |
/// | `storage_repo` | `HF_STORAGE_REPO` | none |
/// | `hf_home` | `HF_HOME` | `huggingface` in `XDG_CACHE_HOME`, else `~/.cache/huggingface` |
/// | `offline` | `HF_HUB_OFFLINE` | off |
///
/// # Source
/// `huggingface_hub` 2.4.0 `constants.py` and `utils/_auth.py`. `HF_USERNAME`, `HF_ORG` and `HF_STORAGE_REPO` are ours.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct HuggingFaceSettings {
    /// The Hub.
    pub endpoint: Endpoint,
    /// The token, when there is one.
    pub token: Option<Token>,
    /// The account's namespace.
    pub username: Option<Namespace>,
    /// The organisation to act for.
    pub default_org: Option<Namespace>,
    /// The repository that stores things when none is named.
    pub storage_repo: Option<RepoId>,
    /// The folder of the official clients' files; none when no home folder is known.
    pub hf_home: Option<PathBuf>,
    /// No network, except toward loopback.
    pub offline: bool,
    /// The official token file, whether or not it is there; none when no home folder is known.
    pub token_path: Option<PathBuf>,
    sources: SettingsSources,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "from")]
#[non_exhaustive]
pub enum Source {
    /// A flag, or the calling program.
    Flag,
    /// The environment.
    Env {
        /// The variable.
        var: String,
    },
    /// A `.env` file.
    DotEnv {
        /// The file.
        path: PathBuf,
    },
    /// A config file of the calling program.
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// What the calling program keeps of a person's choices.
    Kept {
        /// The file.
        path: PathBuf,
    },
    /// The official token file.
    TokenFile {
        /// The file.
        path: PathBuf,
    },
    /// The default, which may be nothing.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env { var } => write!(f, "environment variable {var}"),
            Self::DotEnv { path } => write!(f, "file {}", path.display()),
            Self::ConfigFile { path, line } => write!(f, "config file {}, line {line}", path.display()),
            Self::Kept { path } => write!(f, "settings file {}", path.display()),
            Self::TokenFile { path } => write!(f, "token file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The [`Source`] of each setting, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct SettingsSources(BTreeMap<&'static str, Source>);

impl SettingsSources {
    /// The source of the setting `name`, like `token`.
    pub fn get(&self, name: &str) -> Option<&Source> {
        self.0.get(name)
    }

    /// All settings and their sources.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.0.iter().map(|(name, source)| (*name, source))
    }
}

/// Values a flag, or the calling program, sets.
#[derive(Clone, Default)]
pub struct SettingsOverrides {
    /// The Hub's address.
    pub endpoint: Option<String>,
    /// The token's text.
    pub token: Option<String>,
    /// The account's namespace.
    pub username: Option<String>,
    /// The organisation to act for.
    pub default_org: Option<String>,
    /// The repository that stores things when none is named.
    pub storage_repo: Option<String>,
    /// The folder of the official clients' files.
    pub hf_home: Option<PathBuf>,
    /// No network.
    pub offline: Option<bool>,
}

impl fmt::Debug for SettingsOverrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsOverrides")
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| crate::auth::REDACTED))
            .field("username", &self.username)
            .field("default_org", &self.default_org)
            .field("storage_repo", &self.storage_repo)
            .field("hf_home", &self.hf_home)
            .field("offline", &self.offline)
            .finish()
    }
}

/// Everything [`HuggingFaceSettings::resolve`] looks at.
#[derive(Clone, Default)]
pub struct SettingsInput {
    /// Values that win over all others.
    pub overrides: SettingsOverrides,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The folder whose `.env` is read, if it has one.
    pub dotenv_dir: Option<PathBuf>,
    /// What holds where nothing else says: the texts of settings by their name, as in [`HuggingFaceSettings::sources`], each
    /// with where it comes from. A token is never taken from here.
    pub fallback: BTreeMap<&'static str, (String, Source)>,
}

impl SettingsInput {
    /// Takes the process's environment, and no `.env`.
    ///
    /// The one place in the Hugging Face crates that reads the environment. Variables that are no UTF-8 are left out.
    pub fn from_process() -> Self {
        let relevant = |name: &str| {
            name.starts_with("HF_")
                || matches!(
                    name,
                    "HUGGING_FACE_HUB_TOKEN" | "HOME" | "USERPROFILE" | "XDG_CACHE_HOME"
                )
        };
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| relevant(name))
            .collect();
        Self {
            env,
            ..Self::default()
        }
    }

    /// Reads `.env` in `folder` too.
    #[must_use]
    pub fn with_dotenv_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.dotenv_dir = Some(folder.into());
        self
    }

    /// Sets the values that all others win over.
    #[must_use]
    pub fn with_fallback(mut self, fallback: BTreeMap<&'static str, (String, Source)>) -> Self {
        self.fallback = fallback;
        self
    }

    /// Sets the values that win over all others.
    #[must_use]
    pub fn with_overrides(mut self, overrides: SettingsOverrides) -> Self {
        self.overrides = overrides;
        self
    }
}

impl fmt::Debug for SettingsInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.env.keys().collect();
        f.debug_struct("SettingsInput")
            .field("overrides", &self.overrides)
            .field("env", &names)
            .field("dotenv_dir", &self.dotenv_dir)
            .field("fallback", &self.fallback)
            .finish()
    }
}

/// The two places a variable can stand in.
struct Lookup {
    env: BTreeMap<String, String>,
    dotenv: BTreeMap<String, String>,
    dotenv_path: PathBuf,
}

impl Lookup {
    /// The first of `names` that is set and not blank; all in the environment go before any in `.env`.
    fn find(&self, names: &[&str]) -> Option<(String, Source)> {
        let in_env = names.iter().find_map(|name| {
            let value = non_blank(self.env.get(*name)?)?;
            Some((
                value,
                Source::Env {
                    var: (*name).to_owned(),
                },
            ))
        });
        in_env.or_else(|| {
            let value = names.iter().find_map(|name| non_blank(self.dotenv.get(*name)?))?;
            Some((
                value,
                Source::DotEnv {
                    path: self.dotenv_path.clone(),
                },
            ))
        })
    }

    fn is_on(&self, name: &str) -> Option<(bool, Source)> {
        let (value, source) = self.find(&[name])?;
        Some((is_on(&value), source))
    }

    /// A folder or file path; a leading `~` is the home folder.
    fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix('~'), self.home()) {
            (Some(""), Some(home)) => home,
            (Some(rest), Some(home)) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
            _ => PathBuf::from(text),
        }
    }

    fn home(&self) -> Option<PathBuf> {
        // Only the real environment: a project's `.env` does not move the home folder.
        ["HOME", "USERPROFILE"]
            .iter()
            .find_map(|name| non_blank(self.env.get(*name)?))
            .map(PathBuf::from)
    }
}

fn is_on(text: &str) -> bool {
    matches!(text.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
}

fn non_blank(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl HuggingFaceSettings {
    /// Resolves all settings.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming the setting and where it came from, when a value is wrong or a file can not be
    /// read; and when a `.env` names another host than Hugging Face or loopback while the token comes from elsewhere, since a
    /// project's folder must not be able to send the user's token away.
    pub fn resolve(input: SettingsInput) -> Result<Self, HfError> {
        let (dotenv, dotenv_path) = read_dotenv(input.dotenv_dir.as_deref())?;
        let lookup = Lookup {
            env: input.env,
            dotenv,
            dotenv_path,
        };
        let flags = input.overrides;
        let fallback = |name: &str| {
            let (text, source) = input.fallback.get(name)?;
            Some((non_blank(text)?, source.clone()))
        };
        let mut sources = BTreeMap::new();
        let mut pick = |name: &'static str, flag: Option<String>, vars: &[&str]| -> Option<String> {
            let flag = flag
                .as_deref()
                .and_then(non_blank)
                .map(|value| (value, Source::Flag));
            let found = flag.or_else(|| lookup.find(vars));
            let (value, source) = found
                .or_else(|| fallback(name).filter(|_| name != "token"))
                .unzip();
            sources.insert(name, source.unwrap_or(Source::Default));
            value
        };

        let endpoint = pick("endpoint", flags.endpoint, &["HF_ENDPOINT"]);
        let username = pick("username", flags.username, &["HF_USERNAME"]);
        let default_org = pick("default_org", flags.default_org, &["HF_ORG"]);
        let storage_repo = pick("storage_repo", flags.storage_repo, &["HF_STORAGE_REPO"]);
        let token = pick("token", flags.token, &["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]);

        let endpoint = match endpoint {
            Some(text) => at(&sources, "endpoint", Endpoint::parse(&text))?,
            None => Endpoint::default(),
        };
        let username = username
            .map(|text| at(&sources, "username", Namespace::parse(&text)))
            .transpose()?;
        let default_org = default_org
            .map(|text| at(&sources, "default_org", Namespace::parse(&text)))
            .transpose()?;
        let storage_repo = storage_repo
            .map(|text| at(&sources, "storage_repo", RepoId::parse(&text)))
            .transpose()?;

        let (hf_home, source) = resolve_home(flags.hf_home, &lookup, fallback("hf_home"));
        sources.insert("hf_home", source);
        let (offline, source) = match flags.offline {
            Some(offline) => (offline, Source::Flag),
            None => lookup
                .is_on("HF_HUB_OFFLINE")
                .or_else(|| fallback("offline").map(|(text, source)| (is_on(&text), source)))
                .unwrap_or((false, Source::Default)),
        };
        sources.insert("offline", source);

        let token_path = match lookup.find(&["HF_TOKEN_PATH"]) {
            Some((text, _)) => Some(lookup.path(&text)),
            None => hf_home.as_ref().map(|home| home.join("token")),
        };
        let implicit_allowed = !lookup
            .is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")
            .is_some_and(|(on, _)| on);
        let token = match token {
            Some(_) if !implicit_allowed && sources.get("token") != Some(&Source::Flag) => {
                sources.insert("token", Source::Default);
                None
            }
            Some(text) => Some(at(&sources, "token", Token::parse(&text))?),
            None if implicit_allowed => match read_token_file(token_path.as_deref())? {
                Some((text, path)) => {
                    sources.insert("token", Source::TokenFile { path });
                    Some(at(&sources, "token", Token::parse(&text))?)
                }
                None => None,
            },
            None => None,
        };

        let settings = Self {
            endpoint,
            token,
            username,
            default_org,
            storage_repo,
            hf_home,
            offline,
            token_path,
            sources: SettingsSources(sources),
        };
        settings.check_token_goes_where_meant()?;
        Ok(settings)
    }

    /// Where each value came from.
    pub fn sources(&self) -> &SettingsSources {
        &self.sources
    }

    /// The namespace to act in: the organisation if one is set, else the user; else only `whoami` knows.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.default_org.as_ref().or(self.username.as_ref())
    }

    fn check_token_goes_where_meant(&self) -> Result<(), HfError> {
        let Some(Source::DotEnv { path }) = self.sources.get("endpoint") else {
            return Ok(());
        };
        let same_file = matches!(self.sources.get("token"), Some(Source::DotEnv { .. }));
        if self.token.is_none() || same_file || self.endpoint.is_loopback() || self.endpoint.is_default() {
            return Ok(());
        }
        Err(HfError::invalid(format!(
            "{} points HF_ENDPOINT at {}, but the token comes from elsewhere; set HF_ENDPOINT in the environment if your token \
             may go there, or put the token for that Hub into the same file",
            path.display(),
            self.endpoint
        )))
    }
}

/// Names the setting and its source in an error.
fn at<T>(
    sources: &BTreeMap<&'static str, Source>,
    name: &str,
    result: Result<T, HfError>,
) -> Result<T, HfError> {
    result.map_err(|error| match sources.get(name) {
        Some(source) => HfError::invalid(format!("setting {name} ({source}): {error}")),
        None => error,
    })
}

fn resolve_home(
    flag: Option<PathBuf>,
    lookup: &Lookup,
    fallback: Option<(String, Source)>,
) -> (Option<PathBuf>, Source) {
    if let Some(path) = flag {
        return (Some(path), Source::Flag);
    }
    if let Some((text, source)) = lookup.find(&["HF_HOME"]).or(fallback) {
        return (Some(lookup.path(&text)), source);
    }
    let cache = lookup
        .env
        .get("XDG_CACHE_HOME")
        .and_then(|text| non_blank(text))
        .map(|text| lookup.path(&text));
    let cache = cache.or_else(|| lookup.home().map(|home| home.join(".cache")));
    (cache.map(|cache| cache.join("huggingface")), Source::Default)
}

fn read_token_file(path: Option<&Path>) -> Result<Option<(String, PathBuf)>, HfError> {
    let Some(path) = path else {
        return Ok(None);
    };
    match fs::read_to_string(path) {
        Ok(text) => Ok(non_blank(&text).map(|text| (text, path.to_owned()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(HfError::invalid(format!(
            "the token file {} can not be read: {error}; fix it, or set HF_TOKEN",
            path.display()
        ))),
    }
}

fn read_dotenv(folder: Option<&Path>) -> Result<(BTreeMap<String, String>, PathBuf), HfError> {
    let Some(folder) = folder else {
        return Ok(Default::default());
    };
    let path = folder.join(".env");
    let bad = |why: &str| HfError::invalid(format!("{} can not be read: {why}", path.display()));
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok((BTreeMap::new(), path));
        }
        Err(error) => return Err(bad(&error.to_string())),
    };
    let mut values = BTreeMap::new();
    for item in dotenvy::from_read_iter(text.as_slice()) {
        let (name, value) = match item {
            Ok(pair) => pair,
            // The parser's own message repeats the line, which may hold a token.
            Err(dotenvy::Error::LineParse(_, column)) => {
                return Err(bad(&format!("a line is not NAME=value (character {column})")));
            }
            Err(_) => return Err(bad("it is not a text of NAME=value lines")),
        };
        // As in a shell, the last assignment counts.
        values.insert(name, value);
    }
    Ok((values, path))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn resolve(input: SettingsInput) -> HuggingFaceSettings {
        HuggingFaceSettings::resolve(input).unwrap()
    }

    #[test]
    fn what_is_kept_gives_way_to_all_else() {
        let kept = |org: &str| {
            let path = "/h/settings.json".into();
            [("default_org", (org.to_owned(), Source::Kept { path }))].into()
        };
        let input = SettingsInput::default().with_fallback(kept("lab"));
        let settings = resolve(input.clone());
        assert_eq!(settings.default_org.as_ref().map(Namespace::as_str), Some("lab"));
        let source = settings.sources().get("default_org").unwrap();
        assert_eq!(source.to_string(), "settings file /h/settings.json");
        let settings = resolve(SettingsInput {
            env: env(&[("HF_ORG", "other")]),
            ..input
        });
        assert_eq!(
            settings.default_org.as_ref().map(Namespace::as_str),
            Some("other")
        );
        for none in [[].into(), kept(" ")] {
            let settings = resolve(SettingsInput::default().with_fallback(none));
            assert_eq!(settings.sources().get("default_org"), Some(&Source::Default));
        }
    }

    #[test]
    fn every_setting_but_the_token_may_come_from_a_config_file() {
        let at = |line| Source::ConfigFile {
            path: "/h/config.toml".into(),
            line,
        };
        let values = [
            ("endpoint", "http://127.0.0.1:1"),
            ("username", "ada"),
            ("default_org", "lab"),
            ("storage_repo", "ada/data"),
            ("hf_home", "/cache"),
            ("offline", "true"),
            ("token", "hf_0123456789012345678901234567890123"),
        ];
        let values = values.iter().zip(1..);
        let fallback = values.map(|(&(name, text), line)| (name, (text.to_owned(), at(line))));
        let settings = resolve(SettingsInput::default().with_fallback(fallback.collect()));
        assert!(settings.offline && settings.token.is_none());
        assert_eq!(settings.hf_home.as_deref(), Some(Path::new("/cache")));
        assert_eq!(settings.namespace().map(Namespace::as_str), Some("lab"));
        for (name, line) in [
            ("endpoint", 1),
            ("username", 2),
            ("storage_repo", 4),
            ("hf_home", 5),
            ("offline", 6),
        ] {
            assert_eq!(settings.sources().get(name), Some(&at(line)), "{name}");
        }
        assert_eq!(settings.sources().get("token"), Some(&Source::Default));
        assert_eq!(at(3).to_string(), "config file /h/config.toml, line 3");
    }

    fn token_text(settings: &HuggingFaceSettings) -> Option<&str> {
        settings.token.as_ref().map(Token::expose)
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        let settings = resolve(SettingsInput::default());
        assert!(settings.endpoint.is_default());
        assert!(settings.token.is_none() && settings.hf_home.is_none() && !settings.offline);
        assert!(
            settings
                .sources()
                .iter()
                .all(|(_, source)| *source == Source::Default)
        );
        assert_eq!(settings.sources().iter().count(), 7);
    }

    /// One place a token can come from, in the order they win; each row holds all places from it on down.
    #[test]
    fn the_token_s_places_win_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("hf");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("token"), "hf_from_file\n").unwrap();
        fs::write(folder.path().join(".env"), "HF_TOKEN=hf_from_dotenv\n").unwrap();
        let home_text = home.to_str().unwrap().to_owned();
        let dotenv = folder.path().to_owned();

        let mut input = SettingsInput::default().with_dotenv_dir(&dotenv);
        input.env = env(&[
            ("HF_HOME", &home_text),
            ("HF_TOKEN", "hf_from_env"),
            ("HUGGING_FACE_HUB_TOKEN", "hf_from_old_env"),
        ]);
        input.overrides.token = Some("hf_from_flag".into());

        let var = |var: &str| Source::Env { var: var.into() };
        let expect = |input: &SettingsInput, text: Option<&str>, source: Source| {
            let settings = resolve(input.clone());
            assert_eq!(token_text(&settings), text);
            assert_eq!(settings.sources().get("token"), Some(&source));
        };
        expect(&input, Some("hf_from_flag"), Source::Flag);
        input.overrides.token = None;
        expect(&input, Some("hf_from_env"), var("HF_TOKEN"));
        input.env.insert("HF_TOKEN".into(), "  ".into());
        expect(&input, Some("hf_from_old_env"), var("HUGGING_FACE_HUB_TOKEN"));
        input.env.remove("HUGGING_FACE_HUB_TOKEN");
        expect(
            &input,
            Some("hf_from_dotenv"),
            Source::DotEnv {
                path: dotenv.join(".env"),
            },
        );
        input.dotenv_dir = None;
        expect(
            &input,
            Some("hf_from_file"),
            Source::TokenFile {
                path: home.join("token"),
            },
        );
        input.env.insert("HF_TOKEN_PATH".into(), "/nowhere/at/all".into());
        expect(&input, None, Source::Default);
        input.env.remove("HF_TOKEN_PATH");
        input
            .env
            .insert("HF_HUB_DISABLE_IMPLICIT_TOKEN".into(), "1".into());
        input.env.insert("HF_TOKEN".into(), "hf_from_env".into());
        expect(&input, None, Source::Default);
        input.overrides.token = Some("hf_from_flag".into());
        expect(&input, Some("hf_from_flag"), Source::Flag);
    }

    #[test]
    fn other_values_come_from_flag_then_environment_then_dotenv() {
        let folder = tempfile::tempdir().unwrap();
        let text = "HF_ENDPOINT=http://127.0.0.1:3/\nHF_ORG=dot-org\nHF_USERNAME=\"dot-user\"\nHF_STORAGE_REPO=a/dot\n";
        fs::write(folder.path().join(".env"), text).unwrap();
        let mut input = SettingsInput::default().with_dotenv_dir(folder.path());
        input.env = env(&[
            ("HF_ORG", "env-org"),
            ("HF_USERNAME", "env-user"),
            ("HOME", "/home/ada"),
        ]);
        input.overrides.username = Some("flag-user".into());
        let settings = resolve(input);
        assert_eq!(settings.endpoint.as_str(), "http://127.0.0.1:3");
        assert_eq!(settings.default_org.as_ref().unwrap().as_str(), "env-org");
        assert_eq!(settings.username.as_ref().unwrap().as_str(), "flag-user");
        assert_eq!(settings.storage_repo.as_ref().unwrap().as_str(), "a/dot");
        assert_eq!(
            settings.hf_home.as_deref(),
            Some(Path::new("/home/ada/.cache/huggingface"))
        );
        assert_eq!(settings.namespace().unwrap().as_str(), "env-org");
    }

    #[test]
    fn home_folder_rules_follow_the_official_client() {
        for (pairs, expected) in [
            (vec![("HF_HOME", "/x"), ("HOME", "/h")], "/x"),
            (vec![("HF_HOME", "~/hf"), ("HOME", "/h")], "/h/hf"),
            (vec![("XDG_CACHE_HOME", "/c"), ("HOME", "/h")], "/c/huggingface"),
            (vec![("HOME", "/h")], "/h/.cache/huggingface"),
        ] {
            let settings = resolve(SettingsInput {
                env: env(&pairs),
                ..SettingsInput::default()
            });
            assert_eq!(settings.hf_home.as_deref(), Some(Path::new(expected)));
        }
    }

    #[test]
    fn wrong_values_name_the_setting_and_its_place() {
        for (name, value, part) in [
            (
                "HF_ENDPOINT",
                "huggingface.co",
                "setting endpoint (environment variable HF_ENDPOINT)",
            ),
            ("HF_STORAGE_REPO", "a/b/c", "setting storage_repo"),
            ("HF_ORG", "a b", "setting default_org"),
            ("HF_TOKEN", "hf_with a space", "setting token"),
        ] {
            let input = SettingsInput {
                env: env(&[(name, value)]),
                ..SettingsInput::default()
            };
            let error = HuggingFaceSettings::resolve(input).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hf_with"), "{error}");
        }
    }

    #[test]
    fn a_bad_dotenv_is_reported_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".env"), "HF_TOKEN='hf_unclosedsecret\n").unwrap();
        let error = HuggingFaceSettings::resolve(SettingsInput::default().with_dotenv_dir(folder.path()))
            .unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains(".env") && !shown.contains("unclosedsecret"),
            "{shown}"
        );
    }

    #[test]
    fn a_folder_s_dotenv_can_not_send_the_user_s_token_away() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(folder.path().join(".env"), text).unwrap();
        let mut input = SettingsInput::default().with_dotenv_dir(folder.path());
        input.env = env(&[("HF_TOKEN", "hf_mine")]);
        write("HF_ENDPOINT=https://evil.example\n");
        let error = HuggingFaceSettings::resolve(input.clone())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("evil.example") && !error.contains("hf_mine"),
            "{error}"
        );
        for good in [
            "HF_ENDPOINT=http://127.0.0.1:1\n",
            "HF_ENDPOINT=https://huggingface.co\n",
        ] {
            write(good);
            resolve(input.clone());
        }
        input.env.clear();
        write("HF_ENDPOINT=https://hub.example\nHF_TOKEN=hf_theirs\n");
        assert_eq!(token_text(&resolve(input)), Some("hf_theirs"));
    }

    #[test]
    fn offline_is_read_like_the_official_client_does() {
        for (value, expected) in [
            ("1", true),
            ("true", true),
            ("YES", true),
            ("on", true),
            ("0", false),
            ("", false),
        ] {
            let input = SettingsInput {
                env: env(&[("HF_HUB_OFFLINE", value)]),
                ..SettingsInput::default()
            };
            assert_eq!(resolve(input).offline, expected, "{value:?}");
        }
    }

    #[test]
    fn nothing_prints_the_token() {
        let mut input = SettingsInput {
            env: env(&[("HF_TOKEN", "hf_topsecret")]),
            ..SettingsInput::default()
        };
        let mut shown = format!("{input:?}");
        input.overrides.token = Some("hf_topsecret".into());
        write!(shown, "{input:#?}").unwrap();
        let settings = resolve(input);
        write!(shown, "{settings:?}{}", serde_json::to_string(&settings).unwrap()).unwrap();
        for (name, source) in settings.sources().iter() {
            write!(shown, "{name} {source}").unwrap();
        }
        assert!(!shown.contains("topsecret"), "{shown}");
    }
}
