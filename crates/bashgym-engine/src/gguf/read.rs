//! The header of a GGUF file, read with an eye on every length it claims.

use std::collections::HashMap;

/// Entries of a list, and of the header, at most.
const MAX_ENTRIES: u64 = 1 << 21;

/// What an entry of the header says.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Number(u64),
    Real(f64),
    Text(String),
    List(Vec<Value>),
    /// A flag or a negative number, which nothing here needs.
    Other,
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Where a weight lies.
#[derive(Debug)]
pub(super) struct TensorInfo {
    /// Rows first.
    pub(super) shape: Vec<usize>,
    pub(super) kind: u32,
    /// From the start of the data.
    pub(super) offset: u64,
}

/// The header.
#[derive(Debug)]
pub(super) struct Header {
    values: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
    pub(super) data_start: usize,
}

impl Header {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key)?.text()
    }

    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.number()
    }

    pub(super) fn real(&self, key: &str) -> Option<f64> {
        match self.values.get(key)? {
            Value::Real(real) => Some(*real),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> Option<&[Value]> {
        match self.values.get(key)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or("the file ends within its header")?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<u64, String> {
        let count = self.u64()?;
        if count > MAX_ENTRIES {
            return Err(format!("its header claims {count} entries"));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String, String> {
        let length = usize::try_from(self.u64()?).map_err(|_| "the file ends within its header")?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn signed(value: i64) -> Value {
        u64::try_from(value).map_or(Value::Other, Value::Number)
    }

    /// # Source
    /// ggml `docs/gguf.md`, `enum gguf_metadata_value_type`.
    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Number(u8::from_le_bytes(self.array()?).into()),
            1 => Self::signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Number(u16::from_le_bytes(self.array()?).into()),
            3 => Self::signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Number(self.u32()?.into()),
            5 => Self::signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Real(f32::from_le_bytes(self.array()?).into()),
            7 => {
                self.take(1)?;
                Value::Other
            }
            8 => Value::Text(self.text()?),
            9 if depth < 4 => {
                let kind = self.u32()?;
                let count = self.count()?;
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(kind, depth + 1)?);
                }
                Value::List(list)
            }
            10 => Value::Number(self.u64()?),
            11 => Self::signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Real(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("its header has an entry of the unknown type {other}")),
        })
    }
}

/// Reads the header of a file of version 2 or 3, little-endian.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(4)? != b"GGUF" {
        return Err("it is no GGUF file".to_owned());
    }
    let version = reader.u32()?;
    if !matches!(version, 2 | 3) {
        return Err(format!(
            "it is GGUF of version {version}, and this engine reads 2 and 3"
        ));
    }
    let (tensor_count, value_count) = (reader.count()?, reader.count()?);
    let mut values = HashMap::new();
    for _ in 0..value_count {
        let key = reader.text()?;
        let kind = reader.u32()?;
        values.insert(key, reader.value(kind, 0)?);
    }
    let mut tensors = HashMap::new();
    for _ in 0..tensor_count {
        let name = reader.text()?;
        let dimensions = reader.u32()?;
        if dimensions > 4 {
            return Err(format!("the weight `{name}` has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let side = usize::try_from(reader.u64()?).map_err(|_| "a weight is too large")?;
            shape.insert(0, side);
        }
        let (kind, offset) = (reader.u32()?, reader.u64()?);
        let info = TensorInfo { shape, kind, offset };
        tensors.insert(name, info);
    }
    let alignment = match values.get("general.alignment").and_then(Value::number) {
        None => 32,
        Some(alignment) => usize::try_from(alignment)
            .ok()
            .filter(|it| it.is_power_of_two() && *it <= 1 << 16)
            .ok_or("its alignment is no power of two")?,
    };
    Ok(Header {
        values,
        tensors,
        data_start: reader.at.next_multiple_of(alignment),
    })
}
