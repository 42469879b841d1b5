//! The order of letters in a thread: each after those it names, whatever the clocks of their nodes say.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::id::LetterId;
use crate::planted::{self, Bug};

/// What the order needs of one letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The letter.
    pub letter: LetterId,
    /// When it was written, by the hybrid clock of its node; settles what names do not.
    pub hlc: Timestamp,
    /// The letters that it comes after.
    pub named: Vec<LetterId>,
}

/// Returns the letters in an order that depends on what is given alone, not on how it is ordered there.
///
/// Each comes after those it names, and of letters that are free to come next the earliest (hlc, id) does. A letter that
/// is named and not given holds up nothing. Names that go in a circle can not come from hashes; should they, the
/// earliest letter that waits comes next.
pub fn order(places: impl IntoIterator<Item = Place>) -> Vec<LetterId> {
    let places: BTreeMap<LetterId, Place> = places.into_iter().map(|place| (place.letter, place)).collect();
    let mut waits: BTreeMap<LetterId, usize> = BTreeMap::new();
    let mut followers: BTreeMap<LetterId, Vec<LetterId>> = BTreeMap::new();
    for (letter, place) in &places {
        let named: BTreeSet<&LetterId> =
            place.named.iter().filter(|named| *named != letter && places.contains_key(named)).collect();
        let named = if planted::is(Bug::ThreadByClock) { BTreeSet::new() } else { named };
        waits.insert(*letter, named.len());
        for named in named {
            followers.entry(*named).or_default().push(*letter);
        }
    }
    let mut waiting: BTreeSet<(Timestamp, LetterId)> = places.values().map(|place| (place.hlc, place.letter)).collect();
    let mut free: BTreeSet<(Timestamp, LetterId)> =
        waiting.iter().filter(|(_, letter)| waits[letter] == 0).copied().collect();
    let mut order = Vec::with_capacity(places.len());
    while let Some(next) = free.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(&next);
        order.push(next.1);
        for follower in followers.remove(&next.1).unwrap_or_default() {
            let Some(left) = waits.get_mut(&follower) else { continue };
            *left -= 1;
            let place = (places[&follower].hlc, follower);
            if *left == 0 && waiting.contains(&place) {
                free.insert(place);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::clock::Wall;

    fn id(number: u8) -> LetterId {
        LetterId::from_bytes([number; 16])
    }

    fn place(number: u8, millis: u64, named: &[u8]) -> Place {
        let hlc = Timestamp::from_wall(Wall::from_millis(millis));
        Place { letter: id(number), hlc, named: named.iter().map(|number| id(*number)).collect() }
    }

    #[test]
    fn an_answer_comes_after_its_letter_though_its_clock_is_years_behind() {
        let places = [place(1, 9_000_000, &[]), place(2, 5, &[1]), place(3, 4, &[]), place(4, 8, &[2, 9])];
        assert_eq!(order(places), [3, 1, 2, 4].map(id));
    }

    #[test]
    fn names_in_a_circle_hold_up_nothing() {
        let places = [place(1, 3, &[2]), place(2, 2, &[1]), place(3, 1, &[3]), place(4, 0, &[1, 2])];
        assert_eq!(order(places), [3, 4, 2, 1].map(id));
    }

    /// Letters with any clocks, each naming some of those before it, and the order in which they arrive.
    fn thread() -> impl Strategy<Value = (Vec<Place>, Vec<Place>)> {
        vec((0_u64..4, vec(any::<proptest::sample::Index>(), 0..4)), 1..24).prop_flat_map(|letters| {
            let places: Vec<Place> = (0_u8..)
                .zip(letters)
                .map(|(number, (millis, named))| {
                    let named = named.iter().filter(|_| number > 0);
                    let named: Vec<u8> =
                        named.map(|index| u8::try_from(index.index(number.into())).expect("few")).collect();
                    place(number, millis, &named)
                })
                .collect();
            let arrived = Just(places.clone()).prop_shuffle();
            (Just(places), arrived)
        })
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_gives_one_order_with_each_after_what_it_names((places, arrived) in thread()) {
            let ordered = order(arrived);
            prop_assert_eq!(&ordered, &order(places.clone()));
            prop_assert_eq!(ordered.len(), places.len());
            let at = |letter: &LetterId| ordered.iter().position(|other| other == letter).expect("it is there");
            for place in &places {
                prop_assert!(place.named.iter().all(|named| at(named) < at(&place.letter)));
            }
        }

        #[test]
        fn any_names_at_all_give_each_letter_once(
            letters in vec((0_u64..3, vec(0_u8..12, 0..5)), 0..12),
        ) {
            let places: Vec<Place> =
                (0..).zip(&letters).map(|(number, (millis, named))| place(number, *millis, named)).collect();
            let ordered = order(places.clone());
            let distinct: BTreeSet<LetterId> = ordered.iter().copied().collect();
            prop_assert_eq!((ordered.len(), distinct.len()), (places.len(), places.len()));
            prop_assert_eq!(ordered, order(places.into_iter().rev()));
        }
    }
}
