//! Files that are there whole or not at all, and weights as safetensors.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::error::{EngineError, Result};
use crate::model::WeightSpec;

/// Headers above this size are refused before they are read.
const MAX_HEADER_BYTES: u64 = 16 * 1024 * 1024;

/// Makes a folder and those above it.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(EngineError::io("create", path))
}

/// Writes a file beside its place, then moves it there.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let part = part_path(path);
    let write = || -> io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&part);
        EngineError::io("write", path)(source)
    })
}

fn part_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    path.with_file_name(name)
}

/// Makes a folder's entries durable, where the system can.
pub(crate) fn sync_dir(path: &Path) {
    if let Ok(dir) = File::open(path) {
        let _ = dir.sync_all();
    }
}

/// Writes named weights as one safetensors file, a buffer at a time.
///
/// # Source
/// The safetensors format: the header's length, the header as JSON, the tensors' bytes.
pub(crate) fn write_weights(path: &Path, specs: &[WeightSpec], weights: &[Vec<f32>]) -> Result<()> {
    let part = part_path(path);
    let write = || -> io::Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, File::create(&part)?);
        let header = weights_header(specs)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for value in weights.iter().flatten() {
            out.write_all(&value.to_le_bytes())?;
        }
        out.into_inner()?.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&part);
        EngineError::io("write", path)(source)
    })
}

fn weights_header(specs: &[WeightSpec]) -> io::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut from = 0;
    for spec in specs {
        let to = from + spec.elements() * 4;
        header.insert(
            spec.name.clone(),
            json!({ "dtype": "F32", "shape": spec.shape, "data_offsets": [from, to] }),
        );
        from = to;
    }
    let mut header = serde_json::to_vec(&header)?;
    // The tensors that follow are aligned.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Reads the weights of a safetensors file in the order asked for, as single precision.
///
/// # Errors
/// [`EngineError::BadModel`] if the file is broken, or a weight is missing or of another shape.
pub(crate) fn read_weights(path: &Path, specs: &[WeightSpec]) -> Result<Vec<Vec<f32>>> {
    let bad = |why: String| EngineError::bad_model(path, why);
    let file = File::open(path).map_err(EngineError::io("read", path))?;
    let file_bytes = file.metadata().map_err(EngineError::io("read", path))?.len();
    let mut reader = BufReader::new(file);
    let mut length = [0_u8; 8];
    reader
        .read_exact(&mut length)
        .map_err(|_| bad("it is too short to be a safetensors file".to_owned()))?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES.min(file_bytes.saturating_sub(8)) {
        return Err(bad(format!(
            "its header claims {header_bytes} bytes of a file of {file_bytes}"
        )));
    }
    let bytes = fs::read(path).map_err(EngineError::io("read", path))?;
    let file =
        SafeTensors::deserialize(&bytes).map_err(|error| bad(format!("not whole safetensors: {error}")))?;
    specs
        .iter()
        .map(|spec| {
            let view = file
                .tensor(&spec.name)
                .map_err(|_| bad(format!("it lacks the weight `{}`", spec.name)))?;
            if view.shape() != spec.shape.as_slice() {
                return Err(bad(format!(
                    "the weight `{}` has the shape {:?}, and its config asks for {:?}",
                    spec.name,
                    view.shape(),
                    spec.shape
                )));
            }
            to_single(view.dtype(), view.data()).ok_or_else(|| {
                bad(format!(
                    "the weight `{}` is {:?}, which cannot be read",
                    spec.name,
                    view.dtype()
                ))
            })
        })
        .collect()
}

fn to_single(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let halves = || {
        data.as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| u16::from_le_bytes(*bytes))
    };
    match dtype {
        Dtype::F32 => Some(
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        ),
        Dtype::BF16 => Some(
            halves()
                .map(|bits| f32::from_bits(u32::from(bits) << 16))
                .collect(),
        ),
        Dtype::F16 => Some(halves().map(half_to_single).collect()),
        _ => None,
    }
}

fn half_to_single(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3FF) / 1024.0;
    match (bits >> 10) & 0x1F {
        0 => sign * fraction * 2.0_f32.powi(-14),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (1.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 15),
    }
}

/// Gives a file's size and CRC-32.
pub(crate) fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut reader = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0_u8; 256 * 1024];
    let mut size = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read() {
        for (bits, want) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x7BFF, 65504.0),
            (0x0000, 0.0),
        ] {
            assert!(
                (half_to_single(bits) - want).abs() <= f32::EPSILON * want.abs(),
                "{bits:x}"
            );
        }
        assert!(half_to_single(0x7E00).is_nan());
    }
}
