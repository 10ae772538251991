//! The name a job gets when nobody gives it one, the official client's way.

use sha2::{Digest, Sha256};

use crate::spec::{JobImage, JobSpec};

/// The label that holds a job's name.
pub(crate) const NAME: &str = "name";

impl JobSpec {
    /// Gives the job the official client's name, as the label `name`, unless it has one.
    ///
    /// The same image and command give the same name; others differ in its last eight digits.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `_jobs_api.py`, `_default_job_name_from_image`.
    pub fn name_by_default(&mut self) {
        if self.labels.contains_key(NAME) {
            return;
        }
        let image = match &self.image {
            JobImage::Docker(image) => image.clone(),
            JobImage::Space(space) => format!("hf.co/spaces/{space}"),
        };
        let base = match &self.image {
            // The registry's host and the namespace are left out.
            JobImage::Docker(image) => {
                let name = image.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
                sanitize(if name.is_empty() { image } else { name })
            }
            JobImage::Space(space) => sanitize(space.as_str()),
        };
        let words = std::iter::once(image.as_str()).chain(self.command.iter().map(String::as_str));
        let name = format!("{base}-{}", short_hash(words));
        self.labels.insert(NAME.to_owned(), name);
    }
}

/// The name of a job that runs a script.
///
/// # Source
/// `huggingface_hub` 2.4.0 `_jobs_api.py`, `_default_job_name_from_script`.
pub(crate) fn of_script(script: &str, arguments: &[String]) -> String {
    let path = script.split(['?', '#']).next().unwrap_or_default();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".py").unwrap_or(name);
    let base = sanitize(if name.is_empty() { script } else { name });
    let words = std::iter::once(script).chain(arguments.iter().map(String::as_str));
    format!("{base}-{}", short_hash(words))
}

fn sanitize(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect()
}

fn short_hash<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let joined = words.collect::<Vec<_>>().join("\0");
    hex::encode(&Sha256::digest(joined.as_bytes())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the official client.
    #[test]
    fn names_are_those_of_the_official_client() {
        let name = |mut spec: JobSpec| {
            spec.name_by_default();
            spec.labels.remove(NAME).unwrap()
        };
        assert_eq!(
            name(JobSpec::docker("python:3.12", ["foo", "--truc"])),
            "python-3-12-7c6db949"
        );
        assert_eq!(
            name(JobSpec::space("lhoestq/duckdb".parse().unwrap(), ["duckdb"])),
            "lhoestq-duckdb-a24acb5f"
        );
        assert_eq!(
            name(JobSpec::docker(
                "ghcr.io/astral-sh/uv:python3.12-bookworm",
                ["uv"]
            )),
            "uv-python3-12-bookworm-cef69672"
        );
        let args = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            of_script("my_script.py", &args(&["--epochs", "3"])),
            "my_script-74887813"
        );
        assert_eq!(of_script("https://h.co/a/sft.py?raw=1", &[]), "sft-4d9ba297");
        assert_eq!(of_script("lighteval", &[]), "lighteval-b2ed8695");
        let mut named = JobSpec::docker("python:3.12", ["x"]);
        named.labels.insert(NAME.into(), "mine".into());
        assert_eq!(name(named), "mine");
    }
}
