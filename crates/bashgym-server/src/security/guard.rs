//! The one check before every handler.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hf_core::Clock;
use http::{HeaderMap, Method, Uri, header};

use super::backoff::Backoff;
use super::key::{ServerKey, prove};
use super::session::{COOKIE, Session, Sessions};
use crate::dashboard;
use crate::problem::{Code, Problem};

/// What can be had without a key. Each of these tells nothing of the account, the data or the machine.
pub(crate) const PUBLIC: &[(Method, &str)] = &[
    (Method::GET, "/"),
    (Method::GET, "/login"),
    (Method::GET, "/assets/page.css"),
    (Method::GET, "/api/health"),
    (Method::GET, "/api/ready"),
    (Method::POST, "/api/proof"),
];

/// Whether a request needs no key.
pub(crate) fn is_public(method: &Method, path: &str) -> bool {
    let method = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    PUBLIC.iter().any(|(m, p)| m == method && *p == path)
        || (*method == Method::GET && dashboard::is_open(path))
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Somebody with the key.
    Key,
    /// A browser that is signed in: its cookie's value, and its session.
    Browser(String, Session),
    /// Anybody, where that is enough.
    Nobody,
}

impl Caller {
    /// Whether more may be told than to anybody.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::Nobody)
    }
}

/// A request, as far as the guard looks at it.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: IpAddr,
}

/// Decides who may ask.
#[derive(Debug)]
pub(crate) struct Guard {
    key: ServerKey,
    hosts: Vec<String>,
    port: u16,
    sessions: Sessions,
    backoff: Backoff,
    clock: Arc<dyn Clock>,
}

impl Guard {
    /// A guard of a server at `address`; `hosts` are further names it is reached by.
    pub(crate) fn new(
        key: ServerKey,
        address: SocketAddr,
        hosts: impl IntoIterator<Item = String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), "[::1]".into()];
        names.push(match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        names.extend(hosts.into_iter().map(|host| host.to_ascii_lowercase()));
        Self {
            key,
            hosts: names,
            port: address.port(),
            sessions: Sessions::default(),
            backoff: Backoff::default(),
            clock,
        }
    }

    /// Lets a request pass, or says why not.
    ///
    /// # Errors
    /// [`Problem`] of code `host_not_allowed`, `origin_not_allowed`, `unauthenticated`, `slow_down` or `csrf_required`.
    pub(crate) fn check(&self, asking: &Asking<'_>) -> Result<Caller, Problem> {
        let host = self.host(asking)?;
        check_origin(asking.headers, &host)?;
        let caller = self.caller(asking)?;
        if !caller.is_known() && !is_public(asking.method, asking.uri.path()) {
            return Err(Problem::new(Code::Unauthenticated, "this needs the server's key")
                .hint("send `Authorization: Bearer KEY`; the key is in the line that `bashgym serve --format json` prints"));
        }
        Ok(caller)
    }

    /// The host that is asked for, if this server is known by it. A name that only resolves to this machine is not:
    /// that is how DNS rebinding begins.
    fn host(&self, asking: &Asking<'_>) -> Result<String, Problem> {
        let refused = || {
            Problem::new(
                Code::HostNotAllowed,
                "the Host header names a server that this is not",
            )
            .hint("use 127.0.0.1 or localhost, or name the host with `bashgym serve --allow-host NAME`")
        };
        let host = only(asking.headers, &header::HOST).ok_or_else(refused)?;
        let known = |host: &str| {
            let name = host_name(host).to_ascii_lowercase();
            self.hosts.contains(&name)
        };
        let target = asking.uri.authority().map(http::uri::Authority::as_str);
        if !known(host) || target.is_some_and(|target| !known(target)) {
            return Err(refused());
        }
        Ok(host.to_ascii_lowercase())
    }

    fn caller(&self, asking: &Asking<'_>) -> Result<Caller, Problem> {
        if asking.headers.contains_key(header::AUTHORIZATION) {
            let given = only(asking.headers, &header::AUTHORIZATION).and_then(|value| {
                let (scheme, key) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
            });
            return match given {
                Some(key) if self.key.matches(key) => {
                    self.backoff.passed(asking.peer);
                    Ok(Caller::Key)
                }
                _ => Err(self.wrong(asking.peer)),
            };
        }
        let Some(secret) = cookie(asking.headers) else {
            return Ok(Caller::Nobody);
        };
        let Some(session) = self.sessions.find(secret, self.clock.elapsed()) else {
            return Ok(Caller::Nobody);
        };
        let upgrades = asking.headers.contains_key(header::UPGRADE);
        if upgrades && !asking.headers.contains_key(header::ORIGIN) {
            return Err(Problem::new(
                Code::OriginNotAllowed,
                "a browser says where a WebSocket comes from; this request does not",
            ));
        }
        let safe = matches!(*asking.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let token = only(asking.headers, &header::HeaderName::from_static("x-csrf-token"));
        if !safe && !token.is_some_and(|token| session.has_csrf(token)) {
            return Err(Problem::new(
                Code::CsrfRequired,
                "a change by cookie needs the header X-CSRF-Token",
            )
            .hint("GET /api/session tells it"));
        }
        Ok(Caller::Browser(secret.to_owned(), session))
    }

    fn wrong(&self, peer: IpAddr) -> Problem {
        match self.backoff.failed(peer, self.clock.elapsed()) {
            Some(seconds) => Problem::new(Code::SlowDown, "too many wrong keys").retry_after(seconds),
            None => Problem::new(Code::Unauthenticated, "the key is wrong"),
        }
    }

    /// Begins a session; returns its cookie's value.
    pub(crate) fn begin_session(&self) -> (String, Session) {
        self.sessions.begin(self.clock.elapsed())
    }

    /// Ends a session.
    pub(crate) fn end_session(&self, secret: &str) {
        self.sessions.end(secret);
    }

    /// Makes a code for one login link.
    pub(crate) fn make_code(&self) -> String {
        self.sessions.make_code(self.clock.elapsed())
    }

    /// Uses a code up.
    ///
    /// # Errors
    /// [`Problem`] of code `unauthenticated` or `slow_down`.
    pub(crate) fn take_code(&self, code: &str, peer: IpAddr) -> Result<(), Problem> {
        if self.sessions.take_code(code, self.clock.elapsed()) {
            return Ok(());
        }
        Err(self
            .wrong(peer)
            .hint("a link works once and for a minute; `bashgym up` opens a new one"))
    }

    /// Proves that this server has the key.
    pub(crate) fn prove(&self, nonce: &str) -> String {
        prove(&self.key, nonce, self.port)
    }
}

/// The value of a header that is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The name of a host without its port.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Refuses what another web site had a browser send: by `Origin`, and by `Sec-Fetch-Site` where there is none.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let refused = || {
        Problem::new(Code::OriginNotAllowed, "the request comes from another web site")
            .hint("open the server's own address in the browser")
    };
    if headers.contains_key(header::ORIGIN) {
        let origin = only(headers, &header::ORIGIN)
            .ok_or_else(refused)?
            .to_ascii_lowercase();
        let own = ["http://", "https://"]
            .iter()
            .any(|scheme| origin.strip_prefix(scheme) == Some(host));
        if !own {
            return Err(refused());
        }
    }
    let site = header::HeaderName::from_static("sec-fetch-site");
    if headers.contains_key(&site) {
        // Another port of this machine is `same-site`, and another program.
        let own = matches!(only(headers, &site), Some("same-origin" | "none"));
        if !own {
            return Err(refused());
        }
    }
    Ok(())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value);
    let first = found.next()?;
    // A second one was put there by somebody else.
    found.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use hf_core::SystemClock;
    use http::{HeaderMap, HeaderValue, Method, Uri};

    use super::{Asking, Caller, Guard};
    use crate::problem::{Code, Problem};
    use crate::security::ServerKey;

    const KEY: &str = "test-key-0123456789-0123456789-0123456789";

    fn guard() -> Guard {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let key = ServerKey::parse(KEY).unwrap();
        Guard::new(
            key,
            address,
            ["gym.example.org".to_owned()],
            Arc::new(SystemClock::new()),
        )
    }

    fn ask(
        guard: &Guard,
        method: &Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Caller, Problem> {
        let uri: Uri = target.parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                name.parse::<http::HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        guard.check(&Asking {
            method,
            uri: &uri,
            headers: &map,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        })
    }

    fn code(result: Result<Caller, Problem>) -> Option<Code> {
        result.err().map(|problem| problem.code())
    }

    #[test]
    fn a_name_that_only_resolves_to_this_machine_is_refused() {
        let guard = guard();
        let key = format!("Bearer {KEY}");
        for host in [
            "127.0.0.1:4000",
            "localhost",
            "LOCALHOST:80",
            "[::1]:4000",
            "gym.example.org",
        ] {
            let asked = ask(
                &guard,
                &Method::GET,
                "/api/runs",
                &[("host", host), ("authorization", &key)],
            );
            assert!(asked.is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:4000",
            "127.0.0.1@evil",
            "",
            "[::2]",
        ] {
            let asked = ask(
                &guard,
                &Method::GET,
                "/api/runs",
                &[("host", host), ("authorization", &key)],
            );
            assert_eq!(code(asked), Some(Code::HostNotAllowed), "{host}");
        }
        let none = ask(&guard, &Method::GET, "/api/runs", &[("authorization", &key)]);
        assert_eq!(code(none), Some(Code::HostNotAllowed));
        let two = [
            ("host", "localhost"),
            ("host", "evil.example"),
            ("authorization", &key),
        ];
        assert_eq!(
            code(ask(&guard, &Method::GET, "/", &two)),
            Some(Code::HostNotAllowed)
        );
        let absolute = ask(
            &guard,
            &Method::GET,
            "http://evil.example/",
            &[("host", "localhost")],
        );
        assert_eq!(code(absolute), Some(Code::HostNotAllowed));
    }

    #[test]
    fn another_web_site_is_refused_whatever_it_knows() {
        let guard = guard();
        let key = format!("Bearer {KEY}");
        let with = |name: &str, value: &str| {
            let headers = [("host", "127.0.0.1:4000"), ("authorization", &key), (name, value)];
            code(ask(&guard, &Method::POST, "/api/hf/jobs", &headers))
        };
        assert_eq!(with("origin", "http://127.0.0.1:4000"), None);
        assert_eq!(with("sec-fetch-site", "same-origin"), None);
        assert_eq!(with("sec-fetch-site", "none"), None);
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:3000",
            "http://localhost:4000",
            "http://127.0.0.1:4000.evil.example",
            "",
        ] {
            assert_eq!(with("origin", origin), Some(Code::OriginNotAllowed), "{origin}");
        }
        for site in ["cross-site", "same-site", "strange"] {
            assert_eq!(
                with("sec-fetch-site", site),
                Some(Code::OriginNotAllowed),
                "{site}"
            );
        }
    }

    #[test]
    fn a_cookie_changes_nothing_without_its_token() {
        let guard = guard();
        let (secret, session) = guard.begin_session();
        let cookie = format!("a=b; bashgym_session={secret}");
        let base = [("host", "localhost"), ("cookie", cookie.as_str())];
        let seen = ask(&guard, &Method::GET, "/api/runs", &base);
        assert!(matches!(seen, Ok(Caller::Browser(..))));
        assert_eq!(
            code(ask(&guard, &Method::POST, "/api/runs", &base)),
            Some(Code::CsrfRequired)
        );
        let wrong = [base[0], base[1], ("x-csrf-token", "wrong")];
        assert_eq!(
            code(ask(&guard, &Method::POST, "/api/runs", &wrong)),
            Some(Code::CsrfRequired)
        );
        let right = [base[0], base[1], ("x-csrf-token", session.csrf.as_str())];
        assert!(ask(&guard, &Method::POST, "/api/runs", &right).is_ok());
        let twice = [base[0], base[1], ("cookie", "bashgym_session=planted")];
        assert_eq!(
            code(ask(&guard, &Method::GET, "/api/runs", &twice)),
            Some(Code::Unauthenticated)
        );
        guard.end_session(&secret);
        assert_eq!(
            code(ask(&guard, &Method::GET, "/api/runs", &base)),
            Some(Code::Unauthenticated)
        );
    }

    #[test]
    fn a_web_socket_by_cookie_says_where_it_comes_from() {
        let guard = guard();
        let (secret, _) = guard.begin_session();
        let cookie = format!("bashgym_session={secret}");
        let base = [
            ("host", "localhost"),
            ("cookie", cookie.as_str()),
            ("upgrade", "websocket"),
        ];
        assert_eq!(
            code(ask(&guard, &Method::GET, "/ws", &base)),
            Some(Code::OriginNotAllowed)
        );
        let own = [base[0], base[1], base[2], ("origin", "http://localhost")];
        assert!(ask(&guard, &Method::GET, "/ws", &own).is_ok());
        let other = [base[0], base[1], base[2], ("origin", "http://evil.example")];
        assert_eq!(
            code(ask(&guard, &Method::GET, "/ws", &other)),
            Some(Code::OriginNotAllowed)
        );
    }

    #[test]
    fn wrong_keys_are_slowed_down_and_the_right_one_is_not() {
        let guard = guard();
        let wrong = [("host", "localhost"), ("authorization", "Bearer wrong")];
        for _ in 0..5 {
            assert_eq!(
                code(ask(&guard, &Method::GET, "/api/runs", &wrong)),
                Some(Code::Unauthenticated)
            );
        }
        for _ in 0..3 {
            assert_eq!(
                code(ask(&guard, &Method::GET, "/api/runs", &wrong)),
                Some(Code::SlowDown)
            );
        }
        let key = format!("bearer {KEY}");
        let right = [("host", "localhost"), ("authorization", key.as_str())];
        assert!(ask(&guard, &Method::GET, "/api/runs", &right).is_ok());
        let in_query = ask(
            &guard,
            &Method::GET,
            &format!("/api/runs?key={KEY}"),
            &[("host", "localhost")],
        );
        assert_eq!(code(in_query), Some(Code::Unauthenticated));
    }
}
