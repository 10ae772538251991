//! The CAS as a Xet client sees it: what it takes, what it gives back, and whom and what it refuses.
#![cfg(feature = "xet")]
#![expect(clippy::unwrap_used, reason = "the helpers are tests as well")]

use std::net::Ipv4Addr;
use std::time::Duration;

use futures::StreamExt;
use hf_local::HubClock;
use hf_local::xet::{XetHash, XetScope, XetStore, XetToken};
use jiff::Timestamp;
use proptest::prelude::*;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use serde_json::Value;
use sha2::{Digest, Sha256};
use xet_core_structures::merklehash::{MerkleHash, compute_data_hash, file_hash, xorb_hash};
use xet_core_structures::metadata_shard::MDBShardInfo;
use xet_core_structures::metadata_shard::chunk_verification::range_hash_from_chunks;
use xet_core_structures::metadata_shard::file_structs::{
    FileDataSequenceEntry, FileDataSequenceHeader, FileMetadataExt, FileVerificationEntry, MDBFileInfo,
};
use xet_core_structures::metadata_shard::shard_in_memory::MDBInMemoryShard;
use xet_core_structures::xorb_object::{CompressionScheme, deserialize_chunks, serialize_chunk};

const START: i64 = 1_800_000_000;

/// A CAS that listens, with a clock that stands still.
struct Cas {
    store: XetStore,
    origin: String,
    clock: HubClock,
    http: reqwest::Client,
    dir: tempfile::TempDir,
}

impl Cas {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = HubClock::stepped(Timestamp::from_second(START).unwrap());
        let store = XetStore::open(dir.path(), clock.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = hf_local::xet::router(store.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            store,
            origin,
            clock,
            http,
            dir,
        }
    }

    fn token(&self, scope: XetScope) -> XetToken {
        self.store.issue_token(scope, "models/ada/tiny", &self.origin)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.store.cas_url(&self.origin))
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        let token = self.token(XetScope::Write).access_token;
        let response = self
            .http
            .post(self.url(path))
            .bearer_auth(token)
            .body(body)
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let token = self.token(XetScope::Read).access_token;
        let response = self
            .http
            .get(self.url(path))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn upload(&self, file: &Upload) {
        for (hash, body) in &file.xorbs {
            let (status, answer) = self
                .post(&format!("/v1/xorbs/default/{}", hash.hex()), body.clone())
                .await;
            assert_eq!(
                (status, answer.as_str()),
                (StatusCode::OK, r#"{"was_inserted":true}"#)
            );
        }
        let (status, answer) = self.post("/v1/shards", file.shard()).await;
        assert_eq!((status, answer.as_str()), (StatusCode::OK, r#"{"result":1}"#));
    }

    async fn stream(&self, hash: &XetHash, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
        let stream = self.store.stream_file(hash, range).await.unwrap();
        stream.map(Result::unwrap).collect::<Vec<_>>().await.concat()
    }

    /// Rebuilds a range of a file the way a client does: a plan, signed URLs, chunks.
    async fn download(&self, hash: &XetHash, range: std::ops::Range<u64>, version: u8) -> Vec<u8> {
        let token = self.token(XetScope::Read).access_token;
        let response = self
            .http
            .get(self.url(&format!("/v{version}/reconstructions/{hash}")))
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let plan: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let mut bytes = Vec::new();
        for term in plan["terms"].as_array().unwrap() {
            let xorb = term["hash"].as_str().unwrap();
            let (start, end) = (number(&term["range"]["start"]), number(&term["range"]["end"]));
            let fetches: Vec<(u64, u64, &Value, &str)> = if version == 1 {
                let fetches = plan["fetch_info"][xorb].as_array().unwrap().iter();
                fetches
                    .map(|f| {
                        (
                            number(&f["range"]["start"]),
                            number(&f["range"]["end"]),
                            &f["url_range"],
                            f["url"].as_str().unwrap(),
                        )
                    })
                    .collect()
            } else {
                let fetches = plan["xorbs"][xorb].as_array().unwrap().iter();
                let ranges =
                    fetches.flat_map(|f| f["ranges"].as_array().unwrap().iter().map(move |r| (f, r)));
                ranges
                    .map(|(f, r)| {
                        (
                            number(&r["chunks"]["start"]),
                            number(&r["chunks"]["end"]),
                            &r["bytes"],
                            f["url"].as_str().unwrap(),
                        )
                    })
                    .collect()
            };
            let (fetch_start, _, place, url) = *fetches.iter().find(|f| f.0 <= start && end <= f.1).unwrap();
            let range = format!("bytes={}-{}", number(&place["start"]), number(&place["end"]));
            let response = self.http.get(url).header(RANGE, range).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
            let (unpacked, ends) = deserialize_chunks(&mut &*response.bytes().await.unwrap()).unwrap();
            let at = |chunk: u64| ends[usize::try_from(chunk - fetch_start).unwrap()] as usize;
            let term_bytes = &unpacked[at(start)..at(end)];
            assert_eq!(term_bytes.len() as u64, number(&term["unpacked_length"]));
            bytes.extend_from_slice(term_bytes);
        }
        let skip = usize::try_from(number(&plan["offset_into_first_range"])).unwrap();
        bytes[skip..]
            .iter()
            .copied()
            .take(usize::try_from(range.end - range.start).unwrap())
            .collect()
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// A file cut up as a client would: chunks of `chunk` bytes, `per_xorb` of them in a xorb.
struct Upload {
    hash: XetHash,
    info: MDBFileInfo,
    xorbs: Vec<(MerkleHash, Vec<u8>)>,
}

impl Upload {
    fn new(content: &[u8], chunk: usize, per_xorb: usize, scheme: CompressionScheme) -> Self {
        let chunks: Vec<&[u8]> = content.chunks(chunk).collect();
        let hashes: Vec<(MerkleHash, u64)> = chunks
            .iter()
            .map(|c| (compute_data_hash(c), c.len() as u64))
            .collect();
        let (mut xorbs, mut segments, mut verification) = (Vec::new(), Vec::new(), Vec::new());
        for (chunks, hashes) in chunks.chunks(per_xorb).zip(hashes.chunks(per_xorb)) {
            let mut body = Vec::new();
            for chunk in chunks {
                serialize_chunk(chunk, &mut body, scheme).unwrap();
            }
            let hash = xorb_hash(hashes);
            let unpacked: usize = chunks.iter().map(|c| c.len()).sum();
            segments.push(FileDataSequenceEntry::new(hash, unpacked, 0, chunks.len()));
            let hashes: Vec<_> = hashes.iter().map(|(hash, _)| *hash).collect();
            verification.push(FileVerificationEntry::new(range_hash_from_chunks(&hashes)));
            xorbs.push((hash, body));
        }
        let hash = file_hash(&hashes);
        let sha256 = MerkleHash::from_hex(&hex::encode(Sha256::digest(content))).unwrap();
        let metadata = FileDataSequenceHeader::new(hash, segments.len(), true, true);
        let metadata_ext = Some(FileMetadataExt::new(sha256));
        Self {
            hash: hash.into(),
            info: MDBFileInfo {
                metadata,
                segments,
                verification,
                metadata_ext,
            },
            xorbs,
        }
    }

    fn shard(&self) -> Vec<u8> {
        let mut shard = MDBInMemoryShard::default();
        shard.add_file_reconstruction_info(self.info.clone()).unwrap();
        shard.to_bytes().unwrap()
    }
}

/// Bytes that neither repeat nor compress.
fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn sha256(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

#[tokio::test]
async fn an_uploaded_file_comes_back_over_both_versions_and_as_a_stream() {
    let cas = Cas::start().await;
    let mut content = noise(700_000, 1);
    content.extend(std::iter::repeat_n(b"text ".as_slice(), 60_000).flatten());
    for scheme in [
        CompressionScheme::None,
        CompressionScheme::LZ4,
        CompressionScheme::ByteGrouping4LZ4,
    ] {
        // Other chunk borders make another file of the same bytes, so each round uploads.
        let chunk = 40_000 + scheme as usize * 1000;
        let file = Upload::new(&content, chunk, 7, scheme);
        cas.upload(&file).await;
        let size = content.len() as u64;
        for range in [
            0..size,
            0..1,
            39_999..40_001,
            300_000..300_001,
            280_000..size - 1,
            size - 1..size,
        ] {
            let expected =
                &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
            assert!(
                cas.download(&file.hash, range.clone(), 1).await == expected,
                "{scheme:?} v1 {range:?}"
            );
            assert!(
                cas.download(&file.hash, range.clone(), 2).await == expected,
                "{scheme:?} v2 {range:?}"
            );
            assert!(
                cas.stream(&file.hash, Some(range.clone())).await == expected,
                "{scheme:?} stream {range:?}"
            );
        }
        assert!(cas.stream(&file.hash, None).await == content);
    }
    let found = cas.store.lookup_sha256(&sha256(&content)).await.unwrap().unwrap();
    assert_eq!(found.size, content.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_range_of_any_file_is_streamed(
        length in 1_usize..400_000, chunk in 1000_usize..90_000, per_xorb in 1_usize..9, at in 0_usize..1000, take in 0_usize..=1000,
        packed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let cas = Cas::start().await;
            let content = if packed { noise(length.div_ceil(8), 2).repeat(8)[..length].to_vec() } else { noise(length, 2) };
            let file = Upload::new(&content, chunk, per_xorb, CompressionScheme::LZ4);
            cas.upload(&file).await;
            let start = (length - 1) * at / 1000;
            let end = start + 1 + (length - start - 1) * take / 1000;
            let (range, expected) = (start as u64..end as u64, &content[start..end]);
            assert!(cas.stream(&file.hash, Some(range.clone())).await == expected);
            assert!(cas.download(&file.hash, range, 2).await == expected);
        });
    }
}

#[tokio::test]
async fn a_range_outside_the_file_is_416_and_an_unknown_file_404() {
    let cas = Cas::start().await;
    let file = Upload::new(&noise(100, 3), 64, 8, CompressionScheme::None);
    cas.upload(&file).await;
    let token = cas.token(XetScope::Read).access_token;
    let url = cas.url(&format!("/v2/reconstructions/{}", file.hash));
    let response = cas
        .http
        .get(&url)
        .bearer_auth(&token)
        .header(RANGE, "bytes=100-200")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(response.headers()["content-range"], "bytes */100");
    let unknown = XetHash::from([1; 32]);
    assert_eq!(
        cas.get(&format!("/v2/reconstructions/{unknown}")).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(cas.get("/v2/reconstructions/zz").await.0, StatusCode::BAD_REQUEST);
    assert!(cas.store.stream_file(&unknown, None).await.is_err());
}

#[tokio::test]
async fn no_route_answers_without_a_token_of_the_right_scope() {
    let cas = Cas::start().await;
    let hash = XetHash::from([1; 32]);
    let read = [
        ("GET", format!("/v1/reconstructions/{hash}")),
        ("GET", format!("/v2/reconstructions/{hash}")),
        ("GET", format!("/v1/reconstructions?file_id={hash}")),
        ("GET", format!("/v1/chunks/default-merkledb/{hash}")),
        ("HEAD", format!("/v1/files/{hash}")),
        ("POST", "/v1/telemetry".to_owned()),
    ];
    let write = [
        ("HEAD", format!("/v1/xorbs/default/{hash}")),
        ("POST", format!("/v1/xorbs/default/{hash}")),
        ("POST", "/v1/shards".to_owned()),
        ("POST", "/v2/shards".to_owned()),
    ];
    let status = async |method: &str, path: &str, token: &str| {
        let request = cas.http.request(method.parse().unwrap(), cas.url(path));
        request.bearer_auth(token).send().await.unwrap().status()
    };
    let (reading, writing) = (
        cas.token(XetScope::Read).access_token,
        cas.token(XetScope::Write).access_token,
    );
    for (method, path) in read.iter().chain(&write) {
        assert_eq!(
            status(method, path, "").await,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
        assert_eq!(
            status(method, path, "xet.e30.AAAA").await,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    for (method, path) in &read {
        assert_ne!(
            status(method, path, &reading).await,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
        assert_ne!(
            status(method, path, &writing).await,
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    for (method, path) in &write {
        assert_eq!(
            status(method, path, &reading).await,
            StatusCode::FORBIDDEN,
            "{method} {path}"
        );
    }
    cas.clock.advance(Duration::from_secs(3601));
    for (method, path) in read.iter().chain(&write) {
        assert_eq!(
            status(method, path, &writing).await,
            StatusCode::UNAUTHORIZED,
            "{method} {path}, after an hour"
        );
    }
}

#[tokio::test]
async fn a_fetch_url_gives_its_own_range_only_and_ends_after_an_hour() {
    let cas = Cas::start().await;
    let file = Upload::new(&noise(300_000, 4), 50_000, 6, CompressionScheme::None);
    cas.upload(&file).await;
    let token = cas.token(XetScope::Read).access_token;
    let request = cas
        .http
        .get(cas.url(&format!("/v1/reconstructions/{}", file.hash)))
        .bearer_auth(&token);
    let plan = request
        .header(RANGE, "bytes=60000-70000")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    let fetch = &plan["fetch_info"][file.xorbs[0].0.hex()][0];
    let url = fetch["url"].as_str().unwrap();
    let (start, end) = (
        number(&fetch["url_range"]["start"]),
        number(&fetch["url_range"]["end"]),
    );
    let get = async |url: &str, range: Option<String>| {
        let request = cas.http.get(url);
        let request = if let Some(range) = range {
            request.header(RANGE, range)
        } else {
            request
        };
        request.send().await.unwrap()
    };

    let whole = get(url, Some(format!("bytes={start}-{end}"))).await;
    assert_eq!(whole.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        whole.headers()["content-range"],
        format!("bytes {start}-{end}/{}", file.xorbs[0].1.len())
    );
    let whole = whole.bytes().await.unwrap();
    assert!(whole == file.xorbs[0].1[usize::try_from(start).unwrap()..=usize::try_from(end).unwrap()]);
    let unranged = get(url, None).await;
    assert_eq!(unranged.status(), StatusCode::OK);
    assert!(unranged.bytes().await.unwrap() == whole);
    let part = get(url, Some(format!("bytes={}-{}", start + 10, start + 19)))
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(part, whole[10..20]);

    for beyond in [
        format!("bytes={}-{end}", start - 1),
        format!("bytes={start}-{}", end + 1),
        "bytes=0-0".to_owned(),
    ] {
        assert_eq!(
            get(url, Some(beyond.clone())).await.status(),
            StatusCode::FORBIDDEN,
            "{beyond}"
        );
    }
    let forged = url.replace(&format!("start={start}"), "start=0");
    assert_eq!(
        get(&forged, Some("bytes=0-0".to_owned())).await.status(),
        StatusCode::FORBIDDEN
    );
    cas.clock.advance(Duration::from_secs(3601));
    assert_eq!(
        get(url, Some(format!("bytes={start}-{end}"))).await.status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_shard_that_claims_what_is_not_so_registers_nothing() {
    let cas = Cas::start().await;
    let content = noise(300_000, 5);
    let honest = Upload::new(&content, 50_000, 3, CompressionScheme::None);
    let lie = |change: &dyn Fn(&mut MDBFileInfo)| {
        let mut file = Upload::new(&content, 50_000, 3, CompressionScheme::None);
        change(&mut file.info);
        file.shard()
    };
    let refused = async |shard: Vec<u8>, why: &str| {
        let (status, answer) = cas.post("/v1/shards", shard.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{why}");
        assert!(answer.contains(why), "{answer:?} does not say {why:?}");
        let (status, answer) = cas.post("/v2/shards", shard).await;
        let last: Value = serde_json::from_str(answer.lines().last().unwrap()).unwrap();
        assert_eq!(
            (status, &last["type"], &last["retryable"]),
            (StatusCode::OK, &"error".into(), &false.into())
        );
    };
    refused(honest.shard(), "which was not uploaded").await;
    for (hash, body) in &honest.xorbs {
        cas.post(&format!("/v1/xorbs/default/{}", hash.hex()), body.clone())
            .await;
    }
    let other_sha = MerkleHash::from_hex(&hex::encode(sha256(b"something else"))).unwrap();
    refused(
        lie(&|info| info.metadata_ext = Some(FileMetadataExt::new(other_sha))),
        "its bytes have",
    )
    .await;
    refused(
        lie(&|info| info.metadata.file_hash = MerkleHash::from([9; 32])),
        "a file whose hash is",
    )
    .await;
    refused(lie(&|info| info.segments.swap(0, 1)), "verification entry").await;
    refused(
        lie(&|info| info.verification[1].range_hash = MerkleHash::from([9; 32])),
        "verification entry",
    )
    .await;
    refused(
        lie(&|info| info.segments[1].unpacked_segment_bytes -= 1),
        "bytes for chunks",
    )
    .await;
    refused(lie(&|info| info.segments[1].chunk_index_end += 1), "names chunks").await;
    refused(
        lie(&|info| info.segments[1].chunk_index_end = u32::MAX),
        "names chunks",
    )
    .await;
    refused(
        lie(&|info| {
            info.verification.clear();
            info.metadata =
                FileDataSequenceHeader::new(info.metadata.file_hash, info.segments.len(), false, true);
        }),
        "no verification entries",
    )
    .await;
    refused(b"no shard".to_vec(), "cannot be read").await;
    refused(honest.shard()[..200].to_vec(), "cannot be read").await;
    assert_eq!(cas.store.lookup_sha256(&sha256(&content)).await.unwrap(), None);
    assert_eq!(
        cas.store.lookup_sha256(&sha256(b"something else")).await.unwrap(),
        None
    );
    assert_eq!(cas.store.file(&honest.hash).await.unwrap(), None);

    let (status, answer) = cas.post("/v2/shards", honest.shard()).await;
    assert_eq!(status, StatusCode::OK);
    let events: Vec<Value> = answer
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.first().unwrap()["type"], "validating");
    assert_eq!(events.last().unwrap(), &serde_json::json!({"type": "result"}));
    assert_eq!(
        cas.store
            .lookup_sha256(&sha256(&content))
            .await
            .unwrap()
            .unwrap()
            .hash,
        honest.hash
    );
    assert_eq!(
        cas.post("/v1/shards", honest.shard()).await.1,
        r#"{"result":0}"#,
        "a second time nothing is new"
    );
}

#[tokio::test]
async fn a_xorb_that_is_not_what_it_is_named_leaves_nothing_behind() {
    let cas = Cas::start().await;
    let file = Upload::new(&noise(100_000, 6), 50_000, 3, CompressionScheme::None);
    let (hash, body) = &file.xorbs[0];
    let path = format!("/v1/xorbs/default/{}", hash.hex());
    let head = async || {
        let token = cas.token(XetScope::Write).access_token;
        cas.http
            .head(cas.url(&path))
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
    };
    let mut damaged = body.clone();
    damaged[70_000] ^= 1;
    assert_eq!(cas.post(&path, damaged).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        cas.post(&path, body[..70_000].to_vec()).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(head().await, StatusCode::NOT_FOUND);
    let left: Vec<_> = std::fs::read_dir(cas.dir.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(cas.post(&path, body.clone()).await.1, r#"{"was_inserted":true}"#);
    assert_eq!(cas.post(&path, body.clone()).await.1, r#"{"was_inserted":false}"#);
    assert_eq!(head().await, StatusCode::OK);
}

#[tokio::test]
async fn a_known_first_chunk_tells_its_owner_what_need_not_be_sent() {
    let cas = Cas::start().await;
    let content = noise(400_000, 7);
    let file = Upload::new(&content, 50_000, 4, CompressionScheme::None);
    cas.upload(&file).await;
    let first = compute_data_hash(&content[..50_000]);
    let token = cas.token(XetScope::Write).access_token;
    let url = cas.url(&format!("/v1/chunks/default-merkledb/{}", first.hex()));
    let shard = cas.http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(shard.status(), StatusCode::OK);
    let shard = shard.bytes().await.unwrap();
    let mut reader = std::io::Cursor::new(&shard[..]);
    let info = MDBShardInfo::load_from_reader(&mut reader).unwrap();
    assert_eq!(
        (
            info.num_xorb_entries(),
            info.num_file_entries(),
            info.total_num_chunks()
        ),
        (2, 0, 8)
    );
    assert!(
        info.chunk_hashes_protected(),
        "chunk hashes are keyed, so they tell nothing to one who lacks the chunks"
    );
    let chunks: Vec<_> = content.chunks(50_000).map(compute_data_hash).collect();
    let (found, entry) = info
        .chunk_hash_dedup_query(&mut reader, &chunks)
        .unwrap()
        .unwrap();
    assert_eq!((found, entry.xorb_hash), (4, file.xorbs[0].0));

    let unknown = compute_data_hash(b"never uploaded");
    assert_eq!(
        cas.get(&format!("/v1/chunks/default-merkledb/{}", unknown.hex()))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_was_uploaded_is_there_after_a_restart_and_what_was_cut_short_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HubClock::stepped(Timestamp::from_second(START).unwrap());
    let store = XetStore::open(dir.path(), clock.clone()).await.unwrap();
    let token = store.issue_token(XetScope::Read, "models/ada/tiny", "http://h");
    drop(store);
    std::fs::write(dir.path().join("tmp").join(".tmpcut"), b"half a xorb").unwrap();
    let store = XetStore::open(dir.path(), clock).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(
        store
            .issue_token(XetScope::Read, "models/ada/tiny", "http://h")
            .access_token,
        token.access_token
    );
    assert_eq!(store.cas_url("http://h/"), token.cas_url);

    let elsewhere = tempfile::tempdir().unwrap();
    let other = XetStore::open(elsewhere.path(), HubClock::real()).await.unwrap();
    assert_ne!(
        other.cas_url("http://h"),
        token.cas_url,
        "clients must not take one store for another"
    );
}

#[tokio::test]
async fn a_batch_names_the_files_it_knows() {
    let cas = Cas::start().await;
    let one = Upload::new(&noise(1000, 8), 600, 2, CompressionScheme::None);
    let two = Upload::new(&noise(1000, 9), 600, 2, CompressionScheme::None);
    cas.upload(&one).await;
    cas.upload(&two).await;
    let unknown = XetHash::from([1; 32]);
    let query = format!(
        "/v1/reconstructions?file_id={}&file_id={unknown}&file_id={}",
        one.hash, two.hash
    );
    let (status, answer) = cas.get(&query).await;
    assert_eq!(status, StatusCode::OK);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["files"].as_object().unwrap().len(), 2);
    assert_eq!(answer["files"][one.hash.to_string()][0]["unpacked_length"], 1000);
    assert_eq!(answer["fetch_info"].as_object().unwrap().len(), 2);
}
