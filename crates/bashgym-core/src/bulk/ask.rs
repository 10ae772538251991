//! One thing that is asked of a model, and the name under which its answer is kept.

use std::fmt;
use std::str::FromStr;

use hf_inference::{ChatRequest, ModelRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a question: a hash of all that its answer depends on.
///
/// Equal questions have one name, whatever row they come from and in whatever order; a question to another model, Hub or
/// with another option has another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey([u8; 16]);

/// Goes into every name: a change in what a question means changes it.
const FORM: &str = "bashgym-bulk-1";

impl CallKey {
    /// Hashes parts, each with its length, so that no two lists of parts read the same.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [FORM.as_bytes()].into_iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut name = [0; 16];
        name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(name)
    }
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({self})")
    }
}

impl FromStr for CallKey {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut name = [0; 16];
        hex::decode_to_slice(text, &mut name)?;
        Ok(Self(name))
    }
}

impl Serialize for CallKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// A conversation to answer.
    Chat(Box<ChatRequest>),
    /// Texts to turn into vectors.
    Embed {
        /// The model.
        model: ModelRef,
        /// The texts.
        texts: Vec<String>,
    },
}

/// A call that will be made, unless its answers are there already.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The name of each answer: one for a conversation, one for each text.
    pub keys: Vec<CallKey>,
    /// What is asked.
    pub question: Question,
}

impl Ask {
    /// A conversation to answer, at this Hub. `sample` tells the same conversation asked several times apart.
    pub fn chat(endpoint: &str, request: ChatRequest, sample: u32) -> Self {
        let model = request.model.to_string();
        // Structs serialise in the order of their fields, so the text is the same each time.
        let messages = serde_json::to_vec(&request.messages).unwrap_or_default();
        let options = serde_json::to_vec(&request.options).unwrap_or_default();
        let key = CallKey::of([
            b"chat".as_slice(),
            endpoint.as_bytes(),
            model.as_bytes(),
            &messages,
            &options,
            &sample.to_le_bytes(),
        ]);
        Self {
            keys: vec![key],
            question: Question::Chat(Box::new(request)),
        }
    }

    /// The name of a text's vector, at this Hub.
    pub fn embed_key(endpoint: &str, model: &ModelRef, text: &str) -> CallKey {
        let model = model.to_string();
        CallKey::of([
            b"embed".as_slice(),
            endpoint.as_bytes(),
            model.as_bytes(),
            text.as_bytes(),
        ])
    }

    /// All text that would leave this machine.
    pub(crate) fn sent(&self) -> Vec<u8> {
        match &self.question {
            Question::Chat(request) => {
                let mut text = serde_json::to_vec(&request.messages).unwrap_or_default();
                text.push(b'\n');
                text.extend(serde_json::to_vec(&request.options).unwrap_or_default());
                text
            }
            Question::Embed { texts, .. } => texts.join("\n").into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hf_inference::Message;

    use super::*;

    fn ask(endpoint: &str, text: &str, temperature: Option<f64>, sample: u32) -> CallKey {
        let mut request = ChatRequest::new("org/name".parse().unwrap(), [Message::user(text)]);
        request.options.temperature = temperature;
        Ask::chat(endpoint, request, sample).keys[0]
    }

    #[test]
    fn a_name_changes_with_all_that_the_answer_depends_on_and_with_nothing_else() {
        let name = ask("http://a", "hi", None, 0);
        assert_eq!(ask("http://a", "hi", None, 0), name);
        let others = [
            ask("http://b", "hi", None, 0),
            ask("http://a", "hi!", None, 0),
            ask("http://a", "hi", Some(0.0), 0),
            ask("http://a", "hi", None, 1),
        ];
        for other in others {
            assert_ne!(other, name);
        }
        assert_eq!(name.to_string().parse::<CallKey>().unwrap(), name);
        assert_ne!(
            CallKey::of([b"ab".as_slice(), b"c"]),
            CallKey::of([b"a".as_slice(), b"bc"])
        );
    }
}
