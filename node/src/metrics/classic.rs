//! The older text format of Prometheus, translated from OpenMetrics: for `curl`, `promtool` and scrapers that know no other.
//!
//! Samples are the same in both. What differs is how a family is announced, and that nothing marks the end. Nothing here has
//! exemplars or timestamps, which the older format does not know or writes otherwise.
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4; OpenMetrics 1.0.

/// Translates a text as `prometheus-client` writes it: of each family the help comes first, then the type.
pub(super) fn translated(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push(&mut text, &[line]);
            continue;
        };
        let (keyword, rest) = comment.split_once(' ').unwrap_or((comment, ""));
        let (family, told) = rest.split_once(' ').unwrap_or((rest, ""));
        match keyword {
            "HELP" => help = told,
            "TYPE" => {
                let (ending, kind) = announced(told);
                push(&mut text, &["# HELP ", family, ending, " ", help]);
                push(&mut text, &["# TYPE ", family, ending, " ", kind]);
            }
            // UNIT and EOF are not known there.
            _ => {}
        }
    }
    text
}

/// Returns what the name of a family of that type ends with there, and what that type is called.
fn announced(kind: &str) -> (&'static str, &str) {
    match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    }
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
    text.push('\n');
}
