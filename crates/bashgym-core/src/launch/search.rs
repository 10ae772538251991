//! Searching what a job wrote, a part at a time.

use serde::Deserialize;

use crate::store::{JobLineStore, JobStream, StoreError};

/// How many lines one part looks at.
const PART: u64 = 100_000;

/// What a part of a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The numbers of lines that hold the text, in order.
    pub lines: Vec<u64>,
    /// The number up to which lines were looked at.
    pub seen: u64,
    /// Whether there are lines behind it.
    pub more: bool,
}

/// Whether a line holds a text, in any case.
pub fn holds(line: &str, small: &str) -> bool {
    line.to_lowercase().contains(small)
}

/// Looks for `text` in the kept lines after number `after`: at a bounded number of them, and no further than `most`
/// hits.
///
/// Whoever wants the whole log asks again from `seen` on, and stops asking when nobody waits for it any more.
///
/// # Errors
/// [`StoreError`].
pub async fn find_lines(
    store: &dyn JobLineStore,
    job: &str,
    text: &str,
    after: u64,
    most: usize,
) -> Result<Found, StoreError> {
    #[derive(Deserialize)]
    struct Kept {
        data: String,
    }
    let count = store.count_job_lines(job, JobStream::Log).await?;
    let until = count.min(after.saturating_add(PART));
    let small = text.to_lowercase();
    // One more than is told, so that it shows whether something is left.
    let enough = u32::try_from(most.saturating_add(1)).unwrap_or(u32::MAX);
    let candidates = store
        .find_job_lines(job, JobStream::Log, after, until, text, enough)
        .await?;
    let looked_at = match candidates.last() {
        Some(last) if candidates.len() >= enough as usize => last.seq,
        _ => until,
    };
    let mut lines: Vec<u64> = candidates
        .iter()
        // The text of a line is in JSON: the time beside it is not searched.
        .filter(|line| serde_json::from_str::<Kept>(&line.text).is_ok_and(|kept| holds(&kept.data, &small)))
        .map(|line| line.seq)
        .collect();
    let cut = lines.len() > most;
    lines.truncate(most);
    let seen = match lines.last() {
        Some(last) if cut => *last,
        _ => looked_at,
    };
    Ok(Found {
        lines,
        seen,
        more: seen < count,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{PART, find_lines};
    use crate::store::{JobLineStore, JobStream, MemoryStore};

    async fn kept(texts: impl IntoIterator<Item = String>) -> MemoryStore {
        let store = MemoryStore::default();
        let lines: Vec<String> = texts
            .into_iter()
            .map(|text| json!({ "data": text, "timestamp": "2026-11-22T12:00:00Z" }).to_string())
            .collect();
        store
            .append_job_lines("j", JobStream::Log, 0, &lines)
            .await
            .unwrap();
        store
    }

    #[tokio::test]
    async fn only_the_text_of_a_line_is_searched_in_any_case() {
        let store = kept([
            "An Error".to_owned(),
            "ok 2026".to_owned(),
            "ÉCLAIR \"x\\".to_owned(),
        ])
        .await;
        let found = async |text: &str| find_lines(&store, "j", text, 0, 9).await.unwrap().lines;
        assert_eq!(found("error").await, [1]);
        assert_eq!(found("2026").await, [2]);
        assert_eq!(found("éclair \"X\\").await, [3]);
        assert_eq!(found("timestamp").await, [] as [u64; 0]);
    }

    #[tokio::test]
    async fn a_search_goes_on_where_its_last_part_ended() {
        let store = kept((1..=PART + 5).map(|n| format!("line {n}"))).await;
        let first = find_lines(&store, "j", "line", 0, 3).await.unwrap();
        assert_eq!((first.lines, first.seen, first.more), (vec![1, 2, 3], 3, true));
        let part = find_lines(&store, "j", "line 100003", 0, 3).await.unwrap();
        assert_eq!((part.lines, part.seen, part.more), (vec![], PART, true));
        let rest = find_lines(&store, "j", "line 100003", part.seen, 3)
            .await
            .unwrap();
        assert_eq!(
            (rest.lines, rest.seen, rest.more),
            (vec![PART + 3], PART + 5, false)
        );
        let behind = find_lines(&store, "j", "line", PART * 9, 3).await.unwrap();
        assert!(behind.lines.is_empty() && !behind.more);
    }
}
