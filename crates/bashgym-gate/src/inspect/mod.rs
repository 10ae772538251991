//! Whether a file may be uploaded, decided while its bytes go by.

mod parquet;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use serde::Deserialize;

use crate::replace::GateKey;
use crate::review::Policy;
use crate::rules::RulesError;
use crate::scan::{Hit, Scanner};

/// The longest header of a safetensors file.
const LONGEST_HEADER: u64 = 64 << 20;

/// Why a file may not be uploaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Something was found in it.
    #[error(
        "{path}: {count} secrets or personal data found ({}), first in line {line}",
        list(kinds)
    )]
    Found {
        /// The file.
        path: String,
        /// How many.
        count: u64,
        /// How many of each kind.
        kinds: BTreeMap<String, u64>,
        /// The line of the first.
        line: u64,
    },
    /// It is not text, and not a format whose content is known to carry none.
    #[error("{path}: {why}; the gate cannot look inside, so it does not pass")]
    Unreadable {
        /// The file.
        path: String,
        /// What it is.
        why: String,
    },
    /// The rules cannot be read.
    #[error("the gate itself failed: {0}")]
    Rules(#[from] RulesError),
}

fn list(kinds: &BTreeMap<String, u64>) -> String {
    let parts: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{kind}: {count}"))
        .collect();
    parts.join(", ")
}

/// What inspections share: the key, the decisions, and the secrets this process knows.
#[derive(Debug, Clone)]
pub struct Inspector {
    key: GateKey,
    policy: Policy,
    known: Vec<String>,
}

impl Inspector {
    /// Makes an inspector.
    pub fn new(key: GateKey, policy: Policy, known: Vec<String>) -> Self {
        Self { key, policy, known }
    }

    /// Starts the inspection of a file. Its path is uploaded too, and is looked at first.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for what is wrong with the path alone.
    pub fn begin(&self, path: &str, size: u64) -> Result<Inspection, Refusal> {
        let known = || self.known.iter().map(String::as_str);
        let mut scanner = Scanner::new(self.key.clone(), self.policy.clone())?.with_known(known());
        let mut hits = Vec::new();
        scanner.feed(path.as_bytes(), &mut hits);
        scanner.finish(&mut hits);
        if let Some(first) = hits.first() {
            // The name itself is the secret, so it is not repeated.
            return Err(Refusal::Found {
                path: "the name of a file".to_owned(),
                count: hits.len() as u64,
                kinds: BTreeMap::from([(first.kind.to_owned(), hits.len() as u64)]),
                line: 1,
            });
        }
        Ok(Inspection {
            path: path.to_owned(),
            size,
            scanner,
            kinds: BTreeMap::new(),
            first_line: 0,
            seen: 0,
            tail: Vec::new(),
            form: if path.ends_with(".safetensors") {
                Form::Header(Vec::new())
            } else if path.ends_with(".parquet") {
                match tempfile::tempfile() {
                    Ok(copy) => Form::Parquet(copy),
                    Err(error) => Form::Unreadable(format!("no copy of it could be made ({error})")),
                }
            } else {
                Form::Text
            },
        })
    }
}

#[derive(Debug)]
enum Form {
    Text,
    /// The beginning of a safetensors file: its length and its JSON.
    Header(Vec<u8>),
    /// The numbers of a safetensors file.
    Numbers,
    /// A copy without a name of a Parquet file: it is read from its end.
    Parquet(File),
    /// Something that cannot be looked into.
    Unreadable(String),
}

/// One file on its way through the gate.
#[derive(Debug)]
pub struct Inspection {
    path: String,
    size: u64,
    scanner: Scanner,
    kinds: BTreeMap<String, u64>,
    first_line: u64,
    seen: u64,
    /// Bytes of a letter that the next piece completes.
    tail: Vec<u8>,
    form: Form,
}

#[derive(Deserialize)]
struct Tensor {
    data_offsets: (u64, u64),
}

impl Inspection {
    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        match &mut self.form {
            Form::Text => self.text(bytes),
            Form::Header(head) => {
                head.extend_from_slice(bytes);
                self.header();
            }
            Form::Parquet(copy) => {
                if let Err(error) = copy.write_all(bytes) {
                    self.form = Form::Unreadable(format!("no copy of it could be made ({error})"));
                }
            }
            Form::Numbers | Form::Unreadable(_) => {}
        }
    }

    /// Looks into a Parquet file once all of it is there. A row counts as a line.
    fn rows(&mut self) {
        let Form::Parquet(copy) = std::mem::replace(&mut self.form, Form::Numbers) else {
            return;
        };
        let (scanner, kinds, first) = (&mut self.scanner, &mut self.kinds, &mut self.first_line);
        let mut hits = Vec::new();
        let read = parquet::read(copy, &mut |row, text| {
            scanner.feed(text, &mut hits);
            scanner.finish(&mut hits);
            let found = !hits.is_empty();
            for hit in hits.drain(..) {
                if kinds.is_empty() {
                    *first = row;
                }
                *kinds.entry(hit.kind.to_owned()).or_default() += 1;
            }
            found
        });
        if let Err(why) = read {
            self.form = Form::Unreadable(why);
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        if bytes.contains(&0) {
            self.form = Form::Unreadable("it holds NUL bytes, so it is no text".to_owned());
            return;
        }
        let mut joined = std::mem::take(&mut self.tail);
        joined.extend_from_slice(bytes);
        match std::str::from_utf8(&joined) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => {
                self.tail = joined.split_off(error.valid_up_to());
            }
            Err(_) => {
                self.form = Form::Unreadable("it is not UTF-8, so it is no text".to_owned());
                return;
            }
        }
        let mut hits = Vec::new();
        self.scanner.feed(&joined, &mut hits);
        self.take(&hits);
    }

    /// Reads the header once all of it is there. Behind it are numbers only, if its spans cover the rest of the file.
    fn header(&mut self) {
        let Form::Header(head) = &self.form else { return };
        let Some((length, rest)) = head.split_first_chunk::<8>() else {
            return;
        };
        let length = u64::from_le_bytes(*length);
        if length > LONGEST_HEADER {
            self.form = Form::Unreadable("it is no safetensors file".to_owned());
            return;
        }
        let Some(json) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
            return;
        };
        let json = json.to_vec();
        self.form = if spans_cover(&json, self.size.saturating_sub(8 + length)) {
            Form::Numbers
        } else {
            Form::Unreadable("its header does not describe all of it".to_owned())
        };
        let mut hits = Vec::new();
        self.scanner.feed(&json, &mut hits);
        self.take(&hits);
    }

    fn take(&mut self, hits: &[Hit]) {
        for hit in hits {
            if self.kinds.is_empty() {
                self.first_line = hit.line;
            }
            *self.kinds.entry(hit.kind.to_owned()).or_default() += 1;
        }
    }

    /// Says whether the file passes.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when something was found, when it cannot be looked into, or when it is not as long as was said.
    pub fn finish(mut self) -> Result<(), Refusal> {
        if matches!(self.form, Form::Parquet(_)) {
            self.rows();
        }
        let mut hits = Vec::new();
        self.scanner.finish(&mut hits);
        self.take(&hits);
        let unreadable = |why: &str| Refusal::Unreadable {
            path: self.path.clone(),
            why: why.to_owned(),
        };
        if !self.kinds.is_empty() {
            return Err(Refusal::Found {
                count: self.kinds.values().sum(),
                path: self.path,
                kinds: self.kinds,
                line: self.first_line,
            });
        }
        match &self.form {
            Form::Unreadable(why) => Err(unreadable(why)),
            Form::Header(_) => Err(unreadable("its header is not whole")),
            _ if !self.tail.is_empty() => Err(unreadable("it ends in the middle of a letter")),
            _ if self.seen != self.size => Err(unreadable("it changed while it was read")),
            _ => Ok(()),
        }
    }
}

/// Whether the tensors of a safetensors header lie one behind the other and fill the file to its end.
fn spans_cover(header: &[u8], data: u64) -> bool {
    let Ok(parsed) = serde_json::from_slice::<BTreeMap<String, serde_json::Value>>(header) else {
        return false;
    };
    let mut spans = Vec::new();
    for (name, value) in parsed {
        if name == "__metadata__" {
            continue;
        }
        match serde_json::from_value::<Tensor>(value) {
            Ok(tensor) => spans.push(tensor.data_offsets),
            Err(_) => return false,
        }
    }
    spans.sort_unstable();
    let mut at = 0;
    for (start, end) in spans {
        if start != at || end < start {
            return false;
        }
        at = end;
    }
    at == data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(path: &str, bytes: &[u8], piece: usize) -> Result<(), Refusal> {
        let inspector = Inspector::new(
            GateKey::public(),
            Policy::default(),
            vec!["correct horse".to_owned()],
        );
        let mut inspection = inspector.begin(path, bytes.len() as u64)?;
        for part in bytes.chunks(piece) {
            inspection.feed(part);
        }
        inspection.finish()
    }

    fn safetensors(metadata: &str, data: &[u8]) -> Vec<u8> {
        let header = format!(
            r#"{{"__metadata__":{{"note":"{metadata}"}},"w":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#,
            data.len()
        );
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn text_passes_and_secrets_do_not() {
        for piece in [1, 7, 4096] {
            verdict("README.md", "clean, with ümlauts and 🙂\n".as_bytes(), piece).unwrap();
            let token = format!("line\nx = 'ghp_{}'\n", "a1B2c3D4e5F6".repeat(3));
            let refusal = verdict("a.py", token.as_bytes(), piece).unwrap_err();
            assert!(
                matches!(
                    refusal,
                    Refusal::Found {
                        count: 1,
                        line: 2,
                        ..
                    }
                ),
                "{refusal}"
            );
            assert!(!refusal.to_string().contains("a1B2"), "{refusal}");
            assert!(verdict("a.txt", b"it is correct horse, really", piece).is_err());
        }
    }

    #[test]
    fn names_of_files_are_looked_at_and_not_repeated() {
        let refusal = verdict("logs/jane.roe@corp.example.txt", b"x", 10).unwrap_err();
        assert!(!refusal.to_string().contains("jane"), "{refusal}");
    }

    #[test]
    fn what_cannot_be_read_does_not_pass() {
        for (path, bytes) in [
            ("x.bin", &b"PAR1\0\0rest"[..]),
            ("x.parquet", b"PAR1\0\0rest"),
            ("x.parquet", b"PAR1"),
            ("x.parquet", b""),
            ("x.txt", b"latin \xe9t\xe9"),
            ("x.txt", b"cut \xf0\x9f"),
            ("x.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
            ("x.safetensors", b"short"),
        ] {
            for piece in [1, 100] {
                assert!(
                    matches!(verdict(path, bytes, piece), Err(Refusal::Unreadable { .. })),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn weights_pass_when_the_header_covers_them() {
        let numbers: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        for piece in [3, 100_000] {
            verdict("model.safetensors", &safetensors("fine", &numbers), piece).unwrap();
            let mut longer = safetensors("fine", &numbers);
            longer.extend_from_slice(b"and more");
            assert!(verdict("model.safetensors", &longer, piece).is_err());
            let found = verdict(
                "model.safetensors",
                &safetensors("jane.roe@corp.example", &numbers),
                piece,
            );
            assert!(matches!(found, Err(Refusal::Found { .. })));
        }
    }

    /// A Parquet file of texts, with a note on the side.
    fn parquet(
        texts: &[&str],
        note: &str,
        properties: ::parquet::file::properties::WriterPropertiesBuilder,
    ) -> Vec<u8> {
        use ::parquet::data_type::{ByteArray, ByteArrayType};
        use ::parquet::file::metadata::KeyValue;
        use ::parquet::file::writer::SerializedFileWriter;
        let schema =
            ::parquet::schema::parser::parse_message_type("message rows { optional binary text (STRING); }");
        let note = KeyValue::new("note".to_owned(), note.to_owned());
        let properties = properties.set_key_value_metadata(Some(vec![note])).build();
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema.unwrap().into(), properties.into()).unwrap();
        let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&values, Some(&vec![1; values.len()]), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    fn plain() -> ::parquet::file::properties::WriterPropertiesBuilder {
        use ::parquet::basic::Compression;
        use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
        WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_compression(Compression::SNAPPY)
    }

    #[test]
    fn rows_of_a_parquet_file_are_looked_at() {
        let rows = ["clean", "also clean, with ümlauts", "x"];
        let whole = parquet(&rows, "fine", plain());
        for piece in [5, 100_000] {
            verdict("train.parquet", &whole, piece).unwrap();
            let token = format!("x = 'ghp_{}'", "a1B2c3D4e5F6".repeat(3));
            let found = verdict(
                "train.parquet",
                &parquet(&["clean", &token], "fine", plain()),
                piece,
            )
            .unwrap_err();
            assert!(
                matches!(&found, Refusal::Found { line: 2, kinds, .. } if kinds.contains_key("github_token")),
                "{found}"
            );
            assert!(!found.to_string().contains("a1B2"), "{found}");
        }
    }

    #[test]
    fn nothing_hides_in_a_parquet_file() {
        use ::parquet::file::properties::EnabledStatistics;
        let found = verdict("a.parquet", &parquet(&["x"], "jane.roe@corp.example", plain()), 9);
        assert!(matches!(found, Err(Refusal::Found { .. })), "{found:?}");
        let whole = parquet(&["x", "y"], "fine", plain());
        let indexed = plain().set_offset_index_disabled(false);
        let counted = plain().set_statistics_enabled(EnabledStatistics::Page);
        let mut gap = whole.clone();
        let length = gap.len();
        let footer = u32::from_le_bytes(whole[length - 8..length - 4].try_into().unwrap()) as usize;
        gap.splice(length - 8 - footer..length - 8 - footer, *b"hidden");
        for bytes in [
            gap,
            [whole.as_slice(), b"behind"].concat(),
            whole[..length - 1].to_vec(),
            parquet(&["x"], "fine", indexed),
            parquet(&["x"], "fine", counted),
        ] {
            let refused = verdict("a.parquet", &bytes, 100_000);
            assert!(matches!(refused, Err(Refusal::Unreadable { .. })), "{refused:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_parquet_file_stops_nothing(at in 0..1_000_usize, byte in proptest::prelude::any::<u8>()) {
            let mut bytes = parquet(&["clean", "x", "clean"], "fine", plain());
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = verdict("a.parquet", &bytes, 100_000);
        }
    }
}
