//! Downloading small and large files.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestHub, bytes, file, header, lfs_file};

const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub
}

#[tokio::test]
async fn a_small_file_comes_at_once_with_its_headers() {
    let hub = hub().await;
    let head = hub
        .ada()
        .commit("models/ada/m", "x", &[file("d/hello é.txt", "hello\n")])
        .await;
    let url = "/ada/m/resolve/main/d/hello%20%C3%A9.txt";
    for method in [Method::GET, Method::HEAD] {
        let reply = hub.ada().request(method.clone(), url).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(header(&reply, "etag"), format!("\"{HELLO}\""));
        assert_eq!(header(&reply, "x-repo-commit"), head);
        assert_eq!(header(&reply, "content-length"), "6");
        assert_eq!(header(&reply, "accept-ranges"), "bytes");
        assert_eq!(header(&reply, "content-type"), "text/plain; charset=utf-8");
        assert_eq!(
            header(&reply, "content-disposition"),
            "inline; filename*=UTF-8''hello%20%C3%A9%2Etxt; filename=\"hello___.txt\";".replace("___", "__")
        );
        assert_eq!(header(&reply, "x-content-type-options"), "nosniff");
        let body = reply.text().await.unwrap();
        assert_eq!(body, if method == Method::GET { "hello\n" } else { "" });
    }
    let reply = hub.ada().get(&format!("{url}?download=true")).await;
    assert!(header(&reply, "content-disposition").starts_with("attachment;"));
}

#[tokio::test]
async fn parts_of_a_small_file_and_files_that_are_held() {
    let hub = hub().await;
    let head = hub
        .ada()
        .commit("models/ada/m", "x", &[file("a", "0123456789"), file("empty", "")])
        .await;
    let get = async |name: &str, value: &str| {
        let reply = hub
            .ada()
            .request(Method::GET, "/ada/m/resolve/main/a")
            .header(name, value)
            .send()
            .await
            .unwrap();
        (
            reply.status().as_u16(),
            header(&reply, "content-range").to_owned(),
            reply.text().await.unwrap(),
        )
    };
    assert_eq!(
        get("range", "bytes=2-4").await,
        (206, "bytes 2-4/10".to_owned(), "234".to_owned())
    );
    assert_eq!(
        get("range", "bytes=-3").await,
        (206, "bytes 7-9/10".to_owned(), "789".to_owned())
    );
    assert_eq!(
        get("range", "bytes=8-99").await,
        (206, "bytes 8-9/10".to_owned(), "89".to_owned())
    );
    assert_eq!(get("range", "bytes=0-1,4-5").await.0, 200);
    let (status, range, _) = get("range", "bytes=10-").await;
    assert_eq!((status, range.as_str()), (416, "bytes */10"));
    let etag = header(&hub.ada().head("/ada/m/resolve/main/a").await, "etag").to_owned();
    assert_eq!(
        get("if-none-match", &etag).await,
        (304, String::new(), String::new())
    );
    let reply = hub
        .ada()
        .request(Method::GET, "/ada/m/resolve/main/a")
        .header("if-none-match", &etag)
        .send()
        .await
        .unwrap();
    assert_eq!(header(&reply, "x-repo-commit"), head);
    assert_eq!(get("if-none-match", "\"other\"").await.0, 200);
    assert_eq!(
        hub.ada()
            .get("/ada/m/resolve/main/empty")
            .await
            .text()
            .await
            .unwrap(),
        ""
    );
}

#[tokio::test]
async fn a_missing_file_still_names_the_commit() {
    let hub = hub().await;
    let head = hub.ada().commit("models/ada/m", "x", &[file("d/a", "1")]).await;
    for path in ["nope", "d", "d/a/b", "..%2Fx", "d//a", "%00", "d%5Ca"] {
        let reply = hub.ada().head(&format!("/ada/m/resolve/main/{path}")).await;
        assert_eq!(
            (reply.status(), header(&reply, "x-error-code")),
            (StatusCode::NOT_FOUND, "EntryNotFound"),
            "{path}"
        );
        assert_eq!(header(&reply, "x-repo-commit"), head);
        assert_eq!(header(&reply, "x-error-message"), "Entry not found");
    }
    let reply = hub.ada().get("/ada/m/resolve/main/nope").await;
    assert!(header(&reply, "content-type").starts_with("text/plain"));
    assert_eq!(reply.text().await.unwrap(), "Entry not found");
}

#[tokio::test]
async fn a_large_file_is_on_the_payload_origin() {
    let hub = hub().await;
    let content = bytes(5, 1_500_000);
    let oid = hub.ada().upload("ada/m", &content).await;
    let head = hub
        .ada()
        .commit("models/ada/m", "x", &[lfs_file("d/w.bin", &oid, content.len())])
        .await;
    for method in [Method::GET, Method::HEAD] {
        let reply = hub
            .ada()
            .request(method, "/ada/m/resolve/main/d/w.bin")
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), StatusCode::FOUND);
        assert_eq!(header(&reply, "x-repo-commit"), head);
        assert_eq!(header(&reply, "x-linked-size"), "1500000");
        assert_eq!(header(&reply, "x-linked-etag"), format!("\"{oid}\""));
        assert!(
            header(&reply, "location").starts_with(&format!("{}/objects/{oid}?", hub.hub.payload_endpoint()))
        );
    }
    let place = header(&hub.ada().head("/ada/m/resolve/main/d/w.bin").await, "location").to_owned();
    // The link is the permission: no token goes to the payload origin.
    let reply = hub.client.get(&place).send().await.unwrap();
    assert_eq!(header(&reply, "content-length"), "1500000");
    assert!(header(&reply, "content-disposition").contains("filename=\"w.bin\""));
    assert!(reply.bytes().await.unwrap() == content);
    let head = hub.client.head(&place).send().await.unwrap();
    assert_eq!(
        (head.status(), header(&head, "content-length")),
        (StatusCode::OK, "1500000")
    );
    let part = hub
        .client
        .get(&place)
        .header("range", "bytes=700000-700009")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (part.status(), header(&part, "content-range")),
        (StatusCode::PARTIAL_CONTENT, "bytes 700000-700009/1500000")
    );
    assert!(part.bytes().await.unwrap() == content[700_000..700_010]);
    let resumed = hub
        .client
        .get(&place)
        .header("range", "bytes=1499999-")
        .header("if-range", format!("\"{oid}\""));
    assert_eq!(
        resumed.send().await.unwrap().status(),
        StatusCode::PARTIAL_CONTENT
    );
    let other = hub
        .client
        .get(&place)
        .header("range", "bytes=1499999-")
        .header("if-range", "\"other\"");
    assert_eq!(other.send().await.unwrap().status(), StatusCode::OK);
    let outside = hub
        .client
        .get(&place)
        .header("range", "bytes=1500000-")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (outside.status(), header(&outside, "content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */1500000")
    );
    let held = hub
        .client
        .get(&place)
        .header("if-none-match", format!("\"{oid}\""))
        .send()
        .await
        .unwrap();
    assert_eq!(held.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_link_is_for_one_object_one_method_and_one_time() {
    let hub = hub().await;
    let oid = hub.ada().upload("ada/m", b"one").await;
    let other = hub.ada().upload("ada/m", b"other").await;
    hub.ada()
        .commit("models/ada/m", "x", &[lfs_file("w.bin", &oid, 3)])
        .await;
    let place = header(&hub.ada().head("/ada/m/resolve/main/w.bin").await, "location").to_owned();
    for bad in [
        place.replace(&oid, &other),
        place.replace("exp=", "exp=9"),
        place.split("&sig=").next().unwrap().to_owned(),
        place.split('?').next().unwrap().to_owned(),
        format!("{place}0"),
        format!("{}/objects/{oid}", hub.hub.payload_endpoint()),
    ] {
        assert_eq!(
            hub.client.get(&bad).send().await.unwrap().status(),
            StatusCode::FORBIDDEN,
            "{bad}"
        );
    }
    assert_eq!(
        hub.client.put(&place).body("one").send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    // The payload origin has no API, and the Hub origin no objects.
    let api = format!("{}/api/whoami-v2", hub.hub.payload_endpoint());
    assert_eq!(
        hub.client.get(api).send().await.unwrap().status(),
        StatusCode::NOT_IMPLEMENTED
    );
    let moved = place.replace(hub.hub.payload_endpoint(), hub.hub.endpoint());
    assert_eq!(
        hub.client.get(moved).send().await.unwrap().status(),
        StatusCode::NOT_IMPLEMENTED
    );
}

#[tokio::test]
async fn every_kind_of_repo_has_its_prefix() {
    let hub = hub().await;
    for (kind, plural, web) in [
        ("model", "models", ""),
        ("dataset", "datasets", "datasets/"),
        ("space", "spaces", "spaces/"),
    ] {
        hub.ada().create(kind, "same").await;
        hub.ada()
            .commit(&format!("{plural}/ada/same"), "x", &[file("kind.txt", kind)])
            .await;
        let text = hub
            .ada()
            .get(&format!("/{web}ada/same/resolve/main/kind.txt"))
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(text, kind);
        let batch = hub
            .ada()
            .batch(
                &format!("{web}ada/same"),
                "download",
                &["basic"],
                &[(&"0".repeat(64), 1)],
            )
            .await;
        assert_eq!(batch["objects"][0]["error"]["code"], 404);
    }
    let body: Value = hub.ada().json("/api/spaces/ada/same").await;
    assert_eq!(
        (&body["subdomain"], &body["id"]),
        (&json!("ada-same"), &json!("ada/same"))
    );
}
