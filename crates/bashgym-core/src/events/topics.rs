//! What a reader wants to hear of.

use serde::{Deserialize, Serialize};

/// How many patterns one reader may have.
const MOST: usize = 64;
/// How long a pattern may be, in bytes.
const LONGEST: usize = 256;

/// A pattern that can not be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadTopic {
    /// It is empty.
    #[error(
        "a topic is empty; write a topic such as `job:66aa`, `job:*` for all jobs, or `*` for everything"
    )]
    Empty,
    /// It is too long.
    #[error("a topic is longer than {LONGEST} bytes")]
    TooLong,
    /// The star is not at its end.
    #[error("`{0}`: a `*` may only be the last character of a topic")]
    Star(String),
    /// It holds a control character.
    #[error("a topic holds a control character")]
    Control,
    /// There are too many.
    #[error("more than {MOST} topics at once; use a prefix such as `job:*`")]
    TooMany,
}

/// A set of topics: `job:66aa` is that one, `job:*` all that begin so, `*` everything.
///
/// # Shape
/// A list of such texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Topics {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Topics {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything.
    pub fn all() -> Self {
        Self {
            exact: Vec::new(),
            prefixes: vec![String::new()],
        }
    }

    /// Reads patterns.
    ///
    /// # Errors
    /// [`BadTopic`].
    pub fn parse<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, BadTopic> {
        let mut topics = Self::none();
        topics.add(patterns)?;
        Ok(topics)
    }

    /// Adds patterns; those that are there already change nothing. Nothing is added on error.
    ///
    /// # Errors
    /// [`BadTopic`].
    pub fn add<T: AsRef<str>>(&mut self, patterns: impl IntoIterator<Item = T>) -> Result<(), BadTopic> {
        let mut next = self.clone();
        for pattern in patterns {
            let (list, text) = next.place(pattern.as_ref())?;
            if !list.iter().any(|there| there == text) {
                list.push(text.to_owned());
            }
            if next.exact.len() + next.prefixes.len() > MOST {
                return Err(BadTopic::TooMany);
            }
        }
        *self = next;
        Ok(())
    }

    /// Takes patterns away again; those that are not there change nothing.
    ///
    /// # Errors
    /// [`BadTopic`].
    pub fn remove<T: AsRef<str>>(&mut self, patterns: impl IntoIterator<Item = T>) -> Result<(), BadTopic> {
        for pattern in patterns {
            let (list, text) = self.place(pattern.as_ref())?;
            list.retain(|there| there != text);
        }
        Ok(())
    }

    fn place<'a, 'b>(&'a mut self, pattern: &'b str) -> Result<(&'a mut Vec<String>, &'b str), BadTopic> {
        if pattern.is_empty() {
            return Err(BadTopic::Empty);
        }
        if pattern.len() > LONGEST {
            return Err(BadTopic::TooLong);
        }
        if pattern.chars().any(char::is_control) {
            return Err(BadTopic::Control);
        }
        let (list, text) = match pattern.strip_suffix('*') {
            Some(prefix) => (&mut self.prefixes, prefix),
            None => (&mut self.exact, pattern),
        };
        if text.contains('*') {
            return Err(BadTopic::Star(pattern.to_owned()));
        }
        Ok((list, text))
    }

    /// Whether a topic is among them.
    pub fn contains(&self, topic: &str) -> bool {
        self.exact.iter().any(|exact| exact == topic)
            || self
                .prefixes
                .iter()
                .any(|prefix| topic.starts_with(prefix.as_str()))
    }

    /// Whether nothing is among them.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Whether everything is among them.
    pub fn is_all(&self) -> bool {
        self.prefixes.iter().any(String::is_empty)
    }

    /// The topics that are named whole.
    pub fn exact(&self) -> &[String] {
        &self.exact
    }

    /// What the other topics begin with.
    pub fn prefixes(&self) -> &[String] {
        &self.prefixes
    }
}

impl TryFrom<Vec<String>> for Topics {
    type Error = BadTopic;

    fn try_from(patterns: Vec<String>) -> Result<Self, Self::Error> {
        Self::parse(patterns)
    }
}

impl From<Topics> for Vec<String> {
    fn from(topics: Topics) -> Self {
        let stars = topics.prefixes.into_iter().map(|prefix| prefix + "*");
        topics.exact.into_iter().chain(stars).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_whole_or_by_their_beginning() {
        let topics = Topics::parse(["job:66aa", "run:*"]).unwrap();
        assert!(topics.contains("job:66aa") && topics.contains("run:7"));
        assert!(!topics.contains("job:66aab") && !topics.contains("budget"));
        assert!(Topics::all().contains("anything") && Topics::all().is_all());
        assert!(!Topics::none().contains("job:66aa"));
        assert_eq!(Vec::from(topics), ["job:66aa", "run:*"]);
    }

    #[test]
    fn bad_patterns_are_refused_and_change_nothing() {
        let mut topics = Topics::none();
        assert_eq!(
            topics.add(["job:1", "j*b"]),
            Err(BadTopic::Star("j*b".to_owned()))
        );
        assert_eq!(topics.add([""]), Err(BadTopic::Empty));
        assert_eq!(topics.add(["job:\0"]), Err(BadTopic::Control));
        assert_eq!(topics.add(["x".repeat(257)]), Err(BadTopic::TooLong));
        assert_eq!(
            topics.add((0..65).map(|number| number.to_string())),
            Err(BadTopic::TooMany)
        );
        assert!(topics.is_empty());
        topics.add(["job:1", "job:*"]).unwrap();
        topics.remove(["job:*", "never"]).unwrap();
        assert_eq!(topics, Topics::parse(["job:1"]).unwrap());
    }
}
