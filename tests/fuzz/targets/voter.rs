//! Fuzzes `beadmesh_fuzz`'s `voter`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("voter");
