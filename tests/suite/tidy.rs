//! House rules that clippy cannot check: arrows between crates, lengths of files, licences, links in documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;

/// What each crate may depend on of ours.
const ARROWS: [(&str, &[&str]); 9] = [
    ("beadmesh-protocol", &[]),
    ("beadmesh-store", &["beadmesh-protocol"]),
    ("beadmesh-node", &["beadmesh-protocol", "beadmesh-store"]),
    ("beadmesh-sim", &["beadmesh-protocol", "beadmesh-store"]),
    ("beadmesh", &["beadmesh-node", "beadmesh-sim"]),
    ("beadmesh-nvml-double", &[]),
    ("beadmesh-power-loss", &[]),
    ("beadmesh-fuzz", &["beadmesh-protocol"]),
    (
        "beadmesh-tests",
        &[
            "beadmesh",
            "beadmesh-node",
            "beadmesh-nvml-double",
            "beadmesh-power-loss",
            "beadmesh-protocol",
            "beadmesh-sim",
            "beadmesh-store",
        ],
    ),
];

/// Licences that a dependency may be under; MPL-2.0 for dev-dependencies only.
const LICENCES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "CC0-1.0",
    "Unicode-3.0",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
];

/// Crates that the whole of it may be built from on Linux.
const CRATES_MAX: usize = 450;

/// Lines of one source file; tests in files of their own are not counted.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

#[test]
fn arrows_between_crates_point_one_way() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for package in &metadata.packages {
        let allowed = arrows.get(package.name.as_str()).expect("every crate has its arrows listed");
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            assert!(allowed.contains(&dependency.name.as_str()), "{} → {}", package.name, dependency.name);
        }
    }
}

/// Lists what is built for Linux along some kinds of edges: package, source and licence, a line each.
///
/// `cargo tree` follows the features that are really on; `cargo metadata` also lists what only could be.
fn built_along(edges: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = std::process::Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--locked", "--workspace", "--prefix", "none", "--target", "x86_64-unknown-linux-gnu"])
        .args(["--edges", edges, "--format", "{p}|{l}|{r}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn dependencies_are_few_and_permissive() {
    let built = built_along("normal,build");
    assert!(built.len() < CRATES_MAX, "{} crates are built", built.len());
    for line in built_along("normal,build,dev") {
        let mut parts = line.split('|');
        let (package, licence) = (parts.next().unwrap(), parts.next().unwrap().replace('/', " OR "));
        let permitted = |licence: &str| {
            let licence = licence.trim().trim_matches(['(', ')']);
            LICENCES.contains(&licence) || (licence == "MPL-2.0" && !built.contains(&line))
        };
        // One choice of an OR is enough, all parts of an AND are needed.
        let fits = licence.split(" AND ").all(|part| part.split(" OR ").any(permitted));
        assert!(fits, "{package} is under {licence:?}");
        let source = package.split_once(" (").map_or("", |(_, source)| source);
        assert!(!source.contains("git+") && !source.contains("http"), "{package} is not from the registry");
    }
}

#[test]
fn source_files_stay_short_and_well_named() {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    for path in sources {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let banned = ["mod.rs", "util.rs", "utils.rs", "common.rs", "types.rs", "helpers.rs", "manager.rs"];
        assert!(!banned.contains(&name.as_str()), "{}", path.display());
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let is_test = name == "tests.rs" || path.components().any(|part| part.as_os_str() == "tests");
        assert!(is_test || lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = Vec::new();
    files(&root(), ".md", &mut documents);
    assert!(!documents.is_empty());
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = document.parent().unwrap().join(path);
            assert!(target.exists(), "{} links to {link}", document.display());
        }
    }
}

#[test]
fn nothing_of_one_machine_is_in_the_project() {
    let mut texts = Vec::new();
    for ending in [".rs", ".md", ".toml"] {
        files(&root(), ending, &mut texts);
    }
    let work = ["/wo", "rk/"].concat();
    for path in texts {
        assert!(!fs::read_to_string(&path).unwrap().contains(&work), "{}", path.display());
    }
}
