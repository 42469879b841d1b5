//! The network as the API uses it: where the node listens, and joining another mesh.

use std::sync::Arc;

use axum::http::StatusCode;
use beadmesh_protocol::entry::{Entry, EntryError};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::invite::{JoinAnswer, JoinRefusal, JoinRequest, Ticket, TicketError, fingerprint};
use beadmesh_protocol::limits::WIRE_VERSION;
use beadmesh_store::command::{Answer, Command, CommandError};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::api::Problem;
use crate::api::error::chain;
use crate::core::Core;
use crate::net::{Handle, JoinError, MessageError};

/// The code of the answer to a join that waits to be approved.
pub const APPROVAL_PENDING: &str = "approval_pending";

/// The network of a running node; cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {
    /// The links.
    pub handle: Handle,
    /// What this node wants to be called in a mesh it joins.
    pub node_name: String,
    /// Held while a join is under way: a node can enter one mesh at a time.
    joining: Arc<Mutex<()>>,
}

/// A mesh that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The mesh.
    pub mesh: MeshId,
    /// What people call it.
    pub name: String,
    /// The node that let this one in.
    pub inviter: NodeId,
    /// Beads taken along.
    pub beads: u64,
}

/// Why a mesh was not joined. This node is in the mesh it was in before.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The text is not a ticket.
    #[error("the ticket can not be read")]
    Ticket(#[from] TicketError),
    /// This node is in that mesh already.
    #[error("this node is in that mesh already")]
    Member,
    /// This node shares its mesh with others.
    #[error("this node is in a mesh with {others} other nodes")]
    NotAlone {
        /// How many.
        others: usize,
    },
    /// Another join is under way.
    #[error("another join is under way")]
    Busy,
    /// The inviter can not be asked.
    #[error(transparent)]
    Link(#[from] JoinError),
    /// The inviter could not be understood to the end.
    #[error("the exchange with {inviter} broke off")]
    Exchange {
        /// The inviter.
        inviter: NodeId,
        /// Why.
        source: MessageError,
    },
    /// The inviter answered what is no answer.
    #[error("{inviter} answered what is no answer")]
    Answer {
        /// The inviter.
        inviter: NodeId,
    },
    /// The inviter answered with an entry that is none of its mesh.
    #[error("{inviter} sent an unsound entry")]
    Unsound {
        /// The inviter.
        inviter: NodeId,
        /// What is wrong with it.
        source: EntryError,
    },
    /// The inviter waits for somebody to approve this node.
    #[error("this node waits to be approved: its fingerprint is {fingerprint}")]
    Pending {
        /// What whoever approves it compares.
        fingerprint: String,
    },
    /// The inviter does not let this node in.
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    /// This node can not enter.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Network {
    /// Wraps the links of a node with that name.
    pub fn new(handle: Handle, node_name: String) -> Self {
        Self { handle, node_name, joining: Arc::default() }
    }

    /// Asks the node that a ticket names to let this one in, and enters its mesh.
    ///
    /// The ticket is in no log and in no error.
    ///
    /// # Errors
    /// When the ticket or this node is in no state for it, or the inviter can not be reached or refuses.
    pub async fn join(&self, core: &Core, ticket: &str) -> Result<Joined, EnterError> {
        let ticket: Ticket = ticket.parse()?;
        let _one = self.joining.try_lock().map_err(|_| EnterError::Busy)?;
        let here = self.handle.local_node_id();
        if let Answer::Members(members, _) = core.call(Command::Members).await? {
            let is_member = members.iter().any(|member| member.node == here);
            // Who was removed may come back, and need not know of its removal.
            let is_back = core.mesh() == ticket.mesh;
            let is_in_touch = ticket.inviter == here || self.handle.linked().contains(&ticket.inviter);
            if is_back && is_member && is_in_touch {
                return Err(EnterError::Member);
            }
            match members.iter().filter(|member| member.node != here).count() {
                0 => {}
                _ if is_back => {}
                others => return Err(EnterError::NotAlone { others }),
            }
        }
        let Ticket { mesh, inviter, addresses, secret, .. } = ticket;
        let request = JoinRequest {
            version: WIRE_VERSION,
            invite: secret.invite(),
            proof: secret.prove(mesh, inviter, here),
            name: self.node_name.clone(),
        };
        let mut stream = self.handle.join(inviter, addresses).await?;
        let exchange = |source| EnterError::Exchange { inviter, source };
        stream.write_message(&request.encode()).await.map_err(exchange)?;
        let answer = stream.read_message().await.map_err(exchange)?;
        let control = match JoinAnswer::decode(&answer) {
            Ok(JoinAnswer::Welcome(control)) => control,
            Ok(JoinAnswer::Refused(JoinRefusal::Pending)) => {
                return Err(EnterError::Pending { fingerprint: fingerprint(here) });
            }
            Ok(JoinAnswer::Refused(refusal)) => return Err(refusal.into()),
            Err(_) => return Err(EnterError::Answer { inviter }),
        };
        // A mesh of many years sends thousands of signatures to check.
        let opening = spawn_blocking(move || {
            control.into_iter().map(|sealed| Entry::open(mesh, sealed)).collect::<Result<Vec<_>, _>>()
        });
        let control = opening.await.map_err(|_| EnterError::Answer { inviter })?;
        let control = control.map_err(|source| EnterError::Unsound { inviter, source })?;
        match core.call(Command::Enter(mesh, control)).await? {
            Answer::Joined { mesh, name, beads } => {
                info!(%mesh, name, %inviter, beads, "joined a mesh");
                Ok(Joined { mesh, name, inviter, beads })
            }
            _ => Err(EnterError::Answer { inviter: here }),
        }
    }
}

impl From<EnterError> for Problem {
    fn from(error: EnterError) -> Self {
        let message = chain(&error);
        let ask = "ask for a new ticket";
        let (status, code, hint) = match error {
            EnterError::Command(error) => return error.into(),
            EnterError::Ticket(_) => {
                let hint = "copy the whole ticket, from bm1 to its last character";
                return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "ticket_malformed", message, hint).field("ticket");
            }
            EnterError::Member => (StatusCode::CONFLICT, "conflict", "there is nothing to do"),
            EnterError::Busy => (StatusCode::CONFLICT, "conflict", "wait for it to end"),
            EnterError::NotAlone { .. } => {
                let hint = "only a node that is alone can join; start one with an empty BEADMESH_HOME";
                (StatusCode::FORBIDDEN, "mesh_not_alone", hint)
            }
            EnterError::Link(JoinError::Refused { .. }) => (StatusCode::FORBIDDEN, "refused", ask),
            EnterError::Link(JoinError::Busy { .. }) => (StatusCode::CONFLICT, "conflict", "wait for it to end"),
            EnterError::Link(JoinError::Timeout { .. })
            | EnterError::Exchange { source: MessageError::Timeout, .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "timeout", "see whether the other node runs, and try again")
            }
            EnterError::Link(_) | EnterError::Exchange { .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "unreachable", "see whether the other node runs, and try again")
            }
            EnterError::Answer { .. } | EnterError::Unsound { .. } => {
                (StatusCode::FORBIDDEN, "refused", "both nodes must run the same version")
            }
            EnterError::Pending { fingerprint } => {
                let hint = format!(
                    "run `beadmesh members approve {fingerprint}` where the ticket was made, and join again here"
                );
                return Self::new(StatusCode::FORBIDDEN, APPROVAL_PENDING, message, &hint);
            }
            EnterError::Refused(JoinRefusal::Pending | JoinRefusal::Crowded) => {
                (StatusCode::FORBIDDEN, "refused", "try again later")
            }
            EnterError::Refused(JoinRefusal::Denied) => (StatusCode::FORBIDDEN, "denied", ask),
            EnterError::Refused(JoinRefusal::UnknownTicket) => (StatusCode::FORBIDDEN, "ticket_unknown", ask),
            EnterError::Refused(JoinRefusal::Removed) => (StatusCode::FORBIDDEN, "removed", ask),
            EnterError::Refused(JoinRefusal::UsedTicket) => (StatusCode::FORBIDDEN, "ticket_used", ask),
            EnterError::Refused(JoinRefusal::ExpiredTicket) => (StatusCode::FORBIDDEN, "ticket_expired", ask),
            EnterError::Refused(JoinRefusal::Version(_)) => {
                (StatusCode::FORBIDDEN, "refused", "update the older of the two nodes")
            }
            EnterError::Refused(JoinRefusal::NotAdmin) => {
                (StatusCode::FORBIDDEN, "refused", "ask an admin of that mesh for a ticket")
            }
            EnterError::Refused(JoinRefusal::MeshFull | JoinRefusal::TooLong) => {
                (StatusCode::FORBIDDEN, "refused", "found another mesh")
            }
            EnterError::Refused(JoinRefusal::Malformed) => {
                (StatusCode::FORBIDDEN, "refused", "set BEADMESH_NODE_NAME to a short name")
            }
        };
        Self::new(status, code, message, hint)
    }
}
