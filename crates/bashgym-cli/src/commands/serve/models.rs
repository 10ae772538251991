//! The models behind the gateway's names: flags, then variables, then the config file.

use bashgym_core::backend::{BackendRole, Upstream, Wire, parse_price};
use bashgym_core::router::RoutingStrategy;
use bashgym_server::GatewayParts;
use clap::Args;
use hf_core::{Endpoint, SecretValue};
use hf_inference::{ModelRef, TokenPrice};

use super::{configured, configured_by};
use crate::context::{Context, own_variable};
use crate::error::{CliError, Kind};

const ANTHROPIC: &str = "https://api.anthropic.com";
const OPENAI: &str = "https://api.openai.com/v1";
/// Tokens of an answer at most, where nobody says.
const ANSWER_TOKENS: u32 = 4096;

/// Which models the OpenAI-compatible API under /v1 offers. Keys come from variables, never from flags.
#[expect(clippy::doc_markdown, reason = "these are the texts of `--help`")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Models of /v1")]
pub(super) struct ModelArgs {
    /// The teacher: a model at Anthropic, at OpenAI, or at --teacher-url [variable: BASHGYM_TEACHER]
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
    /// Where the teacher is, up to /v1 [variable: BASHGYM_TEACHER_URL]
    #[arg(long, value_name = "URL")]
    teacher_url: Option<Endpoint>,
    /// Whose API the teacher speaks: openai or anthropic; told by its address without it
    #[arg(long, value_name = "API")]
    teacher_api: Option<Wire>,
    /// What the teacher costs, in dollars for a million tokens [variable: BASHGYM_TEACHER_PRICE]
    #[arg(long, value_name = "IN/OUT", value_parser = parse_price)]
    teacher_price: Option<TokenPrice>,
    /// The variable that holds the teacher's key; ANTHROPIC_API_KEY, OPENAI_API_KEY or NVIDIA_API_KEY by its address
    #[arg(long, value_name = "NAME")]
    teacher_key_env: Option<String>,
    /// The student: a model that the Hub serves, or one at --student-url [variable: BASHGYM_STUDENT]
    #[arg(long, value_name = "MODEL")]
    student: Option<String>,
    /// Where the student is, up to /v1 [variable: BASHGYM_STUDENT_URL]
    #[arg(long, value_name = "URL")]
    student_url: Option<Endpoint>,
    /// What the student costs; nothing on this machine [variable: BASHGYM_STUDENT_PRICE]
    #[arg(long, value_name = "IN/OUT", value_parser = parse_price)]
    student_price: Option<TokenPrice>,
    /// The variable that holds the student's key
    #[arg(long, value_name = "NAME")]
    student_key_env: Option<String>,
    /// A model at Hugging Face that bashgym/auto may take [variable: BASHGYM_HF_MODEL]
    #[arg(long, value_name = "MODEL")]
    hf_model: Option<ModelRef>,
    /// How bashgym/auto chooses: teacher_only, student_only, hf_inference, or confidence_based, cost_optimized and
    /// progressive with the quality wanted behind a colon [variable: BASHGYM_ROUTING]
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<RoutingStrategy>,
    /// Tokens of an answer at most, where a request to a teacher or a student at a URL does not say; 4096
    #[arg(long, value_name = "N", value_parser = answer_tokens)]
    answer_tokens: Option<u32>,
    /// Make calls even if nobody names their price; caps then cannot count them
    #[arg(long)]
    allow_unknown_price: bool,
    /// Keep what was said in calls the student was not sure of, in the store of this home, for `bashgym route candidates`
    #[arg(long)]
    keep_exchanges: bool,
}

fn answer_tokens(text: &str) -> Result<u32, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=1_000_000).contains(number));
    number.ok_or_else(|| "the tokens of an answer are 1 to 1000000".to_owned())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text).map_err(|error| error.to_string())
}

/// The variable in which the key of an address is kept by custom.
///
/// # Source
/// `anthropic` 2.12.0 and `openai` 3.54.0 from `PyPI`: `_client.py`. NVIDIA's examples use `NVIDIA_API_KEY`.
fn usual_key(url: &Endpoint) -> Option<&'static str> {
    let host = url.url().host_str()?;
    match host {
        "api.anthropic.com" => Some("ANTHROPIC_API_KEY"),
        "api.openai.com" => Some("OPENAI_API_KEY"),
        _ if host.ends_with(".nvidia.com") => Some("NVIDIA_API_KEY"),
        _ => None,
    }
}

struct At {
    role: BackendRole,
    model: String,
    url: Endpoint,
    wire: Option<Wire>,
    price: Option<TokenPrice>,
    key_env: Option<String>,
}

impl At {
    fn upstream(self, answer_tokens: u32) -> Result<Upstream, CliError> {
        let host = self.url.url().host_str().unwrap_or_default();
        let anthropic = host == "api.anthropic.com";
        let key = match (&self.key_env, usual_key(&self.url)) {
            (Some(name), _) => Some(own_variable(name).ok_or_else(|| {
                CliError::new(Kind::Usage, format!("{name} is not set"))
                    .hint("it is to hold the key of the model")
            })?),
            (None, Some(name)) => Some(own_variable(name).ok_or_else(|| {
                CliError::new(Kind::Auth, format!("there is no key for {host}")).hint(format!("set {name}"))
            })?),
            (None, None) => None,
        };
        if key.is_some() && self.url.url().scheme() != "https" && !self.url.is_loopback() {
            return Err(
                CliError::new(Kind::Usage, format!("the key would go to {host} in the clear"))
                    .hint("give an address that begins with https"),
            );
        }
        Ok(Upstream {
            role: self.role,
            model: self.model,
            wire: self
                .wire
                .unwrap_or(if anthropic { Wire::Anthropic } else { Wire::OpenAi }),
            url: self.url,
            key: key.map(SecretValue::from),
            price: self.price,
            answer_tokens,
        })
    }
}

impl ModelArgs {
    /// The models, with their addresses and keys. A name without an address is one at the Hub, for a student, and at the maker
    /// of the model, for a teacher.
    pub(super) fn parts(&self, context: &Context) -> Result<GatewayParts, CliError> {
        let is_on = |flag: bool, name: &str| flag || context.file.is_on(name);
        let answer_tokens =
            configured_by(self.answer_tokens, "models.answer_tokens", context, answer_tokens)?;
        let answer_tokens = answer_tokens.unwrap_or(ANSWER_TOKENS);
        let mut parts = GatewayParts {
            allow_unknown_price: is_on(self.allow_unknown_price, "models.allow_unknown_price"),
            ..GatewayParts::default()
        };
        if let Some(strategy) = configured(self.strategy, "models.strategy", context)? {
            parts.policy.strategy = strategy;
        }
        parts.policy.keep_exchanges = is_on(self.keep_exchanges, "models.keep_exchanges");
        parts.hf = configured(self.hf_model.clone(), "models.hf_model", context)?;
        if let Some(teacher) = self.teacher(context)? {
            parts.upstreams.push(teacher.upstream(answer_tokens)?);
        }
        if let Some(name) = configured(self.student.clone(), "models.student", context)? {
            match self.student_at(&name, context)? {
                Some(at) => parts.upstreams.push(at.upstream(answer_tokens)?),
                None => parts.student = Some(name.parse()?),
            }
        }
        Ok(parts)
    }

    fn teacher(&self, context: &Context) -> Result<Option<At>, CliError> {
        let Some(model) = configured(self.teacher.clone(), "models.teacher", context)? else {
            return Ok(None);
        };
        let url = configured_by(self.teacher_url.clone(), "models.teacher_url", context, endpoint)?;
        let url = match url {
            Some(url) => url,
            None if model.starts_with("claude") => ANTHROPIC.parse()?,
            None => OPENAI.parse()?,
        };
        Ok(Some(At {
            role: BackendRole::Teacher,
            model,
            url,
            wire: configured(self.teacher_api, "models.teacher_api", context)?,
            price: configured_by(self.teacher_price, "models.teacher_price", context, parse_price)?,
            key_env: configured(self.teacher_key_env.clone(), "models.teacher_key_env", context)?,
        }))
    }

    /// The student, where it has an address of its own.
    fn student_at(&self, name: &str, context: &Context) -> Result<Option<At>, CliError> {
        let url = configured_by(self.student_url.clone(), "models.student_url", context, endpoint)?;
        let Some(url) = url else { return Ok(None) };
        Ok(Some(At {
            role: BackendRole::Student,
            model: name.to_owned(),
            url,
            wire: None,
            price: configured_by(self.student_price, "models.student_price", context, parse_price)?,
            key_env: configured(self.student_key_env.clone(), "models.student_key_env", context)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_looked_for_where_it_is_kept_by_custom() {
        let key = |url: &str| usual_key(&url.parse().unwrap());
        assert_eq!(key(ANTHROPIC), Some("ANTHROPIC_API_KEY"));
        assert_eq!(key(OPENAI), Some("OPENAI_API_KEY"));
        assert_eq!(key("https://integrate.api.nvidia.com/v1"), Some("NVIDIA_API_KEY"));
        assert_eq!(key("https://api.anthropic.com.evil.example"), None);
        assert_eq!(key("http://127.0.0.1:11434/v1"), None);
    }

    #[test]
    fn an_address_says_whose_words_it_speaks() {
        let at = |url: &str, wire| At {
            role: BackendRole::Student,
            model: "m".to_owned(),
            url: url.parse().unwrap(),
            wire,
            price: None,
            key_env: None,
        };
        let local = at("http://127.0.0.1:9/v1", None).upstream(5).unwrap();
        assert_eq!(
            (local.wire, local.answer_tokens, local.key.is_none()),
            (Wire::OpenAi, 5, true)
        );
        let said = at("http://127.0.0.1:9", Some(Wire::Anthropic))
            .upstream(5)
            .unwrap();
        assert_eq!(said.wire, Wire::Anthropic);
        let mut named = at("http://127.0.0.1:9/v1", None);
        named.key_env = Some("A_VARIABLE_THAT_NOBODY_SETS".to_owned());
        assert_eq!(named.upstream(5).err().unwrap().kind, Kind::Usage);
    }
}
