//! Rows as Parquet: the columns of a JSON Lines file, with the types that the card declares.

mod shred;
mod types;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use hf_core::HfError;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use serde_json::Value;

use self::shred::{Leaf, Values, leaves, shred_row};
pub(crate) use self::types::{Column, declared, shown};
use crate::jsonl::MAX_LINE_BYTES;
use crate::{invalid, io_error};

/// A group of rows ends behind so much JSON: what is in memory at a time, and what a viewer reads to show a page.
const GROUP_BYTES: usize = 32 << 20;
/// A group of rows ends behind so many rows.
const GROUP_ROWS: usize = 10_000;

/// Writes the rows of a JSON Lines file as Parquet; returns how many there are. The same rows give the same bytes.
///
/// There are no statistics and no indexes in the file: they would repeat texts of rows where no reader shows them.
/// This call blocks.
///
/// # Shape
///
/// A column a feature, each optional. Lists have three levels, as the format's specification asks for.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] names the line of a row that does not have the shape of the columns.
pub(crate) fn write(rows: &Path, out: &Path, columns: &[Column]) -> Result<u64, HfError> {
    let source = File::open(rows).map_err(|error| io_error("open", rows, error))?;
    let mut reader = BufReader::with_capacity(256 * 1024, source);
    let file = File::create_new(out).map_err(|error| io_error("create", out, error))?;
    let failed = |error: ParquetError| io_error("write", out, std::io::Error::other(error));
    let schema = types::schema(columns).map_err(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_created_by(concat!("hf-datasets ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
    let mut group = leaves(columns);
    let (mut count, mut in_group, mut bytes) = (0_u64, 0_usize, 0_usize);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| io_error("read", rows, error))?;
        let ended = read == 0;
        if in_group > 0 && (ended || in_group == GROUP_ROWS || bytes >= GROUP_BYTES) {
            write_group(&mut writer, &group).map_err(failed)?;
            group.iter_mut().for_each(Leaf::clear);
            (in_group, bytes) = (0, 0);
        }
        if ended {
            break;
        }
        let wrong = |problem: String| invalid(format!("{}, line {}: {problem}", rows.display(), count + 1));
        let row: Value = serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?;
        shred_row(columns, &row, &mut group).map_err(wrong)?;
        count += 1;
        in_group += 1;
        bytes += read;
    }
    writer.close().map_err(failed)?;
    Ok(count)
}

fn write_group(writer: &mut SerializedFileWriter<File>, leaves: &[Leaf]) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for leaf in leaves {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("the schema has too few columns".to_owned()));
        };
        let (levels, repeats) = (Some(leaf.levels.as_slice()), Some(leaf.repeats.as_slice()));
        match &leaf.values {
            Values::Bool(values) => column.typed::<BoolType>().write_batch(values, levels, repeats)?,
            Values::Int(values) => column.typed::<Int64Type>().write_batch(values, levels, repeats)?,
            Values::Float(values) => column
                .typed::<DoubleType>()
                .write_batch(values, levels, repeats)?,
            Values::Text(values) => column
                .typed::<ByteArrayType>()
                .write_batch(values, levels, repeats)?,
        };
        column.close()?;
    }
    group.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::SerializedFileReader;
    use parquet::record::Field;
    use parquet::record::reader::RowIter;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_of(field: &Field) -> Value {
        match field {
            Field::Bool(flag) => json!(flag),
            Field::Long(number) => json!(number),
            Field::Double(number) => json!(number),
            Field::Str(text) => json!(text),
            Field::Group(row) => row
                .get_column_iter()
                .map(|(name, field)| (name.clone(), json_of(field)))
                .collect(),
            Field::ListInternal(list) => list.elements().iter().map(json_of).collect(),
            _ => Value::Null,
        }
    }

    fn there_and_back(columns: &[Column], rows: &[Value]) -> Result<Vec<Value>, HfError> {
        let folder = tempfile::tempdir().unwrap();
        let (jsonl, out) = (
            folder.path().join("rows.jsonl"),
            folder.path().join("rows.parquet"),
        );
        let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(&jsonl, lines.concat()).unwrap();
        assert_eq!(write(&jsonl, &out, columns)?, rows.len() as u64);
        let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
        Ok(RowIter::from_file_into(Box::new(reader))
            .map(|row| {
                row.unwrap()
                    .get_column_iter()
                    .map(|(name, field)| (name.clone(), json_of(field)))
                    .collect()
            })
            .collect())
    }

    fn chat() -> Vec<Column> {
        let card = json!({ "dataset_info": { "config_name": "default", "features": [
            { "name": "messages", "list": [
                { "name": "role", "dtype": "string" },
                { "name": "calls", "list": [
                    { "name": "id", "dtype": "string" },
                    { "name": "function", "struct": [{ "name": "arguments", "dtype": "string" }] },
                ] },
            ] },
            { "name": "words", "list": "string" },
            { "name": "meta", "struct": [
                { "name": "n", "dtype": "int64" }, { "name": "score", "dtype": "float64" }, { "name": "cut", "dtype": "bool" },
            ] },
        ] } });
        declared(&card, "default").unwrap().unwrap()
    }

    /// Values of a column's shape, with nulls and empty lists at every level.
    fn value_of(column: &types::Kind) -> BoxedStrategy<Value> {
        let there = match column {
            types::Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
            types::Kind::Int => any::<i64>().prop_map(Value::from).boxed(),
            types::Kind::Float => (-1_000..1_000_i32)
                .prop_map(|eighths| json!(f64::from(eighths) / 8.0))
                .boxed(),
            types::Kind::Text => "[ -~é🙂\n]{0,9}".prop_map(Value::from).boxed(),
            types::Kind::List(item) => proptest::collection::vec(value_of(item), 0..4)
                .prop_map(Value::from)
                .boxed(),
            types::Kind::Struct(fields) => row_of(fields),
        };
        prop_oneof![3 => there, 1 => Just(Value::Null)].boxed()
    }

    fn row_of(columns: &[Column]) -> BoxedStrategy<Value> {
        columns
            .iter()
            .map(|column| {
                let name = column.name.clone();
                value_of(&column.kind).prop_map(move |value| (name.clone(), value))
            })
            .collect::<Vec<_>>()
            .prop_map(|cells| Value::Object(cells.into_iter().collect()))
            .boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rows_come_back_as_they_were(rows in proptest::collection::vec(row_of(&chat()), 0..12)) {
            prop_assert_eq!(there_and_back(&chat(), &rows).unwrap(), rows);
        }
    }

    #[test]
    fn what_a_row_leaves_out_is_null() {
        let got = there_and_back(&chat(), &[json!({ "words": ["a"] }), json!({})]).unwrap();
        assert_eq!(got[0], json!({ "messages": null, "words": ["a"], "meta": null }));
        assert_eq!(got[1], json!({ "messages": null, "words": null, "meta": null }));
    }

    #[test]
    fn rows_of_another_shape_are_refused_with_their_line() {
        for (row, problem) in [
            (json!({ "words": "a" }), "words"),
            (json!({ "words": [1] }), "words"),
            (json!({ "meta": { "n": 1.5 } }), "meta.n"),
            (json!({ "meta": { "new": 1 } }), "meta.new"),
            (json!({ "other": 1 }), "other"),
            (json!([1]), "object"),
        ] {
            let error = there_and_back(&chat(), &[json!({}), row])
                .unwrap_err()
                .to_string();
            assert!(error.contains("line 2") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn many_rows_make_several_groups() {
        let columns = vec![Column::new("n", types::Kind::Int)];
        let rows: Vec<Value> = (0..=2 * GROUP_ROWS).map(|n| json!({ "n": n })).collect();
        assert_eq!(there_and_back(&columns, &rows).unwrap(), rows);
    }
}
