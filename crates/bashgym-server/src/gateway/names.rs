//! What a model's name means here.

use bashgym_core::backend::BackendRole;
use hf_inference::ModelRef;

use crate::problem::{Code, Problem};

/// The router chooses.
pub(super) const AUTO: &str = "bashgym/auto";
/// The student.
pub(super) const STUDENT: &str = "bashgym/student";
/// The teacher.
pub(super) const TEACHER: &str = "teacher";
/// What stands before the name of a model at Hugging Face.
pub(super) const HF: &str = "hf/";

/// Who is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Asked {
    /// Whoever is right for it.
    Auto,
    /// Whoever plays this part.
    Role(BackendRole),
    /// One model at Hugging Face.
    Hf(ModelRef),
}

/// Reads a name.
///
/// # Errors
/// [`Problem`] of code `model_not_found`, which says which names there are.
pub(super) fn read(name: &str) -> Result<Asked, Problem> {
    match name {
        AUTO => Ok(Asked::Auto),
        STUDENT => Ok(Asked::Role(BackendRole::Student)),
        TEACHER | "bashgym/teacher" => Ok(Asked::Role(BackendRole::Teacher)),
        _ => match name.strip_prefix(HF) {
            Some(model) => model
                .parse()
                .map(Asked::Hf)
                .map_err(|error| not_found(&format!("{error}"))),
            None => Err(not_found("there is no model of this name")
                .hint("take bashgym/auto, bashgym/student, teacher, or hf/ and a model at Hugging Face")),
        },
    }
}

/// A name that leads nowhere. What was asked for is not repeated: it may be a key in the wrong place.
pub(super) fn not_found(why: &str) -> Problem {
    Problem::new(Code::ModelNotFound, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_thing() {
        assert_eq!(read("bashgym/auto").unwrap(), Asked::Auto);
        assert_eq!(
            read("bashgym/student").unwrap(),
            Asked::Role(BackendRole::Student)
        );
        assert_eq!(read("teacher").unwrap(), Asked::Role(BackendRole::Teacher));
        assert_eq!(
            read("hf/org/name:cheapest").unwrap(),
            Asked::Hf("org/name:cheapest".parse().unwrap())
        );
        for wrong in [
            "gpt-5",
            "hf/",
            "hf/a/b/c",
            "hf/a/b:nobody",
            "",
            "bashgym/",
            "auto",
        ] {
            let problem = read(wrong).unwrap_err();
            assert_eq!(problem.code(), Code::ModelNotFound, "{wrong}");
        }
    }
}
