//! Fuzzes `beadmesh_fuzz`'s `scope_index`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("scope_index");
