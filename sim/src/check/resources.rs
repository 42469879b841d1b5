//! What nodes may use up: frames at rest, bytes that wait for a link, bytes on a disk.

use beadmesh_protocol::limits::FRAME_BYTES_MAX;

use super::Ending;
use super::report::{self, Report};
use crate::outcome::Violation;
use crate::view::View;

/// Frames on one link in one quiet minute.
///
/// Every 30 s each node compares sets with one of its links: a hello each way, so 4 frames a node and minute. There are
/// nearly as many links as nodes at least, which comes to 8 frames a link; the rest is room for comparisons that fall
/// into a short time by chance, and for links that were just made.
const QUIET_FRAMES_MAX: u64 = 60;

/// How much longer entries are in a frame than what the window counts, of which a signature is no part; the shortest
/// entries have about 100 bytes.
const FRAMED: u64 = 2;

/// Bytes of the acknowledgement of one entry, which also announces it: its id and a share of the frame.
const ACK_BYTES: u64 = 40;

/// How often the bytes of an entry may be stored: in the entry, as the value that its bead shows, and twice in the
/// conflicts of that bead, once shown and once not.
const COPIES_MAX: u64 = 4;

/// Bytes that are stored for each entry besides its content: keys, index, signature, where its changes are.
const ENTRY_OVERHEAD: u64 = 1_024;

/// Bytes that are stored for each bead besides what was written to it: keys and empty fields.
const BEAD_OVERHEAD: u64 = 1_024;

/// Bytes of a store that holds next to nothing.
const STORE_OVERHEAD: u64 = 256 * 1024;

/// Finds a mesh that does not come to rest, queues that no window bounds, and stores that grow beyond what they hold.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("resources", ending);
    let (frames, quiet_ms) = ending.quiet;
    let allowed = quiet_frames_max(ending.links, quiet_ms);
    if frames > allowed {
        let links = ending.links;
        let what = format!("{frames} frames came in {quiet_ms} quiet ms over {links} links; at most {allowed} may.");
        report.note(None, what);
    }
    let (waited, allowed) = (ending.queue_bytes_max, queue_bytes_max(ending));
    if waited > allowed {
        report.note(None, format!("{waited} bytes waited in one direction of a link; at most {allowed} may."));
    }
    let (waited, allowed) = (ending.entries_bytes_max, entries_bytes_max(ending));
    if waited > allowed {
        let what = format!("{waited} bytes of entries waited in one direction of a link; at most {allowed} may.");
        report.note(None, what);
    }
    for view in ending.views {
        let (stored, allowed) = (view.stored_bytes, stored_bytes_max(ending, view));
        if stored > allowed {
            let (who, entries, beads) = (report::viewer(view), view.entries.len(), view.beads.len());
            let what = format!(
                "{who} stores {stored} bytes for {entries} entries of {} bytes and {beads} beads; at most {allowed} \
                 may be.",
                ending.entry_bytes
            );
            report.note(view.place, what);
        }
    }
    report.finish()
}

/// Less than a minute counts as one: comparisons come in their own time.
fn quiet_frames_max(links: u64, quiet_ms: u64) -> u64 {
    links.max(1) * QUIET_FRAMES_MAX * quiet_ms.div_ceil(60_000).max(1)
}

/// A comparison that begins forgets what was not acknowledged, so that a second window may be sent behind the first. The
/// last entry in each may reach beyond it.
fn entries_bytes_max(ending: &Ending<'_>) -> u64 {
    2 * FRAMED * (count(ending.plan.network.window_bytes) + ending.entry_bytes_max)
}

/// Beside entries there may be two frames of a comparison or of wanted ids. Acknowledgements are not held back: one for
/// each entry.
fn queue_bytes_max(ending: &Ending<'_>) -> u64 {
    let frame = count(FRAME_BYTES_MAX);
    entries_bytes_max(ending) + 2 * frame + ACK_BYTES * count(ending.reference.entries.len())
}

fn stored_bytes_max(ending: &Ending<'_>, view: &View) -> u64 {
    let overhead = ENTRY_OVERHEAD * count(view.entries.len()) + BEAD_OVERHEAD * count(view.beads.len());
    STORE_OVERHEAD + overhead + COPIES_MAX * ending.entry_bytes
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Scene, told};

    #[test]
    fn a_modest_mesh_is_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
    }

    #[test]
    fn a_mesh_that_goes_on_talking_is_told() {
        let mut scene = Scene::sound();
        scene.quiet = (121, 61_000);
        assert_eq!(told(check, &scene), ["121 frames came in 61000 quiet ms over 1 links; at most 120 may."]);
        scene.links = 2;
        assert_eq!(told(check, &scene), [""; 0]);
        scene.quiet = (121, 10);
        assert_eq!(told(check, &scene).len(), 1);
    }

    #[test]
    fn a_queue_without_a_window_is_told() {
        let mut scene = Scene::sound();
        scene.queue_bytes_max = 2 * 1024 * 1024 + 4 * (65_536 + 700) + 160;
        assert_eq!(told(check, &scene), [""; 0]);
        scene.queue_bytes_max += 1;
        assert_eq!(told(check, &scene), ["2362257 bytes waited in one direction of a link; at most 2362256 may."]);
        scene.queue_bytes_max = 0;
        scene.entries_bytes_max = 4 * (65_536 + 700) + 1;
        let told_of = told(check, &scene);
        assert_eq!(told_of, ["264945 bytes of entries waited in one direction of a link; at most 264944 may."]);
    }

    #[test]
    fn a_store_that_keeps_what_it_need_not_is_told() {
        let mut scene = Scene::sound();
        scene.views[1].stored_bytes = 1_000_000;
        assert_eq!(
            told(check, &scene),
            ["node 1 stores 1000000 bytes for 4 entries of 2000 bytes and 2 beads; at most 276288 may be."]
        );
    }
}
