//! Tells what a file is that is no log, so that a person knows what to do with it.

use std::path::Path;

/// A kind of file by how it begins, and how it is unpacked.
struct Form {
    magic: &'static [u8],
    /// Where the magic stands.
    at: usize,
    name: &'static str,
    next: &'static str,
}

const fn form(magic: &'static [u8], at: usize, name: &'static str, next: &'static str) -> Form {
    Form {
        magic,
        at,
        name,
        next,
    }
}

/// # Source
///
/// The signatures are those of the formats' own descriptions, as `file` knows them.
const FORMS: &[Form] = &[
    form(b"\x1f\x8b", 0, "a gzip file", UNPACK_GZIP),
    form(b"PK\x03\x04", 0, "a zip archive", UNPACK_ARCHIVE),
    form(
        b"\xfd7zXZ\0",
        0,
        "an xz file",
        "unpack it (`xz -dk FILE`) and name what comes out",
    ),
    form(
        b"BZh",
        0,
        "a bzip2 file",
        "unpack it (`bzip2 -dk FILE`) and name what comes out",
    ),
    form(b"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", UNPACK_ARCHIVE),
    form(
        b"ustar",
        257,
        "a tar archive",
        "unpack it (`tar -xf FILE`) and name the folder",
    ),
    form(
        b"PAR1",
        0,
        "a Parquet file",
        "it holds rows, which `bashgym data scan` reads",
    ),
    form(b"%PDF-", 0, "a PDF", NO_LOG),
    form(b"\x89PNG", 0, "a picture", NO_LOG),
    form(b"\xff\xd8\xff", 0, "a picture", NO_LOG),
];
const UNPACK_GZIP: &str = "unpack it (`gunzip -k FILE`) and name what comes out";
const UNPACK_ARCHIVE: &str = "unpack it and name the folder";
const NO_LOG: &str = "name the logs of an agent";

/// What a file is by its first bytes and what to do with it, if it is known and no log.
pub(super) fn what_it_is(head: &[u8]) -> Option<String> {
    let begins = |form: &&Form| {
        head.get(form.at..)
            .is_some_and(|head| head.starts_with(form.magic))
    };
    let Form { name, next, .. } = FORMS.iter().find(begins)?;
    Some(format!("{name}, not a session log as it is; {next}"))
}

/// Whether a file is called like a packed log or an archive.
pub(crate) fn is_packed_name(path: &Path) -> bool {
    path.extension().is_some_and(|end| {
        ["gz", "tgz", "zip", "xz", "bz2", "7z", "tar"]
            .iter()
            .any(|packed| end.eq_ignore_ascii_case(packed))
    })
}
