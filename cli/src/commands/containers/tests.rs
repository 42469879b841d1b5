use super::*;

fn container(name: &str, node: &str, status: &str) -> Container {
    Container {
        node: node.to_owned(),
        name: name.to_owned(),
        image: "shop:1".to_owned(),
        project: None,
        service: None,
        status: status.to_owned(),
        health: None,
        restarts: 0,
        exit_code: None,
        oom_killed: false,
        cpu_percent: None,
        memory_bytes: None,
        memory_max_bytes: None,
        stale: false,
    }
}

fn compared(file: &str, containers: &[Container]) -> Expected {
    compare(&wish::parse(file).unwrap(), containers)
}

#[test]
fn what_runs_is_counted_and_what_does_not_is_named_with_how_it_stands() {
    let found = [
        container("web", "vps", "running"),
        Container { health: Some("healthy".into()), ..container("db", "vps", "running") },
        Container { health: Some("unhealthy".into()), ..container("cache", "vps", "running") },
        Container { exit_code: Some(0), ..container("migrate", "vps", "exited") },
        Container { exit_code: Some(137), oom_killed: true, ..container("eater", "vps", "exited") },
        Container { stale: true, ..container("far", "gone", "running") },
        container("surprise", "vps", "running"),
    ];
    let file = "web@vps\ndb healthy # its check matters\n\ncache\nmigrate done\neater running\nfar\nabsent\nweb@gone";
    let told = compared(file, &found);
    assert_eq!((told.expected, told.met), (8, 3));
    let amiss: Vec<(&str, &str)> =
        told.containers.iter().filter(|met| !met.met).map(|met| (met.container.as_str(), met.found.as_str())).collect();
    assert_eq!(
        amiss,
        [
            ("cache", "running, unhealthy"),
            ("eater", "exited 137, out of memory"),
            ("far", "running, not heard"),
            ("absent", "missing"),
            ("web@gone", "missing"),
        ]
    );
    assert_eq!(told.unexpected, ["surprise@vps"]);
}

#[test]
fn of_several_of_one_name_one_that_fits_is_enough() {
    let found = [container("web", "a", "exited"), container("web", "b", "running")];
    assert_eq!(compared("web", &found).met, 1);
    assert_eq!(compared("web@a", &found).met, 0);
    assert_eq!(compared("web healthy", &found).containers[0].found, "exited; running");
}

#[test]
fn a_line_that_says_nothing_sensible_is_told_with_its_number() {
    for (file, line, problem) in [
        ("web\ndb asleep", 2, "\"asleep\" is none of running, healthy and done"),
        ("web running now", 1, "\"now\" is one word too many"),
        ("@vps", 1, "a name is missing beside the @"),
        ("web@", 1, "a name is missing beside the @"),
        ("web\n# a remark\nweb done", 3, "web stands here twice"),
        ("# nothing", 1, "no container is named"),
    ] {
        let wrong = wish::parse(file).unwrap_err();
        assert_eq!((wrong.line, wrong.problem.as_str()), (line, problem), "{file:?}");
    }
}
