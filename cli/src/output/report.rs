//! How a failure is told, to people and to programs.

use serde_json::json;

use super::paint::Paint;
use super::text;
use crate::failure::Failure;

/// Returns the failure as lines for people.
pub(super) fn human(failure: &Failure) -> String {
    let mut out = format!("{} {}\n", Paint::Bad.on("Error:"), text::clean(&failure.message));
    for cause in &failure.causes {
        out.push_str(&format!("{} {}\n", Paint::Strong.on("Caused by:"), text::clean(cause)));
    }
    if let Some(hint) = &failure.hint {
        out.push_str(&format!("{} {}\n", Paint::Strong.on("Hint:"), text::clean(hint)));
    }
    out
}

/// Returns the failure as one JSON object on one line.
pub(super) fn json(failure: &Failure) -> String {
    let mut error = json!({ "code": failure.code, "message": failure.message, "hint": failure.hint });
    if let Some(field) = &failure.field {
        error["field"] = json!(field);
    }
    if !failure.causes.is_empty() {
        error["causes"] = json!(failure.causes);
    }
    let body = json!({ "schema": beadmesh_node::api::model::SCHEMA, "error": error });
    format!("{body}\n")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{human, json};
    use crate::failure::{Exit, Failure};

    fn failure() -> Failure {
        let source = io::Error::new(io::ErrorKind::NotFound, "No such file or directory");
        Failure::io("tasks.jsonl cannot be read", &source).hint("name a file that exists, or - for standard input")
    }

    #[test]
    fn an_error_names_its_causes_and_what_to_do() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&human(&failure())), @r"
        Error: tasks.jsonl cannot be read
        Caused by: No such file or directory
        Hint: name a file that exists, or - for standard input
        ");
    }

    #[test]
    fn an_error_is_one_object_for_programs() {
        insta::assert_snapshot!(json(&failure()), @r#"{"error":{"causes":["No such file or directory"],"code":"io","hint":"name a file that exists, or - for standard input","message":"tasks.jsonl cannot be read"},"schema":1}"#);
        let field = Failure::new(Exit::Usage, "invalid", "title: is empty").field("title");
        insta::assert_snapshot!(json(&field), @r#"{"error":{"code":"invalid","field":"title","hint":null,"message":"title: is empty"},"schema":1}"#);
    }

    #[test]
    fn what_another_machine_wrote_does_not_steer_the_terminal() {
        let text = human(&Failure::usage("no bead \"\u{1b}[2Jx\""));
        assert!(!text.contains("\u{1b}[2J"), "{text:?}");
    }
}
