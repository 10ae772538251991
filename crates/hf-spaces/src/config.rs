//! How a Space is set up.

use std::collections::BTreeMap;
use std::time::Duration;

use hf_core::{HfError, Revision, SecretValue};

use crate::hardware::SpaceHardware;
use crate::program::SpaceApp;

/// Who may see a Space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Its owner.
    #[default]
    Private,
    /// Everybody sees the app, its owner the files.
    Protected,
}

impl Visibility {
    /// The Hub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Protected => "protected",
        }
    }
}

/// When a Space falls asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepTime {
    /// Never.
    Never,
    /// After this time without a visitor.
    After(Duration),
}

impl SleepTime {
    /// As the Hub takes it: seconds, -1 for never.
    pub fn to_wire(self) -> i64 {
        match self {
            Self::Never => -1,
            Self::After(time) => i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// How the app reads a model that is not public.
#[derive(Debug, Clone, Default)]
pub enum ModelAccess {
    /// It is public; a private one is refused before anything is made.
    #[default]
    Public,
    /// With this token, kept as the Space's secret `HF_TOKEN`. Give it one that only reads this model.
    Token(SecretValue),
    /// What runs the app reads the models of its own Hub.
    OfTheRuntime,
}

/// How a model is served.
#[derive(Debug, Clone, Default)]
pub struct SpaceConfig {
    /// What answers.
    pub app: SpaceApp,
    /// What it runs on.
    pub hardware: SpaceHardware,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether a shell in it is to be had, where the plan allows.
    pub dev_mode: bool,
    /// When it falls asleep; none leaves it to the Hub.
    pub sleep_time: Option<SleepTime>,
    /// The model's revision; none takes the head of `main` at the time of creation, and pins it.
    pub model_revision: Option<Revision>,
    /// How the app reads the model.
    pub model_access: ModelAccess,
    /// Further secrets. Their values never come back.
    pub secrets: BTreeMap<String, SecretValue>,
    /// Variables, which everybody who sees the Space can read.
    pub variables: BTreeMap<String, String>,
    /// The title of the page; none takes the name of the Space.
    pub title: Option<String>,
    /// Whether code of the model's repository may run.
    pub trust_remote_code: bool,
    /// What a visitor may ask for.
    pub limits: AppLimits,
}

impl SpaceConfig {
    /// Checks what can be checked before anything is sent.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming what is wrong.
    pub fn validate(&self) -> Result<(), HfError> {
        for key in self.secrets.keys().chain(self.variables.keys()) {
            check_key(key)?;
        }
        if let Some(key) = self.secrets.keys().find(|key| self.variables.contains_key(*key)) {
            return Err(HfError::invalid(format!(
                "{key} is a secret and a variable; it can be one of them"
            )));
        }
        if self.sleep_time.is_some() && !self.hardware.is_paid() {
            return Err(HfError::invalid(format!(
                "the sleep time of {} can not be set; the Hub decides it on hardware that is not billed",
                self.hardware
            )));
        }
        if self.app == SpaceApp::Bashgym {
            if !self.hardware.is_cpu() {
                return Err(HfError::invalid(format!(
                    "bashgym answers on the processor, and {} would lend or bill a graphics processor for nothing; take \
                     cpu-basic, or the app gradio",
                    self.hardware
                )));
            }
            if self.trust_remote_code {
                return Err(HfError::invalid(
                    "bashgym runs no code of a model's repository; code can be trusted with the app gradio only",
                ));
            }
        }
        self.limits.validate()
    }
}

/// Checks the name of a secret or a variable.
///
/// # Errors
/// [`HfError::InvalidArgument`] when the Hub would refuse it.
///
/// # Source
/// Hub OpenAPI: `^[a-zA-Z][_a-zA-Z0-9]*$`.
pub fn check_key(key: &str) -> Result<(), HfError> {
    let good = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if good {
        return Ok(());
    }
    Err(HfError::invalid(format!(
        "{key:?} can not name a secret or a variable: a letter first, then letters, digits and _"
    )))
}

/// What a visitor of the app may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AppLimits {
    /// The longest prompt, in characters.
    pub max_prompt_chars: u32,
    /// The most tokens of an answer.
    pub max_new_tokens: u32,
    /// The most seconds of graphics processor a call may take on `ZeroGPU`.
    pub max_gpu_seconds: u32,
    /// Milliseconds a token is expected to take, from which the seconds of a call are asked for.
    pub ms_per_token: u32,
}

impl Default for AppLimits {
    fn default() -> Self {
        Self {
            max_prompt_chars: 8_000,
            max_new_tokens: 1_024,
            max_gpu_seconds: 60,
            ms_per_token: 40,
        }
    }
}

impl AppLimits {
    fn validate(&self) -> Result<(), HfError> {
        let fields = [
            ("max_prompt_chars", self.max_prompt_chars),
            ("max_new_tokens", self.max_new_tokens),
            ("max_gpu_seconds", self.max_gpu_seconds),
            ("ms_per_token", self.ms_per_token),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(HfError::invalid(format!("{name} must be at least 1"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_hub_would_refuse_is_refused_before() {
        let with_key = |key: &str| SpaceConfig {
            variables: [(key.to_owned(), String::new())].into(),
            ..SpaceConfig::default()
        };
        assert!(with_key("MODEL_1").validate().is_ok());
        for key in ["", "1A", "_A", "A-B", "A\nB"] {
            assert!(with_key(key).validate().is_err(), "{key:?}");
        }
        let both = SpaceConfig {
            secrets: [("A".to_owned(), SecretValue::from("x"))].into(),
            ..with_key("A")
        };
        assert!(both.validate().is_err());
        let sleeping = |hardware: &str| SpaceConfig {
            hardware: hardware.parse().unwrap(),
            sleep_time: Some(SleepTime::Never),
            ..SpaceConfig::default()
        };
        assert!(sleeping("zero-gpu").validate().is_err() && sleeping("t4-small").validate().is_ok());
        let own = |hardware: &str, trust_remote_code| SpaceConfig {
            app: SpaceApp::Bashgym,
            hardware: hardware.parse().unwrap(),
            trust_remote_code,
            ..SpaceConfig::default()
        };
        assert!(own("cpu-basic", false).validate().is_ok() && own("cpu-upgrade", false).validate().is_ok());
        for refused in [
            own("zero-gpu", false),
            own("t4-small", false),
            own("cpu-basic", true),
        ] {
            assert!(refused.validate().is_err(), "{refused:?}");
        }
        let mut zero = SpaceConfig::default();
        zero.limits.max_new_tokens = 0;
        assert!(zero.validate().is_err());
    }
}
