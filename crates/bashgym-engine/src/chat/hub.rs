//! Conversations as another model of the Hub takes them: its own chat template and tokenizer.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value as JinjaValue};
use minijinja::{Environment, ErrorKind, context};
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::data::Json;
use crate::error::{EngineError, Result};

const TEMPLATE: &str = "chat";

/// The chat template and the tokenizer of a model folder.
///
/// Keys of objects come out sorted, so the text of a tool's schema may differ from the trainer's in their order.
///
/// # Source
/// transformers 5.23, `utils/chat_template_utils.py`: Jinja with trimmed blocks, `raise_exception`, and a `tojson` without
/// escapes; the template is `chat_template.jinja`, or `chat_template` of `tokenizer_config.json`.
pub struct HubChat {
    template: ChatTemplate,
    tokenizer: Tokenizer,
}

/// A chat template, ready to render.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    start_token: Option<String>,
    end_token: Option<String>,
}

/// The chat template of a model folder as it is written there, if it has one, with its start and end tokens.
///
/// # Errors
/// [`EngineError::BadModel`] if `tokenizer_config.json` is broken.
pub(crate) fn template_in(dir: &Path) -> Result<(Option<String>, Option<String>, Option<String>)> {
    let path = dir.join("tokenizer_config.json");
    let config: Value = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::bad_model(&path, format!("not a JSON object: {error}")))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(EngineError::io("read", &path)(error)),
    };
    let template = match std::fs::read_to_string(dir.join("chat_template.jinja")) {
        Ok(template) => Some(template),
        Err(_) => template_of(&config),
    };
    Ok((
        template,
        special(&config, "bos_token"),
        special(&config, "eos_token"),
    ))
}

impl ChatTemplate {
    /// Reads a template; `of` is what is at fault if it is broken.
    pub(crate) fn new(
        of: &Path,
        template: &str,
        start_token: Option<String>,
        end_token: Option<String>,
    ) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| EngineError::bad_model(of, error.to_string()))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> std::result::Result<String, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(TEMPLATE, without_generation_marks(template))
            .map_err(|error| {
                EngineError::bad_model(of, format!("its chat template cannot be read: {error}"))
            })?;
        Ok(Self {
            environment,
            start_token,
            end_token,
        })
    }

    /// Renders a conversation.
    pub(crate) fn render(
        &self,
        messages: &Value,
        tools: &Value,
        add_generation_prompt: bool,
    ) -> Result<String> {
        let failed = |error: minijinja::Error| EngineError::Template {
            why: error.to_string(),
        };
        self.environment
            .get_template(TEMPLATE)
            .and_then(|template| {
                template.render(context! {
                    messages => jinja(messages),
                    tools => jinja(tools),
                    add_generation_prompt => add_generation_prompt,
                    bos_token => self.start_token.as_deref().unwrap_or_default(),
                    eos_token => self.end_token.as_deref().unwrap_or_default(),
                })
            })
            .map_err(failed)
    }
}

impl HubChat {
    /// Reads `tokenizer.json`, `tokenizer_config.json` and the chat template of a folder.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] if one of them is missing or broken.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("tokenizer.json");
        let tokenizer =
            Tokenizer::from_file(&path).map_err(|error| EngineError::bad_model(&path, error.to_string()))?;
        let (template, start_token, end_token) = template_in(dir)?;
        let Some(template) = template else {
            return Err(EngineError::bad_model(dir, "it has no chat template".to_owned()));
        };
        Ok(Self {
            template: ChatTemplate::new(dir, &template, start_token, end_token)?,
            tokenizer,
        })
    }

    /// Renders a conversation. `messages` is a list of messages as chat templates read them, `tools` a list or null.
    ///
    /// # Errors
    /// [`EngineError::Template`] if the template refuses it.
    pub fn render(&self, messages: &Value, tools: &Value, add_generation_prompt: bool) -> Result<String> {
        self.template.render(messages, tools, add_generation_prompt)
    }

    /// Counts the tokens of a rendered text.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if the tokenizer refuses it.
    pub fn count_tokens(&self, text: &str) -> Result<usize> {
        let encoded = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| EngineError::Tokenizer {
                why: error.to_string(),
            })?;
        Ok(encoded.len())
    }
}

/// A template, or a list of named ones of which the default is meant.
fn template_of(config: &Value) -> Option<String> {
    match config.get("chat_template")? {
        Value::String(template) => Some(template.clone()),
        Value::Array(named) => named
            .iter()
            .find(|each| each.get("name").and_then(Value::as_str) == Some("default"))?
            .get("template")?
            .as_str()
            .map(str::to_owned),
        _ => None,
    }
}

/// A special token, written as text or as an object with its `content`.
fn special(config: &Value, name: &str) -> Option<String> {
    let token = config.get(name)?;
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .map(str::to_owned)
}

fn jinja(value: &Value) -> JinjaValue {
    match value {
        Value::Null => JinjaValue::from(()),
        Value::Bool(flag) => JinjaValue::from(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => JinjaValue::from(whole),
            (None, Some(whole)) => JinjaValue::from(whole),
            (None, None) => JinjaValue::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => JinjaValue::from(text.as_str()),
        Value::Array(items) => items.iter().map(jinja).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), jinja(value)))
            .collect::<BTreeMap<String, JinjaValue>>()
            .into(),
    }
}

/// `json.dumps` with `ensure_ascii=False`.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a filter")]
fn to_json(value: &JinjaValue, kwargs: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<JinjaValue> = kwargs.get(ignored)?;
    }
    kwargs.assert_all_used()?;
    let wrong =
        |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    if let Some(indent) = indent {
        let pad = vec![b' '; indent];
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(
            &mut out,
            serde_json::ser::PrettyFormatter::with_indent(&pad),
        );
        serde::Serialize::serialize(value, &mut serializer).map_err(wrong)?;
        return String::from_utf8(out)
            .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()));
    }
    let text = serde_json::to_string(value).map_err(wrong)?;
    let json: Json = serde_json::from_str(&text).map_err(wrong)?;
    Ok(json.to_python_text())
}

/// Turns `{% generation %}` blocks, which mark for trainers what the assistant says, into blocks that Jinja knows.
fn without_generation_marks(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let (before, tag) = (&rest[..start], &rest[start..start + length + 2]);
        out.push_str(before);
        match tag[2..tag.len() - 2].trim_matches(['-', '+', ' ', '\n', '\t']) {
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::chat::{CHAT_TEMPLATE, render};
    use crate::data::{ChatMessage, ChatRow};
    use crate::tokenizer::ChatTokenizer;

    fn chat(template: &str, config: &Value) -> HubChat {
        let dir = tempfile::tempdir().unwrap();
        let words = ["fix the test".to_owned(), "done".to_owned()];
        let tokenizer = ChatTokenizer::train(words.into_iter(), 300).unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_json().unwrap()).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        HubChat::load(dir.path()).unwrap()
    }

    #[test]
    fn the_engines_own_template_says_here_what_the_engine_says() {
        let row = json!({
            "messages": [
                {"role": "user", "content": "fix é \"it\""},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "Bash", "arguments": {"command": "ls -l"}}}]},
                {"role": "tool", "tool_call_id": "c", "content": "a\nb"},
                {"role": "assistant", "content": "done"},
            ],
            "tools": [{"type": "function", "function": {"name": "Bash",
                "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}}],
        });
        let chat = chat(CHAT_TEMPLATE, &json!({}));
        let json: Json = serde_json::from_str(&row.to_string()).unwrap();
        let own = ChatRow::from_json(&json).unwrap();
        for prompt in [false, true] {
            let text = chat.render(&row["messages"], &row["tools"], prompt).unwrap();
            assert_eq!(text, render(&own.messages, &own.tools, prompt));
        }
        let plain = render(&[ChatMessage::text("user", "fix the test")], &[], false);
        assert!(chat.count_tokens(&plain).unwrap() > 3);
    }

    #[test]
    fn marks_for_trainers_and_methods_of_python_are_understood() {
        let template = "{{ bos_token }}{% for m in messages %}{%- if m.role.startswith('a') %}{%- generation -%}\
            {{ m['content'].strip() | upper }}{%- endgeneration %}{% else %}{{ m.content.split(' ')[0] }}|{% endif %}{% endfor %}";
        let chat = chat(template, &json!({"bos_token": {"content": "<s>"}}));
        let messages = json!([{"role": "user", "content": "a b"}, {"role": "assistant", "content": " yes "}]);
        assert_eq!(chat.render(&messages, &Value::Null, false).unwrap(), "<s>a|YES");
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let chat = chat("{{ raise_exception('roles must alternate') }}", &json!({}));
        let error = chat.render(&json!([]), &Value::Null, false).unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let chat = chat("{{ tools | tojson }} {{ tools | tojson(indent=2) }}", &json!({}));
        let text = chat
            .render(&json!([]), &json!([{"a": "<é>", "b": [1, 2.5]}]), false)
            .unwrap();
        assert!(
            text.starts_with("[{\"a\": \"<é>\", \"b\": [1, 2.5]}] [\n  {\n"),
            "{text}"
        );
    }
}
