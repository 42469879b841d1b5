//! Fuzzes `beadmesh_fuzz`'s `lease`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("lease");
