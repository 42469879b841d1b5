//! Who acts on a node: an agent with its token, or the user of the home. All of it goes through the API.

use std::collections::BTreeMap;

use beadmesh_node::api::model::{
    Bead, BeadBody, BeadPage, Claim, ClaimBody, ClaimRequest, CloseRequest, CommentRequest, CreateRequest, EditRequest,
    Empty, InboxQuery, Letter, LetterBody, LetterRequest, LettersBody, ListQuery, RegisterRequest, RegisteredBody,
    ResolveRequest, Scalar, ShowQuery, WordsRequest, encode_segment,
};

use super::fleet::{Fleet, Site, USER};
use crate::client::Client;
use crate::failure::Failure;
use crate::identity::{Given, Identity};

/// Somebody on a node, with what proves it.
#[derive(Debug)]
pub(super) struct Player {
    /// The node.
    pub(super) site: Site,
    /// The name.
    pub(super) name: String,
    identity: Identity,
}

/// What comes of asking for a claim.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is made, held or not.
    Claimed(Box<Claim>),
    /// Another agent is in the way; says who, and of what.
    Refused(String),
}

impl Player {
    /// Returns the user of a node's home, whose token is kept there.
    ///
    /// # Errors
    ///
    /// Fails when the home cannot be read.
    pub(super) fn user(fleet: &Fleet, site: Site) -> Result<Self, Failure> {
        let identity = Identity::find(Given::default(), &fleet.home(site))?;
        Ok(Self { site, name: USER.to_owned(), identity })
    }

    /// Registers an agent on a node.
    ///
    /// # Errors
    ///
    /// Fails when the node refuses.
    pub(super) async fn register(fleet: &Fleet, site: Site, name: &str, task: &str) -> Result<Self, Failure> {
        let wish =
            RegisterRequest { name: Some(name.to_owned()), task: Some(task.to_owned()), ..RegisterRequest::default() };
        let body: RegisteredBody = fleet.client(site)?.post("/v1/agents", &wish).await?;
        let given = Given { name: Some(name.to_owned()), token: body.token };
        Ok(Self { site, name: name.to_owned(), identity: Identity::find(given, &fleet.home(site))? })
    }

    /// Returns where letters reach the player.
    pub(super) fn address(&self) -> String {
        format!("{}@{}", self.name, self.site.name())
    }

    /// Creates a bead.
    pub(super) async fn create(&self, fleet: &Fleet, wish: CreateRequest) -> Result<Bead, Failure> {
        let wish = CreateRequest { by: self.name.clone(), ..wish };
        let body: BeadBody = self.client(fleet)?.post("/v1/beads", &wish).await?;
        Ok(body.bead)
    }

    /// Returns the bead as the player's node shows it.
    pub(super) async fn show(&self, fleet: &Fleet, bead: &str) -> Result<Bead, Failure> {
        let body: BeadBody = self.client(fleet)?.get(&path(bead, "")).await?;
        Ok(body.bead)
    }

    /// Claims the first task that is ready and nobody else's, if there is one.
    pub(super) async fn take(&self, fleet: &Fleet) -> Result<Option<Bead>, Failure> {
        let query = ListQuery { kind: vec!["task".to_owned()], ..ListQuery::default() };
        let page: BeadPage = self.client(fleet)?.get(&format!("/v1/ready{}", query.to_query())).await?;
        let is_free =
            |bead: &Bead| bead.assignee.as_ref().is_none_or(|name| *name == self.name || *name == self.address());
        let Some(bead) = page.beads.into_iter().find(is_free) else { return Ok(None) };
        match self.claim(fleet, ClaimRequest { bead: Some(bead.id.clone()), ..ClaimRequest::default() }).await? {
            Asked::Claimed(_) => self.show(fleet, &bead.alias).await.map(Some),
            Asked::Refused(_) => Ok(None),
        }
    }

    /// Asks for a claim.
    pub(super) async fn claim(&self, fleet: &Fleet, wish: ClaimRequest) -> Result<Asked, Failure> {
        let asked: Result<ClaimBody, Failure> = self.client(fleet)?.post("/v1/claims", &wish).await;
        match asked {
            Ok(body) => Ok(Asked::Claimed(Box::new(body.claim))),
            Err(failure) if &*failure.code == "held" => Ok(Asked::Refused(failure.message)),
            Err(failure) => Err(failure),
        }
    }

    /// Returns a claim as the player's node shows it.
    pub(super) async fn claimed(&self, fleet: &Fleet, claim: &str) -> Result<Claim, Failure> {
        let body: ClaimBody = self.client(fleet)?.get(&format!("/v1/claims/{}", encode_segment(claim))).await?;
        Ok(body.claim)
    }

    /// Lets a claim go.
    pub(super) async fn release(&self, fleet: &Fleet, claim: &str) -> Result<Claim, Failure> {
        let path = format!("/v1/claims/{}/release", encode_segment(claim));
        let body: ClaimBody = self.client(fleet)?.post(&path, &Empty {}).await?;
        Ok(body.claim)
    }

    /// Sets fields of a bead to texts.
    pub(super) async fn set(&self, fleet: &Fleet, bead: &str, fields: &[(&str, &str)]) -> Result<Bead, Failure> {
        let set: BTreeMap<String, Scalar> =
            fields.iter().map(|(field, value)| ((*field).to_owned(), Scalar::Text((*value).to_owned()))).collect();
        let wish = EditRequest { by: self.name.clone(), set, needs: None };
        let body: BeadBody = self.client(fleet)?.patch(&path(bead, ""), &wish).await?;
        Ok(body.bead)
    }

    /// Says something on a bead, and closes it.
    pub(super) async fn close(&self, fleet: &Fleet, bead: &str, report: &str) -> Result<Bead, Failure> {
        let mut client = self.client(fleet)?;
        let wish = CommentRequest { by: self.name.clone(), text: report.to_owned() };
        let _: BeadBody = client.post(&path(bead, "/comments"), &wish).await?;
        let wish = CloseRequest { by: self.name.clone(), reason: Some("done".to_owned()) };
        let body: BeadBody = client.post(&path(bead, "/close"), &wish).await?;
        Ok(body.bead)
    }

    /// Puts a label on a bead.
    pub(super) async fn label(&self, fleet: &Fleet, bead: &str, label: &str) -> Result<Bead, Failure> {
        let wish = WordsRequest { by: self.name.clone(), add: vec![label.to_owned()], remove: Vec::new() };
        let body: BeadBody = self.client(fleet)?.post(&path(bead, "/labels"), &wish).await?;
        Ok(body.bead)
    }

    /// Settles a conflict for the value that is given.
    pub(super) async fn resolve(&self, fleet: &Fleet, bead: &str, field: &str, value: &str) -> Result<Bead, Failure> {
        let value = Some(Scalar::Text(value.to_owned()));
        let wish = ResolveRequest { by: self.name.clone(), field: field.to_owned(), value };
        let body: BeadBody = self.client(fleet)?.post(&path(bead, "/resolve"), &wish).await?;
        Ok(body.bead)
    }

    /// Writes a letter.
    pub(super) async fn write(&self, fleet: &Fleet, wish: LetterRequest) -> Result<Letter, Failure> {
        let body: LetterBody = self.client(fleet)?.post("/v1/letters", &wish).await?;
        Ok(body.letter)
    }

    /// Returns all letters to the player, without their bodies.
    pub(super) async fn inbox(&self, fleet: &Fleet) -> Result<Vec<Letter>, Failure> {
        let query = InboxQuery { limit: Some(0), ..InboxQuery::default() };
        let body: LettersBody = self.client(fleet)?.get(&format!("/v1/inbox{}", query.to_query())).await?;
        Ok(body.letters)
    }

    /// Returns a letter with its receipts; unless it peeks, the player has read it then.
    pub(super) async fn read(&self, fleet: &Fleet, letter: &str, query: ShowQuery) -> Result<Letter, Failure> {
        let path = format!("/v1/letters/{}{}", encode_segment(letter), query.to_query());
        let body: LetterBody = self.client(fleet)?.get(&path).await?;
        Ok(body.letter)
    }

    /// Acknowledges a letter.
    pub(super) async fn acknowledge(&self, fleet: &Fleet, letter: &str) -> Result<(), Failure> {
        let path = format!("/v1/letters/{}/ack", encode_segment(letter));
        let _: LetterBody = self.client(fleet)?.post(&path, &Empty {}).await?;
        Ok(())
    }

    fn client(&self, fleet: &Fleet) -> Result<Client, Failure> {
        let mut client = fleet.client(self.site)?;
        client.act_as(&self.identity)?;
        Ok(client)
    }
}

/// Returns the path of a bead, and of what is below it.
fn path(bead: &str, below: &str) -> String {
    format!("/v1/beads/{}{below}", encode_segment(bead))
}
