//! The files of a Space that serves a model.
//!
//! The code is fixed files, or `bashgym` itself; everything that differs between two Spaces is data in `space.json` and in the front matter of
//! `README.md`, both written as JSON. A name with quotes or line breaks in it is a string there and stays one.

use hf_core::HfError;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::AppLimits;
use crate::hardware::SpaceHardware;
use crate::program::SpaceApp;

/// The Gradio the template was tried with.
pub const GRADIO_VERSION: &str = "6.31.0";
/// The Python of the Space.
const PYTHON_VERSION: &str = "3.12";
/// The port of a docker Space, as the Hub expects it.
const APP_PORT: u16 = 7860;
/// The file that says what is served.
pub const SPACE_FILE: &str = "space.json";
/// The file that builds the container of a docker Space.
pub(crate) const DOCKERFILE: &str = "Dockerfile";
/// The form of [`SpaceFile`] this version writes.
const FORM: u32 = 2;

const STUDENT: &str = include_str!("files/student.py");
const PAGE: &str = include_str!("files/page.py");
const APP_ZERO_GPU: &str = include_str!("files/app_zero_gpu.py");
const APP_RESIDENT: &str = include_str!("files/app_resident.py");
const CONTAINER: &str = include_str!("files/Dockerfile");
const REQUIREMENTS: &str = include_str!("files/requirements.txt");

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedModel {
    /// `namespace/name`.
    pub repo_id: String,
    /// The commit, 40 hex digits.
    pub revision: String,
}

/// What a Space of this template serves, as its `space.json` says it.
///
/// # Shape
/// `{"form","app","deployment","title","model","adapter","shown","previous","limits","trust_remote_code","hardware"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFile {
    /// The version of this form.
    pub form: u32,
    /// What answers; a file of the first form has Gradio.
    #[serde(default)]
    pub app: SpaceApp,
    /// The id of the deployment that wrote it.
    pub deployment: String,
    /// The title of the page.
    pub title: String,
    /// The model that is loaded: the student, or the base of its adapter.
    pub model: PinnedModel,
    /// The adapter put on the model, where the student is one.
    pub adapter: Option<PinnedModel>,
    /// The student: what was asked for.
    pub shown: PinnedModel,
    /// The student before this one, which a rollback goes back to.
    pub previous: Option<PinnedModel>,
    /// What a visitor may ask for.
    pub limits: AppLimits,
    /// Whether code of the model's repository may run.
    pub trust_remote_code: bool,
    /// What the app was written for.
    pub hardware: SpaceHardware,
}

impl SpaceFile {
    /// Describes a new Space.
    pub fn new(deployment: String, title: String, student: Student, hardware: SpaceHardware) -> Self {
        Self {
            form: FORM,
            app: SpaceApp::Gradio,
            deployment,
            title,
            model: student.model,
            adapter: student.adapter,
            shown: student.shown,
            previous: None,
            limits: AppLimits::default(),
            trust_remote_code: false,
            hardware,
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`HfError::Decode`] when it is none of this template, or of a newer one.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let file: Self =
            serde_json::from_str(text).map_err(|error| HfError::from_json(SPACE_FILE, &error))?;
        if file.form > FORM {
            return Err(HfError::decode(
                SPACE_FILE,
                "a newer version wrote it; update this program first",
            ));
        }
        Ok(file)
    }
}

/// What is loaded to serve a student.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Student {
    /// The model that is loaded.
    pub model: PinnedModel,
    /// The adapter put on it.
    pub adapter: Option<PinnedModel>,
    /// The student: one of the two.
    pub shown: PinnedModel,
}

/// A file of a Space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Its path.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// Writes the files of a Space.
///
/// # Errors
/// [`HfError::InvalidArgument`] when the data can not be written as JSON.
pub fn render(space: &SpaceFile) -> Result<Vec<TextFile>, HfError> {
    let data = serde_json::to_string_pretty(space)
        .map_err(|error| HfError::invalid(format!("{SPACE_FILE} can not be written: {error}")))?;
    let app = if space.hardware.is_zero_gpu() {
        APP_ZERO_GPU
    } else {
        APP_RESIDENT
    };
    let file = |path, text: String| TextFile { path, text };
    if space.app == SpaceApp::Bashgym {
        return Ok(vec![
            file(DOCKERFILE, CONTAINER.to_owned()),
            file("README.md", readme(space)),
            file(SPACE_FILE, data + "\n"),
        ]);
    }
    Ok(vec![
        file("README.md", readme(space)),
        file("app.py", app.to_owned()),
        file("page.py", PAGE.to_owned()),
        file("requirements.txt", REQUIREMENTS.to_owned()),
        file(SPACE_FILE, data + "\n"),
        file("student.py", STUDENT.to_owned()),
    ])
}

/// The card. Values of the front matter are JSON, which is YAML.
fn readme(space: &SpaceFile) -> String {
    let models: Vec<&str> = [Some(&space.shown), Some(&space.model)]
        .into_iter()
        .flatten()
        .map(|model| model.repo_id.as_str())
        .fold(Vec::new(), |mut all, id| {
            if !all.contains(&id) {
                all.push(id);
            }
            all
        });
    let of_the_app = match space.app {
        SpaceApp::Gradio => vec![
            ("sdk_version", json!(GRADIO_VERSION)),
            ("python_version", json!(PYTHON_VERSION)),
            ("app_file", json!("app.py")),
        ],
        SpaceApp::Bashgym => vec![("app_port", json!(APP_PORT))],
    };
    let before = [
        ("title", json!(space.title)),
        ("emoji", json!("\u{1f393}")),
        ("colorFrom", json!("indigo")),
        ("colorTo", json!("green")),
        ("sdk", json!(space.app.sdk())),
    ];
    let after = [
        ("suggested_hardware", json!(space.hardware)),
        ("models", json!(models)),
        ("tags", json!(["bashgym"])),
    ];
    let mut text = String::from("---\n");
    for (key, value) in before.into_iter().chain(of_the_app).chain(after) {
        text.push_str(key);
        text.push_str(": ");
        text.push_str(&yaml_safe(&value.to_string()));
        text.push('\n');
    }
    text.push_str("---\n\nServes the model that `space.json` names, at the commit it names. `/generate` takes a prompt, the most new tokens and a temperature.\n");
    text
}

/// JSON leaves some characters bare that YAML does not take, or takes for line ends.
fn yaml_safe(json: &str) -> String {
    json.chars()
        .map(|c| match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                format!("\\u{:04x}", u32::from(c))
            }
            c => c.to_string(),
        })
        .collect()
}
