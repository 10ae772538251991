//! Looks into Parquet files: at every value, at what no row shows, and at whether there is anything else.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::column::page::Page;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;

/// The letters a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// The longest description of a file at its end.
const LONGEST_FOOTER: u64 = 64 << 20;

/// Hands on everything readable in a Parquet file, with the row it is in; row 0 is what stands outside of rows. `take`
/// says whether it found something.
///
/// # Errors
///
/// Why it cannot be looked into: it is damaged, it is packed in a way that is not known here, or it holds bytes that
/// belong to no column.
pub(super) fn read(mut file: File, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), String> {
    let footer = footer(&mut file)?;
    take(0, &footer);
    // The reader was written for files that are whole; one made to break it must not stop the process.
    catch_unwind(AssertUnwindSafe(|| parts(file, footer.len() as u64, take)))
        .unwrap_or_else(|_| Err("it is a damaged Parquet file".to_owned()))
}

/// Reads what describes the file. Names, notes and statistics stand there as plain text.
fn footer(file: &mut File) -> Result<Vec<u8>, String> {
    let broken = |_| "it is no whole Parquet file".to_owned();
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(0)).map_err(broken)?;
    file.read_exact(&mut magic).map_err(broken)?;
    let end = file.seek(SeekFrom::End(-8)).map_err(broken)?;
    let mut tail = [0; 8];
    file.read_exact(&mut tail).map_err(broken)?;
    let [a, b, c, d, closing @ ..] = tail;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic != *MAGIC || closing != *MAGIC || length > LONGEST_FOOTER || length + 4 > end {
        return Err("it is no whole Parquet file".to_owned());
    }
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(end - length)).map_err(broken)?;
    file.take(length).read_to_end(&mut footer).map_err(broken)?;
    Ok(footer)
}

fn parts(file: File, footer: u64, take: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), String> {
    let unread = |error| format!("it is a Parquet file that cannot be read ({error})");
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let reader = SerializedFileReader::new(file).map_err(unread)?;
    covered(&reader, size.saturating_sub(8 + footer))?;
    let (mut text, mut found) = (Vec::new(), false);
    for (row, n) in RowIter::from_file(None, &reader).map_err(unread)?.zip(1..) {
        text.clear();
        for (_, field) in row.map_err(unread)?.get_column_iter() {
            write(field, &mut text)?;
        }
        found |= take(n, &text);
    }
    for n in 0..reader.num_row_groups() {
        let group = reader.get_row_group(n).map_err(unread)?;
        for column in 0..group.num_columns() {
            let pages = group.get_column_page_reader(column).map_err(unread)?;
            for page in pages {
                match page.map_err(unread)? {
                    // A dictionary may hold what no row names. Where rows hold something, they have named it.
                    Page::DictionaryPage { buf, .. } if !found => found = take(0, &buf),
                    Page::DictionaryPage { .. }
                    | Page::DataPage { statistics: None, .. }
                    | Page::DataPageV2 { statistics: None, .. } => {}
                    _ => return Err("it is a Parquet file with statistics between its rows".to_owned()),
                }
            }
        }
    }
    Ok(())
}

/// Checks that columns lie one behind the other from the beginning of the file to what describes it.
fn covered(reader: &SerializedFileReader<File>, end: u64) -> Result<(), String> {
    let more = || "it is a Parquet file with bytes that belong to no column".to_owned();
    let mut spans = Vec::new();
    for group in reader.metadata().row_groups() {
        for column in group.columns() {
            let indexed = [
                column.bloom_filter_offset(),
                column.offset_index_offset(),
                column.column_index_offset(),
            ];
            if column.file_path().is_some() || indexed.iter().any(Option::is_some) {
                return Err(more());
            }
            spans.push(column.byte_range());
        }
    }
    spans.sort_unstable();
    let mut at = MAGIC.len() as u64;
    for (start, length) in spans {
        if start != at {
            return Err(more());
        }
        at += length;
    }
    if at == end { Ok(()) } else { Err(more()) }
}

/// Writes everything readable in a value, each on a line of its own.
fn write(field: &Field, out: &mut Vec<u8>) -> Result<(), String> {
    let line = |text: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(text);
        out.push(b'\n');
    };
    match field {
        Field::Null => {}
        Field::Str(text) => line(text.as_bytes(), out),
        Field::Bytes(bytes) => match bytes.as_utf8() {
            Ok(text) if !text.contains('\0') => line(text.as_bytes(), out),
            _ => return Err("it is a Parquet file with values that are no text".to_owned()),
        },
        Field::Group(row) => {
            for (_, field) in row.get_column_iter() {
                write(field, out)?;
            }
        }
        Field::ListInternal(list) => {
            for field in list.elements() {
                write(field, out)?;
            }
        }
        Field::MapInternal(map) => {
            for (key, value) in map.entries() {
                write(key, out)?;
                write(value, out)?;
            }
        }
        number => line(number.to_string().as_bytes(), out),
    }
    Ok(())
}
