//! Git-LFS pointers: the small blob that stands for a large file.

/// A large file as its pointer names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// 64 hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

/// Longer texts are never pointers.
const MAX_LEN: usize = 1024;
const VERSION: &str = "version https://git-lfs.github.com/spec/v1";

impl Pointer {
    /// Writes the pointer in its one canonical form.
    pub(crate) fn text(&self) -> String {
        format!("{VERSION}\noid sha256:{}\nsize {}\n", self.sha256, self.size)
    }

    /// Reads a blob that may be a pointer.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_LEN {
            return None;
        }
        let text = str::from_utf8(body).ok()?;
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let (mut sha256, mut size) = (None, None);
        for line in lines {
            let (key, value) = line.split_once(' ')?;
            if key == "oid" {
                let oid = value.strip_prefix("sha256:").filter(|oid| is_sha256(oid))?;
                sha256 = Some(oid.to_owned());
            } else if key == "size" {
                size = Some(value.parse().ok()?);
            }
        }
        Some(Self {
            sha256: sha256?,
            size: size?,
        })
    }
}

/// Returns whether a text is 64 lower-case hexadecimal digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_as_it_was_written() {
        let pointer = Pointer {
            sha256: "ab".repeat(32),
            size: 524_288,
        };
        assert_eq!(Pointer::parse(pointer.text().as_bytes()), Some(pointer.clone()));
        assert_eq!(pointer.text().len(), 131);
        assert_eq!(
            Pointer::parse(b"version https://git-lfs.github.com/spec/v1\n"),
            None
        );
        assert_eq!(Pointer::parse(b"hello"), None);
        assert_eq!(
            Pointer::parse(pointer.text().replace("ab", "AB").as_bytes()),
            None
        );
    }
}
