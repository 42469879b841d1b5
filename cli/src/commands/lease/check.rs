//! `lease check`: what stands in the way of writing paths. The git guard asks the same.

use beadmesh_node::api::model::{CHECK_PATHS_MAX, PathsBody, PathsRequest, ProjectRequest};
use jiff::Timestamp;

use super::super::{Context, input};
use crate::args::CheckArgs;
use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::{Printer, lease};

/// Bytes of paths asked for at one time: a request with each of them escaped stays below what a node takes.
const PATH_BYTES_MAX: usize = 128 * 1024;

/// Bytes read from standard input: a million long paths.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Tells what stands in the way, and fails if anything does.
pub(super) async fn run(context: &mut Context, args: CheckArgs) -> Result<(), Failure> {
    let CheckArgs { paths, null } = args;
    let paths = if paths == ["-"] { from_stdin(null)? } else { paths };
    let project = context.project()?.for_writing()?;
    let (mut client, _) = context.acting_client().await?;
    let body = in_the_way(&mut client, &project, &paths).await?;
    print(&mut context.printer, &body, Timestamp::now())?;
    if body.problems.is_empty() {
        let clear = if paths.len() == 1 { "1 path".to_owned() } else { format!("{} paths", paths.len()) };
        return context.printer.note(format!("Nothing stands in the way of {clear}; {} held by you.", body.held));
    }
    Err(refusal(&body, paths.len()).hint("`beadmesh lease list` shows who holds what; write to them, or wait"))
}

/// Asks what stands in the way of paths, in as many requests as they take.
pub(in super::super) async fn in_the_way(
    client: &mut Client,
    project: &ProjectRequest,
    paths: &[String],
) -> Result<PathsBody, Failure> {
    let mut all = PathsBody { agent: None, problems: Vec::new(), held: 0 };
    for part in parts(paths) {
        let wish = PathsRequest { project: project.clone(), paths: part.to_vec() };
        let body: PathsBody = client.post("/v1/claims/check", &wish).await?;
        all.agent = body.agent.or(all.agent);
        all.problems.extend(body.problems);
        all.held += body.held;
    }
    Ok(all)
}

/// Prints each path that is in the way, a line each; as JSON the whole answer.
pub(in super::super) fn print(printer: &mut Printer, body: &PathsBody, now: Timestamp) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    for problem in &body.problems {
        printer.line(lease::in_the_way(problem, now))?;
    }
    Ok(())
}

/// Returns the failure that something stands in the way of some of so many paths.
pub(in super::super) fn refusal(body: &PathsBody, asked: usize) -> Failure {
    let mut paths: Vec<&str> = body.problems.iter().map(|problem| problem.path.as_str()).collect();
    paths.dedup();
    let mut holders: Vec<&str> = body.problems.iter().map(|problem| problem.agent.as_str()).collect();
    holders.sort_unstable();
    holders.dedup();
    let holders = holders.join(", ");
    let which = match (paths.as_slice(), asked) {
        ([path], 1) => format!("{path} is"),
        (paths, asked) => format!("{} of {asked} paths are", paths.len()),
    };
    Failure::new(Exit::Conflict, "held", format!("{which} not free to be written: {holders}"))
}

/// Cuts paths into parts that fit a request each.
fn parts(paths: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = paths;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(CHECK_PATHS_MAX).take_while(|path| {
            bytes += path.len();
            bytes <= PATH_BYTES_MAX
        });
        // A path that is too long by itself is the node's to refuse.
        let count = fits.count().max(1).min(rest.len());
        let (part, left) = rest.split_at(count);
        rest = left;
        Some(part).filter(|part| !part.is_empty())
    })
}

fn from_stdin(null: bool) -> Result<Vec<String>, Failure> {
    let over = || Failure::usage(format!("standard input holds more than {INPUT_BYTES_MAX} bytes"));
    split(input::bytes(INPUT_BYTES_MAX)?.ok_or_else(over)?, null)
}

/// Returns the paths that a text holds, parted by NUL or by the ends of lines.
fn split(bytes: Vec<u8>, null: bool) -> Result<Vec<String>, Failure> {
    let text = String::from_utf8(bytes).map_err(|_| {
        let hint = "a path that is not UTF-8 is covered by no lease: leave it out";
        Failure::usage("standard input is not UTF-8 text").hint(hint)
    })?;
    let parted = text.split(if null { '\0' } else { '\n' });
    Ok(parted.filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parted_by_lines_or_by_nul() {
        let lines = |text: &str, null| split(text.as_bytes().to_vec(), null).unwrap();
        assert_eq!(lines("a\nb c\n\n", false), ["a", "b c"]);
        assert_eq!(lines("a\nb\0c\0", true), ["a\nb", "c"]);
        assert_eq!(split(vec![b'a', 0xff], true).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn many_paths_are_asked_for_in_parts_and_none_is_lost() {
        let paths: Vec<String> = (0..CHECK_PATHS_MAX * 2 + 1).map(|at| format!("{at}")).collect();
        assert_eq!(parts(&paths).map(<[String]>::len).collect::<Vec<_>>(), [CHECK_PATHS_MAX, CHECK_PATHS_MAX, 1]);
        let long: Vec<String> = (0..3).map(|_| "x".repeat(PATH_BYTES_MAX / 2)).collect();
        assert_eq!(parts(&long).map(<[String]>::len).collect::<Vec<_>>(), [2, 1]);
        let longest = ["x".repeat(PATH_BYTES_MAX + 1), "a".to_owned()];
        assert_eq!(parts(&longest).map(<[String]>::len).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(parts(&[]).count(), 0);
    }
}
