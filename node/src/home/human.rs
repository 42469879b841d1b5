//! The user of a home among its agents: a name, and the token that proves it, in files that only the user can read.

use beadmesh_protocol::limits::NAME_BYTES_MAX;

use super::{Home, HomeError};
use crate::api::model::SecretText;

/// What the user is called where the system gives no name that fits.
const NAME_DEFAULT: &str = "human";

const NAME: &str = "human";
pub(super) const TOKEN: &str = "human.token";

/// The user of a home, as an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Human {
    /// The agent's name.
    pub name: String,
    /// What proves to the node that the user is acting; absent before the agent is registered, or when it was lost.
    pub token: Option<SecretText>,
}

impl Home {
    /// Returns who the user of the home is among its agents; `None` before a node or a command opened the store.
    ///
    /// # Errors
    /// When a file can not be read, or is open to others.
    pub fn human(&self) -> Result<Option<Human>, HomeError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let Some(name) = self.read_private(NAME)?.map(|bytes| text(&bytes)).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let token = self.read_private(TOKEN)?.map(|bytes| text(&bytes)).filter(|token| !token.is_empty());
        Ok(Some(Human { name, token: token.map(SecretText::new) }))
    }

    /// Keeps what the user is called, before the agent of that name is registered.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn keep_human_name(&self, name: &str) -> Result<(), HomeError> {
        self.write_private(NAME, format!("{name}\n").as_bytes())
    }

    /// Keeps the user's token; the one before is gone.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn keep_human_token(&self, token: &SecretText) -> Result<(), HomeError> {
        self.write_private(TOKEN, token.reveal().as_bytes())
    }
}

/// Returns the name of an agent for the name of a user: what an agent's name can not hold becomes a dash.
pub(super) fn name_of(user: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = user.trim().chars().map(|letter| if fits(letter) { letter } else { '-' }).collect();
    let name = &name[..name.len().min(NAME_BYTES_MAX)];
    if name.contains(|letter: char| letter.is_ascii_alphanumeric()) { name.to_owned() } else { NAME_DEFAULT.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_name_of_a_user_becomes_one_of_an_agent() {
        assert_eq!(name_of("tim"), "tim");
        assert_eq!(name_of("Jörg Müller"), "J-rg-M-ller");
        assert_eq!(name_of("DOMAIN\\ada"), "DOMAIN-ada");
        for none in ["", " ", "日本"] {
            assert_eq!(name_of(none), "human");
        }
        assert_eq!(name_of(&"x".repeat(100)).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn the_users_token_is_private_and_refused_when_others_can_read_it() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        assert_eq!(home.human().unwrap(), None);
        home.keep_human_name("tim").unwrap();
        assert_eq!(home.human().unwrap(), Some(Human { name: "tim".into(), token: None }));
        let token = SecretText::new("bma1x".into());
        home.keep_human_token(&token).unwrap();
        assert_eq!(home.human().unwrap(), Some(Human { name: "tim".into(), token: Some(token) }));
        let path = temp.path().join(TOKEN);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let error = home.human().unwrap_err();
        assert_eq!(error.code(), "refused");
        assert!(error.to_string().contains("human.token has mode 0644"), "{error}");
    }
}
