//! The archive gives back what it was given, keeps each part once, and says when it cannot.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use bashgym_traces::{Added, Archive, ArchivedFile, TracesError};
use jiff::Timestamp;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Bytes that look like a log and repeat nowhere.
fn log(seed: u64, bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut n = seed;
    while text.len() < bytes {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let line = format!("{{\"type\":\"user\",\"uuid\":\"{n:016x}\",\"message\":\"hello\"}}\n");
        text.push_str(&line);
    }
    text.truncate(bytes);
    text.into_bytes()
}

fn restored(archive: &Archive, file: &ArchivedFile, version: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive.restore(&file.versions[version], &mut bytes).unwrap();
    bytes
}

fn chunks(root: &Path) -> Vec<PathBuf> {
    walkdir::WalkDir::new(root.join("chunks"))
        .min_depth(2)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .collect()
}

#[test]
fn a_file_that_grows_is_one_version_and_shares_its_whole_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let (root, path) = (dir.path().join("archive"), dir.path().join("s.jsonl"));
    let bytes = log(1, 2_500_000);
    fs::write(&path, &bytes[..2_300_000]).unwrap();
    let mut archive = Archive::open(&root).unwrap();
    assert_eq!(archive.add(&path, NOW).unwrap(), Added::New);
    assert_eq!(archive.add(&path, NOW).unwrap(), Added::Unchanged);
    let before: Vec<PathBuf> = chunks(&root);
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&bytes[2_300_000..])
        .unwrap();
    assert_eq!(archive.add(&path, NOW).unwrap(), Added::Grown);
    let after = chunks(&root);
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_eq!(after.iter().filter(|chunk| before.contains(chunk)).count(), 2);
    drop(archive);

    let archive = Archive::open(&root).unwrap();
    let file = archive.files().next().unwrap();
    assert_eq!(file.versions.len(), 1);
    assert!(restored(&archive, file, 0) == bytes);
    let report = archive.verify().unwrap();
    assert_eq!((report.files, report.chunks, report.unused_chunks), (1, 3, 0));
    assert!(report.damaged.is_empty() && report.stored_bytes * 2 < report.size_bytes);
}

#[test]
fn a_rewritten_file_keeps_what_it_was_and_the_original_may_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let mut archive = Archive::open(dir.path().join("archive")).unwrap();
    fs::write(&path, "first\n").unwrap();
    archive.add(&path, NOW).unwrap();
    fs::write(&path, "other\nand more\n").unwrap();
    assert_eq!(archive.add(&path, NOW).unwrap(), Added::Rewritten);
    fs::write(&path, "oth").unwrap();
    assert_eq!(archive.add(&path, NOW).unwrap(), Added::Rewritten);
    fs::remove_file(&path).unwrap();
    let file = archive.find(path.to_str().unwrap())[0];
    let all: Vec<_> = (0..3).map(|n| restored(&archive, file, n)).collect();
    assert_eq!(all, [&b"first\n"[..], b"other\nand more\n", b"oth"]);
    assert_eq!(archive.find(&file.id[..6]).len(), 1);
}

#[test]
fn the_same_bytes_in_two_files_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let mut archive = Archive::open(&root).unwrap();
    let bytes = log(2, 1_500_000);
    for name in ["a", "b"] {
        fs::write(dir.path().join(name), &bytes).unwrap();
        archive.add(&dir.path().join(name), NOW).unwrap();
    }
    assert_eq!(chunks(&root).len(), 2);
    // When one grows, the other still needs the old end.
    OpenOptions::new()
        .append(true)
        .open(dir.path().join("a"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    archive.add(&dir.path().join("a"), NOW).unwrap();
    assert_eq!(chunks(&root).len(), 3);
    assert!(archive.verify().unwrap().damaged.is_empty());
}

#[test]
fn damage_is_found_and_never_restored() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    let mut archive = Archive::open(&root).unwrap();
    let path = dir.path().join("s.jsonl");
    fs::write(&path, log(3, 1_200_000)).unwrap();
    archive.add(&path, NOW).unwrap();
    let chunk = chunks(&root).remove(0);
    let good = fs::read(&chunk).unwrap();
    let half = good.len() / 2;
    let mut flipped = good.clone();
    flipped[half] ^= 0x10;
    for bad in [&flipped[..], &good[..half], b""] {
        fs::write(&chunk, bad).unwrap();
        assert_eq!(archive.verify().unwrap().damaged.len(), 1);
    }
    fs::remove_file(&chunk).unwrap();
    let e = archive.restore(&archive.files().next().unwrap().versions[0], &mut Vec::new());
    assert!(matches!(e, Err(TracesError::ArchiveDamaged { .. })), "{e:?}");
    // The original is still there: adding it again mends the archive.
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    archive.add(&path, NOW).unwrap();
    assert_eq!(archive.verify().unwrap().damaged, []);
}

#[test]
fn only_one_process_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let first = Archive::open(dir.path()).unwrap();
    assert!(matches!(
        Archive::open(dir.path()),
        Err(TracesError::ArchiveInUse { .. })
    ));
    drop(first);
    assert!(Archive::open(dir.path()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 1..5)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut archive = Archive::open(dir.path().join("archive")).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(piece);
            fs::write(&path, &all).unwrap();
            archive.add(&path, NOW).unwrap();
            let file = archive.files().next().unwrap();
            prop_assert_eq!(file.versions.len(), 1);
            prop_assert_eq!(restored(&archive, file, 0), all.clone());
        }
        prop_assert_eq!(archive.verify().unwrap().unused_chunks, 0);
    }
}
