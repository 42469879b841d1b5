//! The loop of the replica's thread: wait, handle, flush once, release in order.

use std::time::{Duration, Instant};

use beadmesh_store::command::{Answer, Command};
use beadmesh_store::replica::{FlushError, Input, Output};
use tracing::{debug, error};

use super::lanes::{BATCH_INPUTS_MAX, Batch, Next};
use super::{Machine, Shared, Sink, State};
use crate::clock;

/// The shortest wait between two wakeups, so that one that stays due can not keep a processor busy.
const WAKEUP_PAUSE: Duration = Duration::from_millis(1);

/// Says that the thread has failed unless it ends well: a panic must leave nobody waiting.
struct Ending<'a> {
    shared: &'a Shared,
    state: State,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Stopped);
        if let State::Failed(reason) = &state {
            error!(%reason, "the replica stops: nothing more is accepted");
        }
        self.shared.finish(state);
    }
}

/// Runs until the lanes are closed and empty, or the store fails.
pub(super) fn run(machine: impl Machine, shared: &Shared, mut sink: Sink) {
    let panicked = State::Failed("the replica panicked; its log says where".to_owned());
    // Dropped last: whoever waits for the end may then take the store's lock.
    let mut ending = Ending { shared, state: panicked };
    let mut machine = machine;
    ending.state = match drive(&mut machine, shared, &mut sink) {
        Ok(()) => State::Stopped,
        Err(FlushError(reason)) => State::Failed(reason),
    };
    drop(machine);
}

fn drive(machine: &mut impl Machine, shared: &Shared, sink: &mut Sink) -> Result<(), FlushError> {
    release(flush(machine, shared)?, shared, sink);
    let mut woken = false;
    loop {
        let wait = machine.next_wakeup().map(|due| due.since(clock::mono()));
        let wait = if woken { wait.map(|wait| wait.max(WAKEUP_PAUSE)) } else { wait };
        let batch = match shared.lanes.next(wait) {
            Next::Batch(batch) => batch,
            Next::Timeout => Batch::default(),
            Next::Closed => {
                release(flush(machine, shared)?, shared, sink);
                return Ok(());
            }
        };
        shared.meter.batch(batch.len());
        let now = clock::now();
        woken = machine.next_wakeup().is_some_and(|due| due <= now.mono);
        if woken {
            machine.handle(now, Input::Wakeup);
        }
        handle(machine, batch.prompt, shared, sink)?;
        // However many ask, a batch with transfers is not put off for more of them than a batch holds.
        let (mut is_urgent, mut room) = (batch.is_urgent, BATCH_INPUTS_MAX);
        for transfer in batch.bulk {
            let urgent = shared.lanes.urgent(room);
            room -= urgent.len();
            is_urgent |= !urgent.is_empty();
            handle(machine, urgent, shared, sink)?;
            if std::mem::take(&mut is_urgent) {
                // A flush of their own costs a transfer less than the transfer would cost them.
                release(flush(machine, shared)?, shared, sink);
            }
            handle(machine, [transfer], shared, sink)?;
        }
        handle(machine, batch.notices, shared, sink)?;
        release(flush(machine, shared)?, shared, sink);
    }
}

fn handle(
    machine: &mut impl Machine,
    inputs: impl IntoIterator<Item = Input>,
    shared: &Shared,
    sink: &mut Sink,
) -> Result<(), FlushError> {
    for input in inputs {
        let enters = matches!(input, Input::Command(_, Command::Enter(..)));
        machine.handle(clock::now(), input);
        if enters {
            // The mesh changes with the answer: nothing later in the batch may be judged by the old one.
            release(flush(machine, shared)?, shared, sink);
        }
    }
    Ok(())
}

/// Makes what was handled durable, and takes note of how long that took.
fn flush(machine: &mut impl Machine, shared: &Shared) -> Result<Vec<Output>, FlushError> {
    let begun = Instant::now();
    let flushed = machine.flush();
    shared.meter.flush(begun.elapsed(), flushed.is_ok());
    flushed
}

/// Obeys outputs in order; replies to who gave up waiting are dropped.
fn release(outputs: Vec<Output>, shared: &Shared, sink: &mut Sink) {
    // Before anything else: links to a mesh that was entered may come up while the rest is released.
    for output in &outputs {
        if let Output::Reply(_, answer) = output
            && let Ok(Answer::Joined { mesh, .. }) = answer.as_ref()
        {
            shared.set_mesh(*mesh);
        }
    }
    for output in outputs {
        match output {
            Output::Reply(request, answer) => {
                let reply = shared.waiting().replies.remove(&request);
                if reply.is_none_or(|reply| reply.send(*answer).is_err()) {
                    debug!(request = request.0, "nobody waits for the reply any more");
                }
            }
            Output::Event(event) => {
                // Nobody may be watching.
                let _ = shared.events.send(event);
            }
            output => sink(output),
        }
    }
}
