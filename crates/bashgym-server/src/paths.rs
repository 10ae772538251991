//! Names with a slash: `user/name` may be written as it is, or with `%2F`.

use http::Uri;
use http::uri::PathAndQuery;

/// Where a path names a thing that may have a slash, and what may come after its name.
const NAMED: &[(&str, &[&str])] = &[
    (
        "/api/hf/jobs/",
        &["logs", "metrics", "labels", "ports", "duplicate"],
    ),
    ("/api/hf/datasets/", &["rows", "card", "pull"]),
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
            "sleep-time",
            "update",
            "rollback",
            "fit",
            "promote",
            "try",
            "duplicate",
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
    // A model's name has as many parts as it likes, and nothing comes after it.
    if let Some(name) = path.strip_prefix("/v1/models/") {
        return name
            .contains('/')
            .then(|| format!("/v1/models/{}", name.replace('/', "%2F")));
    }
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
            ("/api/hf/datasets/set/card", "/api/hf/datasets/set/card"),
            ("/api/hf/jobs/abc/logs", "/api/hf/jobs/abc/logs"),
            ("/api/hf/jobs/org/abc/logs", "/api/hf/jobs/org%2Fabc/logs"),
            (
                "/api/hf/spaces/me/demo/secrets/A",
                "/api/hf/spaces/me%2Fdemo/secrets/A",
            ),
            ("/api/hf/spaces/demo/secrets/A", "/api/hf/spaces/demo/secrets/A"),
            ("/api/hf/datasets/me/", "/api/hf/datasets/me/"),
            ("/api/hf/datasets", "/api/hf/datasets"),
            ("/api/runs/a/b", "/api/runs/a/b"),
            ("/v1/models/hf/org/name", "/v1/models/hf%2Forg%2Fname"),
            ("/v1/models/hf%2Forg%2Fname", "/v1/models/hf%2Forg%2Fname"),
            ("/v1/models", "/v1/models"),
        ] {
            assert_eq!(join_names(path.parse().unwrap()).to_string(), expected, "{path}");
        }
    }
}
