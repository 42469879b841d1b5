//! Where the engine of this machine may be asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that says where Docker's own programs ask.
const HOST: &str = "DOCKER_HOST";

/// The variable that names the folder of a user's sockets.
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// What stands before a path in `DOCKER_HOST`.
const SCHEME: &str = "unix://";

/// Returns the sockets at which an engine may answer, the likeliest first: the one that the user has named, or else those of
/// a user's own engine, of the machine's, and of Podman.
pub(super) fn sockets(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(host) = variable(HOST).filter(|host| !host.is_empty()) {
        // An engine of another machine has containers of another machine.
        let path = host.to_str().and_then(|host| host.strip_prefix(SCHEME)).map(PathBuf::from);
        return path.into_iter().filter(|path| path.is_absolute()).collect();
    }
    let own = variable(RUNTIME_DIR).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let own = |name: &str| own.as_ref().map(|folder| folder.join(name));
    let machine = |path: &str| Some(Path::new(path).to_owned());
    let all = [
        own("docker.sock"),
        machine("/var/run/docker.sock"),
        own("podman/podman.sock"),
        machine("/run/podman/podman.sock"),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Vec<String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        sockets(variable).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn what_the_user_has_named_is_asked_and_nothing_else() {
        let runtime = (RUNTIME_DIR, "/run/user/7");
        assert_eq!(found(&[(HOST, "unix:///tmp/d.sock"), runtime]), ["/tmp/d.sock"]);
        for elsewhere in ["tcp://10.0.0.1:2375", "ssh://box", "unix://relative", "nonsense"] {
            assert!(found(&[(HOST, elsewhere), runtime]).is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn otherwise_the_users_own_engine_comes_before_that_of_the_machine() {
        let machine = ["/var/run/docker.sock", "/run/podman/podman.sock"];
        assert_eq!(found(&[]), machine);
        assert_eq!(found(&[(HOST, ""), (RUNTIME_DIR, "relative")]), machine);
        let own = ["/run/user/7/docker.sock", machine[0], "/run/user/7/podman/podman.sock", machine[1]];
        assert_eq!(found(&[(RUNTIME_DIR, "/run/user/7")]), own);
    }
}
