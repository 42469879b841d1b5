//! Round trips of every shape found in real files, what is normalised, and what is refused with which words.

use proptest::prelude::*;

use super::{Json, Record, RecordError, derived_id, write};
use crate::bead::{DepKey, Status, Target};
use crate::id::{BeadId, ProjectId};

const PROJECT: ProjectId = ProjectId::from_bytes([9; 16]);

/// Every shape that real files hold, in the canonical order of keys; a record that is written as it was read.
const FAITHFUL: &[&str] = &[
    // A bead of an agent orchestrator, with a mark, an owner and sub-millisecond local time.
    r#"{"id":"gt-0kw","title":"[HIGH] Fix <it> & \"that\"","description":"\nline one\n\tline two ≤ 🎉\n","status":"closed","priority":1,"issue_type":"merge-request","assignee":"gastown/polecats/nux","created_at":"2025-12-26T21:34:30.123456789-08:00","created_by":"mayor","updated_at":"2025-12-27T02:00:00.12345-08:00","closed_at":"2025-12-27T02:00:00.12-08:00","close_reason":"Merged in abc","external_ref":"gh-12","labels":["gt:agent","role:witness"],"ephemeral":true,"owner":"steve@example.org"}"#,
    // A tombstone.
    r#"{"id":"gt-1","title":"gone","status":"tombstone","priority":2,"issue_type":"task","created_at":"2025-12-16T01:16:55-08:00","updated_at":"2025-12-18T15:16:24-08:00","delete_reason":"batch delete","deleted_at":"2025-12-18T15:16:24.1-08:00","deleted_by":"batch delete","original_type":"molecule"}"#,
    // Dependencies and comments with numbers for ids.
    r#"{"id":"hq-a.1","title":"child","status":"hooked","priority":0,"issue_type":"feature","created_at":"2025-12-16T01:16:55Z","updated_at":"2025-12-16T01:16:55Z","dependencies":[{"issue_id":"hq-a.1","depends_on_id":"hq-b","type":"blocks","created_at":"2025-12-16T01:17:00Z","created_by":"daemon"},{"issue_id":"hq-a.1","depends_on_id":"hq-a","type":"parent-child","created_at":"2025-12-16T01:16:59Z","created_by":"daemon","metadata":"{}"}],"comments":[{"issue_id":"hq-a.1","author":"ada","text":"first","created_at":"2025-12-16T02:00:00Z","id":7},{"issue_id":"hq-a.1","author":"bob","text":"second","created_at":"2025-12-16T03:00:00Z","id":8}]}"#,
    // A gate with a number no float holds, and values that beadmesh gives no meaning.
    r#"{"id":"gt-gate","title":"wait","status":"open","priority":4,"issue_type":"gate","created_at":"2025-12-16T01:16:55Z","await_id":"x","await_type":"timer","big":123456789012345678901234567890,"exact":1.10,"list":[1,[],{}],"none":null,"small":-0.0e-7,"timeout":7200000000000}"#,
    // A plan: scopes, criteria, metadata, needs, no dates.
    r#"{"id":"VED-D01","title":"Deploy","acceptance":["zero downtime","rollback in 5 minutes"],"status":"open","priority":0,"issue_type":"task","estimated_minutes":120,"labels":["devops"],"scopes":[".github/workflows/*.yml","scripts/quality-gate.sh"],"dependencies":[{"issue_id":"VED-D01","depends_on_id":"VED-DEPLOY","type":"parent-child"}],"needs":{"gpu":"1"},"metadata":{"area":"ci","time_box_minutes":30}}"#,
    // A status and a type of the project's own, the remaining texts and dates.
    r#"{"id":"x-1","title":" t ","design":"d","acceptance_criteria":"a","notes":"n","status":"triage","priority":3,"issue_type":"spike","estimated_minutes":0,"due_at":"tomorrow","defer_until":"2030-01-01T00:00:00Z"}"#,
];

fn read(line: &str) -> Record {
    Record::parse(line, Some(PROJECT)).unwrap_or_else(|error| panic!("{error:?}: {line}"))
}

fn rewrite(line: &str) -> String {
    let bead = read(line).bead;
    write(&bead, &bead.alias, Target::to_string)
}

fn refuse(line: &str) -> String {
    let error = Record::parse(line, None).expect_err("the line is refused");
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn every_shape_of_real_files_comes_back_letter_by_letter() {
    for line in FAITHFUL {
        assert_eq!(rewrite(line), *line);
    }
}

#[test]
fn fields_land_where_they_belong() {
    let record = read(FAITHFUL[2]);
    assert!(record.has_created_at && record.has_updated_at);
    let bead = record.bead;
    assert_eq!((bead.alias.as_str(), bead.status, bead.priority), ("hq-a.1", Status::Hooked, 0));
    let key = DepKey { kind: "parent-child".to_owned(), target: Target::Alias("hq-a".to_owned()) };
    assert_eq!(bead.deps[&key].extra["metadata"], "\"{}\"");
    assert_eq!(bead.comments[1].extra["id"], "8");
    let plan = read(FAITHFUL[4]);
    assert!(!plan.has_created_at && !plan.has_updated_at);
    assert_eq!(plan.bead.criteria[1].text, "rollback in 5 minutes");
    assert_eq!(plan.bead.metadata["area"], "\"ci\"");
    assert_eq!(plan.bead.needs["gpu"], "1");
}

/// The list in `docs/JSONL.md`, row by row: what is read, and what is written for it.
#[test]
fn only_the_published_normalisations_are_made() {
    let rows = [
        (
            "null, empty text, list and object are absent",
            r#""notes":null,"design":"","labels":[],"metadata":{},"needs":{}"#,
            "",
        ),
        ("labels are a sorted set", r#""labels":["b","a","b",""]"#, r#","labels":["a","b"]"#),
        (
            "scopes are a sorted set of canonical patterns",
            r#""scopes":["src/","{b,a}.rs"]"#,
            r#","scopes":["a.rs","b.rs","src/**"]"#,
        ),
        (
            "dependencies are sorted and unique, with issue_id and one spelling of the type",
            r#""dependencies":[{"depends_on_id":"p","type":"parent_child"},{"depends_on_id":"b","type":"blocked-by"},{"issue_id":"other","depends_on_id":"a"},{"depends_on_id":"a","type":"blocks"}]"#,
            r#","dependencies":[{"issue_id":"x","depends_on_id":"a","type":"blocks"},{"issue_id":"x","depends_on_id":"b","type":"blocks"},{"issue_id":"x","depends_on_id":"p","type":"parent-child"}]"#,
        ),
        (
            "parent is a dependency",
            r#""parent":"p""#,
            r#","dependencies":[{"issue_id":"x","depends_on_id":"p","type":"parent-child"}]"#,
        ),
        (
            "comments go by date, each once",
            r#""comments":[{"author":"a","text":"2","created_at":"2025-01-02T00:00:00Z"},{"author":"a","text":"1","created_at":"2025-01-01T23:00:00-05:00"},{"author":"a","text":"0","created_at":"2025-01-01T00:00:00Z","id":2},{"author":"a","text":"0","created_at":"2025-01-01T00:00:00Z","id":1}]"#,
            r#","comments":[{"issue_id":"x","author":"a","text":"0","created_at":"2025-01-01T00:00:00Z","id":1},{"issue_id":"x","author":"a","text":"2","created_at":"2025-01-02T00:00:00Z"},{"issue_id":"x","author":"a","text":"1","created_at":"2025-01-01T23:00:00-05:00"}]"#,
        ),
        (
            "needs are texts",
            r#""needs":{"gpu":1,"vram":"40GiB","none":null}"#,
            r#","needs":{"gpu":"1","vram":"40GiB"}"#,
        ),
        ("unknown values are canonical JSON", r#""z": {"b" : 1e2, "a":"\u00e9\/"}"#, r#","z":{"a":"é/","b":1e2}"#),
    ];
    for (rule, read, written) in rows {
        let line = rewrite(&format!(r#"{{"id":"x","title":"t",{read}}}"#));
        let expected = format!(r#"{{"id":"x","title":"t","status":"open","priority":2,"issue_type":"task"{written}}}"#);
        assert_eq!(line, expected, "{rule}");
        assert_eq!(rewrite(&line), line, "{rule}, again");
    }
    let line = rewrite(r#"{"id":"x","title":"t","acceptance":["b","a","b"]}"#);
    assert!(line.contains(r#""acceptance":["b","a"]"#), "criteria keep their order: {line}");
    let line = rewrite(r#"{"id":"x","title":"t","acceptance":"done"}"#);
    assert!(line.contains(r#""acceptance_criteria":"done""#), "acceptance as a text: {line}");
}

#[test]
fn each_refusal_names_the_field_the_bound_and_the_value() {
    let long = "x".repeat(501);
    for (line, words) in [
        ("", "not JSON that can be kept: line 1, column 1: the text ends inside a value"),
        (r#"{"id":"x" "title":"t"}"#, "not JSON that can be kept: line 1, column 11: expected `,` or `}`, found '\"'"),
        (r#"{"id":"x","id":"y"}"#, "not JSON that can be kept: line 1, column 11: key \"id\" is given twice"),
        (r#"{"id":"x","m":{"k":1,"k":2}}"#, "not JSON that can be kept: line 1, column 22: key \"k\" is given twice"),
        ("[1]", "record: expected an object, found a list"),
        (r#"{"title":"t"}"#, "id is missing"),
        (r#"{"id":"x","title":""}"#, "title is missing"),
        (r#"{"id":7,"title":"t"}"#, "id: expected a text, found 7"),
        (r#"{"id":"a b","title":"t"}"#, "id can not be an alias: an alias can not contain ' '"),
        (r#"{"id":"x","title":"t","priority":5}"#, "priority is 5, outside 0 to 4"),
        (r#"{"id":"x","title":"t","priority":-1}"#, "priority is -1, outside 0 to 4"),
        (r#"{"id":"x","title":"t","priority":1.5}"#, "priority: expected a whole number, found 1.5"),
        (r#"{"id":"x","title":"t","priority":"P1"}"#, "priority: expected a whole number, found \"P1\""),
        (r#"{"id":"x","title":"t","estimated_minutes":525601}"#, "estimated_minutes is 525601, outside 0 to 525600"),
        (r#"{"id":"x","title":"t","labels":["a",1]}"#, "labels[1]: expected a text, found 1"),
        (r#"{"id":"x","title":"t","labels":"a"}"#, "labels: expected a list, found \"a\""),
        (r#"{"id":"x","title":"t","dependencies":[{"type":"blocks"}]}"#, "dependencies[0].depends_on_id is missing"),
        (r#"{"id":"x","title":"t","dependencies":[3]}"#, "dependencies[0]: expected an object, found 3"),
        (
            r#"{"id":"x","title":"t","dependencies":[{"depends_on_id":"a","type":"a|b"}]}"#,
            "dependencies[0].type can not contain '|'",
        ),
        (r#"{"id":"x","title":"t","comments":[{"author":"a"}]}"#, "comments[0].text is missing"),
        (r#"{"id":"x","title":"t","needs":{"gpu":[1]}}"#, "needs.gpu: expected a text, found a list"),
        (r#"{"id":"x","title":"t","metadata":"{}"}"#, "metadata: expected an object, found \"{}\""),
        (
            r#"{"id":"x","title":"t","scopes":["/etc"]}"#,
            "scopes[0] is no path pattern: pattern \"/etc\", character 1: starts with `/`; patterns are relative to the repository",
        ),
        (
            r#"{"id":"x","title":"t","acceptance":"a","acceptance_criteria":"b"}"#,
            "acceptance and acceptance_criteria say the same thing, only one can be given",
        ),
        (
            r#"{"id":"x","title":"t","beadmesh_id":"abc"}"#,
            "beadmesh_id is no bead id: not a BeadId: expected 26 characters of base32, got \"abc\"",
        ),
        (&format!(r#"{{"id":"x","title":"{long}"}}"#), "title has 501 bytes, at most 500 are allowed"),
    ] {
        assert_eq!(refuse(line), words, "{line}");
    }
    let labels: Vec<String> = (0..1_025).map(|number| format!("\"{number}\"")).collect();
    let line = format!(r#"{{"id":"x","title":"t","labels":[{}]}}"#, labels.join(","));
    assert_eq!(refuse(&line), "labels has 1025 items, at most 1024 are allowed");
    let line = " ".repeat(4 * 1024 * 1024 + 1);
    assert_eq!(refuse(&line), "line has 4194305 bytes, at most 4194304 are allowed");
    let deep = "[".repeat(100_000);
    assert!(refuse(&deep).ends_with("more than 64 lists and objects inside each other"));
}

#[test]
fn an_id_is_derived_from_source_and_date_else_from_the_project() {
    let dated = derived_id("x", Some("2025-01-01T00:00:00Z"), None);
    assert_eq!(dated, derived_id("x", Some("2024-12-31T19:00:00-05:00"), Some(PROJECT)));
    assert_ne!(dated, derived_id("y", Some("2025-01-01T00:00:00Z"), None));
    assert_ne!(derived_id("x", None, None), derived_id("x", None, Some(PROJECT)));
    assert_ne!(derived_id("x", Some("soon"), None), derived_id("x", Some("later"), None));
    // The rule is part of every mesh: these bytes never change.
    assert_eq!(dated.to_string(), "2ydfh3vd7o6n7vy46spmpt55a4");
}

#[test]
fn our_own_id_is_written_exactly_when_it_can_not_be_derived() {
    let mut bead = read(FAITHFUL[2]).bead;
    assert!(!write(&bead, "hq-a.1", Target::to_string).contains("beadmesh_id"));
    bead.id = BeadId::from_bytes([0xff; 16]);
    let line = write(&bead, "hq-a.1~7777", Target::to_string);
    let back = read(&line).bead;
    assert_eq!((back.id, back.alias.as_str()), (bead.id, "hq-a.1"));
    assert_eq!(back, bead);
    bead.created_at = None;
    bead.project = None;
    let record = Record::parse(&write(&bead, "hq-a.1", Target::to_string), None).expect("our own line");
    assert_eq!((record.bead.id, record.has_created_at), (bead.id, false));
}

#[test]
fn a_dependency_by_id_comes_back_by_id() {
    let id = BeadId::from_bytes([3; 16]);
    let line = format!(r#"{{"id":"x","title":"t","dependencies":[{{"depends_on_id":"bead:{id}"}}]}}"#);
    let bead = read(&line).bead;
    assert!(bead.deps.keys().all(|key| key.target == Target::Id(id)));
    assert!(write(&bead, "x", |_| "hq-7".to_owned()).contains(r#""depends_on_id":"hq-7""#));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,8}".prop_map(serde_json::Value::from),
        prop::sample::select(vec!["open", "2025-01-01T00:00:00Z", "src/**", "{a,b}/", "bead:x", ""])
            .prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "id",
        "title",
        "priority",
        "labels",
        "dependencies",
        "depends_on_id",
        "type",
        "comments",
        "text",
        "author",
        "created_at",
        "scopes",
        "acceptance",
        "needs",
        "metadata",
        "parent",
        "beadmesh_id",
        "notes",
        "status",
    ];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,4}"]
}

proptest! {
    #[test]
    fn any_record_is_refused_or_comes_back_equal(mut fields in prop::collection::btree_map(key(), any_json(), 0..12)) {
        fields.insert("id".to_owned(), "x-1".into());
        fields.insert("title".to_owned(), "t".into());
        let map: serde_json::Map<_, _> = fields.into_iter().collect();
        let line = serde_json::Value::Object(map).to_string();
        if let Ok(record) = Record::parse(&line, Some(PROJECT)) {
            let written = write(&record.bead, &record.bead.alias, Target::to_string);
            let back = Record::parse(&written, Some(PROJECT));
            prop_assert_eq!(back.map(|record| record.bead), Ok(record.bead));
        }
    }

    #[test]
    fn any_text_is_read_as_serde_json_reads_it(text in r#"[\[\]{}:,"0-9a-e\\u.+\- ntrfalse🎉]{0,20}"#) {
        match (Json::parse(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(theirs)) => {
                let again: serde_json::Value = serde_json::from_str(&ours.canonical()).expect("canonical JSON is JSON");
                prop_assert_eq!(again, theirs);
            }
            // serde_json takes the last of two equal keys and refuses numbers no float holds.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{}", text),
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("given twice"), "{}: {}", text, error),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn any_line_is_read_or_refused(line in "\\PC{0,80}") {
        let refused = Record::parse(&line, None).is_err();
        prop_assert!(refused, "no random text is a record");
    }

    #[test]
    fn a_canonical_value_is_its_own_canonical_form(value in any_json()) {
        let text = value.to_string();
        let ours = Json::parse(&text).expect("serde_json writes JSON");
        let canonical = ours.canonical();
        prop_assert_eq!(Json::parse(&canonical), Ok(ours.clone()));
    }
}

#[test]
fn a_missing_field_is_no_panic() {
    assert_eq!(Record::parse("{}", None), Err(RecordError::missing("id")));
}
