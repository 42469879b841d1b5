//! Fuzzes `beadmesh_fuzz`'s `reconcile`; without libFuzzer, gives it the files that are named.

#![cfg_attr(fuzzing, no_main)]

beadmesh_fuzz::target!("reconcile");
