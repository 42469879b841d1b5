use axum::body::Body;
use axum::http::request::Builder;

use super::*;

const TOKEN: &str = "bmt1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const HERE: &str = "127.0.0.1:7118";

fn loopback() -> Loopback {
    let token = SecretText::new(TOKEN.to_owned());
    Loopback::new(HERE.parse().unwrap(), token, Arc::default())
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
    let path = url.strip_prefix(&loopback.url()).unwrap();
    let request = to_here("GET", path).body(Body::empty()).unwrap();
    match loopback.admit(request, now) {
        Ok(Admitted::LoggedIn(session)) => Ok(session.to_string()),
        Ok(Admitted::Goes(_)) => panic!("a login goes no further"),
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
    let cookie = to_here("GET", "/v1/status").header(header::COOKIE, "beadmesh_7118=x");
    assert_eq!(outcome(&loopback, cookie), refused(401, "unproven"));
}

#[test]
fn a_code_lets_one_browser_in_for_a_minute() {
    let (loopback, now) = (loopback(), Instant::now());
    let url = loopback.invite(now).unwrap();
    let session = log_in(&loopback, url.reveal(), now).unwrap();
    assert_eq!(log_in(&loopback, url.reveal(), now), Err((401, "bad_code".into())), "a code is good once");
    let late = loopback.invite(now).unwrap();
    assert_eq!(log_in(&loopback, late.reveal(), now + CODE_TTL), Err((401, "bad_code".into())));
    assert_eq!(log_in(&loopback, &format!("{}/login", loopback.url()), now), Err((401, "bad_code".into())));
    let cookie = format!("other=1; beadmesh_7118={session}");
    let get = to_here("GET", "/v1/status").header(header::COOKIE, &cookie);
    assert_eq!(outcome(&loopback, get), None);
    let post = to_here("POST", "/v1/beads").header(header::COOKIE, &cookie);
    assert_eq!(outcome(&loopback, post), refused(403, "wrong_origin"), "a change says where it comes from");
    let post =
        to_here("POST", "/v1/beads").header(header::COOKIE, &cookie).header(header::ORIGIN, "http://127.0.0.1:7118");
    assert_eq!(outcome(&loopback, post), None);
    let elsewhere = to_here("GET", "/v1/status").header(header::COOKIE, format!("beadmesh_80={session}"));
    assert_eq!(outcome(&loopback, elsewhere), refused(401, "unproven"));
    loopback.prune(now + SESSION_TTL);
    let over = to_here("GET", "/v1/status").header(header::COOKIE, &cookie);
    assert_eq!(outcome(&loopback, over), refused(401, "unproven"), "a session ends");
}

#[test]
fn codes_and_sessions_are_bounded_and_the_oldest_go_first() {
    let (loopback, now) = (loopback(), Instant::now());
    let urls: Vec<SecretText> = (0..=CODES_MAX).map(|_| loopback.invite(now).unwrap()).collect();
    assert!(log_in(&loopback, urls[0].reveal(), now).is_err());
    assert!(log_in(&loopback, urls[1].reveal(), now).is_ok());
    for _ in 0..2 * SESSIONS_MAX {
        let url = loopback.invite(now).unwrap();
        log_in(&loopback, url.reveal(), now).unwrap();
    }
    loopback.prune(now);
    assert_eq!(loopback.passes().sessions.len(), SESSIONS_MAX);
}

#[test]
fn the_cookie_is_for_this_host_alone_and_no_script() {
    let response = loopback().logged_in("abc");
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert_eq!(cookie, "beadmesh_7118=abc; HttpOnly; SameSite=Strict; Path=/; Max-Age=43200");
    assert_eq!(response.headers()[header::LOCATION], "/v1/status");
}

#[test]
fn what_proved_the_right_to_ask_goes_no_further_and_the_agents_token_takes_its_place() {
    let request =
        bearing(to_here("GET", "/v1/inbox")).header(header::COOKIE, "a=b").header(AGENT_TOKEN_HEADER, "bma1x");
    let request = disclose(request.body(Body::empty()).unwrap());
    assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer bma1x");
    assert!(!request.headers().contains_key(header::COOKIE) && !request.headers().contains_key(AGENT_TOKEN_HEADER));
    let bare = disclose(bearing(to_here("GET", "/")).body(Body::empty()).unwrap());
    assert!(!bare.headers().contains_key(header::AUTHORIZATION));
}
