//! `.gitattributes`: which files are large by their name.

/// What a new model or Space repo says.
///
/// # Source
/// The first commit of a model repo on the Hub.
pub(crate) const MODEL_ATTRIBUTES: &str = "\
*.7z filter=lfs diff=lfs merge=lfs -text
*.arrow filter=lfs diff=lfs merge=lfs -text
*.bin filter=lfs diff=lfs merge=lfs -text
*.bz2 filter=lfs diff=lfs merge=lfs -text
*.ckpt filter=lfs diff=lfs merge=lfs -text
*.ftz filter=lfs diff=lfs merge=lfs -text
*.gz filter=lfs diff=lfs merge=lfs -text
*.h5 filter=lfs diff=lfs merge=lfs -text
*.joblib filter=lfs diff=lfs merge=lfs -text
*.lfs.* filter=lfs diff=lfs merge=lfs -text
*.mlmodel filter=lfs diff=lfs merge=lfs -text
*.model filter=lfs diff=lfs merge=lfs -text
*.msgpack filter=lfs diff=lfs merge=lfs -text
*.npy filter=lfs diff=lfs merge=lfs -text
*.npz filter=lfs diff=lfs merge=lfs -text
*.onnx filter=lfs diff=lfs merge=lfs -text
*.ot filter=lfs diff=lfs merge=lfs -text
*.parquet filter=lfs diff=lfs merge=lfs -text
*.pb filter=lfs diff=lfs merge=lfs -text
*.pickle filter=lfs diff=lfs merge=lfs -text
*.pkl filter=lfs diff=lfs merge=lfs -text
*.pt filter=lfs diff=lfs merge=lfs -text
*.pth filter=lfs diff=lfs merge=lfs -text
*.rar filter=lfs diff=lfs merge=lfs -text
*.safetensors filter=lfs diff=lfs merge=lfs -text
saved_model/**/* filter=lfs diff=lfs merge=lfs -text
*.tar.* filter=lfs diff=lfs merge=lfs -text
*.tar filter=lfs diff=lfs merge=lfs -text
*.tflite filter=lfs diff=lfs merge=lfs -text
*.tgz filter=lfs diff=lfs merge=lfs -text
*.wasm filter=lfs diff=lfs merge=lfs -text
*.xz filter=lfs diff=lfs merge=lfs -text
*.zip filter=lfs diff=lfs merge=lfs -text
*.zst filter=lfs diff=lfs merge=lfs -text
*tfevents* filter=lfs diff=lfs merge=lfs -text
";

/// What a new dataset repo says.
///
/// # Source
/// The first commit of a dataset repo on the Hub.
pub(crate) const DATASET_ATTRIBUTES: &str = "\
*.7z filter=lfs diff=lfs merge=lfs -text
*.arrow filter=lfs diff=lfs merge=lfs -text
*.bin filter=lfs diff=lfs merge=lfs -text
*.bz2 filter=lfs diff=lfs merge=lfs -text
*.ckpt filter=lfs diff=lfs merge=lfs -text
*.ftz filter=lfs diff=lfs merge=lfs -text
*.gz filter=lfs diff=lfs merge=lfs -text
*.h5 filter=lfs diff=lfs merge=lfs -text
*.joblib filter=lfs diff=lfs merge=lfs -text
*.lfs.* filter=lfs diff=lfs merge=lfs -text
*.lz4 filter=lfs diff=lfs merge=lfs -text
*.mds filter=lfs diff=lfs merge=lfs -text
*.mlmodel filter=lfs diff=lfs merge=lfs -text
*.model filter=lfs diff=lfs merge=lfs -text
*.msgpack filter=lfs diff=lfs merge=lfs -text
*.npy filter=lfs diff=lfs merge=lfs -text
*.npz filter=lfs diff=lfs merge=lfs -text
*.onnx filter=lfs diff=lfs merge=lfs -text
*.ot filter=lfs diff=lfs merge=lfs -text
*.parquet filter=lfs diff=lfs merge=lfs -text
*.pb filter=lfs diff=lfs merge=lfs -text
*.pickle filter=lfs diff=lfs merge=lfs -text
*.pkl filter=lfs diff=lfs merge=lfs -text
*.pt filter=lfs diff=lfs merge=lfs -text
*.pth filter=lfs diff=lfs merge=lfs -text
*.rar filter=lfs diff=lfs merge=lfs -text
*.safetensors filter=lfs diff=lfs merge=lfs -text
saved_model/**/* filter=lfs diff=lfs merge=lfs -text
*.tar.* filter=lfs diff=lfs merge=lfs -text
*.tar filter=lfs diff=lfs merge=lfs -text
*.tflite filter=lfs diff=lfs merge=lfs -text
*.tgz filter=lfs diff=lfs merge=lfs -text
*.wasm filter=lfs diff=lfs merge=lfs -text
*.xz filter=lfs diff=lfs merge=lfs -text
*.zip filter=lfs diff=lfs merge=lfs -text
*.zst filter=lfs diff=lfs merge=lfs -text
*tfevents* filter=lfs diff=lfs merge=lfs -text
# Audio files - uncompressed
*.pcm filter=lfs diff=lfs merge=lfs -text
*.sam filter=lfs diff=lfs merge=lfs -text
*.raw filter=lfs diff=lfs merge=lfs -text
# Audio files - compressed
*.aac filter=lfs diff=lfs merge=lfs -text
*.flac filter=lfs diff=lfs merge=lfs -text
*.mp3 filter=lfs diff=lfs merge=lfs -text
*.ogg filter=lfs diff=lfs merge=lfs -text
*.wav filter=lfs diff=lfs merge=lfs -text
# Image files - uncompressed
*.bmp filter=lfs diff=lfs merge=lfs -text
*.gif filter=lfs diff=lfs merge=lfs -text
*.png filter=lfs diff=lfs merge=lfs -text
*.tiff filter=lfs diff=lfs merge=lfs -text
# Image files - compressed
*.jpg filter=lfs diff=lfs merge=lfs -text
*.jpeg filter=lfs diff=lfs merge=lfs -text
*.webp filter=lfs diff=lfs merge=lfs -text
# Video files - compressed
*.mp4 filter=lfs diff=lfs merge=lfs -text
*.webm filter=lfs diff=lfs merge=lfs -text
";

/// The rules of a `.gitattributes` file that say where large-file storage is used, or not.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    rules: Vec<(String, bool)>,
}

impl Attributes {
    /// Reads the file; lines that say nothing of a filter are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let rules = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let pattern = words.next()?;
                let large = words.fold(None, |large, word| match word {
                    "filter=lfs" => Some(true),
                    "-filter" | "!filter" => Some(false),
                    _ if word.starts_with("filter=") => Some(false),
                    _ => large,
                })?;
                Some((pattern.trim_matches('"').to_owned(), large))
            })
            .collect();
        Self { rules }
    }

    /// Returns whether the last rule that fits a path sends it to large-file storage.
    pub(crate) fn is_large(&self, path: &str) -> bool {
        self.rules
            .iter()
            .rev()
            .find(|(pattern, _)| fits(pattern, path))
            .is_some_and(|(_, large)| *large)
    }
}

/// Returns whether a pattern fits a path, as git decides it: without a slash it is about the last part of the path.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let trimmed = pattern.strip_prefix('/').unwrap_or(pattern);
    if trimmed.len() == pattern.len() && !pattern.contains('/') {
        let name = path.rsplit('/').next().unwrap_or(path);
        return glob(pattern.as_bytes(), name.as_bytes());
    }
    let pattern: Vec<&[u8]> = trimmed.split('/').map(str::as_bytes).collect();
    let path: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
    fits_parts(&pattern, &path)
}

fn fits_parts(pattern: &[&[u8]], path: &[&[u8]]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&b"**", [])) => !path.is_empty(),
        Some((&b"**", rest)) => {
            (0..=path.len()).any(|skip| path.get(skip..).is_some_and(|left| fits_parts(rest, left)))
        }
        Some((part, rest)) => path
            .split_first()
            .is_some_and(|(name, left)| glob(part, name) && fits_parts(rest, left)),
    }
}

/// Fits `*`, `?` and `[..]` within one part of a path. Takes time in proportion to both lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(pattern.get(p..).unwrap_or_default(), text[t]),
            Some(b'\\') => (pattern.get(p + 1) == Some(&text[t])).then_some(2),
            Some(byte) => (*byte == text[t]).then_some(1),
            None => None,
        };
        if let Some(step) = step {
            p += step;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Fits a `[..]` at the start of `pattern`; returns its length if `byte` is one of it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let set = pattern.get(start..end)?;
    let mut found = false;
    let mut at = 0;
    while let Some(low) = set.get(at) {
        if set.get(at + 1) == Some(&b'-')
            && let Some(high) = set.get(at + 2)
        {
            found |= (*low..=*high).contains(&byte);
            at += 3;
        } else {
            found |= *low == byte;
            at += 1;
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_find_weights_wherever_they_are() {
        let model = Attributes::parse(MODEL_ATTRIBUTES);
        for large in [
            "model.safetensors",
            "a/b/c.bin",
            "saved_model/x",
            "saved_model/a/b",
            "runs/events.out.tfevents.1",
            "x.tar.gz",
        ] {
            assert!(model.is_large(large), "{large}");
        }
        for small in [
            "README.md",
            "config.json",
            "a.bin/x",
            "not_saved_model/x",
            "x.png",
            ".gitattributes",
        ] {
            assert!(!model.is_large(small), "{small}");
        }
        assert!(Attributes::parse(DATASET_ATTRIBUTES).is_large("img/x.png"));
    }

    #[test]
    fn the_last_rule_that_fits_wins() {
        let rules = Attributes::parse(
            "*.json filter=lfs -text\n/config.json -filter\ndata/[0-9]?.txt filter=lfs\n# x filter=lfs\n",
        );
        assert!(rules.is_large("a/b.json") && rules.is_large("a/config.json"));
        assert!(!rules.is_large("config.json"));
        assert!(
            rules.is_large("data/1a.txt")
                && !rules.is_large("data/aa.txt")
                && !rules.is_large("x/data/1a.txt")
        );
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!fits(&pattern, &format!("{}b", "a".repeat(5_000))));
    }
}
