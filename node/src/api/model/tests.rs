use serde_json::json;

use super::{Answer, EditRequest, Empty, InviteRequest, ListQuery, QueryError, ResolveRequest, Scalar, SecretText};
use super::{Event, encode_segment, own_status};

#[test]
fn an_answer_carries_its_schema_beside_the_keys_of_its_body() {
    let event = Event::PeerUp { node: "n".into() };
    let text = serde_json::to_value(Answer::new(event.clone())).unwrap();
    assert_eq!(text, json!({"schema": 1, "event": "peer_up", "node": "n"}));
    assert_eq!(serde_json::from_value::<Answer<Event>>(text).unwrap().body, event);
    assert_eq!(serde_json::to_string(&Answer::new(Empty {})).unwrap(), r#"{"schema":1}"#);
}

#[test]
fn null_clears_a_field_and_an_absent_value_keeps_the_one_shown() {
    let edit: EditRequest =
        serde_json::from_value(json!({"by": "ada", "set": {"assignee": null, "priority": 1}})).unwrap();
    assert_eq!(edit.set["assignee"], Scalar::Absent);
    assert_eq!(edit.set["priority"], Scalar::Number(1));
    let resolve = |value| serde_json::from_value::<ResolveRequest>(value).unwrap().value;
    assert_eq!(resolve(json!({"by": "ada", "field": "title"})), None);
    assert_eq!(resolve(json!({"by": "ada", "field": "title", "value": null})), Some(Scalar::Absent));
    assert_eq!(resolve(json!({"by": "ada", "field": "title", "value": "x"})), Some(Scalar::Text("x".into())));
}

#[test]
fn an_unknown_key_is_named() {
    let error = serde_json::from_value::<InviteRequest>(json!({"tll_s": 3})).unwrap_err();
    assert!(error.to_string().contains("tll_s"), "{error}");
    let error = ListQuery::from_pairs(vec![("colour".into(), "red".into())]).unwrap_err();
    assert_eq!(error, QueryError::UnknownKey { key: "colour".into() });
}

#[test]
fn a_query_reads_back_as_it_was_written() {
    let query = ListQuery {
        project: vec!["github.com/a/b".into()],
        status: vec!["open".into(), "in progress".into()],
        all: true,
        priority: vec![0, 4],
        limit: Some(0),
        ..ListQuery::default()
    };
    let text = query.to_query();
    assert!(text.starts_with("?project=github.com%2Fa%2Fb&status=open&status=in%20progress&all=true"), "{text}");
    let uri: axum::http::Uri = format!("/v1/beads{text}").parse().unwrap();
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri).unwrap().0;
    assert_eq!(ListQuery::from_pairs(pairs), Ok(query));
    assert_eq!(ListQuery::default().to_query(), "");
    assert_eq!(encode_segment("ä/~?"), "%C3%A4%2F~%3F");
}

#[test]
fn a_secret_is_not_printed_by_debug() {
    let secret = SecretText::new("bm1abc".into());
    assert_eq!(format!("{secret:?}"), "SecretText(..)");
    assert_eq!(serde_json::to_string(&secret).unwrap(), "\"bm1abc\"");
}

#[test]
fn a_status_of_its_own_is_told_with_the_one_that_was_meant() {
    for word in ["open", "in_progress", "tombstone", ""] {
        assert_eq!(own_status(word), None, "{word}");
    }
    assert_eq!(own_status("close").unwrap(), "close is a status of its own; did you mean closed?");
    assert_eq!(own_status("inprogress").unwrap(), "inprogress is a status of its own; did you mean in_progress?");
    let told = own_status("banana").unwrap();
    assert!(told.starts_with("banana is a status of its own; known are open, in_progress, "), "{told}");
}
