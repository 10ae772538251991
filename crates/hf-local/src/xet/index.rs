//! The index of the store: which file is made of what, what a SHA-256 names, which xorbs hold a known chunk.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{Result, XetError, XetFile, XetHash};

/// Chunks of one xorb that follow one another in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) xorb: XetHash,
    pub(super) chunks: Range<u32>,
    /// Length of those chunks once unpacked, in bytes.
    pub(super) unpacked: u32,
}

const SEGMENT_BYTES: usize = 44;

fn encode_segments(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(segments.len() * SEGMENT_BYTES);
    for segment in segments {
        bytes.extend_from_slice(segment.xorb.as_bytes());
        for number in [segment.chunks.start, segment.chunks.end, segment.unpacked] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }
    bytes
}

fn decode_segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let segment = |bytes: &[u8]| {
        let (xorb, numbers) = bytes.split_first_chunk::<32>()?;
        Some(Segment {
            xorb: XetHash::from(*xorb),
            chunks: number(numbers)?..number(&numbers[4..])?,
            unpacked: number(&numbers[8..])?,
        })
    };
    let whole = bytes.chunks_exact(SEGMENT_BYTES);
    if whole.remainder().is_empty() {
        whole.map(segment).collect()
    } else {
        None
    }
}

/// A file to register.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) file: XetFile,
    pub(super) segments: Vec<Segment>,
    /// The SHA-256 of its bytes: computed, not claimed.
    pub(super) sha256: Option<[u8; 32]>,
}

/// What a checked shard adds.
#[derive(Debug, Default)]
pub(super) struct Registration {
    pub(super) files: Vec<NewFile>,
    /// The xorbs its files are made of, which a client that meets one of `chunks` is told of.
    pub(super) xorbs: Vec<XetHash>,
    pub(super) chunks: Vec<XetHash>,
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    pool: SqlitePool,
}

impl Index {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An answered upload survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        for statement in [
            "CREATE TABLE IF NOT EXISTS files (
                 file_hash  BLOB PRIMARY KEY NOT NULL,
                 size_bytes INTEGER NOT NULL,
                 segments   BLOB NOT NULL
             ) STRICT",
            "CREATE TABLE IF NOT EXISTS sha256s (
                 sha256    BLOB PRIMARY KEY NOT NULL,
                 file_hash BLOB NOT NULL REFERENCES files (file_hash)
             ) STRICT, WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS xorb_groups (
                 id    INTEGER PRIMARY KEY,
                 xorbs BLOB NOT NULL UNIQUE
             ) STRICT",
            "CREATE TABLE IF NOT EXISTS known_chunks (
                 chunk_hash BLOB PRIMARY KEY NOT NULL,
                 group_id   INTEGER NOT NULL REFERENCES xorb_groups (id)
             ) STRICT, WITHOUT ROWID",
        ] {
            sqlx::query(statement).execute(&pool).await?;
        }
        Ok(Self { pool })
    }

    /// The file and what it is made of.
    pub(super) async fn file(&self, hash: &XetHash) -> Result<(XetFile, Vec<Segment>)> {
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT size_bytes, segments FROM files WHERE file_hash = ?")
                .bind(&hash.as_bytes()[..])
                .fetch_optional(&self.pool)
                .await?;
        let (size, segments) = row.ok_or(XetError::NotFound {
            what: "file",
            hash: *hash,
        })?;
        let segments = decode_segments(&segments);
        let (Ok(size), Some(segments)) = (u64::try_from(size), segments) else {
            return Err(XetError::Damaged {
                what: format!("the row of file {hash} in table files cannot be read"),
            });
        };
        Ok((XetFile { hash: *hash, size }, segments))
    }

    pub(super) async fn file_size(&self, hash: &XetHash) -> Result<Option<u64>> {
        let size: Option<(i64,)> = sqlx::query_as("SELECT size_bytes FROM files WHERE file_hash = ?")
            .bind(&hash.as_bytes()[..])
            .fetch_optional(&self.pool)
            .await?;
        Ok(size.and_then(|(size,)| u64::try_from(size).ok()))
    }

    pub(super) async fn lookup_sha256(&self, sha256: &[u8; 32]) -> Result<Option<XetFile>> {
        let row: Option<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT files.file_hash, files.size_bytes
             FROM sha256s JOIN files ON files.file_hash = sha256s.file_hash WHERE sha256s.sha256 = ?",
        )
        .bind(&sha256[..])
        .fetch_optional(&self.pool)
        .await?;
        let Some((hash, size)) = row else { return Ok(None) };
        let hash: [u8; 32] = hash.try_into().map_err(|_| XetError::Damaged {
            what: "a file_hash in table files is not 32 bytes".to_owned(),
        })?;
        let size = u64::try_from(size).map_err(|_| XetError::Damaged {
            what: "a size_bytes in table files is negative".to_owned(),
        })?;
        Ok(Some(XetFile {
            hash: hash.into(),
            size,
        }))
    }

    /// Whether `sha256` is known to be that of `hash`.
    pub(super) async fn has_sha256(&self, sha256: &[u8; 32], hash: &XetHash) -> Result<bool> {
        Ok(self
            .lookup_sha256(sha256)
            .await?
            .is_some_and(|file| file.hash == *hash))
    }

    /// Registers all of it or none. Answers whether any file was new.
    pub(super) async fn register(&self, new: &Registration) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut inserted = 0;
        for NewFile {
            file,
            segments,
            sha256,
        } in &new.files
        {
            let size = i64::try_from(file.size)
                .map_err(|_| XetError::rejected("a file is longer than 2^63 bytes"))?;
            inserted += sqlx::query(
                "INSERT INTO files (file_hash, size_bytes, segments) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(&file.hash.as_bytes()[..])
            .bind(size)
            .bind(encode_segments(segments))
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if let Some(sha256) = sha256 {
                inserted += sqlx::query(
                    "INSERT INTO sha256s (sha256, file_hash) VALUES (?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(&sha256[..])
                .bind(&file.hash.as_bytes()[..])
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            }
        }
        if !new.chunks.is_empty() {
            let xorbs: Vec<u8> = new.xorbs.iter().flat_map(|xorb| *xorb.as_bytes()).collect();
            // Setting what is there already makes RETURNING answer for an old row as well.
            let (group,): (i64,) = sqlx::query_as(
                "INSERT INTO xorb_groups (xorbs) VALUES (?) ON CONFLICT (xorbs) DO UPDATE SET xorbs = excluded.xorbs RETURNING id",
            )
            .bind(xorbs)
            .fetch_one(&mut *transaction)
            .await?;
            for chunk in &new.chunks {
                sqlx::query(
                    "INSERT INTO known_chunks (chunk_hash, group_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                )
                .bind(&chunk.as_bytes()[..])
                .bind(group)
                .execute(&mut *transaction)
                .await?;
            }
        }
        transaction.commit().await?;
        Ok(inserted > 0)
    }

    /// The xorbs that came with a chunk, if it is one that is remembered.
    pub(super) async fn xorbs_with_chunk(&self, chunk: &XetHash) -> Result<Option<Vec<XetHash>>> {
        let row: Option<(Vec<u8>,)> = sqlx::query_as(
            "SELECT xorbs FROM xorb_groups JOIN known_chunks ON group_id = id WHERE chunk_hash = ?",
        )
        .bind(&chunk.as_bytes()[..])
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(xorbs,)| {
            xorbs
                .as_chunks::<32>()
                .0
                .iter()
                .map(|xorb| XetHash::from(*xorb))
                .collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(byte: u8, size: u32, sha256: Option<[u8; 32]>) -> NewFile {
        let segments = vec![Segment {
            xorb: XetHash::from([byte; 32]),
            chunks: 0..1,
            unpacked: size,
        }];
        NewFile {
            file: XetFile {
                hash: XetHash::from([byte; 32]),
                size: u64::from(size),
            },
            segments,
            sha256,
        }
    }

    #[tokio::test]
    async fn what_is_registered_is_found_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.db");
        let index = Index::open(&path).await.unwrap();
        let new = Registration {
            files: vec![file(1, 10, Some([9; 32])), file(2, 20, None)],
            xorbs: vec![XetHash::from([1; 32]), XetHash::from([2; 32])],
            chunks: vec![XetHash::from([5; 32])],
        };
        assert!(index.register(&new).await.unwrap());
        assert!(
            !index.register(&new).await.unwrap(),
            "a second time changes nothing"
        );
        drop(index);

        let index = Index::open(&path).await.unwrap();
        let (found, segments) = index.file(&XetHash::from([2; 32])).await.unwrap();
        assert_eq!(
            (found, segments),
            (new.files[1].file, new.files[1].segments.clone())
        );
        assert_eq!(
            index.lookup_sha256(&[9; 32]).await.unwrap(),
            Some(new.files[0].file)
        );
        assert_eq!(index.lookup_sha256(&[8; 32]).await.unwrap(), None);
        assert_eq!(
            index.xorbs_with_chunk(&XetHash::from([5; 32])).await.unwrap(),
            Some(new.xorbs)
        );
        assert_eq!(
            index.xorbs_with_chunk(&XetHash::from([6; 32])).await.unwrap(),
            None
        );
        assert!(matches!(
            index.file(&XetHash::from([3; 32])).await,
            Err(XetError::NotFound { .. })
        ));
    }

    proptest! {
        #[test]
        fn segments_survive_the_index(numbers in prop::collection::vec((any::<[u8; 32]>(), any::<[u32; 3]>()), 0..20)) {
            let segments: Vec<Segment> = numbers
                .into_iter()
                .map(|(xorb, [start, end, unpacked])| Segment { xorb: xorb.into(), chunks: start..end, unpacked })
                .collect();
            let bytes = encode_segments(&segments);
            prop_assert_eq!(decode_segments(&bytes), Some(segments));
        }
    }

    #[test]
    fn cut_segments_are_noticed() {
        assert_eq!(decode_segments(&[0; SEGMENT_BYTES - 1]), None);
    }
}
