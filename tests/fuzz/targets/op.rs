//! Fuzzes `beadmesh_fuzz`'s `op`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("op");
