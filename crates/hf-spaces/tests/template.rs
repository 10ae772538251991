//! The files of a Space: data stays data, and the code compiles.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::process::Command;

use hf_spaces::{PinnedModel, SpaceApp, SpaceFile, Student, TextFile, render};
use proptest::prelude::*;
use serde_json::Value;

fn space(title: &str, repo: &str, hardware: &str) -> SpaceFile {
    let model = PinnedModel {
        repo_id: repo.to_owned(),
        revision: "1".repeat(40),
    };
    let student = Student {
        model: model.clone(),
        adapter: None,
        shown: model,
    };
    SpaceFile::new(
        "id".to_owned(),
        title.to_owned(),
        student,
        hardware.parse().unwrap(),
    )
}

fn in_a_container(title: &str, repo: &str) -> SpaceFile {
    SpaceFile {
        app: SpaceApp::Bashgym,
        ..space(title, repo, "cpu-basic")
    }
}

fn file<'a>(files: &'a [TextFile], path: &str) -> &'a str {
    &files.iter().find(|file| file.path == path).unwrap().text
}

/// What YAML reads out of the front matter.
fn front_matter(readme: &str) -> Value {
    let (matter, _) = readme
        .strip_prefix("---\n")
        .unwrap()
        .split_once("\n---\n")
        .unwrap();
    serde_saphyr::from_str(matter).unwrap()
}

proptest! {
    #[test]
    fn no_name_breaks_out(title in any::<String>(), repo in any::<String>()) {
        let hostile = space(&title, &repo, "zero-gpu");
        let files = render(&hostile).unwrap();
        let plain = render(&space("t", "a/b", "zero-gpu")).unwrap();
        for path in ["app.py", "page.py", "student.py", "requirements.txt"] {
            prop_assert_eq!(file(&files, path), file(&plain, path));
        }
        prop_assert_eq!(SpaceFile::parse(file(&files, "space.json")).unwrap(), hostile);
        let matter = front_matter(file(&files, "README.md"));
        prop_assert_eq!(&matter["title"], &Value::from(title.clone()));
        prop_assert_eq!(&matter["models"][0], &Value::from(repo.clone()));
        prop_assert_eq!(matter.as_object().unwrap().len(), 11);

        let hostile = in_a_container(&title, &repo);
        let files = render(&hostile).unwrap();
        let plain = render(&in_a_container("t", "a/b")).unwrap();
        prop_assert_eq!(file(&files, "Dockerfile"), file(&plain, "Dockerfile"));
        prop_assert_eq!(SpaceFile::parse(file(&files, "space.json")).unwrap(), hostile);
        prop_assert_eq!(&front_matter(file(&files, "README.md"))["title"], &Value::from(title));
    }
}

#[test]
fn names_made_to_break_out_stay_names() {
    for hostile in [
        "\"\nimport os; os.system('x')\n\"",
        "'''\n---\nsdk: docker\n---\n",
        "{{7*7}} ${x} \\u0000 \u{2028}\u{85}\u{0}",
        "!!python/object/apply:os.system [x]",
    ] {
        let files = render(&space(hostile, hostile, "zero-gpu")).unwrap();
        let matter = front_matter(file(&files, "README.md"));
        assert_eq!(matter["title"], hostile);
        assert_eq!(matter["sdk"], "gradio");
        assert!(!file(&files, "app.py").contains("os.system"));
    }
}

#[test]
fn the_hardware_decides_the_app() {
    let app = |hardware: &str| file(&render(&space("t", "a/b", hardware)).unwrap(), "app.py").to_owned();
    assert!(app("zero-gpu").contains("@spaces.GPU(duration=gpu_seconds)"));
    for other in ["cpu-basic", "t4-small"] {
        assert!(!app(other).contains("spaces"), "{other}");
    }
    let files = render(&space("t", "a/b", "zero-gpu")).unwrap();
    assert_eq!(
        front_matter(file(&files, "README.md"))["suggested_hardware"],
        "zero-a10g"
    );
}

#[test]
fn a_container_runs_bashgym_on_the_port_the_hub_asks() {
    let files = render(&in_a_container("t", "a/b")).unwrap();
    let paths: Vec<_> = files.iter().map(|file| file.path).collect();
    assert_eq!(paths, ["Dockerfile", "README.md", "space.json"]);
    let matter = front_matter(file(&files, "README.md"));
    assert_eq!(
        (&matter["sdk"], &matter["app_port"]),
        (&"docker".into(), &7860.into())
    );
    assert!(matter.get("sdk_version").is_none() && matter.get("app_file").is_none());
    assert!(file(&files, "Dockerfile").contains("\"--port\", \"7860\""));
}

#[test]
fn a_file_of_the_first_form_has_gradio() {
    let files = render(&space("t", "a/b", "cpu-basic")).unwrap();
    let mut old: Value = serde_json::from_str(file(&files, "space.json")).unwrap();
    old["form"] = 1.into();
    old.as_object_mut().unwrap().remove("app");
    assert_eq!(SpaceFile::parse(&old.to_string()).unwrap().app, SpaceApp::Gradio);
}

#[test]
fn the_code_compiles() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    for hardware in ["zero-gpu", "cpu-basic"] {
        let folder = tempfile::tempdir().unwrap();
        for file in render(&space("t", "a/b", hardware)).unwrap() {
            let path = folder.path().join(file.path);
            std::fs::write(&path, &file.text).unwrap();
            if path.extension().is_some_and(|ending| ending == "py") {
                let done = Command::new("python3")
                    .args(["-m", "py_compile"])
                    .arg(&path)
                    .output()
                    .unwrap();
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            }
        }
    }
}

#[test]
fn a_file_of_a_newer_form_is_not_guessed_at() {
    let files = render(&space("t", "a/b", "zero-gpu")).unwrap();
    let newer = file(&files, "space.json").replace("\"form\": 2", "\"form\": 3");
    assert!(
        SpaceFile::parse(&newer)
            .unwrap_err()
            .to_string()
            .contains("newer")
    );
}
