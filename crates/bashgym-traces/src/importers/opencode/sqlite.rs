//! Reads tables of a SQLite file, page by page, without SQL and without writing: enough for an agent's own store.
//!
//! Committed pages of a write-ahead log beside the file count, as for any reader of a database in use.
//!
//! # Source
//!
//! <https://www.sqlite.org/fileformat2.html>

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The first bytes of a database.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Deeper trees than this do not exist; a loop of pages does.
const MAX_DEPTH: usize = 32;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Other,
    Text(String),
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }
}

/// A row, with its values by the names of the columns.
pub(super) struct Row<'t> {
    table: &'t Table,
    values: Vec<Value>,
}

impl Row<'_> {
    pub(super) fn get(&self, column: &str) -> &Value {
        let at = self.table.columns.iter().position(|c| c == column);
        at.and_then(|at| self.values.get(at)).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, column: &str) -> Option<String> {
        self.get(column).text().map(str::to_owned)
    }
}

/// A table: where it begins, and what its columns are called.
pub(super) struct Table {
    root: u32,
    columns: Vec<String>,
    /// Indexes: where each begins, and its first column.
    indexes: Vec<(u32, String)>,
}

pub(super) struct Database {
    file: File,
    page_size: usize,
    usable: usize,
    wal: Option<Wal>,
    tables: HashMap<String, Table>,
}

struct Wal {
    file: File,
    /// Where the newest committed copy of a page begins.
    pages: HashMap<u32, u64>,
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the database is damaged: {what}"),
    )
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn be16(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(
        bytes.get(at..at + 2)?.try_into().ok()?,
    )))
}

/// Reads a variable-length number and the place behind it.
fn varint(bytes: &[u8], mut at: usize) -> Option<(i64, usize)> {
    let mut value = 0_u64;
    for n in 0..9 {
        let byte = *bytes.get(at)?;
        at += 1;
        if n == 8 {
            value = value << 8 | u64::from(byte);
            break;
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((value.cast_signed(), at))
}

impl Database {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut head = [0; 100];
        file.read_exact(&mut head)?;
        let page_size = match be16(&head, 16) {
            Some(1) => 65_536,
            Some(size) if size.is_power_of_two() && size >= 512 => size,
            _ => return Err(corrupt("no page size")),
        };
        if !head.starts_with(MAGIC) || !matches!(be32(&head, 56), Some(0 | 1)) {
            return Err(corrupt("not a database in UTF-8"));
        }
        let mut wal_path = path.as_os_str().to_owned();
        wal_path.push("-wal");
        let wal = match File::open(Path::new(&wal_path)) {
            Ok(file) => Wal::read(file, page_size),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let mut database = Self {
            file,
            page_size,
            usable: page_size.saturating_sub(usize::from(head[20])),
            wal,
            tables: HashMap::new(),
        };
        database.schema()?;
        Ok(database)
    }

    fn schema(&mut self) -> io::Result<()> {
        let master = Table {
            root: 1,
            columns: ["type", "name", "tbl_name", "rootpage", "sql"]
                .map(str::to_owned)
                .into(),
            indexes: Vec::new(),
        };
        let mut tables: HashMap<String, Table> = HashMap::new();
        let mut indexes = Vec::new();
        self.scan(&master, &mut |row| {
            let root = row.get("rootpage").int().and_then(|n| u32::try_from(n).ok());
            if let (Some(root), Some(name), Some(sql)) = (root, row.text("name"), row.text("sql")) {
                let columns = columns_of(&sql);
                match row.get("type").text() {
                    Some("table") => {
                        let indexes = Vec::new();
                        tables.insert(
                            name,
                            Table {
                                root,
                                columns,
                                indexes,
                            },
                        );
                    }
                    Some("index") => indexes.push((row.text("tbl_name"), root, columns)),
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        })?;
        for (table, root, columns) in indexes {
            if let (Some(table), Some(first)) = (table.and_then(|t| tables.get_mut(&t)), columns.first()) {
                table.indexes.push((root, first.clone()));
            }
        }
        self.tables = tables;
        Ok(())
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Hands on all rows of a table.
    pub(super) fn scan(
        &self,
        table: &Table,
        take: &mut dyn FnMut(Row<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut emit = |payload: Vec<u8>| {
            let values = record(&payload).ok_or_else(|| corrupt("a row"))?;
            Ok(take(Row { table, values }))
        };
        self.walk_table(table.root, 0, None, &mut emit).map(|_| ())
    }

    /// Hands on the rows of a table that have `value` in `column`, by an index where there is one.
    pub(super) fn find(
        &self,
        table: &Table,
        column: &str,
        value: &str,
        take: &mut dyn FnMut(Row<'_>),
    ) -> io::Result<()> {
        let Some((root, _)) = table.indexes.iter().find(|(_, first)| first == column) else {
            return self.scan(table, &mut |row| {
                if row.get(column).text() == Some(value) {
                    take(row);
                }
                ControlFlow::Continue(())
            });
        };
        let mut rowids = Vec::new();
        self.walk_index(*root, 0, value, &mut rowids)?;
        for rowid in rowids {
            let mut emit = |payload: Vec<u8>| {
                let values = record(&payload).ok_or_else(|| corrupt("a row"))?;
                take(Row { table, values });
                Ok(ControlFlow::Break(()))
            };
            let _ = self.walk_table(table.root, 0, Some(rowid), &mut emit)?;
        }
        Ok(())
    }

    fn page(&self, number: u32) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.page_size];
        if let Some(wal) = &self.wal
            && let Some(&at) = wal.pages.get(&number)
        {
            wal.file.read_exact_at(&mut page, at)?;
            return Ok(page);
        }
        let index = number.checked_sub(1).ok_or_else(|| corrupt("page 0"))?;
        self.file
            .read_exact_at(&mut page, u64::from(index) * self.page_size as u64)?;
        Ok(page)
    }

    /// Walks a table's tree: all rows, or only the one with `rowid`.
    fn walk_table(
        &self,
        number: u32,
        depth: usize,
        rowid: Option<i64>,
        emit: &mut dyn FnMut(Vec<u8>) -> io::Result<ControlFlow<()>>,
    ) -> io::Result<ControlFlow<()>> {
        let page = self.page(number)?;
        let cells = Cells::of(&page, number, depth)?;
        for n in 0..cells.count {
            let at = cells.at(n)?;
            let bad = || corrupt("a cell of a table");
            if cells.kind == 0x05 {
                let child = be32(&page, at).ok_or_else(bad)?;
                let (key, _) = varint(&page, at + 4).ok_or_else(bad)?;
                if rowid.is_some_and(|id| id > key) {
                    continue;
                }
                let flow = self.walk_table(child, depth + 1, rowid, emit)?;
                if flow.is_break() || rowid.is_some() {
                    return Ok(flow);
                }
            } else if cells.kind == 0x0D {
                let (size, next) = varint(&page, at).ok_or_else(bad)?;
                let (key, next) = varint(&page, next).ok_or_else(bad)?;
                if rowid.is_some_and(|id| id != key) {
                    continue;
                }
                let payload = self.payload(&page, next, size, self.usable.saturating_sub(35))?;
                if emit(payload)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            } else {
                return Err(corrupt("a page of another kind in a table"));
            }
        }
        if cells.kind == 0x05 {
            return self.walk_table(cells.right, depth + 1, rowid, emit);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Collects the row ids of the entries whose first column is `value`.
    fn walk_index(&self, number: u32, depth: usize, value: &str, found: &mut Vec<i64>) -> io::Result<()> {
        let page = self.page(number)?;
        let cells = Cells::of(&page, number, depth)?;
        let bad = || corrupt("a cell of an index");
        if !matches!(cells.kind, 0x02 | 0x0A) {
            return Err(corrupt("a page of another kind in an index"));
        }
        for n in 0..cells.count {
            let mut at = cells.at(n)?;
            let mut child = None;
            if cells.kind == 0x02 {
                child = Some(be32(&page, at).ok_or_else(bad)?);
                at += 4;
            }
            let (size, next) = varint(&page, at).ok_or_else(bad)?;
            let local = (self.usable.saturating_sub(12)) * 64 / 255;
            let payload = self.payload(&page, next, size, local.saturating_sub(23))?;
            let entry = record(&payload).ok_or_else(bad)?;
            // Numbers and NULL sort before text.
            let first = entry.first().and_then(Value::text).unwrap_or_default();
            if first >= value
                && let Some(child) = child
            {
                self.walk_index(child, depth + 1, value, found)?;
            }
            if first > value {
                return Ok(());
            }
            if first == value {
                found.extend(entry.last().and_then(Value::int));
            }
        }
        if cells.kind == 0x02 {
            self.walk_index(cells.right, depth + 1, value, found)?;
        }
        Ok(())
    }

    /// Gathers a payload, from its page and the chain of overflow pages.
    fn payload(&self, page: &[u8], at: usize, size: i64, max_local: usize) -> io::Result<Vec<u8>> {
        const LIMIT: usize = 1 << 30;
        let bad = || corrupt("a payload");
        let size = usize::try_from(size)
            .ok()
            .filter(|&n| n <= LIMIT)
            .ok_or_else(bad)?;
        let min_local = (self.usable.saturating_sub(12) * 32 / 255).saturating_sub(23);
        let per_page = self.usable.checked_sub(4).filter(|&n| n > 0).ok_or_else(bad)?;
        let local = if size <= max_local {
            size
        } else {
            let local = min_local + size.saturating_sub(min_local) % per_page;
            if local <= max_local { local } else { min_local }
        };
        let mut payload = page.get(at..at + local).ok_or_else(bad)?.to_vec();
        let mut next = if size > local {
            be32(page, at + local).ok_or_else(bad)?
        } else {
            0
        };
        while payload.len() < size {
            if next == 0 {
                return Err(bad());
            }
            let overflow = self.page(next)?;
            next = be32(&overflow, 0).ok_or_else(bad)?;
            let take = (size - payload.len()).min(per_page);
            payload.extend_from_slice(overflow.get(4..4 + take).ok_or_else(bad)?);
        }
        Ok(payload)
    }
}

/// The cells of a page of a tree.
struct Cells<'p> {
    page: &'p [u8],
    kind: u8,
    count: usize,
    right: u32,
    pointers: usize,
}

impl<'p> Cells<'p> {
    fn of(page: &'p [u8], number: u32, depth: usize) -> io::Result<Self> {
        let bad = || corrupt("a page");
        if depth > MAX_DEPTH {
            return Err(corrupt("a loop of pages"));
        }
        let start = if number == 1 { 100 } else { 0 };
        let kind = *page.get(start).ok_or_else(bad)?;
        let interior = matches!(kind, 0x02 | 0x05);
        Ok(Self {
            page,
            kind,
            count: be16(page, start + 3).ok_or_else(bad)?,
            right: if interior {
                be32(page, start + 8).ok_or_else(bad)?
            } else {
                0
            },
            pointers: start + if interior { 12 } else { 8 },
        })
    }

    fn at(&self, n: usize) -> io::Result<usize> {
        be16(self.page, self.pointers + 2 * n).ok_or_else(|| corrupt("a pointer to a cell"))
    }
}

/// Decodes a record into its values.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let (header, mut at) = varint(payload, 0)?;
    let header = usize::try_from(header).ok()?;
    let mut body = header;
    let mut values = Vec::new();
    while at < header {
        let (kind, next) = varint(payload, at)?;
        at = next;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from(kind.checked_sub(12)?).ok()? / 2,
        };
        let bytes = payload.get(body..body.checked_add(size)?)?;
        body += size;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Int(0),
            9 => Value::Int(1),
            1..=6 => {
                let sign = if bytes.first()? & 0x80 == 0 { 0 } else { -1 };
                Value::Int(bytes.iter().fold(sign, |n: i64, &b| n << 8 | i64::from(b)))
            }
            kind if kind >= 13 && kind % 2 == 1 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Other,
        });
    }
    Some(values)
}

/// The names of the columns in `CREATE TABLE t (…)` or `CREATE INDEX i ON t (…)`.
fn columns_of(sql: &str) -> Vec<String> {
    let Some(open) = sql.find('(') else {
        return Vec::new();
    };
    let mut depth = 0_usize;
    let mut columns = Vec::new();
    let mut start = open + 1;
    for (at, c) in sql.char_indices().skip_while(|&(at, _)| at < open) {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if (c == ',' && depth == 1) || (c == ')' && depth == 0) {
            let column = sql[start..at].trim();
            start = at + 1;
            let name = column
                .split([' ', '\t', '\n', '('])
                .next()
                .unwrap_or_default()
                .trim_matches(['`', '"', '[', ']', '\'']);
            let constraint = ["constraint", "primary", "unique", "foreign", "check"];
            if !name.is_empty() && !constraint.contains(&name.to_ascii_lowercase().as_str()) {
                columns.push(name.to_owned());
            }
            if depth == 0 {
                break;
            }
        }
    }
    columns
}

impl Wal {
    /// Finds the committed pages; `None` when the log holds none.
    fn read(mut file: File, page_size: usize) -> Option<Self> {
        let mut head = [0; 32];
        if file.read_exact(&mut head).is_err() {
            return None;
        }
        let big_endian = match be32(&head, 0) {
            Some(0x377F_0682) => false,
            Some(0x377F_0683) => true,
            _ => return None,
        };
        if be32(&head, 8).map(|n| n as usize) != Some(page_size) {
            return None;
        }
        let mut sums = (0, 0);
        checksum(&head[..24], big_endian, &mut sums);
        if (be32(&head, 24), be32(&head, 28)) != (Some(sums.0), Some(sums.1)) {
            return None;
        }
        let mut frame = vec![0; 24 + page_size];
        let (mut pages, mut open) = (HashMap::new(), Vec::new());
        let mut at = 32_u64;
        let mut input = io::BufReader::with_capacity(1 << 16, &mut file);
        while input.read_exact(&mut frame).is_ok() {
            checksum(&frame[..8], big_endian, &mut sums);
            checksum(&frame[24..], big_endian, &mut sums);
            let valid = frame[8..16] == head[16..24]
                && (be32(&frame, 16), be32(&frame, 20)) == (Some(sums.0), Some(sums.1));
            if !valid {
                break;
            }
            open.push((be32(&frame, 0).unwrap_or_default(), at + 24));
            // A frame that ends a transaction says how long the database is.
            if be32(&frame, 4) != Some(0) {
                pages.extend(open.drain(..));
            }
            at += frame.len() as u64;
        }
        drop(input);
        Some(Self { file, pages })
    }
}

fn checksum(bytes: &[u8], big_endian: bool, sums: &mut (u32, u32)) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian {
                u32::from_be_bytes(word)
            } else {
                u32::from_le_bytes(word)
            }
        };
        sums.0 = sums.0.wrapping_add(word(0)).wrapping_add(sums.1);
        sums.1 = sums.1.wrapping_add(word(4)).wrapping_add(sums.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_found() {
        let sql = "CREATE TABLE `part` (\n\t`id` text PRIMARY KEY,\n\t`n` numeric(3, 4) NOT NULL,\n\tdata text, \
                   CONSTRAINT `fk` FOREIGN KEY (`id`) REFERENCES `m`(`id`))";
        assert_eq!(columns_of(sql), ["id", "n", "data"]);
        assert_eq!(columns_of("CREATE INDEX i ON t (`a`,`b`)"), ["a", "b"]);
        assert_eq!(columns_of("nothing"), Vec::<String>::new());
    }

    #[test]
    fn numbers_of_all_lengths_are_read() {
        assert_eq!(varint(&[0x7F], 0), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint(&[0xFF; 9], 0), Some((-1, 9)));
        assert_eq!(varint(&[0x80], 0), None);
        // One integer of two bytes, one text of two.
        assert_eq!(
            record(&[3, 2, 17, 0xFF, 0xFE, b'o', b'k']),
            Some(vec![Value::Int(-2), Value::Text("ok".to_owned())])
        );
        assert_eq!(record(&[3, 2, 17, 0xFF]), None);
    }
}
