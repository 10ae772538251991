//! Paths of requests: only below allowed folders, opened relative to a folder's handle.

use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use crate::problem::{Code, Problem};

/// Why a path of a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefusal {
    /// It has a NUL, or is empty.
    #[error("the path is empty or has a NUL")]
    Malformed,
    /// It is written as on Windows: a drive, a backslash, a device.
    #[error("the path is not a path of this system")]
    Foreign,
    /// It does not begin at the root of the file system.
    #[error("the path is not absolute")]
    Relative,
    /// It has `..`.
    #[error("the path goes upwards")]
    Upwards,
    /// It is not below an allowed folder, or a link leads out of it.
    #[error("the path is not below a folder that this server may read")]
    Outside,
    /// It is below one, and not there.
    #[error("there is nothing at this path")]
    Missing,
}

impl From<PathRefusal> for Problem {
    fn from(refusal: PathRefusal) -> Self {
        let code = match refusal {
            PathRefusal::Malformed | PathRefusal::Foreign | PathRefusal::Relative => Code::Invalid,
            PathRefusal::Upwards | PathRefusal::Outside => Code::PathNotAllowed,
            PathRefusal::Missing => Code::NotFound,
        };
        Self::new(code, refusal.to_string())
            .hint("allowed are the coding agents' own folders and those named by `bashgym serve --root DIR`")
    }
}

/// The folders that requests may name paths in.
#[derive(Debug, Default)]
pub struct Roots {
    roots: Vec<Root>,
    /// Those that were chosen while the server runs, or before, and may be taken back.
    added: RwLock<Arc<Vec<Root>>>,
}

#[derive(Debug)]
struct Root {
    /// As configured, and as it really is: a request may name either.
    named: PathBuf,
    real: PathBuf,
    handle: Dir,
}

impl Root {
    fn open(named: PathBuf) -> Option<Self> {
        let real = named.canonicalize().ok()?;
        let handle = Dir::open_ambient_dir(&real, ambient_authority()).ok()?;
        Some(Self { named, real, handle })
    }
}

impl Roots {
    /// Opens the folders; one that is not there is left out.
    pub fn open(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            roots: folders.into_iter().filter_map(Root::open).collect(),
            added: RwLock::default(),
        }
    }

    /// Opens other folders in place of those that were added before; one that is not there is left out.
    pub fn set_added(&self, folders: impl IntoIterator<Item = PathBuf>) {
        let opened = Arc::new(folders.into_iter().filter_map(Root::open).collect());
        *self.added.write().unwrap_or_else(PoisonError::into_inner) = opened;
    }

    /// The folders that are always allowed, as they were named.
    pub fn fixed(&self) -> Vec<PathBuf> {
        self.roots.iter().map(|root| root.named.clone()).collect()
    }

    /// The folders that were added, as they were named.
    pub fn added(&self) -> Vec<PathBuf> {
        self.added_now().iter().map(|root| root.named.clone()).collect()
    }

    fn added_now(&self) -> Arc<Vec<Root>> {
        Arc::clone(&self.added.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks a path of a request and returns it as it really is.
    ///
    /// The path is opened relative to the handle of its root, so that neither `..` nor a link leads out of it.
    ///
    /// # Errors
    /// [`PathRefusal`].
    pub fn resolve(&self, path: &str) -> Result<PathBuf, PathRefusal> {
        if path.is_empty() || path.contains('\0') {
            return Err(PathRefusal::Malformed);
        }
        if is_foreign(path) {
            return Err(PathRefusal::Foreign);
        }
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(PathRefusal::Relative);
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(PathRefusal::Upwards);
        }
        let mut refusal = PathRefusal::Outside;
        let added = self.added_now();
        for root in self.roots.iter().chain(added.iter()) {
            let Some(rest) = [&root.named, &root.real]
                .into_iter()
                .find_map(|folder| path.strip_prefix(folder).ok())
            else {
                continue;
            };
            if rest.as_os_str().is_empty() {
                return Ok(root.real.clone());
            }
            match root.handle.canonicalize(rest) {
                Ok(inside) => return Ok(root.real.join(inside)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => refusal = PathRefusal::Missing,
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

/// Whether a path is written as on Windows.
fn is_foreign(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    drive || path.contains('\\')
}

/// Checks a name that becomes a folder: letters, digits, `.`, `_`, `-`, not hidden, at most 96.
///
/// # Errors
/// [`Problem`] of code `invalid`.
pub(crate) fn folder_name(name: &str) -> Result<&str, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=96).contains(&name.len()) && !name.starts_with(['.', '-']) && name.chars().all(plain) {
        return Ok(name);
    }
    Err(Problem::new(
        Code::Invalid,
        "a name is 1 to 96 letters, digits, points, dashes and underscores, and begins with a letter or digit",
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{PathRefusal, Roots, folder_name};

    #[test]
    fn paths_of_requests_stay_below_allowed_folders() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("logs")).unwrap();
        std::fs::write(root.path().join("logs/a.jsonl"), "{}").unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink(outside.path().join("secret"), root.path().join("logs/leak")).unwrap();
        symlink("a.jsonl", root.path().join("logs/inner")).unwrap();
        let roots = Roots::open([root.path().to_path_buf()]);
        let base = root.path().to_str().unwrap();
        let at = |rest: &str| roots.resolve(&format!("{base}/{rest}"));

        let real = root.path().canonicalize().unwrap();
        assert_eq!(at("logs/a.jsonl"), Ok(real.join("logs/a.jsonl")));
        assert_eq!(at("logs/inner"), Ok(real.join("logs/a.jsonl")));
        assert_eq!(at(""), Ok(real));
        for (path, refusal) in [
            ("out/secret".to_owned(), PathRefusal::Outside),
            ("logs/leak".to_owned(), PathRefusal::Outside),
            ("logs/../logs/a.jsonl".to_owned(), PathRefusal::Upwards),
            ("logs/a\0.jsonl".to_owned(), PathRefusal::Malformed),
            ("logs\\a.jsonl".to_owned(), PathRefusal::Foreign),
            ("logs/none".to_owned(), PathRefusal::Missing),
        ] {
            assert_eq!(at(&path), Err(refusal), "{path:?}");
        }
        for (path, refusal) in [
            ("", PathRefusal::Malformed),
            ("logs/a.jsonl", PathRefusal::Relative),
            ("/etc/passwd", PathRefusal::Outside),
            ("/proc/self/environ", PathRefusal::Outside),
            ("C:\\Users\\me", PathRefusal::Foreign),
            ("c:/Users/me", PathRefusal::Foreign),
            ("\\\\?\\C:\\x", PathRefusal::Foreign),
            ("//server/share", PathRefusal::Outside),
        ] {
            assert_eq!(roots.resolve(path), Err(refusal), "{path:?}");
        }
        assert_eq!(
            roots.resolve(&format!("{base}-next/a")),
            Err(PathRefusal::Outside)
        );
    }

    #[test]
    fn a_folder_that_was_added_is_allowed_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let roots = Roots::default();
        assert_eq!(roots.resolve(path), Err(PathRefusal::Outside));
        roots.set_added([folder.path().to_path_buf(), folder.path().join("none")]);
        assert_eq!(roots.resolve(path), Ok(folder.path().canonicalize().unwrap()));
        assert_eq!((roots.fixed().len(), roots.added().len()), (0, 1));
        roots.set_added([]);
        assert_eq!(roots.resolve(path), Err(PathRefusal::Outside));
    }

    #[test]
    fn names_that_become_folders_are_plain() {
        for good in ["a", "my-set_1.2"] {
            assert!(folder_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".git",
            "-rf",
            "a/b",
            "a\\b",
            "a\0",
            "a b",
            "C:",
            &"x".repeat(97),
        ] {
            assert!(folder_name(bad).is_err(), "{bad:?}");
        }
    }
}
