use std::fs;

use super::*;

const NONE: [(&str, &str); 0] = [];

/// Resolves what a file, an environment and flags say; a file of no text is not there.
fn resolve(text: &str, variables: &[(&str, &str)], flags: &Flags) -> Result<Config, String> {
    let temp = tempfile::tempdir().unwrap();
    if !text.is_empty() {
        fs::write(temp.path().join(FILE), text).unwrap();
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let told = |mistakes: Mistakes| {
        format!("{mistakes} -- {}", mistakes.hint()).replace(&temp.path().display().to_string(), "HOME")
    };
    Config::resolve(temp.path(), flags, &variables).map_err(told)
}

/// Says where a key comes from, without the folder of the test.
fn origin(config: &Config, key: &str) -> String {
    let row = config.rows.iter().find(|row| row.key.name == key).unwrap();
    row.origin.to_string().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn without_a_file_everything_has_its_default() {
    let config = resolve("", &NONE, &Flags::default()).unwrap();
    assert_eq!((config.listen.as_ref(), config.mdns, config.file.as_ref()), (None, true, None));
    assert_eq!(config.retry_max, Duration::from_secs(60));
    assert_eq!(config.fetched_max.to_string(), "1GiB");
    assert_eq!(config.log_filter, logs::FILTER);
    assert_eq!(config.rows.len(), KEYS.len());
    assert!(config.rows.iter().zip(KEYS).all(|(row, key)| row.key == key && row.origin == Origin::Default));
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file() {
    let text = "[net]\nmdns = false\nlisten = [\"/ip4/10.0.0.1/tcp/1\"]\n\n[node]\nname = \"file\"\n";
    let config = resolve(text, &NONE, &Flags::default()).unwrap();
    assert!(!config.mdns && config.names.node == "file");
    assert_eq!(
        (origin(&config, "net.mdns"), origin(&config, "node.name")),
        ("config.toml:2".into(), "config.toml:6".into())
    );
    let variables = [("BEADMESH_MDNS", "true"), ("BEADMESH_NODE_NAME", "variable"), ("BEADMESH_LISTEN", "none")];
    let config = resolve(text, &variables, &Flags::default()).unwrap();
    assert!(config.mdns && config.names.node == "variable" && config.listen == Some(vec![]));
    assert_eq!(origin(&config, "net.mdns"), "BEADMESH_MDNS");
    let flags = Flags { mdns: Some(false), listen: Some(vec!["/ip4/10.0.0.2/tcp/2".into()]), ..Flags::default() };
    let config = resolve(text, &variables, &flags).unwrap();
    assert!(!config.mdns && config.listen == flags.listen);
    assert_eq!(origin(&config, "net.listen"), "--listen");
    assert_eq!(origin(&config, "log.filter"), "default");
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_may_be_meant() {
    let told = |text| resolve(text, &NONE, &Flags::default()).unwrap_err();
    assert_eq!(
        told("[net]\nmdsn = true\n"),
        "HOME/config.toml:2: there is no key net.mdsn; did you mean net.mdns? -- write net.mdns, or take the line out"
    );
    assert!(told("mdns = true\n").contains("config.toml:1: there is no key mdns; did you mean net.mdns?"));
    assert!(told("[network]\nlisten = []\n").contains("did you mean net.listen?"));
    assert!(
        told("[net]\nmdns = true\n[colour]\nsky = 1\n")
            .contains("config.toml:4: there is no key colour.sky -- the keys are")
    );
    assert!(told("[colour]\n").contains("there is no key colour "));
    assert!(resolve("[net]\n", &NONE, &Flags::default()).is_ok(), "an empty table sets nothing");
}

#[test]
fn a_wrong_value_names_its_place_key_bound_and_remedy() {
    let told = |text| resolve(text, &NONE, &Flags::default()).unwrap_err();
    for (text, said) in [
        (
            "[net]\nmdns = \"maybe\"",
            "HOME/config.toml:2: net.mdns \"maybe\" is neither true nor false -- write true or false",
        ),
        (
            "[net]\nretry_max = 5",
            "config.toml:2: net.retry_max 5 is no time with a unit -- write 1s to 3600s with a unit",
        ),
        ("[net]\nretry_max = \"2h\"", "net.retry_max \"2h\" is out of bounds -- write 1s to 3600s"),
        ("[net]\nretry_max = \"99999999999999999999s\"", "is no time with a unit"),
        ("[attachments]\nfetched_max = \"1MiB\"", "\"1MiB\" is out of bounds -- write 16MiB to 1TiB with a unit"),
        ("[net]\nlisten = [\"garbage\"]", "net.listen \"garbage\" is no address to listen on -- write TCP or QUIC"),
        ("[net]\nlisten = [1]", "net.listen [1] is no list of addresses"),
        ("[net.mdns]\non = true", "net.mdns"),
        ("[node]\nname = \"\"", "node.name has 0 bytes, and a name has 1 to 64 -- choose a short name"),
        ("[node]\nname = 7", "node.name 7 is no text"),
        ("[log]\nformat = \"xml\"", "log.format \"xml\" is no format of logs -- write \"auto\", \"text\" or \"json\""),
        ("[log]\nfilter = \"beadmesh=loud\"", "log.filter \"beadmesh=loud\" is no log filter"),
        ("[mesh]\nticket_file = \"ticket\"", "is no absolute path -- write the whole path"),
        ("[net]\nmdns = true\nmdns = false", "config.toml:3: duplicate key"),
        ("[net\n", "config.toml:1: "),
    ] {
        let told = told(text);
        assert!(told.contains(said), "{text:?}: {told}");
    }
}

#[test]
fn every_mistake_is_told_at_once_even_one_that_something_else_overrides() {
    let variables = [("BEADMESH_RETRY_MAX", "soon"), ("BEADMESH_MDNS", "true")];
    let told = resolve("[net]\nmdns = 1\nlissten = []\n", &variables, &Flags::default()).unwrap_err();
    for said in ["net.mdns 1 is neither", "BEADMESH_RETRY_MAX: net.retry_max \"soon\"", "net.lissten; did you mean"] {
        assert!(told.contains(said), "{said}: {told}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there_and_goes_before_the_one_in_the_home() {
    let temp = tempfile::tempdir().unwrap();
    let other = temp.path().join("other.toml");
    let flags = Flags { file: Some(other.clone()), ..Flags::default() };
    assert!(resolve("[node]\nname = \"home\"", &NONE, &flags).unwrap_err().contains("other.toml can not be read"));
    fs::write(&other, "[node]\nname = \"other\"").unwrap();
    assert_eq!(resolve("[node]\nname = \"home\"", &NONE, &flags).unwrap().names.node, "other");
    let variable = [(FILE_VARIABLE, other.to_str().unwrap())];
    assert_eq!(resolve("[node]\nname = \"home\"", &variable, &Flags::default()).unwrap().names.node, "other");
    fs::write(&other, "#".repeat(70_000)).unwrap();
    assert!(resolve("", &NONE, &flags).unwrap_err().contains("has 70000 bytes, at most 65536 are read"));
}

#[test]
fn the_log_filter_of_other_programs_counts_where_ours_is_not_set() {
    let config = resolve("", &[("RUST_LOG", "warn")], &Flags::default()).unwrap();
    assert_eq!((config.log_filter.as_str(), origin(&config, "log.filter")), ("warn", "RUST_LOG".into()));
    let config = resolve("", &[("RUST_LOG", "warn"), ("BEADMESH_LOG", "debug")], &Flags::default()).unwrap();
    assert_eq!((config.log_filter.as_str(), origin(&config, "log.filter")), ("debug", "BEADMESH_LOG".into()));
}

#[test]
fn a_variable_that_nothing_reads_is_noticed() {
    let names = ["BEADMESH_LISTN", "BEADMESH_HOME", "BEADMESH_MDNS", "PATH", "BEADMESH_FLAVOUR"].map(str::to_owned);
    let unread = unread_variables(names.into_iter());
    assert_eq!(unread, [("BEADMESH_LISTN".to_owned(), Some("BEADMESH_LISTEN")), ("BEADMESH_FLAVOUR".to_owned(), None)]);
}

#[test]
fn no_two_keys_share_a_name_or_a_variable() {
    let mut names: Vec<&str> = KEYS.iter().flat_map(|key| key.variables.iter().chain([&key.name]).copied()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
