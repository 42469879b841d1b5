//! What the story tells of claims: a race for one bead, and two that are made while nobody can be asked.

use beadmesh_node::api::model::{Claim, ClaimRequest, ClaimsBody, ClaimsQuery, VotersBody, VotersRequest};

use super::super::fleet::Site;
use super::super::player::Asked;
use super::super::teller::millis;
use super::{AMBER, BLUE, GREEN, RED, Story, broken, expect, project};
use crate::failure::Failure;

/// Seconds that voters keep a promise here: the least, as nobody has to wait for somebody who is gone.
const HOLD_S: u64 = 5;

/// Who races, one agent of each node.
const RACERS: [usize; 3] = [AMBER, BLUE, GREEN];

/// Races at most: all may lose one that they began in the same moment.
const RACES_MAX: usize = 8;

/// Paths that clash with those of the first task without being the same.
const SIDE_DOOR: &str = "**/changes.md";

/// What both sides claim while they are apart.
const WANTED: &str = "docs/handbook/**";

/// What one side alone claims meanwhile.
const UNWANTED: &str = "image/cache/**";

/// Claims that were made while the laptop was cut off, by their ids.
#[derive(Debug)]
pub(super) struct Parted {
    /// That of the laptop on what another holds.
    contested: String,
    /// That of the laptop on what nobody else wants.
    free: String,
    /// That of the other side.
    rival: String,
}

impl Story<'_, '_> {
    /// Lets all three nodes vote on who holds what.
    pub(super) async fn choose_voters(&mut self) -> Result<(), Failure> {
        let nodes = Site::ALL.map(|site| site.name().to_owned()).to_vec();
        let wish = VotersRequest { nodes, hold_s: Some(HOLD_S), recovery_key: None };
        let chosen: VotersBody = self.fleet.client(Site::Workstation)?.post("/v1/voters", &wish).await?;
        let epoch = chosen.epoch + u64::from(chosen.next.is_some());
        let is_everywhere = async || {
            let mut is_everywhere = true;
            for site in Site::ALL {
                let voters: VotersBody = self.fleet.client(site)?.get("/v1/voters").await?;
                let is_ready = voters.epoch == epoch && voters.voters.len() == 3 && voters.reached == 3;
                is_everywhere &= is_ready;
            }
            Ok(is_everywhere)
        };
        let taken = millis(self.fleet.awaited("the voters", is_everywhere).await?);
        self.tell("all three", format!("vote on who holds what {taken} ms later; any two of them decide"))
    }

    /// Lets one agent of each node claim the only bead that is ready, all at once; who holds it then closes it.
    pub(super) async fn race(&mut self) -> Result<(), Failure> {
        let bead = self.tasks[0].clone();
        let (winner, claim) = self.run_race(&bead).await?;
        let who = self.agents[winner].address();
        let token = claim.token.ok_or_else(|| broken("a lease has no token"))?;
        self.tell("three agents", format!("claim {bead} in the same moment, each on a node of its own"))?;
        self.tell(&who, format!("holds it, token {token}"))?;
        for loser in RACERS.into_iter().filter(|racer| *racer != winner) {
            let wish = ClaimRequest { bead: Some(bead.clone()), ..ClaimRequest::default() };
            self.refused(loser, wish, (&who, &bead)).await?;
        }
        let wish = ClaimRequest { project: project()?, scopes: vec![SIDE_DOOR.to_owned()], ..ClaimRequest::default() };
        self.refused(RED, wish, (&who, "release/changes.md")).await?;
        let held = self.agents[winner].show(self.fleet, &bead).await?;
        self.close(winner, &held).await?;
        self.equal("all three", "that").await
    }

    /// Returns who got a bead, with the claim; never more than one.
    async fn run_race(&mut self, bead: &str) -> Result<(usize, Claim), Failure> {
        let [first, second, third] = RACERS.map(|racer| &self.agents[racer]);
        let wish = || ClaimRequest { bead: Some(bead.to_owned()), ..ClaimRequest::default() };
        for _ in 0..RACES_MAX {
            self.fleet.go_on()?;
            let fleet = &*self.fleet;
            let (first, second, third) =
                tokio::join!(first.claim(fleet, wish()), second.claim(fleet, wish()), third.claim(fleet, wish()));
            let mut held = Vec::new();
            for (racer, asked) in RACERS.into_iter().zip([first?, second?, third?]) {
                if let Asked::Claimed(claim) = asked {
                    expect(claim.state == "held", "a claim is tentative while every voter can be reached")?;
                    held.push((racer, *claim));
                }
            }
            expect(held.len() <= 1, "two agents hold one bead")?;
            if let Some(winner) = held.pop() {
                return Ok(winner);
            }
        }
        Err(broken("nobody gets a bead that nobody holds"))
    }

    /// Lets an agent ask for what another holds, and hear who does, and of what.
    async fn refused(&mut self, at: usize, wish: ClaimRequest, (by, of): (&str, &str)) -> Result<(), Failure> {
        let what = wish.bead.clone().unwrap_or_else(|| wish.scopes.join(" "));
        let Asked::Refused(why) = self.agents[at].claim(self.fleet, wish).await? else {
            return Err(broken("two agents hold what clashes"));
        };
        expect(why.contains(by) && why.ends_with(&format!("both cover {of}")), &format!("told instead: {why}"))?;
        let who = self.agents[at].address();
        self.tell(&who, format!("is refused {what}: {why}"))
    }

    /// Lets an agent that is cut off claim what another claims on the other side, and something that nobody does.
    pub(super) async fn claim_apart(&mut self) -> Result<Parted, Failure> {
        let contested = self.claim_paths(BLUE, WANTED, "tentative").await?.id;
        let free = self.claim_paths(BLUE, UNWANTED, "tentative").await?.id;
        let rival = self.claim_paths(AMBER, WANTED, "held").await?.id;
        Ok(Parted { contested, free, rival })
    }

    /// Claims paths for an agent, and tells how that stands.
    async fn claim_paths(&mut self, at: usize, pattern: &str, state: &str) -> Result<Claim, Failure> {
        let wish = ClaimRequest { project: project()?, scopes: vec![pattern.to_owned()], ..ClaimRequest::default() };
        let claim = match self.agents[at].claim(self.fleet, wish).await? {
            Asked::Claimed(claim) if claim.state == state => *claim,
            asked => return Err(broken(&format!("a claim on {pattern} is not {state}: {asked:?}"))),
        };
        let how = match (claim.token, claim.voters) {
            (Some(token), _) => format!("held, token {token}"),
            (None, Some(voters)) => {
                format!("tentative, as {} of {voters} voters can be asked", claim.voters_reached.unwrap_or(0))
            }
            (None, None) => state.to_owned(),
        };
        let who = self.agents[at].address();
        self.tell(&who, format!("claims {pattern}: {how}"))?;
        Ok(claim)
    }

    /// Waits until what was claimed while the laptop was cut off is held or given up, and lets it go.
    pub(super) async fn settle_claims(&mut self, parted: &Parted) -> Result<(), Failure> {
        let Parted { contested, free, rival } = parted;
        let (blue, amber) = (self.agents[BLUE].address(), self.agents[AMBER].address());
        let is_held = async || Ok(self.agents[BLUE].claimed(self.fleet, free).await?.state == "held");
        let taken = millis(self.fleet.awaited("a claim to be held", is_held).await?);
        self.tell(&blue, format!("holds {UNWANTED} {taken} ms later"))?;
        let has_yielded = async || {
            let claim = self.agents[BLUE].claimed(self.fleet, contested).await?;
            Ok(claim.state == "ended" && claim.reason.as_deref() == Some("yielded"))
        };
        self.fleet.awaited("a claim to give way", has_yielded).await?;
        let subject = format!("{amber} has {WANTED}");
        let inbox = self.agents[BLUE].inbox(self.fleet).await?;
        let is_told = inbox.iter().any(|letter| letter.system && letter.subject == subject);
        expect(is_told, "whoever gave a claim up is not told by a letter")?;
        self.tell(&blue, format!("gives {WANTED} up, and has a letter of the system: {subject}"))?;
        self.agents[BLUE].release(self.fleet, free).await?;
        self.agents[AMBER].release(self.fleet, rival).await?;
        self.equal("all three", "that").await
    }

    /// Fails when a claim is open that nobody needs any more.
    pub(super) async fn expect_nothing_held(&self) -> Result<(), Failure> {
        for site in Site::ALL {
            let query = ClaimsQuery::default().to_query();
            let body: ClaimsBody = self.fleet.client(site)?.get(&format!("/v1/claims{query}")).await?;
            expect(body.claims.is_empty(), "a claim is left of a bead that is closed")?;
        }
        Ok(())
    }
}
