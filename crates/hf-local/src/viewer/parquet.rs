//! Parquet files, turned into lines of rows, so that everything else of the viewer reads them as it reads JSON Lines.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value, json};

/// Writes the rows of a Parquet file as JSON Lines; returns their size in bytes. This call blocks.
///
/// # Errors
/// Why it cannot be read, for the viewer's answer.
pub(super) fn lines(file: File, out: &mut File) -> Result<u64, String> {
    // The reader was written for files that are whole; one made to break it must not take a request down.
    catch_unwind(AssertUnwindSafe(|| {
        let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
        let mut out = BufWriter::with_capacity(1 << 18, out);
        for row in RowIter::from_file_into(Box::new(reader)) {
            let row = row.map_err(|error| error.to_string())?;
            serde_json::to_writer(&mut out, &object(&row)).map_err(|error| error.to_string())?;
            out.write_all(b"\n").map_err(|error| error.to_string())?;
        }
        out.stream_position().map_err(|error| error.to_string())
    }))
    .unwrap_or_else(|_| Err("it is damaged".to_owned()))
}

fn object(row: &Row) -> Map<String, Value> {
    row.get_column_iter()
        .map(|(name, field)| (name.clone(), value(field)))
        .collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => json!(flag),
        Field::Byte(number) => json!(number),
        Field::Short(number) => json!(number),
        Field::Int(number) => json!(number),
        Field::Long(number) => json!(number),
        Field::UByte(number) => json!(number),
        Field::UShort(number) => json!(number),
        Field::UInt(number) => json!(number),
        Field::ULong(number) => json!(number),
        Field::Float(number) => json!(number),
        Field::Double(number) => json!(number),
        Field::Str(text) => json!(text),
        Field::Bytes(bytes) => json!(String::from_utf8_lossy(bytes.data())),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => map
            .entries()
            .iter()
            .map(|(key, inner)| json!({ "key": value(key), "value": value(inner) }))
            .collect(),
        // Dates, times and decimals, in the words of the library.
        other => json!(other.to_string()),
    }
}
