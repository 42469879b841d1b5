//! Finding letters by their words: an index in memory, made when first asked for and kept up to date from then on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::id::LetterId;
use beadmesh_protocol::mail::Letter;

use super::super::mesh::Mesh;
use super::{LetterRecord, Mail, load};
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Characters of a word that count: longer ones are found by their start.
const WORD_CHARS_MAX: usize = 32;

/// The words of all letters.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Each letter by its number here; those that have lost their effect leave a gap.
    letters: Vec<Option<(Timestamp, LetterId)>>,
    numbers: BTreeMap<LetterId, u32>,
    /// The numbers of the letters that hold a word, rising.
    words: BTreeMap<Box<str>, Vec<u32>>,
}

impl Search {
    /// Adds a letter that is not there.
    pub(super) fn add<'a>(&mut self, id: LetterId, hlc: Timestamp, texts: impl IntoIterator<Item = &'a str>) {
        let Ok(number) = u32::try_from(self.letters.len()) else { return };
        self.letters.push(Some((hlc, id)));
        self.numbers.insert(id, number);
        let words: BTreeSet<String> = texts.into_iter().flat_map(words).collect();
        for word in words {
            match self.words.get_mut(word.as_str()) {
                Some(numbers) => numbers.push(number),
                None => drop(self.words.insert(word.into_boxed_str(), vec![number])),
            }
        }
    }

    /// Takes a letter out.
    pub(super) fn remove(&mut self, id: LetterId) {
        let number = self.numbers.remove(&id).and_then(|number| usize::try_from(number).ok());
        if let Some(letter) = number.and_then(|number| self.letters.get_mut(number)) {
            *letter = None;
        }
    }

    /// Returns the letters that hold every word of a query, the newest first; none for a query without words.
    fn find(&self, query: &str) -> Vec<LetterId> {
        let words: BTreeSet<String> = words(query).collect();
        let lists: Option<Vec<&Vec<u32>>> = words.iter().map(|word| self.words.get(word.as_str())).collect();
        let Some(mut lists) = lists else { return Vec::new() };
        lists.sort_by_key(|list| list.len());
        let Some((rarest, others)) = lists.split_first() else { return Vec::new() };
        let held = rarest.iter().filter(|number| others.iter().all(|list| list.binary_search(number).is_ok()));
        let letters = held.filter_map(|number| *self.letters.get(usize::try_from(*number).ok()?)?);
        let mut found: Vec<_> = letters.map(|(hlc, id)| (Reverse(hlc), id)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }
}

impl Mail {
    /// Returns the letters whose subject, body and sender hold every word of a query, the newest first.
    pub(crate) fn search(&mut self, stage: &Stage, mesh: &Mesh, query: &str) -> Result<Vec<LetterId>, StoreError> {
        if self.search.is_none() {
            let mut search = Search::default();
            for (key, record) in stage.records::<LetterRecord>(keys::LETTERS)? {
                let Some(id) = LetterId::from_slice(&key[keys::LETTERS.len()..]) else { continue };
                let letter = load(stage, mesh, record.carried)?;
                search.add(id, record.carried.hlc, texts(mesh, &letter));
            }
            self.search = Some(search);
        }
        Ok(self.search.as_ref().map(|search| search.find(query)).unwrap_or_default())
    }
}

/// Returns the texts of a letter that are looked through.
pub(super) fn texts<'a>(mesh: &'a Mesh, letter: &'a Letter) -> [&'a str; 3] {
    let sender = mesh.directory().agent(letter.from).map_or("", |agent| agent.name.as_str());
    [&letter.subject, &letter.body, sender]
}

/// Returns the words of a text, in small letters: what stands between characters that are neither letter nor digit.
fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::clock::Wall;

    use super::*;

    fn found(search: &Search, query: &str) -> Vec<u8> {
        search.find(query).iter().map(|id| id.as_bytes()[0]).collect()
    }

    #[test]
    fn whole_words_in_either_case_find_letters_and_the_newest_comes_first() {
        let mut search = Search::default();
        for (number, millis, text) in
            [(1, 5, "The build is RED"), (2, 9, "red again, Überall"), (3, 7, "a redder build"), (4, 1, "red: build!")]
        {
            let hlc = Timestamp::from_wall(Wall::from_millis(millis));
            search.add(LetterId::from_bytes([number; 16]), hlc, [text, "Ada"]);
        }
        assert_eq!(found(&search, "red"), [2, 1, 4]);
        assert_eq!(found(&search, "build Red"), [1, 4]);
        assert_eq!(found(&search, "überall ada"), [2]);
        assert_eq!(found(&search, "ada"), [2, 3, 1, 4]);
        assert!(
            found(&search, "re").is_empty() && found(&search, " ,").is_empty() && found(&search, "red x").is_empty()
        );
        search.remove(LetterId::from_bytes([1; 16]));
        assert_eq!(found(&search, "red build"), [4]);
    }
}
