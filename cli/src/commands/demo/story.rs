//! The story, chapter by chapter: a mesh is founded, works, is torn apart, and grows together.

use beadmesh_node::api::model::{
    Bead, Conflict, CreateRequest, InviteBody, InviteRequest, JoinBody, JoinRequest, Letter, LetterRequest, NewDep,
    ProjectRequest, Scalar, ShowQuery,
};
use http_body_util::{BodyExt, Limited};

use self::claims::Parted;
use super::fleet::{Fleet, MESH, Site, short};
use super::plan::{self, DEPLOY, EPIC, EPIC_TITLE, TASKS};
use super::player::Player;
use super::teller::{Teller, millis};
use crate::client;
use crate::failure::{Exit, Failure};
use crate::project;

mod claims;

/// Bytes of an export that are read: far more than 15 beads have.
const EXPORT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The places in the story of those who have parts of their own.
const AMBER: usize = 0;
const BLUE: usize = 1;
const GREEN: usize = 2;
const RED: usize = 3;

/// The agents: where they work, what they are called, and what they are there for.
const CAST: [(Site, &str, &str); 4] = [
    (Site::Workstation, "AmberFox", "Keep the release together"),
    (Site::Laptop, "BlueLake", "Look after the image"),
    (Site::GpuBox, "GreenCastle", "Look after the tiles"),
    (Site::GpuBox, "RedPine", "Measure and migrate"),
];

/// What came of the story.
#[derive(Debug)]
pub(super) struct Ending {
    /// Whether all nodes hold the same, and export the same.
    pub(super) is_equal: bool,
    /// What they hold.
    pub(super) digest: String,
    /// How many entries that is.
    pub(super) entries: u64,
    /// How many beads.
    pub(super) beads: u64,
    /// How many letters.
    pub(super) letters: usize,
}

/// What the story is played with.
pub(super) struct Story<'a, 'b> {
    fleet: &'a mut Fleet,
    teller: &'a mut Teller<'b>,
    /// The user of the workstation, and the agents.
    user: Option<Player>,
    agents: Vec<Player>,
    /// Names of the tasks, by their places in the plan.
    tasks: Vec<String>,
    letters: usize,
}

/// What was written on both sides while they were apart.
struct Apart {
    /// The letter that nobody else could get.
    letter: Letter,
    labels: [&'static str; 2],
    claims: Parted,
}

impl<'a, 'b> Story<'a, 'b> {
    /// Returns the story before its begin.
    pub(super) fn new(fleet: &'a mut Fleet, teller: &'a mut Teller<'b>) -> Self {
        Self { fleet, teller, user: None, agents: Vec::new(), tasks: Vec::new(), letters: 0 }
    }

    /// Plays it from begin to end.
    ///
    /// # Errors
    ///
    /// Says what went otherwise than it must, or that it was interrupted.
    pub(super) async fn play(mut self) -> Result<Ending, Failure> {
        self.teller.chapter("Three machines, no server")?;
        self.found().await?;
        self.teller.chapter("One plan")?;
        self.cast().await?;
        self.plan().await?;
        self.teller.chapter("Four agents, one bead")?;
        self.race().await?;
        self.teller.chapter("Four agents, many beads")?;
        self.round().await?;
        self.correspond().await?;
        self.teller.chapter("The laptop is cut off")?;
        let apart = self.part().await?;
        self.teller.chapter("The laptop is back")?;
        self.meet(&apart).await?;
        self.settle_claims(&apart.claims).await?;
        self.settle_conflict().await?;
        self.teller.chapter("To the end")?;
        self.finish().await?;
        self.compare().await
    }

    /// Starts the nodes; two of them join the mesh of the third, by tickets.
    async fn found(&mut self) -> Result<(), Failure> {
        for site in Site::ALL {
            self.fleet.start(site).await?;
            if site == Site::Workstation {
                self.teller.tell(site.name(), format!("founds the mesh {MESH:?}"))?;
                continue;
            }
            let begin = std::time::Instant::now();
            let mut inviter = self.fleet.client(Site::Workstation)?;
            let invite: InviteBody = inviter.post("/v1/invites", &InviteRequest::default()).await?;
            let wish = JoinRequest { ticket: invite.ticket };
            let joined: JoinBody = self.fleet.client(site)?.post("/v1/join", &wish).await?;
            let taken = millis(begin.elapsed());
            self.tell(site.name(), format!("joins by a ticket of {} in {taken} ms", joined.inviter))?;
        }
        let linked = millis(self.fleet.linked().await?);
        self.tell("all three", format!("linked with each other {linked} ms later"))?;
        self.fleet.equal(&Site::ALL).await?;
        self.choose_voters().await
    }

    /// Registers those who act.
    async fn cast(&mut self) -> Result<(), Failure> {
        self.user = Some(Player::user(self.fleet, Site::Workstation)?);
        for (site, name, task) in CAST {
            let agent = Player::register(self.fleet, site, name, task).await?;
            self.tell(&agent.address(), "is registered, with a token of its own")?;
            self.agents.push(agent);
        }
        Ok(())
    }

    /// Writes the plan on the workstation, and waits until it is everywhere.
    async fn plan(&mut self) -> Result<(), Failure> {
        let project = project()?;
        let wish = CreateRequest {
            project: project.clone(),
            title: EPIC_TITLE.to_owned(),
            kind: Some("epic".to_owned()),
            alias: Some(EPIC.to_owned()),
            priority: Some(1),
            ..CreateRequest::default()
        };
        let epic = self.user()?.create(self.fleet, wish).await?.alias;
        for task in &TASKS {
            let on = |before: &usize| NewDep { kind: "blocks".to_owned(), on: self.tasks[*before].clone() };
            let wish = CreateRequest {
                project: project.clone(),
                title: task.title.to_owned(),
                priority: Some(task.priority),
                scopes: vec![task.scope.to_owned()],
                deps: task.after.iter().map(on).collect(),
                parent: Some(epic.clone()),
                ..CreateRequest::default()
            };
            let made = self.user()?.create(self.fleet, wish).await?.alias;
            self.tasks.push(made);
        }
        let (user, beads) = (self.user()?.address(), TASKS.len() + 1);
        let (first, last) = (&self.tasks[0], &self.tasks[TASKS.len() - 1]);
        self.tell(&user, format!("writes {beads} beads: {epic}, and {first} to {last} below it"))?;
        self.equal("all three", "the plan").await
    }

    /// Lets every agent take what is ready, one after another so that they see what is taken; then all close theirs.
    ///
    /// Returns how many beads that were.
    async fn round(&mut self) -> Result<usize, Failure> {
        let mut taken = Vec::new();
        for at in 0..self.agents.len() {
            let Some(bead) = self.take(at).await? else { continue };
            taken.push((at, bead));
        }
        for (at, bead) in &taken {
            self.close(*at, bead).await?;
        }
        if !taken.is_empty() {
            self.equal("all three", "that").await?;
        }
        Ok(taken.len())
    }

    /// Lets one agent take a bead, and waits until all nodes that can know of it do.
    async fn take(&mut self, at: usize) -> Result<Option<Bead>, Failure> {
        self.fleet.go_on()?;
        let Some(bead) = self.agents[at].take(self.fleet).await? else { return Ok(None) };
        let who = self.agents[at].address();
        self.tell(&who, format!("takes {} (P{}) {}", bead.alias, bead.priority, bead.title))?;
        self.fleet.equal(&self.reachable()).await?;
        Ok(Some(bead))
    }

    async fn close(&mut self, at: usize, bead: &Bead) -> Result<(), Failure> {
        let report = plan::report(&bead.title);
        self.agents[at].close(self.fleet, &bead.alias, report).await?;
        let who = self.agents[at].address();
        self.tell(&who, format!("closes {}: {report}", bead.alias))
    }

    /// Lets two agents write to each other.
    async fn correspond(&mut self) -> Result<(), Failure> {
        let (writer, reader) = (self.agents[GREEN].address(), self.agents[AMBER].address());
        let wish = LetterRequest {
            to: vec![reader.clone()],
            subject: Some("The tile index is rebuilt".to_owned()),
            body: "It fits one GPU now. May I warm the cache before the load test is over?".to_owned(),
            ack_required: true,
            ..LetterRequest::default()
        };
        let letter = self.write(GREEN, wish).await?;
        let taken = millis(self.fleet.equal(&Site::ALL).await?);
        self.agents[AMBER].read(self.fleet, &letter.id, ShowQuery::default()).await?;
        self.agents[AMBER].acknowledge(self.fleet, &letter.id).await?;
        self.tell(&reader, format!("has it {taken} ms later, reads and acknowledges it"))?;
        let wish = LetterRequest {
            in_reply_to: Some(letter.id.clone()),
            body: "Yes, once staging is up.".to_owned(),
            ..LetterRequest::default()
        };
        self.write(AMBER, wish).await?;
        self.fleet.equal(&Site::ALL).await?;
        let seen = self.agents[GREEN].read(self.fleet, &letter.id, ShowQuery { peek: true }).await?;
        let is_acknowledged = seen.receipts.iter().any(|receipt| receipt.acknowledged_at.is_some());
        expect(is_acknowledged, "the sender of a letter does not see that it was acknowledged")?;
        self.tell(&writer, "sees that, and has the answer in the same thread")
    }

    /// Cuts the laptop off, and lets both sides work on.
    async fn part(&mut self) -> Result<Apart, Failure> {
        let image = self.take(BLUE).await?.ok_or_else(|| broken("nothing is ready for the laptop"))?;
        let deploy = self.tasks[DEPLOY].clone();
        let labels = ["needs-sign-off", "not-on-friday"];
        let before = self.fleet.status(Site::Laptop).await?.entries;
        self.fleet.cut_off(Site::Laptop).await?;
        self.tell(Site::Laptop.name(), "loses its network; its store stays in use")?;

        let blue = self.agents[BLUE].address();
        self.close(BLUE, &image).await?;
        self.agents[BLUE].label(self.fleet, &deploy, labels[0]).await?;
        self.agents[BLUE].set(self.fleet, &deploy, &[("assignee", &self.agents[BLUE].name)]).await?;
        self.tell(&blue, format!("labels {deploy} {}, and puts its own name on it", labels[0]))?;
        let wish = LetterRequest {
            to: vec![self.agents[RED].address()],
            subject: Some("The image is clean".to_owned()),
            body: "Scanned while I was away from all of you. It may go to staging.".to_owned(),
            ack_required: true,
            ..LetterRequest::default()
        };
        let letter = self.write(BLUE, wish).await?;

        let claims = self.claim_apart().await?;
        let amber = self.agents[AMBER].address();
        self.agents[AMBER].label(self.fleet, &deploy, labels[1]).await?;
        self.agents[AMBER].set(self.fleet, &deploy, &[("assignee", &self.agents[AMBER].name)]).await?;
        self.tell(&amber, format!("labels {deploy} {}, and puts its own name on it", labels[1]))?;
        if let Some(bead) = self.take(RED).await? {
            self.close(RED, &bead).await?;
        }
        self.fleet.equal(&self.reachable()).await?;
        let told = self.fleet.status(Site::Workstation).await?;
        let offline = self.fleet.status(Site::Laptop).await?;
        expect(told.digest != offline.digest, "a node that is cut off got what others wrote")?;
        let (here, there) = (told.entries.saturating_sub(before), offline.entries.saturating_sub(before));
        self.tell("all three", format!("apart: {here} new entries on one side, {there} on the other"))?;
        Ok(Apart { letter, labels, claims })
    }

    /// Heals the laptop, and looks at what was written on both sides.
    async fn meet(&mut self, apart: &Apart) -> Result<(), Failure> {
        self.fleet.start(Site::Laptop).await?;
        self.tell(Site::Laptop.name(), "has its network again")?;
        self.equal("all three", "both halves").await?;
        let red = self.agents[RED].address();
        let inbox = self.agents[RED].inbox(self.fleet).await?;
        let copies = inbox.iter().filter(|letter| letter.id == apart.letter.id).count();
        expect(copies == 1, &format!("a letter that was sent once stands in the inbox {copies} times"))?;
        self.agents[RED].acknowledge(self.fleet, &apart.letter.id).await?;
        let from = &apart.letter.from;
        self.tell(&red, format!("has the letter of {from} once, and acknowledges it"))?;
        let deploy = self.agents[BLUE].show(self.fleet, &self.tasks[DEPLOY]).await?;
        let has = |label: &str| deploy.labels.iter().any(|one| one == label);
        expect(apart.labels.into_iter().all(has), "a label that one side wrote is lost")?;
        self.tell(&deploy.alias, format!("has both labels: {}", deploy.labels.join(", ")))
    }

    /// Shows what two set at once, and settles it for what is not shown.
    async fn settle_conflict(&mut self) -> Result<(), Failure> {
        let deploy = self.user()?.show(self.fleet, &self.tasks[DEPLOY]).await?;
        let [Conflict { field, shown: Scalar::Text(shown), others }] = &deploy.conflicts[..] else {
            return Err(broken("what two set at once is not shown as one conflict"));
        };
        let [Scalar::Text(kept)] = &others[..] else {
            return Err(broken("of two values that were set at once, not both are kept"));
        };
        self.tell(&deploy.alias, format!("{field} was set on both sides: {shown} is shown, {kept} is kept"))?;
        let settled = self.user()?.resolve(self.fleet, &deploy.alias, field, kept).await?;
        expect(settled.conflicts.is_empty(), "a conflict that was settled is still there")?;
        let user = self.user()?.address();
        self.tell(&user, format!("settles it for {kept}, with `bead resolve`"))?;
        self.equal("all three", "that").await
    }

    /// Does what is left of the plan.
    async fn finish(&mut self) -> Result<(), Failure> {
        for _ in 0..TASKS.len() {
            if self.round().await? == 0 {
                break;
            }
        }
        self.expect_nothing_held().await?;
        self.user()?.close(self.fleet, EPIC, "All of it is out.").await?;
        let user = self.user()?.address();
        self.tell(&user, format!("closes {EPIC}: All of it is out."))?;
        self.equal("all three", "that").await
    }

    /// Compares what the nodes hold, and what they show.
    async fn compare(&mut self) -> Result<Ending, Failure> {
        let (mut digests, mut exports) = (Vec::new(), Vec::new());
        for site in Site::ALL {
            let status = self.fleet.status(site).await?;
            let export = self.export(site).await?;
            let (entries, digest, lines) = (status.entries, short(&status.digest), export.lines().count());
            self.tell(site.name(), format!("{entries} entries, digest {digest}…; exports {lines} beads"))?;
            digests.push(status);
            exports.push(export);
        }
        let is_closed = exports[0].lines().count() == TASKS.len() + 1
            && exports[0].lines().all(|line| line.contains("\"status\":\"closed\""));
        expect(is_closed, "not every bead of the plan is closed")?;
        let is_equal = digests.iter().all(|status| status.digest == digests[0].digest)
            && exports.iter().all(|export| *export == exports[0]);
        let status = digests.swap_remove(0);
        let Self { letters, .. } = self;
        Ok(Ending { is_equal, digest: status.digest, entries: status.entries, beads: status.beads, letters: *letters })
    }

    /// Returns what a node exports.
    async fn export(&self, site: Site) -> Result<String, Failure> {
        let body = self.fleet.client(site)?.download("/v1/export").await?;
        let bytes = Limited::new(body, EXPORT_BYTES_MAX).collect().await;
        let bytes = bytes.map_err(|error| client::cut_short(&*error))?.to_bytes();
        String::from_utf8(bytes.to_vec()).map_err(|error| broken("an export is no text").caused_by(&error))
    }

    async fn write(&mut self, at: usize, wish: LetterRequest) -> Result<Letter, Failure> {
        let letter = self.agents[at].write(self.fleet, wish).await?;
        self.letters += 1;
        let (who, to) = (self.agents[at].address(), letter.to.join(", "));
        self.tell(&who, format!("writes to {to}: {}", letter.subject))?;
        Ok(letter)
    }

    /// Waits until all nodes hold the same, and tells how long that took.
    async fn equal(&mut self, who: &str, what: &str) -> Result<(), Failure> {
        let taken = millis(self.fleet.equal(&Site::ALL).await?);
        self.tell(who, format!("hold {what} {taken} ms later"))
    }

    /// Returns the nodes that can hear of each other now.
    fn reachable(&self) -> Vec<Site> {
        Site::ALL.into_iter().filter(|site| self.fleet.is_running(*site)).collect()
    }

    fn user(&self) -> Result<&Player, Failure> {
        self.user.as_ref().ok_or_else(|| broken("the user acts before there is a home"))
    }

    fn tell(&mut self, who: &str, said: impl Into<String>) -> Result<(), Failure> {
        self.fleet.go_on()?;
        self.teller.tell(who, said)
    }
}

/// Returns the project of the plan.
fn project() -> Result<ProjectRequest, Failure> {
    Ok(ProjectRequest { keys: vec![project::key(plan::PROJECT)?], prefix: None })
}

/// Fails unless something is as it must be.
fn expect(is_so: bool, otherwise: &str) -> Result<(), Failure> {
    if is_so { Ok(()) } else { Err(broken(otherwise)) }
}

fn broken(what: &str) -> Failure {
    Failure::new(Exit::Failed, "internal", what).hint("this is a bug in beadmesh: please report it with what was told")
}
