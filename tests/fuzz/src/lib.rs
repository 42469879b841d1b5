//! What is done with arbitrary bytes: one function for each kind of input, which panics where a promise is broken.
//!
//! libFuzzer drives them through `targets/`; a test gives each the inputs that are kept in `corpus/`, so neither can rot.
//! How to run them: docs/FUZZING.md.

use std::path::{Path, PathBuf};

pub mod decode;
pub mod folds;
pub mod lease;
pub mod scope;
pub mod seeds;
pub mod sync;
mod tape;

/// One kind of input.
pub struct Target {
    /// What it is called, in `targets/` and `corpus/`.
    pub name: &'static str,
    /// Takes one input.
    ///
    /// # Panics
    ///
    /// Where a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 18] = [
    Target { name: "entry", run: decode::entry },
    Target { name: "op", run: decode::op },
    Target { name: "frame", run: decode::frame },
    Target { name: "notice", run: decode::notice },
    Target { name: "lease", run: decode::lease },
    Target { name: "join", run: decode::join },
    Target { name: "blob", run: decode::blob },
    Target { name: "name", run: decode::name },
    Target { name: "scope", run: scope::pair },
    Target { name: "scope_index", run: scope::index },
    Target { name: "settle", run: folds::settle },
    Target { name: "roster", run: folds::roster },
    Target { name: "voter", run: lease::voter },
    Target { name: "cell", run: lease::cell },
    Target { name: "reconcile", run: sync::reconcile },
    Target { name: "session", run: sync::session },
    Target { name: "change", run: folds::change },
    Target { name: "record", run: folds::record },
];

/// Returns the function of that name.
///
/// # Panics
///
/// If there is none.
pub fn named(name: &str) -> fn(&[u8]) {
    TARGETS.iter().find(|target| target.name == name).expect("every target is listed").run
}

/// Returns the folder of the inputs that are kept for a target.
pub fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// Makes a program of a target: libFuzzer's where cargo-fuzz builds it, else one that takes the files that are named.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::named($name)(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            std::env::args_os().skip(1).try_for_each(|file| std::fs::read(file).map(|data| $crate::named($name)(&data)))
        }
    };
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Kilobytes of all inputs together: they are cloned with the project.
    const CORPUS_KIB_MAX: u64 = 600;

    #[test]
    fn every_input_that_is_kept_keeps_the_promises() {
        let mut bytes = 0;
        for Target { name, run } in TARGETS {
            let mut inputs = 0;
            for file in fs::read_dir(corpus(name)).unwrap_or_else(|error| panic!("corpus of {name}: {error}")) {
                let input = fs::read(file.unwrap().path()).unwrap();
                bytes += input.len() as u64;
                inputs += 1;
                run(&input);
            }
            assert!(inputs > 0, "no input of {name} is kept");
        }
        assert!(bytes <= CORPUS_KIB_MAX * 1024, "{bytes} bytes of inputs are kept");
    }

    #[test]
    fn every_seed_is_kept() {
        for (name, seeds) in seeds::all() {
            for (file, seed) in seeds {
                let path = corpus(name).join(file);
                let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                assert!(kept == seed, "{} differs: run `cargo run -p beadmesh-fuzz --example seed`", path.display());
            }
        }
    }

    #[test]
    fn damaged_seeds_keep_the_promises() {
        for (name, seeds) in seeds::all() {
            let run = named(name);
            for (_, seed) in seeds {
                for at in 0..seed.len().min(64) {
                    let mut damaged = seed.clone();
                    let place = at * seed.len() / 64.min(seed.len());
                    damaged[place] ^= 1 << (at % 8);
                    run(&damaged);
                    run(&damaged[..place]);
                }
            }
        }
    }
}
