//! Paths inside a repository, and where they may land on disk.
//!
//! A Hub's file names are input of strangers. A path that could leave the folder it is written to is refused before
//! anything is opened, and links inside the folder are not followed.

use std::path::{Component, Path, PathBuf};

use hf_core::HfError;

use crate::{invalid, io_error};

/// Says why a path is not a plain relative path inside a repository, if it is not.
fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.contains('\\') {
        return Some("it contains a backslash");
    }
    if path.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    let bytes = path.as_bytes();
    if bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' {
        return Some("it starts with a drive letter");
    }
    for segment in path.split('/') {
        match segment {
            "" => return Some("it has an empty part"),
            "." | ".." => return Some("it has a part that is . or .."),
            _ if segment.eq_ignore_ascii_case(".git") => return Some("it goes through a .git folder"),
            _ => {}
        }
    }
    None
}

/// Checks that `path` is a plain relative path inside a repository.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] for an absolute path, `.` and `..`, empty parts, backslashes, control characters, a
/// drive letter, or a `.git` part.
pub fn check_repo_path(path: &str) -> Result<(), HfError> {
    match fault(path) {
        None => Ok(()),
        Some(why) => Err(invalid(format!(
            "{path:?} is not a path inside a repository: {why}"
        ))),
    }
}

/// Returns where `path` lands under `root`, after making sure that it stays there.
///
/// Folders that are missing are created. A symbolic link on the way is an error: it may point anywhere.
pub(crate) fn prepare_target(root: &Path, path: &str) -> Result<PathBuf, HfError> {
    check_repo_path(path)?;
    let mut target = root.to_path_buf();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        // On Windows a segment such as `C:x` is more than a name.
        let mut components = Path::new(segment).components();
        let plain = matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(_)), None)
        );
        if !plain {
            return Err(invalid(format!("{path:?} cannot be a file name on this system")));
        }
        target.push(segment);
        if segments.peek().is_none() {
            break;
        }
        match std::fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => {
                return Err(invalid(format!(
                    "{path:?} would be written through the symbolic link {}; remove the link or choose another folder",
                    target.display()
                )));
            }
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(invalid(format!(
                    "{path:?} needs {} to be a folder, but a file is there; remove it or choose another folder",
                    target.display()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let Err(error) = std::fs::create_dir(&target)
                    && error.kind() != std::io::ErrorKind::AlreadyExists
                {
                    return Err(io_error("create the folder", &target, error));
                }
            }
            Err(error) => return Err(io_error("look at", &target, error)),
        }
    }
    Ok(target)
}

/// Writes a path below `root` with forward slashes, as repositories do.
pub(crate) fn relative_repo_path(root: &Path, file: &Path) -> Result<String, HfError> {
    let relative = file
        .strip_prefix(root)
        .map_err(|_| invalid(format!("{} is not inside {}", file.display(), root.display())))?;
    let mut parts = Vec::new();
    for component in relative.components() {
        let Component::Normal(part) = component else {
            return Err(invalid(format!("{} is not a plain file path", file.display())));
        };
        let Some(part) = part.to_str() else {
            return Err(invalid(format!(
                "the name of {} is not valid Unicode, which the Hub needs; rename the file",
                file.display()
            )));
        };
        parts.push(part);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_pass() {
        for path in [
            "a",
            "a/b.jsonl",
            "données/été.jsonl",
            ".gitattributes",
            "a b/c",
            "日本/語.txt",
            "ab:c",
            "...",
            "a..b",
        ] {
            check_repo_path(path).unwrap();
        }
    }

    #[test]
    fn paths_that_could_leave_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "C:x",
            "c:/x",
            "a\\..\\b",
            "\\\\host\\x",
            "a\0b",
            "a\nb",
            ".git/config",
            "x/.GIT/hooks/post-checkout",
        ] {
            assert!(check_repo_path(path).is_err(), "{path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let error = prepare_target(root.path(), "link/file").unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert!(
            prepare_target(root.path(), "a/b/c")
                .unwrap()
                .starts_with(root.path())
        );
        assert!(root.path().join("a/b").is_dir());
        std::fs::write(root.path().join("plain"), "").unwrap();
        assert!(
            prepare_target(root.path(), "plain/x")
                .unwrap_err()
                .to_string()
                .contains("a file is there")
        );
    }

    proptest! {
        #[test]
        fn whatever_passes_stays_inside(path in "[a.:/\\\\ \u{e9}\n]{0,12}") {
            let root = Path::new("/srv/folder");
            if check_repo_path(&path).is_ok() {
                let joined = root.join(&path);
                prop_assert!(joined.components().all(|part| !matches!(part, Component::ParentDir)));
                prop_assert!(joined.starts_with(root));
                prop_assert_eq!(relative_repo_path(root, &joined).unwrap(), path);
            }
        }
    }
}
