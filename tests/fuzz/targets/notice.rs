//! Fuzzes `beadmesh_fuzz`'s `notice`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("notice");
