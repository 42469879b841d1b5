use super::*;

#[test]
fn every_kind_of_problem_has_the_status_of_the_contract() {
    use beadmesh_store::command::CommandError;
    let status = |error: CommandError| Problem::from(error).status.as_u16();
    assert_eq!(status(CommandError::NotFound { what: "bead", name: "x".into() }), 404);
    assert_eq!(status(CommandError::Ambiguous { name: "x".into(), candidates: vec![] }), 409);
    assert_eq!(status(CommandError::Cycle { path: vec![] }), 409);
    assert_eq!(status(CommandError::Conflict { problem: "p".into(), hint: "h".into() }), 409);
    assert_eq!(status(CommandError::Refused { problem: "p".into(), hint: "h".into() }), 403);
    assert_eq!(status(CommandError::Store("disk".into())), 500);
    let invalid = CommandError::Invalid { field: "title".into(), problem: "p".into(), hint: "h".into() };
    let problem = Problem::from(invalid);
    assert_eq!((problem.status.as_u16(), problem.info.field.as_deref()), (422, Some("title")));
}

#[test]
fn no_page_is_larger_than_the_bound_whatever_is_asked_for() {
    assert_eq!([None, Some(5), Some(0), Some(9_999)].map(|asked| page_size(asked, 20)), [20, 5, PAGE_MAX, PAGE_MAX]);
}
