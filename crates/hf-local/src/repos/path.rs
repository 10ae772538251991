//! Paths of files in a repo.

use std::fmt;

use crate::reply::HubError;

const MAX_PATH: usize = 4096;
const MAX_PART: usize = 255;

/// A path that names a file or folder inside a repo and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RepoPath(String);

impl RepoPath {
    /// Checks a path as a client sent it.
    ///
    /// # Errors
    /// 400, if it is empty or absolute, leaves the repo, or could be read as something else on some system.
    pub(crate) fn parse(path: &str) -> Result<Self, HubError> {
        let refuse = |why: &str| HubError::bad_request(format!("Invalid path in repo {path:?}: {why}"));
        if path.is_empty() {
            return Err(refuse("it is empty"));
        }
        if path.len() > MAX_PATH {
            return Err(HubError::bad_request(format!(
                "A path in the repo is longer than {MAX_PATH} bytes"
            )));
        }
        if path.chars().any(|c| c == '\\' || c.is_control()) {
            return Err(refuse("backslashes and control characters are not allowed"));
        }
        if path.starts_with('/') {
            return Err(refuse("it has to be relative"));
        }
        for part in path.split('/') {
            match part {
                "" => return Err(refuse("it has an empty part")),
                "." | ".." => return Err(refuse("'.' and '..' are not allowed")),
                _ if part.eq_ignore_ascii_case(".git") => return Err(refuse("'.git' is not allowed")),
                _ if part.len() > MAX_PART => return Err(refuse("a part is longer than 255 bytes")),
                _ => {}
            }
        }
        Ok(Self(path.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The folders above, and the last part.
    pub(crate) fn split(&self) -> (Vec<&str>, &str) {
        let mut parts: Vec<&str> = self.parts().collect();
        let name = parts.pop().unwrap_or_default();
        (parts, name)
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_the_repo_is_refused() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "..\\x",
            "a\0b",
            "a\nb",
            ".git/config",
            "a/.GIT/x",
            "C:\\x",
        ] {
            assert!(RepoPath::parse(bad).is_err(), "{bad:?}");
        }
        for good in [
            "a",
            "a/b",
            ".gitattributes",
            "a.b/..c",
            "é/ü.bin",
            "a b/c",
            "...",
            ".github/x",
        ] {
            assert!(RepoPath::parse(good).is_ok(), "{good:?}");
        }
    }
}
