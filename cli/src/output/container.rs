//! Containers as tables.

use beadmesh_node::api::model::{Container, ContainersBody};

use super::paint::Paint;
use super::table::{self, Column, Painted};
use super::{machine, text};
use crate::commands::containers::{Met, standing};

/// The columns of the list of containers.
const CONTAINERS: [Column; 7] = [
    Column::new("NODE"),
    Column::new("NAME").flexible(),
    Column::new("STATE"),
    Column::new("RESTARTS").spare(3),
    Column::new("CPU").spare(2),
    Column::new("MEMORY").spare(1),
    Column::new("IMAGE").spare(4),
];

/// The columns of those that are not as expected.
const AMISS: [Column; 3] = [Column::new("CONTAINER").flexible(), Column::new("WANTED"), Column::new("FOUND")];

/// Returns a line for each container, below a heading; none where there is no container.
pub(crate) fn list(containers: &[Container], columns: Option<u16>) -> Vec<String> {
    if containers.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Vec<Painted>> = containers.iter().map(row).collect();
    table::lines(&CONTAINERS, &rows, columns)
}

/// Returns a line for each container that is not as expected, below a heading; none where all are.
pub(crate) fn amiss(containers: &[&Met], columns: Option<u16>) -> Vec<String> {
    if containers.is_empty() {
        return Vec::new();
    }
    let row = |met: &&Met| {
        let (wanted, found) = ((Paint::Plain, met.wanted.clone()), (Paint::Bad, met.found.clone()));
        vec![(Paint::Strong, met.container.clone()), wanted, found]
    };
    table::lines(&AMISS, &containers.iter().map(row).collect::<Vec<_>>(), columns)
}

/// Returns what the table does not say: engines that do not answer and what to do, and who tells of none.
pub(crate) fn remarks(body: &ContainersBody, columns: usize) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut silent = Vec::new();
    for node in &body.nodes {
        let name = text::clean_line(&node.node.name);
        if let Some(age_s) = node.age_s.filter(|_| node.stale && node.engine != "unknown") {
            remarks.push(machine::unheard(&name, age_s));
        }
        match (node.engine.as_str(), &node.advice) {
            ("unknown", _) => silent.push(name),
            (engine, Some(advice)) => remarks.push(format!("{name}: {engine}: {}.", text::clean_line(advice))),
            (_, None) if node.more > 0 => remarks.push(format!("{name}: {} more are not told of.", node.more)),
            (_, None) if body.containers.iter().all(|container| container.node != node.node.name) => {
                remarks.push(format!("{name}: the engine has no containers."));
            }
            (_, None) => {}
        }
    }
    if !silent.is_empty() {
        remarks.push(format!("Not looked at: {} (`containers.watch`).", silent.join(", ")));
    }
    remarks.iter().flat_map(|remark| text::wrap(remark, columns)).collect()
}

fn row(container: &Container) -> Vec<Painted> {
    let unknown = || "-".to_owned();
    let is_bad = container.oom_killed
        || container.exit_code.is_some_and(|code| code != 0)
        || container.health.as_deref() == Some("unhealthy")
        || matches!(container.status.as_str(), "restarting" | "dead");
    let paint = match container.status.as_str() {
        _ if container.stale => Paint::Slow,
        _ if is_bad => Paint::Bad,
        "running" => Paint::Good,
        _ => Paint::Plain,
    };
    let memory = container.memory_bytes.map(|bytes| match container.memory_max_bytes {
        Some(most) => format!("{}/{} GiB", machine::gibibytes(bytes), machine::gibibytes(most)),
        None => format!("{} GiB", machine::gibibytes(bytes)),
    });
    vec![
        (Paint::Strong, container.node.clone()),
        (Paint::Plain, container.name.clone()),
        (paint, standing(container)),
        (Paint::Plain, container.restarts.to_string()),
        (Paint::Plain, container.cpu_percent.map_or_else(unknown, |percent| format!("{percent}%"))),
        (Paint::Plain, memory.unwrap_or_else(unknown)),
        (Paint::Faint, container.image.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use beadmesh_node::api::model::{ContainerNode, Node};

    use super::*;

    fn container(name: &str) -> Container {
        Container {
            node: "vps".into(),
            name: name.into(),
            image: "registry.example/shop/web:1.27".into(),
            project: Some("shop".into()),
            service: None,
            status: "running".into(),
            health: Some("healthy".into()),
            restarts: 0,
            exit_code: None,
            oom_killed: false,
            cpu_percent: Some(3),
            memory_bytes: Some(120 << 20),
            memory_max_bytes: Some(1 << 30),
            stale: false,
        }
    }

    fn engine(name: &str, engine: &str, advice: Option<&str>) -> ContainerNode {
        let node = Node { id: format!("id-of-{name}"), name: name.into() };
        ContainerNode {
            node,
            here: false,
            engine: engine.into(),
            advice: advice.map(str::to_owned),
            more: 0,
            age_s: Some(1.0),
            stale: false,
        }
    }

    #[test]
    fn a_table_fits_eighty_columns_and_says_how_each_stands() {
        let eater = Container {
            status: "exited".into(),
            health: None,
            exit_code: Some(137),
            oom_killed: true,
            cpu_percent: None,
            memory_bytes: None,
            restarts: 2,
            ..container("shop-eater-with-a-rather-long-name-1")
        };
        let lines = list(&[container("shop-web-1"), eater], Some(80));
        let plain: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert!(plain.iter().all(|line| line.chars().count() <= 80), "{plain:#?}");
        assert!(plain[1].contains("shop-web-1") && plain[1].contains("running, healthy"), "{plain:#?}");
        assert!(plain[2].contains("exited 137, out of memory"), "{plain:#?}");
        assert!(list(&[], Some(80)).is_empty());
    }

    #[test]
    fn engines_that_do_not_answer_are_named_with_what_to_do() {
        let nodes = vec![
            engine("vps", "ok", None),
            engine("desk", "stopped", Some("start the engine")),
            engine("box", "unknown", None),
            engine("empty", "ok", None),
            ContainerNode { stale: true, age_s: Some(90.0), ..engine("far", "ok", None) },
        ];
        let body = ContainersBody { containers: vec![container("web")], nodes };
        assert_eq!(
            remarks(&body, 80),
            [
                "desk: stopped: start the engine.",
                "empty: the engine has no containers.",
                "far: not heard for 90 s; the node or its link may be down.",
                "far: the engine has no containers.",
                "Not looked at: box (`containers.watch`)."
            ]
        );
    }
}
