//! Names for agents that were given none: an adjective and a noun, such as `BlueLake`.

/// What a name begins with.
const ADJECTIVES: [&str; 64] = [
    "Amber", "Ancient", "Autumn", "Azure", "Blue", "Bold", "Brave", "Bright", "Bronze", "Calm", "Clear", "Cobalt",
    "Copper", "Coral", "Crimson", "Crystal", "Daring", "Dawn", "Deep", "Eager", "Early", "Emerald", "Fair", "Fleet",
    "Frosty", "Gentle", "Golden", "Grand", "Gray", "Green", "Hidden", "Indigo", "Ivory", "Jade", "Keen", "Kind",
    "Lively", "Lucky", "Lunar", "Mellow", "Misty", "Noble", "Olive", "Opal", "Patient", "Pearl", "Plum", "Proud",
    "Purple", "Quiet", "Rapid", "Red", "Rose", "Royal", "Ruby", "Rustic", "Sandy", "Silent", "Silver", "Solar",
    "Steady", "Swift", "Violet", "Wise",
];

/// What a name ends with.
const NOUNS: [&str; 64] = [
    "Badger", "Bay", "Bear", "Birch", "Bridge", "Brook", "Canyon", "Castle", "Cedar", "Cliff", "Cloud", "Cove",
    "Crane", "Creek", "Deer", "Dove", "Eagle", "Elm", "Falcon", "Fern", "Field", "Finch", "Fjord", "Forest", "Fox",
    "Garden", "Glacier", "Grove", "Harbor", "Hawk", "Heron", "Hill", "Island", "Lake", "Lark", "Lynx", "Maple",
    "Meadow", "Mesa", "Moon", "Mountain", "Oak", "Ocean", "Otter", "Owl", "Peak", "Pine", "Pond", "Prairie", "Rain",
    "Raven", "Reef", "Ridge", "River", "Robin", "Sky", "Spruce", "Star", "Stone", "Summit", "Swan", "Tiger", "Valley",
    "Willow",
];

/// Returns one of 4,096 names, picked by a random number.
pub fn pick(random: u32) -> String {
    let adjective = usize::try_from(random % 64).unwrap_or(0);
    let noun = usize::try_from(random / 64 % 64).unwrap_or(0);
    format!("{}{}", ADJECTIVES[adjective], NOUNS[noun])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::agent::check_name;

    #[test]
    fn every_picked_name_is_another_and_can_be_an_agents() {
        let names: BTreeSet<String> = (0..4_096).map(|random| pick(random).to_ascii_lowercase()).collect();
        assert_eq!(names.len(), 4_096);
        assert!(names.iter().all(|name| check_name(name).is_ok()));
    }
}
