//! A `bashgym` for the container of a Space: seen to start there, and sent as it was seen.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bashgym_gate::Inspector;
use hf_core::{HfClient, HfError, RepoId, RepoType};
use hf_datasets::{CommitOperation, CommitOptions, FileScan, RepoFiles, UploadGate, UploadScanner};
use hf_spaces::{IMAGE_GLIBC, PROGRAM_FILE, SpaceProgram, TextFile};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::ReadCache;
use object::read::elf::FileHeader;

use crate::publish::PublishGate;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A `bashgym` of this machine.
#[derive(Debug)]
pub struct OwnProgram {
    file: PathBuf,
    client: HfClient,
    inspector: Inspector,
    /// The folder whose name in the program would tell who built it.
    home: Option<PathBuf>,
    seen: Arc<Mutex<Option<blake3::Hash>>>,
}

impl OwnProgram {
    /// A program that is a file of this machine.
    pub fn new(
        file: impl Into<PathBuf>,
        client: &HfClient,
        inspector: Inspector,
        home: Option<PathBuf>,
    ) -> Self {
        Self {
            file: file.into(),
            client: client.clone(),
            inspector,
            home,
            seen: Arc::default(),
        }
    }

    /// The program that runs now.
    ///
    /// # Errors
    /// What the system says when it does not tell which file that is.
    pub fn of_this_process(client: &HfClient, inspector: Inspector) -> io::Result<Self> {
        Ok(Self::new(
            std::env::current_exe()?,
            client,
            inspector,
            std::env::home_dir(),
        ))
    }
}

#[async_trait]
impl SpaceProgram for OwnProgram {
    async fn check(&self) -> Result<Option<String>, String> {
        let (file, home) = (self.file.clone(), self.home.clone());
        let looked = tokio::task::spawn_blocking(move || look(&file, home.as_deref()))
            .await
            .map_err(|error| error.to_string())??;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked.hash);
        Ok(looked.remark)
    }

    async fn commit(
        &self,
        space: &RepoId,
        files: &[TextFile],
        summary: &str,
        parent: Option<&str>,
    ) -> Result<String, HfError> {
        let UploadGate::Scan(texts) = PublishGate::new(self.inspector.clone()).upload_gate() else {
            return Err(HfError::invalid("files of a Space are not sent without a scan"));
        };
        let scanner = Scanner {
            seen: *self.seen.lock().unwrap_or_else(PoisonError::into_inner),
            texts,
        };
        let repo = RepoFiles::new(&self.client, RepoType::Space, space.clone())
            .with_gate(UploadGate::Scan(Arc::new(scanner)));
        let mut operations: Vec<_> = files
            .iter()
            .map(|file| CommitOperation::add_bytes(file.path, file.text.clone().into_bytes()))
            .collect();
        operations.push(CommitOperation::add_file(PROGRAM_FILE, &self.file));
        let options = CommitOptions {
            message: summary.to_owned(),
            parent_commit: parent.map(str::to_owned),
            ..CommitOptions::default()
        };
        Ok(repo.commit(operations, &options).await?.oid)
    }
}

/// Lets the program through as it was looked at; texts go through the gate.
#[derive(Debug)]
struct Scanner {
    seen: Option<blake3::Hash>,
    texts: Arc<dyn UploadScanner>,
}

struct SameBytes {
    seen: Option<blake3::Hash>,
    hasher: blake3::Hasher,
}

impl UploadScanner for Scanner {
    fn begin(&self, path: &str, size_bytes: u64) -> Result<Box<dyn FileScan>, String> {
        if path != PROGRAM_FILE {
            return self.texts.begin(path, size_bytes);
        }
        Ok(Box::new(SameBytes {
            seen: self.seen,
            hasher: blake3::Hasher::new(),
        }))
    }
}

impl FileScan for SameBytes {
    fn feed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        if self.seen == Some(self.hasher.finalize()) {
            return Ok(());
        }
        Err(format!(
            "{PROGRAM_FILE} is not the program that was looked at; it changed meanwhile"
        ))
    }
}

#[derive(Debug)]
struct Looked {
    hash: blake3::Hash,
    remark: Option<String>,
}

/// Sees which machine a program is for, and what it tells of the one it was built on.
fn look(path: &Path, home: Option<&Path>) -> Result<Looked, String> {
    let shown = path.display();
    let unread = |error: io::Error| format!("{shown} can not be read: {error}");
    starts(File::open(path).map_err(unread)?).map_err(|why| format!("{shown} {why}"))?;
    let home = home
        .map(|home| home.as_os_str().as_encoded_bytes())
        .filter(|home| home.len() > 1);
    let finder = home.map(memchr::memmem::Finder::new);
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(unread)?;
    let (mut piece, mut kept, mut is_named) = (vec![0; PIECE], 0, false);
    loop {
        let read = file.read(&mut piece[kept..]).map_err(unread)?;
        if read == 0 {
            break;
        }
        let end = kept + read;
        hasher.update(&piece[kept..end]);
        let Some(finder) = finder.as_ref().filter(|_| !is_named) else {
            kept = 0;
            continue;
        };
        is_named = finder.find(&piece[..end]).is_some();
        // A name may begin in one piece and end in the next.
        kept = (finder.needle().len() - 1).min(end);
        piece.copy_within(end - kept..end, 0);
    }
    let remark = is_named.then(|| {
        format!(
            "{shown} was built here and names your home folder; whoever reads the Space's files can see that"
        )
    });
    Ok(Looked {
        hash: hasher.finalize(),
        remark,
    })
}

/// Whether a program starts in the Space's container: x86-64 Linux, and a C library that is no newer than the container's.
fn starts(file: File) -> Result<(), String> {
    let data = ReadCache::new(file);
    let none = |_| "is no program for x86-64 Linux".to_owned();
    let header = FileHeader64::<Endianness>::parse(&data).map_err(none)?;
    let endian = header.endian().map_err(none)?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err("is a program for another processor than x86-64".to_owned());
    }
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err("is no program, but a part of one".to_owned());
    }
    let newest = newest_glibc(header, endian, &data).map_err(|error| format!("can not be read: {error}"))?;
    match newest {
        Some((major, minor)) if (major, minor) > IMAGE_GLIBC => Err(format!(
            "needs the GNU C library {major}.{minor}, and the Space's container has {}.{}",
            IMAGE_GLIBC.0, IMAGE_GLIBC.1
        )),
        _ => Ok(()),
    }
}

/// The newest version of the GNU C library that a program asks for; none when it asks for none.
fn newest_glibc(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: &ReadCache<File>,
) -> object::read::Result<Option<(u32, u32)>> {
    let sections = header.sections(endian, data)?;
    let Some((mut libraries, link)) = sections.gnu_verneed(endian, data)? else {
        return Ok(None);
    };
    let names = sections.strings(endian, data, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = libraries.next()? {
        while let Some(version) = versions.next()? {
            newest = newest.max(glibc_version(version.name(endian, names)?));
        }
    }
    Ok(newest)
}

/// `GLIBC_2.34` is (2, 34).
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This test's own program.
    fn own() -> PathBuf {
        std::env::current_exe().unwrap()
    }

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn a_program_of_this_machine_starts_in_the_container_and_tells_who_built_it() {
        let looked = look(&own(), None).unwrap();
        assert_eq!(looked.hash, blake3::hash(&std::fs::read(own()).unwrap()));
        assert!(looked.remark.is_none());
        let here = Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/no-such-folder-but-in-this-program"
        ));
        assert!(look(&own(), Some(here)).unwrap().remark.is_some());
    }

    #[test]
    fn what_would_not_start_says_why() {
        let mut arm = vec![0; 64];
        arm[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        arm[16] = 3;
        arm[18] = 183;
        for (bytes, told) in [
            (&b"#!/bin/sh\nexit 0\n"[..], "no program for x86-64"),
            (b"", "no program for x86-64"),
            (b"\x7fELF\x01\x01\x01", "no program for x86-64"),
            (&arm, "another processor"),
        ] {
            let why = look(written(bytes).path(), None).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        assert!(
            look(Path::new("/no/such/file"), None)
                .unwrap_err()
                .contains("can not be read")
        );
    }

    #[test]
    fn a_name_across_two_pieces_is_found() {
        let Ok(mut bytes) = std::fs::read("/bin/true") else {
            return;
        };
        if look(written(&bytes).path(), None).is_err() {
            return;
        }
        let home = Path::new("/home/somebody-with-a-name");
        for at in [PIECE - 30, PIECE - 5, PIECE, PIECE * 2 - 30] {
            bytes.resize(PIECE * 3, 0);
            let mut with = bytes.clone();
            with[at..at + 26].copy_from_slice(home.as_os_str().as_encoded_bytes());
            let file = written(&with);
            assert!(look(file.path(), Some(home)).unwrap().remark.is_some(), "{at}");
            assert!(
                look(file.path(), Some(Path::new("/home/other")))
                    .unwrap()
                    .remark
                    .is_none()
            );
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(glibc_version(b"GLIBC_2.9") < glibc_version(b"GLIBC_2.34"));
        assert_eq!(glibc_version(b"GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc_version(b"GLIBC_PRIVATE"), None);
        assert_eq!(glibc_version(b"GCC_3.0"), None);
    }
}
