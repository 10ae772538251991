//! Which redirects are followed, and how.

use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::Redirects;
use crate::error::{self, HfError};

/// Where a redirect leads, if this is one that is to be looked at.
pub(super) fn redirect_target(
    status: StatusCode,
    headers: &HeaderMap,
    url: &Url,
    redirects: Redirects,
) -> Result<Option<Url>, HfError> {
    if redirects == Redirects::Manual || !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let wrong = |why: &str| HfError::decode(format!("the redirect of {}", error::redact_url(url)), why);
    let location = headers.get(LOCATION).ok_or_else(|| wrong("it has no Location"))?;
    let location = location
        .to_str()
        .map_err(|_| wrong("its Location is not ASCII"))?;
    let mut next = url.join(location).map_err(|error| wrong(&error.to_string()))?;
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Ok(Some(next))
}

pub(super) fn check_redirect(
    method: &Method,
    from: &Url,
    to: &Url,
    status: StatusCode,
) -> Result<(), HfError> {
    let refuse = |why: &str| {
        let what = format!(
            "the redirect of {method} {} to {}",
            error::redact_url(from),
            error::redact_url(to)
        );
        Err(HfError::decode(what, why))
    };
    if !matches!(to.scheme(), "http" | "https") {
        return refuse("it leads out of HTTP; not followed");
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        return refuse("it leads from https to http; not followed");
    }
    let keeps_method = !turns_into_get(status, method);
    if from.origin() != to.origin() && keeps_method && !matches!(*method, Method::GET | Method::HEAD) {
        return refuse("it would carry the request to another origin; not followed");
    }
    Ok(())
}

pub(super) fn turns_into_get(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => *method != Method::HEAD,
        301 | 302 => *method == Method::POST,
        _ => false,
    }
}
