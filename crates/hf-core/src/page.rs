//! `Link` headers: how the Hub hands out its lists page by page.

use http::HeaderMap;
use http::header::LINK;

use crate::retry::split_outside_quotes;

/// One link of a `Link` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The address between the angle brackets, as it stands.
    pub target: String,
    /// The relation words, in lower case.
    pub rels: Vec<String>,
}

/// Reads a `Link` header: `<url>; rel="next"`, several separated by commas.
///
/// Pieces that are no link are left out. Commas and semicolons inside the brackets or quotes belong to the value.
///
/// ```
/// let links = hf_core::parse_links("<https://a/b?x=1,2>; rel=\"next\"");
/// assert_eq!(links[0].target, "https://a/b?x=1,2");
/// ```
pub fn parse_links(header: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let Some(close) = rest[open..].find('>').map(|at| at + open) else {
            break;
        };
        let target = rest[open + 1..close].trim().to_owned();
        let parameters = split_outside_quotes(&rest[close + 1..], ',')
            .next()
            .unwrap_or_default();
        let mut rels = Vec::new();
        for parameter in split_outside_quotes(parameters, ';') {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("rel")
                && rels.is_empty()
            {
                let words = value.trim().trim_matches('"');
                rels = words
                    .split_ascii_whitespace()
                    .map(str::to_ascii_lowercase)
                    .collect();
            }
        }
        links.push(Link { target, rels });
        rest = &rest[close + 1 + parameters.len()..];
    }
    links
}

/// The address of the next page, when there is one.
pub fn next_link(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse_links)
        .find(|link| link.rels.iter().any(|rel| rel == "next"))
        .map(|link| link.target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_are_read() {
        let next = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, text.parse().unwrap());
            next_link(&headers)
        };
        for (text, expected) in [
            (
                "<https://h/a?cursor=x%3D>; rel=\"next\"",
                Some("https://h/a?cursor=x%3D"),
            ),
            ("<https://h/a>; rel=next", Some("https://h/a")),
            (
                "<https://h/0>; rel=\"prev\", <https://h/2>; rel=\"next\"",
                Some("https://h/2"),
            ),
            (
                "<https://h/a,b;c>; title=\"x, y\"; REL=\"first next\"",
                Some("https://h/a,b;c"),
            ),
            ("<https://h/a>; rel=\"nextish\"", None),
            ("<https://h/a>", None),
            ("<https://h/a; rel=\"next\"", None),
            ("https://h/a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_link_header_is_survived(text in "\\PC{0,80}") {
            let _ = parse_links(&text);
        }

        #[test]
        fn written_links_are_read_back(targets in prop::collection::vec("[a-z:/?=,;%.]{1,20}", 0..5)) {
            let header: Vec<String> = targets.iter().map(|t| format!("<{t}>; rel=\"next\"")).collect();
            let read: Vec<String> = parse_links(&header.join(", ")).into_iter().map(|l| l.target).collect();
            prop_assert_eq!(read, targets);
        }
    }
}
