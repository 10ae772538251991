//! Deserializers that take any JSON and keep what they can use, so that one odd field does not cost a line.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string, or nothing when the value is of another type.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

impl<'a> Text<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn or_empty(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    pub(crate) fn into_string(self) -> String {
        self.0.map(Cow::into_owned).unwrap_or_default()
    }

    pub(crate) fn into_option(self) -> Option<Cow<'a, str>> {
        self.0
    }
}

/// A Boolean; anything else is false.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flag(pub(crate) bool);

/// A whole number; anything else is nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Int(pub(crate) Option<i64>);

impl Int {
    pub(crate) fn tokens(self) -> u64 {
        self.0.and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
    }
}

macro_rules! ignore_other {
    ($($what:ident),*) => {
        $(ignore_other!(@ $what);)*
    };
    (@ bool) => { fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ i64) => { fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ u64) => { fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ f64) => { fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ str) => { fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ unit) => { fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) } };
    (@ seq) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
    (@ map) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Borrowed(v))))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(v.to_owned()))))
            }
            fn visit_string<E: de::Error>(self, v: String) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(v))))
            }
            ignore_other!(bool, i64, u64, f64, unit, seq, map);
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Self::Value, E> {
                Ok(Flag(v))
            }
            ignore_other!(i64, u64, f64, str, unit, seq, map);
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Int;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Int(Some(v)))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
                Ok(Int(i64::try_from(v).ok()))
            }
            ignore_other!(bool, f64, str, unit, seq, map);
        }
        deserializer.deserialize_any(V)
    }
}

/// The `content` of a message or result: a string, a list of blocks, one block, or nothing.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    /// No content, or a value no agent writes there.
    #[default]
    None,
    /// Plain text.
    Text(Cow<'a, str>),
    /// Blocks; a bare string in the list is a block of type `text`.
    Blocks(Vec<Block<'a>>),
}

impl Content<'_> {
    /// Whether any block has this type.
    pub(crate) fn has(&self, kind: &str) -> bool {
        matches!(self, Self::Blocks(blocks) if blocks.iter().any(|b| b.kind.or_empty() == kind))
    }
}

/// A content block of any agent; fields that do not apply are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) text: Text<'a>,
    #[serde(borrow)]
    pub(crate) thinking: Text<'a>,
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tool_use_id: Text<'a>,
    #[serde(borrow)]
    pub(crate) content: Content<'a>,
    pub(crate) is_error: Flag,
}

/// An element of a list of blocks.
struct Element<'a>(Block<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Block<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(text_block(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(text_block(Cow::Owned(v.to_owned())))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Block::deserialize(de::value::MapAccessDeserializer::new(map))
            }
            ignore_other!(bool, i64, u64, f64, unit, seq);
        }
        deserializer.deserialize_any(V).map(Element)
    }
}

fn text_block(text: Cow<'_, str>) -> Block<'_> {
    Block {
        kind: Text(Some(Cow::Borrowed("text"))),
        text: Text(Some(text)),
        ..Block::default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(v.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut blocks = Vec::new();
                while let Some(Element(block)) = seq.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let block = Block::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Content::Blocks(vec![block]))
            }
            ignore_other!(bool, i64, u64, f64, unit);
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow, default)]
        t: Text<'a>,
        #[serde(default)]
        f: Flag,
        #[serde(default)]
        n: Int,
        #[serde(borrow, default)]
        c: Content<'a>,
    }

    #[test]
    fn odd_types_become_nothing() {
        for odd in [
            "null",
            "1",
            "-1",
            "1.5",
            "true",
            "\"x\\n\"",
            "[1,{\"a\":[]}]",
            "{\"a\":{}}",
        ] {
            let json = format!(r#"{{"t":{odd},"f":{odd},"n":{odd},"c":{odd}}}"#);
            let probe: Probe<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(probe.t.as_str(), (odd == "\"x\\n\"").then_some("x\n"), "{odd}");
            assert_eq!(probe.f.0, odd == "true");
            assert_eq!(probe.n.0, odd.parse().ok());
            let _ = probe.c;
        }
    }

    #[test]
    fn blocks_may_be_strings_or_objects() {
        let probe: Probe<'_> =
            serde_json::from_str(r#"{"c":["a",{"type":"tool_use","id":"t1","input":{"x": 1.50}},7]}"#)
                .unwrap();
        let Content::Blocks(blocks) = probe.c else {
            panic!("blocks expected")
        };
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[0].text.or_empty(), "a");
        assert_eq!(blocks[1].input.unwrap().get(), r#"{"x": 1.50}"#);
    }
}
