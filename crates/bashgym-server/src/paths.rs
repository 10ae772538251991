//! Names with a slash: `user/name` may be written as it is, or with `%2F`.

use http::Uri;
use http::uri::PathAndQuery;

/// Where a path names a thing that may have a slash, and what may come after its name.
const NAMED: &[(&str, &[&str])] = &[
    ("/api/hf/jobs/", &["logs", "metrics"]),
    ("/api/hf/datasets/", &["rows"]),
    (
        "/api/hf/spaces/",
        &[
            "logs",
            "secrets",
            "variables",
            "dev-mode",
            "restart",
            "pause",
            "hardware",
        ],
    ),
];

/// Joins the two segments of a name to one, so that a route has one segment for it.
pub(crate) fn join_names(uri: Uri) -> Uri {
    let Some(path) = joined(uri.path()) else {
        return uri;
    };
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    match PathAndQuery::try_from(whole) {
        Ok(whole) => parts.path_and_query = Some(whole),
        Err(_) => return uri,
    }
    Uri::from_parts(parts).unwrap_or(uri)
}

fn joined(path: &str) -> Option<String> {
    let (prefix, after, rest) = NAMED
        .iter()
        .find_map(|(prefix, after)| Some((*prefix, *after, path.strip_prefix(prefix)?)))?;
    let (first, rest) = rest.split_once('/')?;
    let second = rest.split('/').next().unwrap_or_default();
    let whole = first.is_empty() || second.is_empty() || after.contains(&second);
    if whole || first.to_ascii_lowercase().contains("%2f") {
        return None;
    }
    Some(format!("{prefix}{first}%2F{rest}"))
}

#[cfg(test)]
mod tests {
    use super::join_names;

    #[test]
    fn a_name_with_a_slash_is_the_same_in_both_forms() {
        for (path, expected) in [
            ("/api/hf/datasets/me/set", "/api/hf/datasets/me%2Fset"),
            ("/api/hf/datasets/me%2Fset", "/api/hf/datasets/me%2Fset"),
            (
                "/api/hf/datasets/me/set/rows?limit=2",
                "/api/hf/datasets/me%2Fset/rows?limit=2",
            ),
            ("/api/hf/datasets/me%2fset/rows", "/api/hf/datasets/me%2fset/rows"),
            ("/api/hf/datasets/set/rows", "/api/hf/datasets/set/rows"),
            ("/api/hf/jobs/abc/logs", "/api/hf/jobs/abc/logs"),
            ("/api/hf/jobs/org/abc/logs", "/api/hf/jobs/org%2Fabc/logs"),
            ("/api/hf/datasets/me/", "/api/hf/datasets/me/"),
            ("/api/hf/datasets", "/api/hf/datasets"),
            ("/api/runs/a/b", "/api/runs/a/b"),
        ] {
            assert_eq!(join_names(path.parse().unwrap()).to_string(), expected, "{path}");
        }
    }
}
