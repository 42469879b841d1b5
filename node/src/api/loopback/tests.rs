use axum::body::Body;
use axum::http::request::Builder;

use super::passes::{CODES_MAX, SESSIONS_MAX};
use super::*;

const TOKEN: &str = "bmt1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const WATCHER: &str = "bmm1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const HERE: &str = "127.0.0.1:7118";

fn loopback() -> Loopback {
    let [api, metrics] = [TOKEN, WATCHER].map(|token| SecretText::new(token.to_owned()));
    Loopback::new(HERE.parse().unwrap(), Tokens { api, metrics }, Arc::default())
}

/// Returns a request with the right host and nothing else.
fn to_here(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(header::HOST, HERE)
}

fn bearing(request: Builder) -> Builder {
    request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
}

/// Returns what becomes of a request: the status and code of a refusal, or nothing.
fn outcome(loopback: &Loopback, request: Builder) -> Option<(u16, String)> {
    let admitted = loopback.admit(request.body(Body::empty()).unwrap(), Instant::now());
    admitted.err().map(|(_, problem)| (problem.status.as_u16(), problem.info.code))
}

fn refused(status: u16, code: &str) -> Option<(u16, String)> {
    Some((status, code.to_owned()))
}

/// Takes what the code of a login is exchanged for, or why it is not.
fn log_in(loopback: &Loopback, url: &str, now: Instant) -> Result<String, (u16, String)> {
    let code = url.strip_prefix(&format!("{}/login#", loopback.url())).unwrap();
    let request = to_here("POST", "/login").header(header::AUTHORIZATION, format!("Bearer {code}"));
    match loopback.admit(request.body(Body::empty()).unwrap(), now) {
        Ok(Admitted::LoggedIn(session)) => Ok(session.reveal().to_owned()),
        Ok(_) => panic!("a login goes no further"),
        Err((_, problem)) => Err((problem.status.as_u16(), problem.info.code)),
    }
}

#[test]
fn only_addresses_of_this_machine_alone_are_taken() {
    for (text, address) in
        [("127.0.0.1:7118", "127.0.0.1:7118"), ("localhost:0", "127.0.0.1:0"), ("[::1]:80", "[::1]:80")]
    {
        assert_eq!(parse_address(text), Ok(address.parse().unwrap()), "{text}");
    }
    for text in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "[::ffff:127.0.0.1]:80", "10.0.0.1:1"] {
        assert!(matches!(parse_address(text), Err(AddressError::NotLoopback(_))), "{text}");
    }
    for text in ["", "127.0.0.1", "localhost", "localhost:x", "example.com:80", ":80"] {
        assert!(matches!(parse_address(text), Err(AddressError::Form(_))), "{text}");
    }
}

#[test]
fn who_bears_the_token_may_ask_by_any_name_of_this_host() {
    let loopback = loopback();
    for host in [HERE, "localhost:7118", "LOCALHOST:7118", "[::1]:7118"] {
        let request = Request::builder().uri("/v1/status").header(header::HOST, host);
        assert_eq!(outcome(&loopback, bearing(request)), None, "{host}");
    }
}

#[test]
fn another_host_is_misdirected_whatever_it_proves() {
    let loopback = loopback();
    for host in ["evil.example:7118", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:7118", "localhost", ""] {
        let request = Request::builder().uri("/v1/status").header(header::HOST, host);
        assert_eq!(outcome(&loopback, bearing(request)), refused(421, "wrong_host"), "{host}");
    }
    let none = Request::builder().uri("/v1/status");
    assert_eq!(outcome(&loopback, bearing(none)), refused(421, "wrong_host"));
    let two = to_here("GET", "/v1/status").header(header::HOST, "evil.example");
    assert_eq!(outcome(&loopback, bearing(two)), refused(421, "wrong_host"));
    let whole = to_here("GET", "http://evil.example/v1/status");
    assert_eq!(outcome(&loopback, bearing(whole)), refused(421, "wrong_host"));
}

#[test]
fn a_page_of_another_origin_is_refused_whatever_it_proves() {
    let loopback = loopback();
    for origin in ["http://evil.example", "null", "https://127.0.0.1:7118", "http://127.0.0.1:3000", "http://localhost"]
    {
        let request = to_here("POST", "/v1/beads").header(header::ORIGIN, origin);
        assert_eq!(outcome(&loopback, bearing(request)), refused(403, "wrong_origin"), "{origin}");
    }
    for site in ["cross-site", "same-site"] {
        let request = to_here("GET", "/v1/status").header("sec-fetch-site", site);
        assert_eq!(outcome(&loopback, bearing(request)), refused(403, "wrong_origin"), "{site}");
    }
    let ours = to_here("POST", "/v1/beads").header(header::ORIGIN, "http://localhost:7118");
    assert_eq!(outcome(&loopback, bearing(ours)), None);
}

#[test]
fn who_proves_nothing_or_something_wrong_is_refused() {
    let loopback = loopback();
    assert_eq!(outcome(&loopback, to_here("GET", "/v1/status")), refused(401, "unproven"));
    let longer = format!("Bearer {TOKEN}a");
    for bearer in ["", "Bearer", "Bearer x", &longer, &longer[..30], TOKEN, &format!("Basic {TOKEN}")] {
        let request = to_here("GET", "/v1/status").header(header::AUTHORIZATION, bearer);
        assert_eq!(outcome(&loopback, request), refused(401, "unproven"), "{bearer}");
    }
}

#[test]
fn who_may_watch_may_do_nothing_else() {
    let loopback = loopback();
    let watching = |method, path| {
        let request = to_here(method, path).header(header::AUTHORIZATION, format!("Bearer {WATCHER}"));
        outcome(&loopback, request)
    };
    for path in ["/metrics", "/-/healthy", "/-/ready"] {
        assert_eq!(watching("GET", path), None, "{path}");
        assert_eq!(watching("POST", path), refused(401, "unproven"), "{path}");
        assert_eq!(outcome(&loopback, to_here("GET", path)), refused(401, "unproven"), "{path}");
    }
    for path in ["/v1/status", "/metrics/", "/metrics/../v1/status", "//metrics", "/login/metrics"] {
        assert_eq!(watching("GET", path), refused(401, "unproven"), "{path}");
    }
}

#[test]
fn what_a_browser_sends_by_itself_proves_nothing() {
    let (loopback, now) = (loopback(), Instant::now());
    let session = log_in(&loopback, loopback.invite(now).unwrap().reveal(), now).unwrap();
    for name in ["session", "beadmesh", "beadmesh_7118"] {
        for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/beads")] {
            // A server on another port gets the cookies of this host, and replays them with any header it likes.
            let replayed = to_here(method, path)
                .header(header::COOKIE, format!("{name}={session}"))
                .header(header::ORIGIN, "http://127.0.0.1:7118")
                .header("sec-fetch-site", "same-origin");
            assert_eq!(outcome(&loopback, replayed), refused(401, "unproven"), "{name}");
        }
    }
}

#[test]
fn a_code_lets_one_browser_in_for_a_minute() {
    let (loopback, now) = (loopback(), Instant::now());
    let url = loopback.invite(now).unwrap();
    let session = log_in(&loopback, url.reveal(), now).unwrap();
    assert_eq!(log_in(&loopback, url.reveal(), now), Err((401, "bad_code".into())), "a code is good once");
    let late = loopback.invite(now).unwrap();
    assert_eq!(log_in(&loopback, late.reveal(), now + CODE_TTL), Err((401, "bad_code".into())));
    assert_eq!(log_in(&loopback, &format!("{}/login#", loopback.url()), now), Err((401, "bad_code".into())));
    for (method, path) in [("GET", "/v1/status"), ("POST", "/v1/beads")] {
        let request = to_here(method, path).header(header::AUTHORIZATION, format!("Bearer {session}"));
        assert_eq!(outcome(&loopback, request), None);
    }
    let request = to_here("GET", "/v1/status").header(header::AUTHORIZATION, format!("Bearer {session}"));
    let over = loopback.admit(request.body(Body::empty()).unwrap(), now + SESSION_TTL);
    assert_eq!(over.err().map(|(_, problem)| problem.info.code), Some("unproven".to_owned()), "a session ends");
}

#[test]
fn no_secret_of_a_browser_is_handed_on_with_a_bundle() {
    let (loopback, now) = (loopback(), Instant::now());
    let url = loopback.invite(now).unwrap();
    assert_eq!(crate::doctor::redacted(url.reveal()), "http://127.0.0.1:7118/login#bmc1[redacted]");
    let session = log_in(&loopback, url.reveal(), now).unwrap();
    assert_eq!(crate::doctor::redacted(&format!("session {session}, and more")), "session bms1[redacted], and more");
}

#[test]
fn codes_and_sessions_are_bounded_and_the_oldest_go_first() {
    let (loopback, now) = (loopback(), Instant::now());
    let urls: Vec<SecretText> = (0..=CODES_MAX).map(|_| loopback.invite(now).unwrap()).collect();
    assert!(log_in(&loopback, urls[0].reveal(), now).is_err());
    let first = log_in(&loopback, urls[1].reveal(), now).unwrap();
    let later: Vec<String> =
        (0..SESSIONS_MAX).map(|_| log_in(&loopback, loopback.invite(now).unwrap().reveal(), now).unwrap()).collect();
    let is_good = |session: &str| bool::from(loopback.passes().is_session(session, now));
    assert!(!is_good(&first) && later.iter().all(|session| is_good(session)));
}

#[test]
fn what_a_browser_loads_first_is_there_for_everybody_and_may_load_nothing_from_elsewhere() {
    let loopback = loopback();
    let admitted = |path| loopback.admit(to_here("GET", path).body(Body::empty()).unwrap(), Instant::now());
    assert!(matches!(admitted("/login"), Ok(Admitted::Page)));
    assert!(matches!(admitted("/login.js"), Ok(Admitted::Script)));
    for response in [page::page(), page::script()] {
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let page = include_str!("login.html");
    assert!(page.contains("<script src=\"/login.js\">") && !page.contains("<script>"), "no script stands in the page");
}

#[test]
fn what_proved_the_right_to_ask_goes_no_further_and_the_agents_token_takes_its_place() {
    let request = bearing(to_here("GET", "/v1/inbox")).header(AGENT_TOKEN_HEADER, "bma1x");
    let request = disclose(request.body(Body::empty()).unwrap());
    assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer bma1x");
    assert!(!request.headers().contains_key(AGENT_TOKEN_HEADER));
    let bare = disclose(bearing(to_here("GET", "/")).body(Body::empty()).unwrap());
    assert!(!bare.headers().contains_key(header::AUTHORIZATION));
}
