//! Secrets that are good for a while: codes, each good once, and the sessions that they are exchanged for.

use std::time::{Duration, Instant};

use beadmesh_protocol::id::base32;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// How long a code is good for.
pub(crate) const CODE_TTL: Duration = Duration::from_secs(60);

/// How long a browser stays logged in.
pub(super) const SESSION_TTL: Duration = Duration::from_secs(12 * 3_600);

/// Codes that are good at one time; of more the oldest goes.
pub(super) const CODES_MAX: usize = 8;

/// Browsers that are logged in at one time; of more the one that logged in first goes.
pub(super) const SESSIONS_MAX: usize = 16;

/// Bytes of a code or a session.
const SECRET_BYTES: usize = 20;

/// What a code begins with.
const CODE_MARK: &str = "bmc1";

/// What a session begins with.
const SESSION_MARK: &str = "bms1";

/// Secrets that are good for a while.
#[derive(Debug, Default)]
pub(super) struct Passes {
    codes: Vec<Pass>,
    sessions: Vec<Pass>,
}

/// A secret, and until when it is good.
struct Pass {
    secret: Zeroizing<String>,
    until: Instant,
}

impl Passes {
    /// Makes a code.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(super) fn invite(&mut self, now: Instant) -> Result<Zeroizing<String>, getrandom::Error> {
        let code = secret(CODE_MARK)?;
        self.codes.push(Pass { secret: code.clone(), until: now + CODE_TTL });
        self.prune(now);
        Ok(code)
    }

    /// Takes a code for a session; nothing for what is no code that is good now. A code is gone with its first use.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(super) fn exchange(&mut self, code: &str, now: Instant) -> Result<Option<Zeroizing<String>>, getrandom::Error> {
        self.prune(now);
        let session = secret(SESSION_MARK)?;
        let before = self.codes.len();
        self.codes.retain(|pass| !bool::from(pass.is(code)));
        if self.codes.len() == before {
            return Ok(None);
        }
        self.sessions.push(Pass { secret: session.clone(), until: now + SESSION_TTL });
        self.prune(now);
        Ok(Some(session))
    }

    /// Returns whether a text is a session that is good now.
    pub(super) fn is_session(&mut self, text: &str, now: Instant) -> Choice {
        self.prune(now);
        self.sessions.iter().fold(Choice::from(0), |found, pass| found | pass.is(text))
    }

    /// Forgets what is over, and the oldest of too many.
    fn prune(&mut self, now: Instant) {
        for (passes, most) in [(&mut self.codes, CODES_MAX), (&mut self.sessions, SESSIONS_MAX)] {
            passes.retain(|pass| pass.until > now);
            let spare = passes.len().saturating_sub(most);
            passes.drain(..spare);
        }
    }
}

fn secret(mark: &str) -> Result<Zeroizing<String>, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice())?;
    let text = Zeroizing::new(base32(bytes.as_slice()));
    Ok(Zeroizing::new(format!("{mark}{}", text.as_str())))
}

impl Pass {
    /// Returns whether this is the secret; how long that takes tells nothing but its length.
    fn is(&self, secret: &str) -> Choice {
        self.secret.as_bytes().ct_eq(secret.as_bytes())
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("until", &self.until).finish_non_exhaustive()
    }
}
