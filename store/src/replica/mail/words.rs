//! An index of words in memory that does not grow past its bound: the letters that were read longest ago give way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::id::LetterId;

/// Characters of a word that count: longer ones are found by their start.
const WORD_CHARS_MAX: usize = 32;

/// Different words of one letter that count: more than 64 KiB of prose have.
const LETTER_WORDS_MAX: usize = 4_096;

/// Memory that a letter, a word and a place of a word take, roughly, with what the allocator and the trees add.
const LETTER_COST: usize = 96;
const WORD_COST: usize = 112;
const PLACE_COST: usize = 8;

/// How much an index may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of one segment, beyond which another is begun; one letter more than that may be in it.
    pub(super) segment_bytes: usize,
    /// Segments, beyond which the oldest is dropped whole.
    pub(super) segments: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { segment_bytes: 4 * 1024 * 1024, segments: 16 }
    }
}

/// Letters by their words.
#[derive(Debug)]
pub(super) struct Index {
    bounds: Bounds,
    /// The newest first; never empty.
    segments: VecDeque<Segment>,
    is_cut: bool,
}

/// Letters that are dropped together.
#[derive(Debug, Default)]
struct Segment {
    /// Each letter by its number here; those that have lost their effect leave a gap.
    letters: Vec<Option<(Timestamp, LetterId)>>,
    numbers: BTreeMap<LetterId, u32>,
    /// The numbers of the letters that hold a word, rising.
    words: BTreeMap<Box<str>, Vec<u32>>,
    bytes: usize,
}

impl Index {
    /// Begins with no letter.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, segments: VecDeque::from([Segment::default()]), is_cut: false }
    }

    /// Adds a letter that came after all that are here; the oldest give way to it.
    pub(super) fn add<'a>(&mut self, id: LetterId, hlc: Timestamp, texts: impl IntoIterator<Item = &'a str>) {
        if self.segments[0].bytes >= self.bounds.segment_bytes {
            self.segments.push_front(Segment::default());
            if self.segments.len() > self.bounds.segments {
                self.segments.pop_back();
                self.is_cut = true;
            }
        }
        let is_whole = self.segments[0].add(id, hlc, texts);
        self.is_cut |= !is_whole;
    }

    /// Adds a letter that is older than all that are here, if there is room; returns whether there was.
    pub(super) fn add_older<'a>(
        &mut self,
        id: LetterId,
        hlc: Timestamp,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        if self.segments.back().is_none_or(|last| last.bytes >= self.bounds.segment_bytes) {
            if self.segments.len() >= self.bounds.segments {
                self.is_cut = true;
                return false;
            }
            self.segments.push_back(Segment::default());
        }
        let is_whole = self.segments.back_mut().is_none_or(|last| last.add(id, hlc, texts));
        self.is_cut |= !is_whole;
        true
    }

    /// Takes a letter out, if it is here.
    pub(super) fn remove(&mut self, id: LetterId) {
        self.segments.iter_mut().for_each(|segment| segment.remove(id));
    }

    /// Returns whether a letter is here.
    pub(super) fn holds(&self, id: LetterId) -> bool {
        self.segments.iter().any(|segment| segment.numbers.contains_key(&id))
    }

    /// Returns whether letters, or words of some, were left out for want of room.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Notes that letters were left out.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Returns the letters that hold every word of a query, the newest first, and whether there are more: those older
    /// than a given one, so many of them (all for 0). A query without words finds none.
    pub(super) fn find(
        &self,
        query: &str,
        after: Option<(Timestamp, LetterId)>,
        limit: usize,
    ) -> (Vec<LetterId>, bool) {
        let words: BTreeSet<String> = words(query).collect();
        let mut found: Vec<(Timestamp, LetterId)> =
            self.segments.iter().flat_map(|segment| segment.find(&words)).collect();
        // Times fall and, among equal ones, ids rise.
        let newest_first = |a: &(Timestamp, LetterId), b: &(Timestamp, LetterId)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        if let Some(after) = after {
            found.retain(|letter| newest_first(letter, &after).is_gt());
        }
        let is_more = limit > 0 && found.len() > limit;
        if is_more {
            found.select_nth_unstable_by(limit - 1, newest_first);
            found.truncate(limit);
        }
        found.sort_unstable_by(newest_first);
        (found.into_iter().map(|(_, id)| id).collect(), is_more)
    }

    /// Returns roughly the memory that the index takes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

impl Segment {
    /// Adds a letter; returns whether all of its words count.
    fn add<'a>(&mut self, id: LetterId, hlc: Timestamp, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let Ok(number) = u32::try_from(self.letters.len()) else { return false };
        self.letters.push(Some((hlc, id)));
        self.numbers.insert(id, number);
        self.bytes += LETTER_COST;
        let mut held: BTreeSet<String> = BTreeSet::new();
        for word in texts.into_iter().flat_map(words) {
            if held.len() == LETTER_WORDS_MAX && !held.contains(&word) {
                self.keep(held, number);
                return false;
            }
            held.insert(word);
        }
        self.keep(held, number);
        true
    }

    fn keep(&mut self, held: BTreeSet<String>, number: u32) {
        for word in held {
            self.bytes += PLACE_COST;
            match self.words.get_mut(word.as_str()) {
                Some(numbers) => numbers.push(number),
                None => {
                    self.bytes += WORD_COST + word.len();
                    self.words.insert(word.into_boxed_str(), vec![number]);
                }
            }
        }
    }

    fn remove(&mut self, id: LetterId) {
        let number = self.numbers.remove(&id).and_then(|number| usize::try_from(number).ok());
        if let Some(letter) = number.and_then(|number| self.letters.get_mut(number)) {
            *letter = None;
        }
    }

    fn find(&self, words: &BTreeSet<String>) -> Vec<(Timestamp, LetterId)> {
        let lists: Option<Vec<&Vec<u32>>> = words.iter().map(|word| self.words.get(word.as_str())).collect();
        let Some(mut lists) = lists else { return Vec::new() };
        lists.sort_by_key(|list| list.len());
        let Some((rarest, others)) = lists.split_first() else { return Vec::new() };
        let held = rarest.iter().filter(|number| others.iter().all(|list| list.binary_search(number).is_ok()));
        held.filter_map(|number| *self.letters.get(usize::try_from(*number).ok()?)?).collect()
    }
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

    const SMALL: Bounds = Bounds { segment_bytes: 2_000, segments: 3 };

    fn id(number: u32) -> LetterId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        LetterId::from_bytes(bytes)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_wall(Wall::from_millis(millis))
    }

    fn number(id: &LetterId) -> u32 {
        u32::from_be_bytes(id.as_bytes()[..4].try_into().unwrap())
    }

    fn found(index: &Index, query: &str) -> Vec<u32> {
        index.find(query, None, 0).0.iter().map(number).collect()
    }

    #[test]
    fn whole_words_in_either_case_find_letters_and_the_newest_comes_first() {
        let mut index = Index::new(Bounds::default());
        for (number, millis, text) in
            [(1, 5, "The build is RED"), (2, 9, "red again, Überall"), (3, 7, "a redder build"), (4, 1, "red: build!")]
        {
            index.add(id(number), at(millis), [text, "Ada"]);
        }
        assert_eq!(found(&index, "red"), [2, 1, 4]);
        assert_eq!(found(&index, "build Red"), [1, 4]);
        assert_eq!(found(&index, "überall ada"), [2]);
        assert_eq!(found(&index, "ada"), [2, 3, 1, 4]);
        assert!(found(&index, "re").is_empty() && found(&index, " ,").is_empty() && found(&index, "red x").is_empty());
        index.remove(id(1));
        assert_eq!(found(&index, "red build"), [4]);
        assert!(!index.is_cut() && !index.holds(id(1)) && index.holds(id(2)));
    }

    #[test]
    fn pages_are_cut_from_all_segments_and_miss_none() {
        let mut index = Index::new(Bounds { segments: 1_000, ..SMALL });
        // Some are written at one time, and they come in no order.
        (0..200_u32).for_each(|it| index.add(id(it * 77 % 200), at(u64::from(it * 77 % 200 / 2)), ["rain"]));
        assert!(index.segments.len() > 5);
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, is_more) = index.find("rain", after, 7);
            after = page.last().map(|last| (at(u64::from(number(last) / 2)), *last));
            seen.extend(page);
            if !is_more {
                break;
            }
        }
        assert_eq!(seen, index.find("rain", None, 0).0);
        assert_eq!(seen.len(), 200);
    }

    #[test]
    fn memory_stays_within_its_bound_and_the_newest_letters_are_kept() {
        let mut index = Index::new(SMALL);
        for it in 0..1_000 {
            index.add(id(it), at(u64::from(it)), [format!("all of them, {it}").as_str()]);
            assert!(index.bytes() <= SMALL.segments * (SMALL.segment_bytes + 1_000), "{} at {it}", index.bytes());
        }
        let kept = found(&index, "them");
        assert!(kept.len() > 10 && kept.iter().eq((0..1_000_u32).rev().collect::<Vec<_>>()[..kept.len()].iter()));
        assert!(index.is_cut());
    }

    #[test]
    fn what_is_read_from_the_newest_on_ends_where_the_room_does() {
        let mut index = Index::new(SMALL);
        let read = (0..1_000).rev().take_while(|it| index.add_older(id(*it), at(u64::from(*it)), ["old rain"])).count();
        assert_eq!(found(&index, "rain").len(), read);
        assert!(read > 10 && read < 1_000 && index.is_cut());
        // What comes later finds room all the same.
        (1_000..2_000).for_each(|it| index.add(id(it), at(u64::from(it)), ["new rain"]));
        assert_eq!(found(&index, "rain")[0], 1_999);
        assert!(found(&index, "old").is_empty());
    }

    #[test]
    fn a_letter_of_nothing_but_new_words_counts_for_some_of_them() {
        let mut index = Index::new(Bounds::default());
        let text: String = (0..20_000).map(|it| format!("{it:x} ")).collect();
        index.add(id(1), at(1), [text.as_str()]);
        assert!(index.bytes() < 1024 * 1024, "{}", index.bytes());
        assert!(index.is_cut());
        assert_eq!(found(&index, "ff"), [1]);
    }
}
