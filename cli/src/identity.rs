//! Who acts: the agent that the command line or the environment names, or else the user of this machine.
//!
//! A token never comes by a flag, which others could read, and is never printed but where it is made.

use std::path::Path;

use axum::http::{HeaderMap, HeaderValue, header};
use beadmesh_node::api::model::{AGENT_HEADER, SecretText};
use beadmesh_node::home::{Home, USER_VARIABLE, human_name};

use crate::client::home_failure;
use crate::failure::{Exit, Failure};

/// The variable that names who acts.
pub(crate) const AGENT_VARIABLE: &str = "BEADMESH_AGENT";
/// The variable that proves it.
pub(crate) const TOKEN_VARIABLE: &str = "BEADMESH_TOKEN";

/// Who acts, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The name.
    pub(crate) name: String,
    /// What proves it.
    token: Option<SecretText>,
    /// Whether it is the user of this machine, named by nobody.
    is_human: bool,
}

/// What the command line and the environment say of who acts; empty values say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name, from `--as` or `BEADMESH_AGENT`.
    pub(crate) name: Option<String>,
    /// The token, from `BEADMESH_TOKEN`.
    pub(crate) token: Option<SecretText>,
}

impl Given {
    /// Returns what this process was given; the flag counts more than the variable.
    pub(crate) fn new(flag: Option<&str>) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let told = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let name = flag.map(str::to_owned).and_then(told).or_else(|| variable(AGENT_VARIABLE).and_then(told));
        Self { name, token: variable(TOKEN_VARIABLE).and_then(told).map(SecretText::new) }
    }
}

impl Identity {
    /// Returns who acts, given a home that was opened at least once.
    ///
    /// # Errors
    ///
    /// Fails when a token was given and no name, or the files of the home cannot be read.
    pub(crate) fn find(given: Given, home: &Path) -> Result<Self, Failure> {
        if let Some(name) = given.name {
            return Ok(Self { name, token: given.token, is_human: false });
        }
        if given.token.is_some() {
            // Its owner meant to act as an agent; to act as the user instead would be a lie.
            let failure = Failure::usage(format!("{TOKEN_VARIABLE} is set, and nothing says whose token it is"));
            return Err(failure.hint(format!("set {AGENT_VARIABLE} to the agent's name, or unset {TOKEN_VARIABLE}")));
        }
        let human = Home::at(home).human().map_err(|error| home_failure(&error))?;
        match human {
            Some(human) => Ok(Self { name: human.name, token: human.token, is_human: true }),
            None => {
                let user = std::env::var(USER_VARIABLE).unwrap_or_default();
                Ok(Self { name: human_name(&user), token: None, is_human: true })
            }
        }
    }

    /// Fails unless there is something to prove it with, as letters need.
    ///
    /// # Errors
    ///
    /// Says where the token is looked for, and how to get one.
    pub(crate) fn proven(&self) -> Result<(), Failure> {
        let name = &self.name;
        if self.token.is_some() {
            return Ok(());
        }
        if self.is_human {
            let failure = Failure::new(Exit::Refused, "refused", format!("the token of {name} is not in the home"));
            return Err(failure.hint("`beadmesh agent rotate --human` puts a new one there"));
        }
        let failure = Failure::new(Exit::Refused, "refused", format!("nothing proves that this is {name}"));
        let hint = format!(
            "set {TOKEN_VARIABLE} to the token that `beadmesh agent register` printed; `beadmesh agent rotate` makes a new one"
        );
        Err(failure.hint(hint))
    }

    /// Returns whether it is the user of this machine, whose token is not in the home.
    pub(crate) fn is_unproven_human(&self) -> bool {
        self.is_human && self.token.is_none()
    }

    /// Returns whether this node's agent of that name is meant, whatever the case of the letters.
    pub(crate) fn is(&self, name: &str) -> bool {
        local(&self.name).eq_ignore_ascii_case(local(name))
    }

    /// Returns the headers that tell the node who acts; none for a name that no agent can have.
    ///
    /// # Errors
    ///
    /// Fails when the token holds what no token does.
    pub(crate) fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        let is_agents = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if !local(&self.name).chars().all(is_agents) {
            return Ok(headers);
        }
        // A node's name may be any text, and so may be the end of an address.
        let Ok(name) = HeaderValue::from_bytes(self.name.as_bytes()) else { return Ok(headers) };
        headers.insert(AGENT_HEADER, name);
        if let Some(token) = &self.token {
            // What is wrong with it is not quoted: it may be somebody's secret all the same.
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| {
                let failure = Failure::usage(format!("{TOKEN_VARIABLE} holds what no token does")).field("token");
                failure.hint("a token is one word that begins with bma1")
            })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Returns the name in an address, or the name itself.
fn local(name: &str) -> &str {
    name.split_once('@').map_or(name, |(local, _)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: Option<&str>, token: Option<&str>) -> Given {
        Given { name: name.map(str::to_owned), token: token.map(|token| SecretText::new(token.to_owned())) }
    }

    #[test]
    fn a_token_without_a_name_is_nobodys_and_not_the_users() {
        let home = tempfile::tempdir().unwrap();
        let failure = Identity::find(given(None, Some("bma1secret")), home.path()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }

    #[test]
    fn a_named_agent_never_gets_the_users_token() {
        let home = tempfile::tempdir().unwrap();
        let named = Identity::find(given(Some("tim"), None), home.path()).unwrap();
        assert_eq!(named.proven().unwrap_err().exit, Exit::Refused);
        let headers = named.headers().unwrap();
        assert_eq!((headers.len(), headers[AGENT_HEADER].to_str().unwrap()), (1, "tim"));
    }

    #[test]
    fn a_name_that_no_agent_can_have_is_told_to_nobody() {
        let home = tempfile::tempdir().unwrap();
        let named = Identity::find(given(Some("Ada Lovelace"), Some("bma1x")), home.path()).unwrap();
        assert!(named.headers().unwrap().is_empty());
    }

    #[test]
    fn a_token_is_sent_and_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let named = Identity::find(given(Some("BlueLake"), Some("bma1secret")), home.path()).unwrap();
        let headers = named.headers().unwrap();
        assert_eq!(headers[header::AUTHORIZATION], "Bearer bma1secret");
        assert!(!format!("{named:?} {headers:?}").contains("secret"));
        let broken = Identity::find(given(Some("BlueLake"), Some("bma1\u{7}secret")), home.path()).unwrap();
        let failure = broken.headers().unwrap_err();
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }
}
