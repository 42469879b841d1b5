//! The containers of a machine, as its engine tells of them: an engine is a program such as Docker or Podman.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{SampleError, count, name, number, order, text};
use crate::limits::{CONTAINER_CPU_MAX, CONTAINERS_MAX};

/// What a node says of the containers of its machine; only one that was told to look says anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Containers {
    /// How it stands with the engine.
    pub engine: Engine,
    /// The containers, by name.
    pub listed: Vec<Container>,
    /// How many more there are than may be told of.
    pub more: u32,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// What it is called.
    pub name: String,
    /// What it was made from.
    pub image: String,
    /// The compose project that it is part of, and the service in it.
    pub compose: Option<(String, String)>,
    /// How it stands.
    pub status: Status,
    /// What its own check says, where it has one.
    pub health: Option<Health>,
    /// How often the engine has started it again.
    pub restarts: u32,
    /// How its process ended, where it has.
    pub exit_code: Option<i32>,
    /// Whether it ended because it wanted more memory than it may have.
    pub oom_killed: bool,
    /// Processor time it takes, in hundredths of one core.
    pub cpu_percent: Option<u32>,
    /// Memory it takes, in MiB.
    pub memory_mib: Option<u32>,
    /// Memory it may take, in MiB, where that is bounded.
    pub memory_max_mib: Option<u32>,
}

/// How it stands with the engine of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Engine {
    /// There is none.
    #[default]
    Absent,
    /// This user may not ask it.
    NoPermission,
    /// Its socket is there, and nobody answers.
    Stopped,
    /// It does not answer in time.
    Stalled,
    /// It answers with errors.
    Failed,
    /// It answers.
    Ok,
}

/// How a container stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// It was never started.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process is stopped for a while.
    Paused,
    /// It ended and is about to be started again.
    Restarting,
    /// Its process has ended.
    Exited,
    /// It is being removed, or could not be.
    Dead,
}

/// What the check of a container says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Health {
    /// Nothing yet.
    Starting,
    /// It does what it should.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Containers {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        count("containers", self.listed.len(), CONTAINERS_MAX)?;
        order("containers", self.listed.iter().map(|container| &container.name))?;
        self.listed.iter().try_for_each(Container::check)
    }
}

impl Container {
    fn check(&self) -> Result<(), SampleError> {
        name("name of a container", &self.name)?;
        text("image of a container", &self.image)?;
        let (project, service) =
            self.compose.as_ref().map(|(project, service)| (&**project, &**service)).unwrap_or_default();
        name("compose project of a container", project)?;
        name("compose service of a container", service)?;
        number("processor time of a container", self.cpu_percent, CONTAINER_CPU_MAX.into())
    }
}

impl Engine {
    /// Returns the word that people and scripts read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NoPermission => "no_permission",
            Self::Stopped => "stopped",
            Self::Stalled => "stalled",
            Self::Failed => "failed",
            Self::Ok => "ok",
        }
    }

    /// Returns what to do about it, in one line; none where there is nothing to do.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::Absent => {
                Some("no socket of Docker or Podman is here: start one, or set DOCKER_HOST to unix:///ITS/SOCKET")
            }
            Self::NoPermission => {
                Some("let this user ask the engine, which makes it as good as root: `usermod -aG docker USER`")
            }
            Self::Stopped => {
                Some("start the engine: `systemctl start docker`, or `systemctl --user start podman.socket`")
            }
            Self::Stalled => Some("the engine does not answer: see its log, and whether its disk is full"),
            Self::Failed => Some("the engine answers with errors: see its log, and whether `docker ps` works"),
        }
    }
}

impl Status {
    /// Returns the word that people and scripts read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

impl Health {
    /// Returns the word that people and scripts read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;
    use crate::id::NodeId;
    use crate::limits::{NAME_BYTES_MAX, NOTICE_BYTES_MAX, SAMPLE_TEXT_BYTES_MAX};

    const _: () = assert!(NOTICE_BYTES_MAX >= 21_000, "what is measured below fits a notice");
    use crate::notice::Notice;
    use crate::sample::{Said, Stamp, Telemetry};

    fn told(containers: Containers) -> Telemetry {
        let stamp = Stamp { started: Wall::from_millis(u64::MAX >> 16), counter: u64::MAX };
        Telemetry { node: NodeId::from_bytes([255; 32]), stamp, said: Said::Containers(containers) }
    }

    fn worst(at: usize) -> Container {
        Container {
            name: format!("{at:0>width$}", width = NAME_BYTES_MAX),
            image: "i".repeat(SAMPLE_TEXT_BYTES_MAX),
            compose: Some(("p".repeat(NAME_BYTES_MAX), "s".repeat(NAME_BYTES_MAX))),
            status: Status::Exited,
            health: Some(Health::Unhealthy),
            restarts: u32::MAX,
            exit_code: Some(i32::MIN),
            oom_killed: true,
            cpu_percent: Some(CONTAINER_CPU_MAX),
            memory_mib: Some(u32::MAX),
            memory_max_mib: Some(u32::MAX),
        }
    }

    #[test]
    fn as_many_containers_as_may_be_told_of_fit_a_notice_at_their_longest() {
        let listed = (0..CONTAINERS_MAX).map(worst).collect();
        let most = told(Containers { engine: Engine::Ok, listed, more: u32::MAX });
        assert_eq!(most.check(), Ok(()));
        let bytes = Notice::Telemetry(Box::new(most)).encode().len();
        assert!(bytes < 21_000, "{bytes}");
        let usual = Container {
            name: "shop-web-1".to_owned(),
            image: "nginx:1.27".to_owned(),
            compose: Some(("shop".to_owned(), "web".to_owned())),
            status: Status::Running,
            health: Some(Health::Healthy),
            cpu_percent: Some(3),
            memory_mib: Some(120),
            ..Container::default()
        };
        let bytes = postcard::to_stdvec(&usual).unwrap().len();
        assert_eq!(bytes, 43, "of a usual container");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let refused = |listed: Vec<Container>| {
            told(Containers { engine: Engine::Ok, listed, more: 0 }).check().unwrap_err().to_string()
        };
        assert!(refused((0..=CONTAINERS_MAX).map(worst).collect()).starts_with("65 containers"));
        assert!(refused(vec![worst(2), worst(1)]).contains("once each"));
        assert!(refused(vec![worst(1), worst(1)]).contains("once each"));
        assert!(
            refused(vec![Container { name: "n".repeat(NAME_BYTES_MAX + 1), ..worst(1) }])
                .contains("name of a container")
        );
        assert!(refused(vec![Container { image: "a\nb".to_owned(), ..worst(1) }]).contains("image of a container"));
        let busy = Container { cpu_percent: Some(CONTAINER_CPU_MAX + 1), ..worst(1) };
        assert!(refused(vec![busy]).contains("processor time"));
    }
}
