//! The user of a home as an agent: registered when the home is first opened, so that no other agent passes for them.
//!
//! The token lies in the home, where only the user can read it; the CLI shows it to the node when nobody else is named.

use beadmesh_store::command::{AgentAnswer, Answer, Command, CommandError, NewAgent};
use tracing::{info, warn};

use crate::api::Problem;
use crate::api::model::SecretText;
use crate::core::Core;
use crate::home::{Home, HomeError};

/// What is said of the user's agent.
const PROGRAM: &str = "human";

/// Registers the user of a home under `name`, unless the home knows them already, and keeps their token.
///
/// Where that is refused, as on a node that may not write, everything else goes on: the next opening tries again, and
/// what needs the token says how to get one. A store that was `lost` knows no token any more: the user gets a new one.
///
/// # Errors
/// When the home can not be read or written.
pub(crate) async fn ensure(core: &Core, home: &Home, name: &str, lost: bool) -> Result<(), HomeError> {
    let known = home.human()?;
    let is_new = known.is_none();
    let name = match known {
        Some(human) if human.token.is_some() && !lost => return Ok(()),
        Some(_) if lost => {
            if let Err(problem) = renew(core, home, name).await {
                warn!(problem = problem.info.message, "the user of this home has no token that counts");
            }
            return Ok(());
        }
        Some(human) => human.name,
        None => {
            // Kept first: a crash before the token is kept must not make the user somebody else.
            home.keep_human_name(name)?;
            name.to_owned()
        }
    };
    match register(core, &name).await {
        Ok((_, token)) => {
            home.keep_human_token(&token)?;
            info!(name, "registered the user of this home");
        }
        // A home that was restored: its mesh knows the user, and nobody can show the token of then.
        Err(CommandError::Conflict { .. }) if is_new => match renew(core, home, &name).await {
            Ok(_) => info!(name, "made the token of the user anew"),
            Err(problem) => warn!(problem = problem.info.message, "the user of this home has no token that counts"),
        },
        Err(CommandError::Conflict { .. }) => {
            warn!(name, "the token of the user is not in the home: `beadmesh agent rotate --human` makes a new one");
        }
        // The store's own failure is told by whatever comes next.
        Err(error) => info!(name, %error, "the user of this home is not registered"),
    }
    Ok(())
}

/// Makes the token of the user of a home anew, and keeps it; registers them where they are not yet.
///
/// # Errors
/// When the user may not be registered, or the home can not be written.
pub(crate) async fn renew(core: &Core, home: &Home, name: &str) -> Result<AgentAnswer, Problem> {
    let name = match home.human()? {
        Some(human) => human.name,
        None => {
            home.keep_human_name(name)?;
            name.to_owned()
        }
    };
    let (agent, token) = match register(core, &name).await {
        Err(CommandError::Conflict { .. }) => made(core.call(Command::AgentRotate(name)).await?)?,
        made => made?,
    };
    home.keep_human_token(&token)?;
    Ok(agent)
}

/// Returns whether that is the user of the home, whatever the case of the letters.
///
/// # Errors
/// When the home can not be read.
pub(crate) fn is(home: &Home, name: &str) -> Result<bool, HomeError> {
    let local = name.split_once('@').map_or(name, |(local, _)| local).trim();
    Ok(home.human()?.is_some_and(|human| human.name.eq_ignore_ascii_case(local)))
}

async fn register(core: &Core, name: &str) -> Result<(AgentAnswer, SecretText), CommandError> {
    let new = NewAgent { name: Some(name.to_owned()), program: PROGRAM.to_owned(), ..NewAgent::default() };
    made(core.call(Command::AgentRegister(new)).await?)
}

/// Takes the token out of an answer that must hold one.
fn made(answer: Answer) -> Result<(AgentAnswer, SecretText), CommandError> {
    match answer {
        Answer::Registered { agent, token: Some(token) } => Ok((*agent, SecretText::new(token.reveal().to_string()))),
        _ => unreachable!("a registration without a credential, and a rotation, make a token"),
    }
}
