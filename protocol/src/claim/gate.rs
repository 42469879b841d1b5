//! Whether a bead was closed too late: under a lease that another holder's had followed.

use crate::id::EntryId;
use crate::lease::{Holder, Token};

/// A fence that was shown on a bead.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Who has the lease.
    pub holder: Holder,
    /// Its token.
    pub token: Token,
    /// The entries in which earlier holders closed beads, as the voters told.
    pub closes: &'a [EntryId],
}

/// Returns the highest token that a close comes too late for, given by its holder, token and entry; `None` if it stands.
///
/// Whoever has the lease next knows of each close that was made in time: one that is listed is not late.
pub fn stale<'a>(close: (Holder, Token, EntryId), fences: impl IntoIterator<Item = Shown<'a>>) -> Option<Token> {
    let (holder, token, entry) = close;
    let later = fences.into_iter().filter(|shown| shown.holder != holder && shown.token > token);
    later.filter(|shown| !shown.closes.contains(&entry)).map(|shown| shown.token).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::testing::{acquire, exclusive, holder};

    fn token(agent: u8, counter: u64) -> Token {
        acquire(holder(1, agent), counter, exclusive(&["a"])).token
    }

    #[test]
    fn a_close_is_late_for_anothers_higher_fence_that_does_not_list_it() {
        let entry = EntryId::from_bytes([1; 32]);
        let (listed, other) = ([EntryId::from_bytes([3; 32]), entry], [EntryId::from_bytes([2; 32])]);
        // Each fence: whose it is, its counter, and what it lists. The close is that of agent 1 under counter 5.
        type Case<'a> = (&'a str, &'a [(u8, u64, &'a [EntryId])], Option<(u8, u64)>);
        let cases: &[Case<'_>] = &[
            ("no fence", &[], None),
            ("a lower one", &[(2, 4, &[])], None),
            ("one's own, later", &[(1, 6, &[])], None),
            ("a higher one", &[(2, 6, &[])], Some((2, 6))),
            ("one of an equal counter and a higher name", &[(2, 5, &[])], Some((2, 5))),
            ("a higher one that lists it", &[(2, 6, &listed)], None),
            ("a higher one that lists another", &[(2, 6, &other)], Some((2, 6))),
            ("the highest of several", &[(3, 9, &[]), (2, 6, &[]), (4, 7, &other)], Some((3, 9))),
            ("one that lists it, then one that does not", &[(2, 6, &listed), (3, 7, &[])], Some((3, 7))),
            ("the highest lists it, one below does not", &[(2, 6, &[]), (3, 7, &listed)], Some((2, 6))),
        ];
        for (name, fences, late_for) in cases {
            let shown = fences.iter().map(|(agent, counter, closes)| Shown {
                holder: holder(1, *agent),
                token: token(*agent, *counter),
                closes,
            });
            let expected = late_for.map(|(agent, counter)| token(agent, counter));
            assert_eq!(stale((holder(1, 1), token(1, 5), entry), shown), expected, "{name}");
        }
    }
}
