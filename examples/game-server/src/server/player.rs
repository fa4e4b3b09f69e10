//! What the server knows of one who plays.

use crate::protocol::{Input, Snapshot};
use alloc::collections::VecDeque;
use alloc::string::String;
use core::net::SocketAddr;

/// Snapshots remembered for each player: one that acknowledges none of them gets everything anew.
const SNAPSHOTS_MAX: usize = 16;

/// Inputs that wait for their tick; of more, the oldest are skipped.
const INPUTS_WAITING_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Player {
    pub(super) address: SocketAddr,
    pub(super) token: u32,
    /// Its entity in the world.
    pub(super) id: u8,
    pub(super) name: String,
    /// Ticks since it was last heard of.
    pub(super) silence: u32,
    /// Datagrams it sent in this tick.
    pub(super) datagrams: u32,
    pub(super) is_leaving: bool,
    /// The latest snapshot that has arrived there.
    acknowledged: u32,
    snapshots: VecDeque<Snapshot>,
    /// The number of the latest input received.
    received: u32,
    /// The number of the latest input used.
    used: u32,
    waiting: VecDeque<(u32, Input)>,
}

impl Player {
    pub(super) fn new(address: SocketAddr, token: u32, id: u8, name: String) -> Self {
        Self {
            address,
            token,
            id,
            name,
            silence: 0,
            datagrams: 0,
            is_leaving: false,
            acknowledged: 0,
            snapshots: VecDeque::new(),
            received: 0,
            used: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes what its client says: what arrived there, and what the player wants.
    pub(super) fn heard(&mut self, ack: u32, sequence: u32, inputs: &[Input]) {
        self.silence = 0;
        // Acknowledging what was never sent would be a baseline nobody has.
        if ack > self.acknowledged && self.snapshots.iter().any(|snapshot| snapshot.tick == ack) {
            self.acknowledged = ack;
        }
        for (age, input) in inputs.iter().rev().enumerate().rev() {
            let number = u32::try_from(age)
                .ok()
                .and_then(|age| sequence.checked_sub(age));
            if let Some(number) = number.filter(|number| *number > self.received) {
                self.received = number;
                self.waiting.push_back((number, *input));
            }
        }
        while self.waiting.len() > INPUTS_WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// Returns the next input that waits. Of several the first is merged into the second, so that
    /// a delay on the way does not become one for good.
    pub(super) fn next_input(&mut self) -> Option<Input> {
        let (mut number, mut input) = self.waiting.pop_front()?;
        if let Some((later_number, later)) = self.waiting.pop_front() {
            number = later_number;
            input = Input {
                buttons: later.buttons | input.buttons & Input::FIRE,
                ..later
            };
        }
        self.used = number;
        Some(input)
    }

    /// Returns the number of the latest input used.
    pub(super) fn last_input(&self) -> u32 {
        self.used
    }

    /// Returns the snapshot that the next one may be based on.
    pub(super) fn baseline(&self) -> Option<&Snapshot> {
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.tick == self.acknowledged)
    }

    /// Keeps a snapshot that is sent.
    pub(super) fn remember(&mut self, snapshot: Snapshot) {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(snapshot);
    }
}
