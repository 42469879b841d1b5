//! Fuzzes `beadmesh_fuzz`'s `settle`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("settle");
