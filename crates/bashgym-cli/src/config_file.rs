//! The config file: what a flag and the environment leave open. A mistake in it names its line, its key and the right key.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hf_core::{Endpoint, Namespace, RepoId, Source};
use toml::de::{DeTable, DeValue};
use url::Url;

use crate::error::{CliError, Kind, io_error};

/// The file in the home folder.
pub(crate) const NAME: &str = "config.toml";

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Text,
    /// An address.
    Address,
    /// The name of an account or an organisation.
    Namespace,
    /// The name of a repository.
    Repository,
    /// A whole number.
    Number,
    Switch,
    /// A path; one that is relative lies beside the file.
    Path,
    /// An array of texts.
    Texts,
    /// The same of paths.
    Paths,
    /// The address of a database, which must hold no password.
    Database,
}

impl Takes {
    fn what(self) -> &'static str {
        match self {
            Self::Text | Self::Path | Self::Database => "a text in quotes",
            Self::Address => "an address in quotes, like \"https://huggingface.co\"",
            Self::Namespace => "the name of an account or an organisation in quotes",
            Self::Repository => "the name of a repository in quotes, like \"ada/data\"",
            Self::Number => "a whole number",
            Self::Switch => "true or false",
            Self::Texts | Self::Paths => "an array of texts, like [\"a\", \"b\"]",
        }
    }
}

/// A setting that the file may hold.
pub(crate) struct Setting {
    /// Its name: a key, with its table and a dot before it if it has one.
    pub(crate) name: &'static str,
    /// The variable that wins over the file.
    pub(crate) variable: Option<&'static str>,
    /// What holds where nobody says; nothing where that is no value.
    pub(crate) default: Option<&'static str>,
    takes: Takes,
}

const fn setting(
    name: &'static str,
    takes: Takes,
    variable: Option<&'static str>,
    default: Option<&'static str>,
) -> Setting {
    Setting {
        name,
        variable,
        default,
        takes,
    }
}

/// Settings of the Hub, which hf-core resolves.
const OF_THE_HUB: &[Setting] = &[
    setting("endpoint", Takes::Address, Some("HF_ENDPOINT"), None),
    setting("username", Takes::Namespace, Some("HF_USERNAME"), None),
    setting("default_org", Takes::Namespace, Some("HF_ORG"), None),
    setting("storage_repo", Takes::Repository, Some("HF_STORAGE_REPO"), None),
    setting("hf_home", Takes::Path, Some("HF_HOME"), None),
    setting("offline", Takes::Switch, Some("HF_HUB_OFFLINE"), None),
];

/// Settings of this program.
pub(crate) const OWN: &[Setting] = &[
    setting(
        "database_url",
        Takes::Database,
        Some("BASHGYM_DATABASE_URL"),
        None,
    ),
    setting("serve.host", Takes::Text, None, Some("127.0.0.1")),
    setting("serve.port", Takes::Number, None, Some("0")),
    setting("serve.allow_hosts", Takes::Texts, None, None),
    setting("serve.roots", Takes::Paths, None, None),
    setting("serve.key_file", Takes::Path, None, None),
    setting(
        "serve.otlp_endpoint",
        Takes::Address,
        Some("OTEL_EXPORTER_OTLP_ENDPOINT"),
        None,
    ),
    setting("models.teacher", Takes::Text, Some("BASHGYM_TEACHER"), None),
    setting(
        "models.teacher_url",
        Takes::Text,
        Some("BASHGYM_TEACHER_URL"),
        None,
    ),
    setting("models.teacher_api", Takes::Text, None, None),
    setting(
        "models.teacher_price",
        Takes::Text,
        Some("BASHGYM_TEACHER_PRICE"),
        None,
    ),
    setting("models.teacher_key_env", Takes::Text, None, None),
    setting("models.student", Takes::Text, Some("BASHGYM_STUDENT"), None),
    setting(
        "models.student_url",
        Takes::Text,
        Some("BASHGYM_STUDENT_URL"),
        None,
    ),
    setting(
        "models.student_price",
        Takes::Text,
        Some("BASHGYM_STUDENT_PRICE"),
        None,
    ),
    setting("models.student_key_env", Takes::Text, None, None),
    setting("models.hf_model", Takes::Text, Some("BASHGYM_HF_MODEL"), None),
    setting("models.strategy", Takes::Text, Some("BASHGYM_ROUTING"), None),
    setting("models.answer_tokens", Takes::Number, None, Some("4096")),
    setting("models.allow_unknown_price", Takes::Switch, None, Some("false")),
    setting("models.keep_exchanges", Takes::Switch, None, Some("false")),
];

/// The setting of this name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    OF_THE_HUB.iter().chain(OWN).find(|setting| setting.name == name)
}

/// A value of the file: its texts, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    texts: Vec<String>,
    line: usize,
}

/// A config file that was read and is right.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    values: BTreeMap<&'static str, Value>,
}

impl ConfigFile {
    /// Reads the file that was named, or that of the home folder if it is there.
    pub(crate) fn open(named: Option<&Path>, home: &Path) -> Result<Self, CliError> {
        let path = named.map_or_else(|| home.join(NAME), Path::to_path_buf);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&path, &text),
            Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(io_error("read", &path, error)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, CliError> {
        let reader = Reader {
            path: path.to_path_buf(),
            text,
        };
        let mut values = BTreeMap::new();
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The parser's own text would show the line, which may hold what does not belong there.
            reader.wrong(at, &format!("this is no TOML: {}", error.message()))
        })?;
        for (key, value) in table.get_ref() {
            match (find(key.get_ref()), value.get_ref()) {
                (None, DeValue::Table(inner)) => {
                    for (inner_key, value) in inner {
                        let name = format!("{}.{}", key.get_ref(), inner_key.get_ref());
                        reader.take(&mut values, &name, inner_key.span().start, value.get_ref())?;
                    }
                }
                _ => reader.take(&mut values, key.get_ref(), key.span().start, value.get_ref())?,
            }
        }
        Ok(Self {
            path: reader.path,
            values,
        })
    }

    /// Where it is, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        Some(self.path.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// A setting's value.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.texts.first().map(String::as_str)
    }

    /// A setting's values.
    pub(crate) fn texts(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], |value| &value.texts)
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// Where a setting stands, if it does.
    pub(crate) fn source(&self, name: &str) -> Option<Source> {
        Some(Source::ConfigFile {
            path: self.path.clone(),
            line: self.values.get(name)?.line,
        })
    }

    /// The settings of the Hub that are in it, and where each stands.
    pub(crate) fn of_the_hub(&self) -> impl Iterator<Item = (&'static str, (String, Source))> {
        OF_THE_HUB.iter().filter_map(|setting| {
            let text = self.text(setting.name)?.to_owned();
            Some((setting.name, (text, self.source(setting.name)?)))
        })
    }
}

/// A file that is being read.
struct Reader<'a> {
    path: PathBuf,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn wrong(&self, at: usize, what: &str) -> CliError {
        let place = format!("{}, line {}", self.path.display(), self.line(at));
        CliError::new(Kind::Usage, format!("{place}: {what}"))
    }

    fn take(
        &self,
        values: &mut BTreeMap<&'static str, Value>,
        name: &str,
        at: usize,
        value: &DeValue<'_>,
    ) -> Result<(), CliError> {
        let Some(setting) = find(name) else {
            return Err(self.unknown(name, at));
        };
        let unfit = || self.wrong(at, &format!("`{name}` takes {}", setting.takes.what()));
        let texts = self.read(setting.takes, value).ok_or_else(unfit)?;
        if setting.takes == Takes::Database && texts.iter().any(|text| has_password(text)) {
            return Err(self
                .wrong(at, &format!("`{name}` holds a password"))
                .hint("keep secrets out of this file: set BASHGYM_DATABASE_URL, or PGPASSWORD beside an address without one"));
        }
        let line = self.line(at);
        values.insert(setting.name, Value { texts, line });
        Ok(())
    }

    fn read(&self, takes: Takes, value: &DeValue<'_>) -> Option<Vec<String>> {
        let path = |text: &str| {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            folder.join(text).to_str().map(str::to_owned)
        };
        Some(match (takes, value) {
            (Takes::Text | Takes::Database, DeValue::String(text)) => vec![text.to_string()],
            (Takes::Address, DeValue::String(text)) => vec![Endpoint::parse(text).ok()?.to_string()],
            (Takes::Namespace, DeValue::String(text)) => vec![Namespace::parse(text).ok()?.to_string()],
            (Takes::Repository, DeValue::String(text)) => vec![RepoId::parse(text).ok()?.to_string()],
            (Takes::Path, DeValue::String(text)) => vec![path(text)?],
            (Takes::Number, DeValue::Integer(number)) => {
                let number = u64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                vec![number.ok()?.to_string()]
            }
            (Takes::Switch, DeValue::Boolean(on)) => vec![on.to_string()],
            (Takes::Texts | Takes::Paths, DeValue::Array(items)) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) if takes == Takes::Paths => path(text),
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect::<Option<_>>()?,
            _ => return None,
        })
    }

    fn unknown(&self, name: &str, at: usize) -> CliError {
        let error = self.wrong(at, &format!("`{name}` is no setting"));
        if name
            .rsplit(['.', '_'])
            .any(|word| word == "token" || word == "key")
        {
            return error.hint(
                "secrets do not belong into this file: `bashgym token set` keeps the token, variables the keys of models",
            );
        }
        let near = OF_THE_HUB
            .iter()
            .chain(OWN)
            .map(|setting| (strsim::damerau_levenshtein(name, setting.name), setting.name))
            .min();
        match near {
            Some((distance, near)) if distance <= name.len().div_ceil(2) => {
                error.hint(format!("did you mean `{near}`?"))
            }
            _ => error.hint("`bashgym config` lists all settings"),
        }
    }
}

/// Whether an address holds a password; one that cannot be read is refused where it is used.
fn has_password(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.password().is_some()
            || url
                .query_pairs()
                .any(|(name, _)| name.eq_ignore_ascii_case("password"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile, CliError> {
        ConfigFile::parse(Path::new("/home/ada/.bashgym/config.toml"), text)
    }

    fn wrong(text: &str) -> (String, String) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        (error.to_string(), error.hints().join("; "))
    }

    #[test]
    fn every_kind_of_value_is_read_and_says_where_it_stands() {
        let text = "endpoint = \"https://hub.example\"\noffline = true\nserve.port = 8_420\n\n[models]\nteacher = 'claude'\n";
        let file = parse(text).unwrap();
        assert_eq!(file.text("endpoint"), Some("https://hub.example"));
        assert!(file.is_on("offline") && !file.is_on("models.keep_exchanges"));
        assert_eq!(
            (file.text("serve.port"), file.text("models.teacher")),
            (Some("8420"), Some("claude"))
        );
        let place = "config file /home/ada/.bashgym/config.toml, line 6";
        let source = file.source("models.teacher").map(|source| source.to_string());
        assert_eq!(source.as_deref(), Some(place));
        assert_eq!((file.text("username"), file.source("username")), (None, None));
        let lists = parse("[serve]\nroots = [\"logs\", \"/srv\"]\nallow_hosts = [\"gym\"]\n").unwrap();
        assert_eq!(lists.texts("serve.roots"), ["/home/ada/.bashgym/logs", "/srv"]);
        assert_eq!(lists.texts("serve.allow_hosts"), ["gym"]);
    }

    #[test]
    fn a_mistake_names_file_line_key_and_the_nearest_key() {
        let (what, next) = wrong("offline = false\n[serve]\nprot = 1\n");
        assert_eq!(
            what,
            "/home/ada/.bashgym/config.toml, line 3: `serve.prot` is no setting"
        );
        assert_eq!(next, "did you mean `serve.port`?");
        assert_eq!(wrong("endpont = \"x\"").1, "did you mean `endpoint`?");
        assert_eq!(
            wrong("qqqqqqqqqqqqq = 1").1,
            "`bashgym config` lists all settings"
        );
        let (what, _) = wrong("\n\noffline = \"yes\"");
        assert!(what.ends_with("line 3: `offline` takes true or false"), "{what}");
        for unfit in [
            "[serve]\nport = -1",
            "serve = 1",
            "endpoint = 1",
            "serve.roots = \"x\"",
            "serve.roots = [1]",
            "endpoint = 'x'",
            "default_org = 'a b'",
        ] {
            wrong(unfit);
        }
    }

    #[test]
    fn secrets_are_refused_and_never_repeated() {
        for text in [
            "token = \"hf_secretsecretsecretsecret\"",
            "[models]\nteacher_key = \"secretsecret\"",
            "database_url = \"postgres://ada:secretsecret@db/gym\"",
            "database_url = \"postgres://db/gym?password=secretsecret\"",
            "endpoint = \"hf_secretsecretsecretsecret",
        ] {
            let (what, next) = wrong(text);
            assert!(
                !format!("{what} {next}").contains("secretsecret"),
                "{what} {next}"
            );
        }
        assert!(parse("database_url = \"postgres://db/gym\"").is_ok());
        assert_eq!(
            parse("models.teacher_key_env = \"MY_KEY\"")
                .unwrap()
                .text("models.teacher_key_env"),
            Some("MY_KEY")
        );
    }

    #[test]
    fn a_file_that_was_named_must_be_there_and_the_home_s_need_not() {
        let home = tempfile::tempdir().unwrap();
        assert!(ConfigFile::open(None, home.path()).unwrap().values.is_empty());
        let missing = home.path().join("none.toml");
        assert_eq!(
            ConfigFile::open(Some(&missing), home.path()).unwrap_err().kind,
            Kind::NotFound
        );
    }
}
