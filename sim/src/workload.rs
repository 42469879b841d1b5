//! temp
use crate::journal::Claim;
use crate::plan::Wish;
use beadmesh_protocol::bead::{Field, FieldValue};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;
use beadmesh_store::command::{Answer, Command, NewBead};
use std::collections::BTreeSet;
pub(crate) struct Asked {
    pub(crate) command: Command,
    pub(crate) claims: Vec<Claim>,
}
pub(crate) struct Sight<'a> {
    pub(crate) known: &'a BTreeSet<BeadId>,
    pub(crate) wall: Wall,
}
pub(crate) fn commands(_s: u64, index: usize, _w: &Wish, _sight: &Sight<'_>) -> Vec<Asked> {
    let fields = vec![(Field::Title, FieldValue::Text(format!("w{index}-")))];
    vec![Asked {
        command: Command::Create(Box::new(NewBead { fields, by: "ada".into(), ..NewBead::default() })),
        claims: vec![Claim::Created { bead: BeadId::from_bytes([0; 16]), alias: String::new() }],
    }]
}
pub(crate) fn learn(claims: &mut Vec<Claim>, answer: &Answer) {
    if let Answer::Bead(b) = answer {
        for c in claims {
            if let Claim::Created { bead, alias } = c {
                *bead = b.bead.id;
                *alias = b.bead.alias.clone();
            }
        }
    }
}
