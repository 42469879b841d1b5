//! Routes on beads: each turns a request into one command and its answer into JSON.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::bead::{Field, FieldValue, Status};
use beadmesh_protocol::id::BeadId;
use beadmesh_protocol::needs;
use beadmesh_store::command::{Action, Answer, BeadEdit, Command, Filter, NewBead, ProjectContext};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{BeadRef, Caller, Json, Said};
use super::model::{self, BeadBody, BeadPage, ListQuery, ProjectBody, ProjectRequest, Scalar};
use super::model::{
    ByRequest, CloseRequest, CommentRequest, CreateRequest, DepRequest, EditRequest, ResolveRequest, UndepRequest,
    WordsRequest,
};
use super::{Api, keyed, placement};

/// Beads of a page when a query does not say how many.
pub const PAGE_BEADS: usize = 100;

/// The fields that a PATCH can set.
const SETTABLE: [Field; 14] = [
    Field::Title,
    Field::Description,
    Field::Design,
    Field::Acceptance,
    Field::Notes,
    Field::Status,
    Field::Priority,
    Field::Kind,
    Field::Assignee,
    Field::EstimateMinutes,
    Field::DueAt,
    Field::DeferUntil,
    Field::ExternalRef,
    Field::Alias,
];

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(ensure_project))
        .routes(routes!(create, list))
        .routes(routes!(ready))
        .routes(routes!(blocked))
        .routes(routes!(show, edit))
        .routes(routes!(close))
        .routes(routes!(reopen))
        .routes(routes!(delete))
        .routes(routes!(resolve))
        .routes(routes!(labels))
        .routes(routes!(scopes))
        .routes(routes!(comment))
        .routes(routes!(add_dep, remove_dep))
}

/// Makes a project known by all keys given, and sets the prefix of its aliases; projects known by one each are united.
#[utoipa::path(post, path = "/v1/projects", tag = "beads", request_body = ProjectRequest,
    responses((status = 200, body = model::Answer<ProjectBody>)))]
async fn ensure_project(State(api): State<Api>, Json(request): Json<ProjectRequest>) -> Told<ProjectBody> {
    match api.core.call(Command::Unite(context(request))).await? {
        Answer::Project(project) => Ok(Said(ProjectBody { project: project.into() })),
        other => Err(super::unexpected(&other)),
    }
}

/// Creates a bead.
#[utoipa::path(post, path = "/v1/beads", tag = "beads", request_body = CreateRequest,
    responses((status = 201, body = model::Answer<BeadBody>)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<CreateRequest>,
) -> Result<(StatusCode, Said<BeadBody>), Problem> {
    let body = bead(&api, caller, Command::Create(Box::new(new_bead(request)?))).await?;
    Ok((StatusCode::CREATED, body))
}

/// Lists beads; without a status or `all`, those that are not done.
#[utoipa::path(get, path = "/v1/beads", tag = "beads", params(ListQuery),
    responses((status = 200, body = model::Answer<BeadPage>)))]
async fn list(State(api): State<Api>, query: ListQuery) -> Told<BeadPage> {
    page(&api, Command::List(filter(&api, query).await?)).await
}

/// Lists beads that can be worked on now, in the order in which they are best taken. Those that need what this machine
/// lacks are told of apart, so a page may hold fewer than it could.
#[utoipa::path(get, path = "/v1/ready", tag = "beads", params(ListQuery),
    responses((status = 200, body = model::Answer<BeadPage>)))]
async fn ready(State(api): State<Api>, query: ListQuery) -> Told<BeadPage> {
    let anywhere = query.anywhere;
    let mut page = match api.core.call(Command::Ready(filter(&api, query).await?)).await? {
        Answer::Beads(page) => page,
        other => return Err(super::unexpected(&other)),
    };
    let unfit = placement::unfit(&api, &page.beads).await?;
    page.beads.retain(|bead| anywhere || !unfit.contains_key(&bead.bead.id));
    Ok(Said(BeadPage { unfit: unfit.into_values().collect(), ..page.into() }))
}

/// Lists open beads that something holds up.
#[utoipa::path(get, path = "/v1/blocked", tag = "beads", params(ListQuery),
    responses((status = 200, body = model::Answer<BeadPage>)))]
async fn blocked(State(api): State<Api>, query: ListQuery) -> Told<BeadPage> {
    page(&api, Command::Blocked(filter(&api, query).await?)).await
}

/// Shows a bead.
#[utoipa::path(get, path = "/v1/beads/{ref}", tag = "beads", params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn show(State(api): State<Api>, BeadRef(name): BeadRef) -> Told<BeadBody> {
    bead(&api, Caller::default(), Command::Show(name)).await
}

/// Sets scalar fields of a bead; null clears one.
#[utoipa::path(patch, path = "/v1/beads/{ref}", tag = "beads", request_body = EditRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn edit(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<EditRequest>,
) -> Told<BeadBody> {
    let fields = request.set.into_iter().map(|(key, value)| Ok((settable(&key)?, value.into())));
    let fields: Vec<(Field, FieldValue)> = fields.collect::<Result<_, Problem>>()?;
    let action = match request.needs {
        None => Action::Set(fields),
        Some(needs) => Action::SetNeeds(fields, read_needs(&needs)?),
    };
    act(&api, caller, (name, request.by), action).await
}

/// Closes a bead.
#[utoipa::path(post, path = "/v1/beads/{ref}/close", tag = "beads", request_body = CloseRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn close(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<CloseRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Close(request.reason)).await
}

/// Opens a closed bead again.
#[utoipa::path(post, path = "/v1/beads/{ref}/reopen", tag = "beads", request_body = ByRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn reopen(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<ByRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Reopen).await
}

/// Deletes a bead: what is left is a tombstone, so that the deletion reaches every node.
#[utoipa::path(post, path = "/v1/beads/{ref}/delete", tag = "beads", request_body = CloseRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<CloseRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Delete(request.reason)).await
}

/// Settles a conflict: keeps the value shown, or sets the one given.
#[utoipa::path(post, path = "/v1/beads/{ref}/resolve", tag = "beads", request_body = ResolveRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<ResolveRequest>,
) -> Told<BeadBody> {
    let field = Field::parse(&request.field).ok_or_else(|| unknown_field("field", &request.field))?;
    act(&api, caller, (name, request.by), Action::Resolve(field, request.value.map(Scalar::into))).await
}

/// Adds and removes labels.
#[utoipa::path(post, path = "/v1/beads/{ref}/labels", tag = "beads", request_body = WordsRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn labels(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<WordsRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Labels { add: request.add, remove: request.remove }).await
}

/// Adds and removes path patterns.
#[utoipa::path(post, path = "/v1/beads/{ref}/scopes", tag = "beads", request_body = WordsRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn scopes(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<WordsRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Scopes { add: request.add, remove: request.remove }).await
}

/// Adds a comment.
#[utoipa::path(post, path = "/v1/beads/{ref}/comments", tag = "beads", request_body = CommentRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn comment(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<CommentRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::Comment(request.text)).await
}

/// Adds a dependency.
#[utoipa::path(post, path = "/v1/beads/{ref}/deps", tag = "beads", request_body = DepRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn add_dep(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<DepRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::AddDep(request.kind, request.on)).await
}

/// Removes a dependency.
#[utoipa::path(delete, path = "/v1/beads/{ref}/deps", tag = "beads", request_body = UndepRequest,
    params(("ref" = String, Path, description = "Alias or id")),
    responses((status = 200, body = model::Answer<BeadBody>)))]
async fn remove_dep(
    State(api): State<Api>,
    caller: Caller,
    BeadRef(name): BeadRef,
    Json(request): Json<UndepRequest>,
) -> Told<BeadBody> {
    act(&api, caller, (name, request.by), Action::RemoveDep(request.kind, request.on)).await
}

/// Changes a bead, given what it is called and who is said to do it.
async fn act(api: &Api, caller: Caller, (bead, by): (String, String), action: Action) -> Told<BeadBody> {
    self::bead(api, caller, Command::Edit(BeadEdit { bead, action, by })).await
}

async fn bead(api: &Api, caller: Caller, command: Command) -> Told<BeadBody> {
    match api.call(caller, command).await? {
        Answer::Bead(bead) => Ok(Said(BeadBody { bead: (*bead).into() })),
        other => Err(super::unexpected(&other)),
    }
}

async fn page(api: &Api, command: Command) -> Told<BeadPage> {
    match api.core.call(command).await? {
        Answer::Beads(page) => Ok(Said(page.into())),
        other => Err(super::unexpected(&other)),
    }
}

pub(super) fn context(request: ProjectRequest) -> ProjectContext {
    ProjectContext { keys: request.keys, prefix: request.prefix }
}

/// Reads what a bead needs of a machine.
fn read_needs(text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let hint = "write it as gpu:1,vram:40GiB,cpu:8,memory:32GiB,disk:10GiB,label:WORD, as far as it is needed";
    needs::parse(text).map_err(|error| Problem::invalid("needs", error.to_string(), hint))
}

fn new_bead(request: CreateRequest) -> Result<NewBead, Problem> {
    let needs = request.needs.as_deref().map(read_needs).transpose()?.unwrap_or_default();
    let texts = [
        (Field::Title, Some(request.title)),
        (Field::Kind, request.kind),
        (Field::Description, request.description),
        (Field::Design, request.design),
        (Field::Acceptance, request.acceptance),
        (Field::Notes, request.notes),
        (Field::Assignee, request.assignee),
        (Field::DueAt, request.due_at),
        (Field::DeferUntil, request.defer_until),
        (Field::ExternalRef, request.external_ref),
    ];
    let numbers = [(Field::Priority, request.priority), (Field::EstimateMinutes, request.estimate_minutes)];
    let texts = texts.into_iter().filter_map(|(field, text)| Some((field, FieldValue::Text(text?))));
    let numbers = numbers.into_iter().filter_map(|(field, number)| Some((field, FieldValue::Number(number?))));
    Ok(NewBead {
        project: context(request.project),
        alias: request.alias,
        fields: texts.chain(numbers).collect(),
        labels: request.labels,
        scopes: request.scopes,
        criteria: request.criteria,
        needs,
        deps: request.deps.into_iter().map(|dep| (dep.kind, dep.on)).collect(),
        blocks: request.blocks,
        parent: request.parent,
        by: request.by,
    })
}

async fn filter(api: &Api, query: ListQuery) -> Result<Filter, Problem> {
    let after = match query.after {
        Some(name) => Some(named(api, name).await.map_err(|problem| problem.field("after"))?),
        None => None,
    };
    Ok(Filter {
        project: keyed(query.project),
        statuses: query.status.into_iter().map(Status::from).collect(),
        all: query.all,
        priorities: query.priority,
        kinds: query.kind,
        labels: query.label,
        assignee: query.assignee,
        parent: query.parent,
        after,
        limit: super::page_size(query.limit, PAGE_BEADS),
    })
}

/// Returns the id of the bead that a name means.
async fn named(api: &Api, name: String) -> Result<BeadId, Problem> {
    match api.core.call(Command::Show(name)).await? {
        Answer::Bead(bead) => Ok(bead.bead.id),
        other => Err(super::unexpected(&other)),
    }
}

fn settable(key: &str) -> Result<Field, Problem> {
    SETTABLE.into_iter().find(|field| field.as_str() == key).ok_or_else(|| unknown_field("set", key))
}

fn unknown_field(place: &str, key: &str) -> Problem {
    let names: Vec<&str> = SETTABLE.iter().map(|field| field.as_str()).collect();
    let key: String = key.chars().take(80).collect();
    Problem::invalid(place, format!("{key:?} can not be set"), format!("fields are {}", names.join(", "))).field(key)
}
