//! Trees, paths, descriptions.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestHub, bytes, file, header, lfs_file, sha256};

const M: &str = "models/ada/m";

async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub
}

#[tokio::test]
async fn a_tree_lists_files_folders_and_pointers() {
    let hub = hub().await;
    let content = bytes(1, 5_000);
    let oid = hub.ada().upload("ada/m", &content).await;
    hub.ada()
        .commit(
            M,
            "x",
            &[
                file("a.txt", "hello\n"),
                file("d/b c.txt", ""),
                lfs_file("d/w.bin", &oid, 5_000),
            ],
        )
        .await;
    let tree = hub.ada().json("/api/models/ada/m/tree/main").await;
    let kinds: Vec<&str> = tree
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["file", "file", "directory"]);
    assert_eq!(
        tree[1],
        json!({ "type": "file", "oid": "ce013625030ba8dba906f756967f9e9ca394464a", "size": 6, "path": "a.txt" })
    );
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 5000\n");
    let folder = hub.ada().json("/api/models/ada/m/tree/main/d").await;
    assert_eq!(folder[1]["size"], 5_000);
    assert_eq!(
        folder[1]["lfs"],
        json!({ "oid": sha256(&content), "size": 5_000, "pointerSize": pointer.len() })
    );
    let raw = hub.ada().get("/ada/m/raw/main/d/w.bin").await;
    assert_eq!(
        header(&raw, "etag"),
        format!("\"{}\"", folder[1]["oid"].as_str().unwrap())
    );
    assert_eq!(raw.text().await.unwrap(), pointer);
    let all = hub.ada().json("/api/models/ada/m/tree/main?recursive=true").await;
    let paths: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, [".gitattributes", "a.txt", "d", "d/b c.txt", "d/w.bin"]);
    let size = hub.ada().json("/api/models/ada/m/treesize/main/d").await;
    assert_eq!(size, json!({ "path": "/d", "size": 5_000 }));
}

#[tokio::test]
async fn encoded_and_plain_slashes_mean_the_same() {
    let hub = hub().await;
    hub.ada()
        .commit(M, "x", &[file("a/b/c.txt", "1"), file("a/b/d é.txt", "2")])
        .await;
    let reply = hub
        .ada()
        .post("/api/models/ada/m/branch/feature%2Fx", &json!({}))
        .await;
    assert_eq!(reply.status(), StatusCode::OK);
    for path in [
        "main/a/b",
        "main/a%2Fb",
        "main/a/b/",
        "refs%2Fheads%2Fmain/a%2Fb",
        "feature%2Fx/a/b",
    ] {
        let tree = hub.ada().json(&format!("/api/models/ada/m/tree/{path}")).await;
        assert_eq!(tree.as_array().unwrap().len(), 2, "{path}");
    }
    for path in ["a/b/d%20%C3%A9.txt", "a%2Fb%2Fd%20%C3%A9.txt"] {
        assert_eq!(
            hub.ada()
                .get(&format!("/ada/m/resolve/feature%2Fx/{path}"))
                .await
                .text()
                .await
                .unwrap(),
            "2"
        );
    }
}

#[tokio::test]
async fn a_listing_comes_in_pages_of_one_commit() {
    let hub = hub().await;
    let lines: Vec<Value> = (0..25)
        .map(|n| file(&format!("d{}/f{n}.txt", n % 4), n.to_string()))
        .collect();
    hub.ada().commit(M, "x", &lines).await;
    let whole = hub.ada().json("/api/models/ada/m/tree/main?recursive=true").await;
    let mut url = "/api/models/ada/m/tree/main?recursive=true&limit=7".to_owned();
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let reply = hub.ada().get(&url).await;
        let link = header(&reply, "link").to_owned();
        seen.extend(reply.json::<Vec<Value>>().await.unwrap());
        pages += 1;
        if pages == 2 {
            hub.ada()
                .commit(M, "between", &[file("d0/a new file", "x"), file("zzz", "x")])
                .await;
        }
        let Some((next, _)) = link.split_once('>') else {
            break;
        };
        assert!(link.ends_with("; rel=\"next\""));
        url = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(pages, 5);
    assert_eq!(Value::from(seen), whole);
    assert_eq!(
        hub.ada()
            .get("/api/models/ada/m/tree/main?cursor=xx")
            .await
            .status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn expand_names_the_commit_that_last_changed_each_item() {
    let hub = hub().await;
    let first = hub
        .ada()
        .commit(
            M,
            "first",
            &[file("a", "1"), file("d/x", "1"), file("d/e/y", "1")],
        )
        .await;
    let second = hub.ada().commit(M, "second", &[file("d/x", "2")]).await;
    let third = hub.ada().commit(M, "third", &[file("b", "1")]).await;
    let tree = hub
        .ada()
        .json("/api/models/ada/m/tree/main?recursive=true&expand=true")
        .await;
    let last = |path: &str| {
        let items = tree.as_array().unwrap();
        items.iter().find(|item| item["path"] == path).unwrap()["lastCommit"].clone()
    };
    assert_eq!(
        (&last("a")["id"], &last("a")["title"]),
        (&json!(first), &json!("first"))
    );
    assert_eq!(last("d/x")["id"], second.as_str());
    assert_eq!(last("d")["id"], second.as_str());
    assert_eq!(last("d/e/y")["id"], first.as_str());
    assert_eq!(last("b")["id"], third.as_str());
    assert_eq!(last(".gitattributes")["title"], "initial commit");
    assert_eq!(tree[0]["securityFileStatus"]["status"], "unscanned");
    let at_first = hub
        .ada()
        .json(&format!("/api/models/ada/m/tree/{first}?expand=true"))
        .await;
    assert!(
        at_first
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["path"] != "b")
    );
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let hub = hub().await;
    let reply = hub.ada().get("/api/models/ada/m/tree/main/nope").await;
    assert_eq!(
        (reply.status(), header(&reply, "x-error-code")),
        (StatusCode::NOT_FOUND, "EntryNotFound")
    );
    let reply = hub.ada().get("/api/models/ada/m/tree/main/.gitattributes").await;
    assert_eq!(
        (reply.status(), header(&reply, "x-error-code")),
        (StatusCode::NOT_FOUND, "EntryNotFound")
    );
    for path in [
        "/api/models/ada/m/tree/nope",
        "/api/models/ada/m/revision/nope",
        "/api/models/ada/m/commits/nope",
        "/ada/m/resolve/nope/x",
    ] {
        let reply = hub.ada().get(path).await;
        assert_eq!(
            (reply.status(), header(&reply, "x-error-code")),
            (StatusCode::NOT_FOUND, "RevisionNotFound"),
            "{path}"
        );
        assert!(header(&reply, "x-error-message").contains("nope"));
    }
    // A commit of another repo is no revision of this one.
    hub.ada().create("model", "other").await;
    let other = hub.ada().commit("models/ada/other", "x", &[file("a", "1")]).await;
    let reply = hub.ada().get(&format!("/api/models/ada/m/tree/{other}")).await;
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn paths_info_takes_a_form_and_json() {
    let hub = hub().await;
    hub.ada()
        .commit(M, "x", &[file("a.txt", "1"), file("d/b.txt", "2")])
        .await;
    let url = "/api/models/ada/m/paths-info/main";
    let form = hub.ada().request(Method::POST, url).form(&[
        ("paths", "a.txt"),
        ("paths", "d"),
        ("paths", "nope"),
        ("paths", "../x"),
        ("expand", "true"),
    ]);
    let form: Value = form.send().await.unwrap().json().await.unwrap();
    let json: Value = hub
        .ada()
        .post(
            url,
            &json!({ "paths": ["a.txt", "d", "nope", "../x"], "expand": true }),
        )
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(form, json);
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(
        (&json[0]["type"], &json[1]["type"], &json[1]["path"]),
        (&json!("file"), &json!("directory"), &json!("d"))
    );
    assert_eq!(json[0]["lastCommit"]["title"], "x");
    let many: Vec<String> = (0..2001).map(|n| n.to_string()).collect();
    assert_eq!(
        hub.ada().post(url, &json!({ "paths": many })).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_description_has_what_was_asked_for() {
    let hub = hub().await;
    let card = "---\nlicense: mit\ntags: [demo]\nlanguage: en\npipeline_tag: text-generation\n---\n# hi\n";
    let config = r#"{"model_type":"llama","architectures":["LlamaForCausalLM"],"vocab_size":10}"#;
    let first = hub.ada().json("/api/models/ada/m").await["sha"]
        .as_str()
        .unwrap()
        .to_owned();
    let content = bytes(2, 3_000);
    let oid = hub.ada().upload("ada/m", &content).await;
    hub.ada()
        .commit(
            M,
            "x",
            &[
                file("README.md", card),
                file("config.json", config),
                lfs_file("model.safetensors", &oid, 3_000),
            ],
        )
        .await;
    let info = hub.ada().json("/api/models/ada/m?blobs=true").await;
    assert_eq!(
        info["tags"],
        json!([
            "transformers",
            "safetensors",
            "llama",
            "text-generation",
            "demo",
            "en",
            "license:mit",
            "region:us"
        ])
    );
    assert_eq!(
        info["config"],
        json!({ "architectures": ["LlamaForCausalLM"], "model_type": "llama" })
    );
    assert_eq!(
        (&info["library_name"], &info["modelId"]),
        (&json!("transformers"), &json!("ada/m"))
    );
    assert_eq!(
        info["siblings"][3]["lfs"],
        json!({ "sha256": oid, "size": 3_000, "pointerSize": 129 })
    );
    assert_eq!(
        (&info["siblings"][1]["size"], info["siblings"][1].get("lfs")),
        (&json!(card.len()), None)
    );
    let plain = hub.ada().json("/api/models/ada/m").await;
    assert_eq!(plain["siblings"][1], json!({ "rfilename": "README.md" }));
    for query in [
        "expand=sha&expand=likes",
        "expand[]=sha&expand[]=likes",
        "expand%5B%5D=sha&expand%5B%5D=likes&unknown=1",
    ] {
        let some = hub.ada().json(&format!("/api/models/ada/m?{query}")).await;
        let keys: Vec<&String> = some.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["_id", "id", "likes", "sha"], "{query}");
    }
    assert_eq!(
        hub.ada().get("/api/models/ada/m?expand=nonsense").await.status(),
        StatusCode::BAD_REQUEST
    );
    let old = hub
        .ada()
        .json(&format!("/api/models/ada/m/revision/{first}"))
        .await;
    assert_eq!(
        (&old["sha"], old["siblings"].as_array().unwrap().len()),
        (&json!(first), 1)
    );
}

#[tokio::test]
async fn folders_have_the_names_git_gives_them() {
    let hub = hub().await;
    let dir = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        std::process::Command::new("git")
            .current_dir(dir.path())
            .args(args)
            .output()
    };
    let Ok(version) = git(&["init", "--quiet", "."]) else {
        println!("skipped: there is no git on this machine");
        return;
    };
    assert!(version.status.success());
    let files = [
        ("d/a", "1"),
        ("d/a.b", "2"),
        ("d/a/x", ""),
        ("d/a-b/y", "3"),
        ("d/a0", "4"),
        ("d/é/z w", "5"),
    ];
    let mut lines = Vec::new();
    for (path, content) in files.iter().filter(|(path, _)| *path != "d/a") {
        let to = dir.path().join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, content).unwrap();
        lines.push(file(path, content));
    }
    hub.ada().commit(M, "x", &lines).await;
    git(&["add", "-A"]).unwrap();
    let tree = git(&["write-tree", "--prefix=d/"]).unwrap();
    let expected = String::from_utf8(tree.stdout).unwrap();
    let root = hub.ada().json("/api/models/ada/m/tree/main").await;
    let found = root
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["path"] == "d")
        .unwrap();
    assert_eq!(found["oid"], expected.trim());
}
