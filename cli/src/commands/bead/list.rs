//! `bead list`, `bead ready` and `bead blocked`.

use beadmesh_node::api::model::{BeadPage, ListQuery, own_status};

use super::super::Context;
use crate::args::ListArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::list::{self, Kind};
use crate::output::text;
use crate::project::Project;

/// Beads that people are shown unless they ask for more.
const SHOWN_DEFAULT: usize = 50;

/// Lists beads.
pub(super) async fn run(context: &mut Context, args: ListArgs, kind: Kind) -> Result<(), Failure> {
    let project = context.project()?;
    let limit = args.filter.limit.unwrap_or(if context.printer.json { 0 } else { SHOWN_DEFAULT });
    let why = args.why;
    let query = query(args, &project, limit);
    let path = match kind {
        Kind::All => "/v1/beads",
        Kind::Ready => "/v1/ready",
        Kind::Blocked => "/v1/blocked",
    };
    let mut client = context.client().await?;
    let body = pages(&mut client, path, &query).await?;
    let printer = &mut context.printer;
    if body.beads.is_empty() {
        for told in query.status.iter().filter_map(|word| own_status(word)) {
            printer.urgent(&format!("Warning: {}", text::clean_line(&told)))?;
        }
    }
    if printer.json {
        return printer.answer(&body);
    }
    if why {
        for line in list::unfit(&body.unfit, printer.text_columns()) {
            printer.line(line)?;
        }
        return if body.unfit.is_empty() {
            printer.note("Nothing that is ready needs what this machine lacks.")
        } else {
            Ok(())
        };
    }
    if body.beads.is_empty() {
        printer.note(none(kind, &query))?;
        return left_out(&body, &query).map_or(Ok(()), |sentence| printer.note(sentence));
    }
    for line in list::lines(&body.beads, kind, printer.columns) {
        printer.line(line)?;
    }
    let sentences = [shown(&body), left_out(&body, &query)];
    sentences.into_iter().flatten().try_for_each(|sentence| printer.note(sentence))
}

/// Says how many beads are left out because this machine lacks what they need.
fn left_out(body: &BeadPage, query: &ListQuery) -> Option<String> {
    let count = match body.unfit.len() {
        0 => return None,
        1 => "1 bead needs".to_owned(),
        count => format!("{count} beads need"),
    };
    let shown = if query.anywhere { "" } else { ", and --anywhere lists them" };
    Some(format!("{count} what this machine lacks: --why tells what{shown}."))
}

/// Asks for pages until there are as many beads as are wanted, or all for 0: the node bounds each page.
async fn pages(client: &mut Client, path: &str, query: &ListQuery) -> Result<BeadPage, Failure> {
    let wanted = query.limit.unwrap_or(0);
    let mut all: BeadPage = client.get(&format!("{path}{}", query.to_query())).await?;
    while all.next.is_some() && (wanted == 0 || all.beads.len() < wanted) {
        let limit = Some(wanted.saturating_sub(all.beads.len()));
        let query = ListQuery { after: all.next.take(), limit, ..query.clone() };
        let page: BeadPage = client.get(&format!("{path}{}", query.to_query())).await?;
        all.beads.extend(page.beads);
        all.unfit.extend(page.unfit);
        all.next = page.next;
    }
    Ok(all)
}

fn query(args: ListArgs, project: &Project, limit: usize) -> ListQuery {
    let ListArgs { status, parent, all, anywhere, why: _, filter } = args;
    ListQuery {
        project: project.for_reading(),
        status,
        all,
        priority: filter.priority,
        kind: filter.kind,
        label: filter.label,
        assignee: filter.assignee,
        parent,
        after: filter.after,
        anywhere,
        limit: Some(limit),
    }
}

/// Says that nothing matches, and where else to look.
fn none(kind: Kind, query: &ListQuery) -> String {
    let what = match kind {
        Kind::All => "No beads.",
        Kind::Ready => "Nothing is ready.",
        Kind::Blocked => "Nothing is blocked.",
    };
    let is_plain = query.status.is_empty() && query.label.is_empty() && query.assignee.is_none();
    match (query.project.first(), kind) {
        (Some(project), _) if is_plain => {
            let project = project.strip_prefix("name:").unwrap_or(project);
            format!("{what} This is about the project {project}; --all-projects looks at all.")
        }
        (None, Kind::All) if is_plain && !query.all => format!("{what} --all also shows what is closed."),
        _ => what.to_owned(),
    }
}

/// Says how much of the list is shown and how to go on, where more follows.
fn shown(body: &BeadPage) -> Option<String> {
    let (_, last) = (body.next.as_ref()?, body.beads.last()?);
    let shown = body.beads.len();
    let much = match body.total {
        Some(total) => format!("{shown} of {total} shown."),
        None => format!("{shown} shown, there are more."),
    };
    Some(format!("{much} Add --after {} to go on, or --limit 0 to see all.", text::clean_line(&last.alias)))
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{BeadPage, ListQuery};

    use super::{Kind, none, shown};
    use crate::output::bead::tests as sample;

    #[test]
    fn a_page_that_is_cut_says_how_to_go_on() {
        let page = |total, next: Option<&str>| {
            let beads = vec![sample::bead()];
            shown(&BeadPage { beads, total, next: next.map(str::to_owned), unfit: vec![] }).unwrap_or_default()
        };
        insta::assert_snapshot!(
            page(Some(311), Some("x")),
            @"1 of 311 shown. Add --after bm-k7f3 to go on, or --limit 0 to see all."
        );
        insta::assert_snapshot!(
            page(None, Some("x")),
            @"1 shown, there are more. Add --after bm-k7f3 to go on, or --limit 0 to see all."
        );
        assert_eq!(page(Some(311), None), "");
    }

    #[test]
    fn an_empty_list_says_where_else_to_look() {
        let query = ListQuery { project: vec!["name:web".into()], ..ListQuery::default() };
        assert_eq!(
            none(Kind::Ready, &query),
            "Nothing is ready. This is about the project web; --all-projects looks at all."
        );
        assert_eq!(none(Kind::All, &ListQuery::default()), "No beads. --all also shows what is closed.");
    }
}
