//! Players come, play, fall silent and go.
//!
//! | file        | what                                                     |
//! |-------------|----------------------------------------------------------|
//! | `cookie.rs` | proof that somebody gets datagrams where it says it is   |
//! | `player.rs` | what the server knows of one who plays                   |
//! | `status.rs` | the questions every server browser asks                  |

mod cookie;
mod player;
mod status;
#[cfg(test)]
mod tests;

use crate::interest::seen_by;
use crate::pace::Delays;
use crate::protocol::{Delta, FromClient, FromServer, Refusal, Snapshot};
use crate::world::{PLAYERS_MAX, TICKS_PER_SECOND, World};
use alloc::string::String;
use alloc::vec::Vec;
use cookie::Cookies;
use core::net::SocketAddr;
use player::Player;

/// Ticks after which a silent player is gone.
pub const SILENCE_MAX: u32 = 5 * TICKS_PER_SECOND;

/// Datagrams of a player that are looked at in a tick; clients send one.
pub const DATAGRAMS_PER_TICK: u32 = 8;

/// Answers to strangers in a tick. Whoever floods the server gets no flood out of it.
pub const STRANGERS_PER_TICK: u32 = 64;

/// What the server is told when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What browsers show.
    pub name: String,
    /// Most players, up to [`PLAYERS_MAX`].
    pub players_max: usize,
    /// Where the world's randomness begins.
    pub seed: u64,
    /// What cookies are made with; nobody else may know it.
    pub secret: [u8; 32],
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Players that came in.
    pub joined: u64,
    /// Players that were silent for too long.
    pub timed_out: u64,
    /// Snapshots sent.
    pub snapshots: u64,
    /// Their bytes.
    pub snapshot_bytes: u64,
    /// Snapshots with everything in them, for want of one to be based on.
    pub full_snapshots: u64,
    /// Datagrams that made no sense, or came from somebody else than they said.
    pub rejected: u64,
    /// Datagrams beyond what is looked at in a tick.
    pub flooded: u64,
}

/// Datagrams to be sent.
pub type Outgoing = Vec<(SocketAddr, Vec<u8>)>;

/// The server, without sockets and clock.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    world: World,
    players: Vec<Player>,
    cookies: Cookies,
    strangers: u32,
    last_token: u32,
    counters: Counters,
    lateness: Delays,
}

impl Server {
    /// Makes a server without players.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            world: World::new(settings.seed),
            cookies: Cookies::new(settings.secret),
            settings,
            players: Vec::new(),
            strangers: 0,
            last_token: 0,
            counters: Counters::default(),
            lateness: Delays::default(),
        }
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns how many play.
    #[must_use]
    pub fn players(&self) -> usize {
        self.players.len()
    }

    /// Acts on a datagram.
    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8], out: &mut Outgoing) {
        if let Some(player) = self
            .players
            .iter_mut()
            .find(|player| player.address == from)
        {
            player.datagrams += 1;
            if player.datagrams > DATAGRAMS_PER_TICK {
                self.counters.flooded += 1;
                return;
            }
        } else {
            self.strangers += 1;
            if self.strangers > STRANGERS_PER_TICK {
                self.counters.flooded += 1;
                return;
            }
        }
        if let Some(answer) = status::answer(self, datagram) {
            out.push((from, answer));
            return;
        }
        match FromClient::decode(datagram) {
            Some(FromClient::Join {
                nonce,
                cookie,
                name,
            }) => {
                let answer = self.join(from, nonce, cookie, name);
                out.push((from, answer.encode()));
            }
            Some(FromClient::Input {
                token,
                ack,
                sequence,
                inputs,
            }) => match self.player(from, token) {
                Some(player) => player.heard(ack, sequence, &inputs),
                None => self.counters.rejected += 1,
            },
            Some(FromClient::Leave { token }) => match self.player(from, token) {
                Some(player) => player.is_leaving = true,
                None => self.counters.rejected += 1,
            },
            None => self.counters.rejected += 1,
        }
    }

    /// Lets a tick pass, which began `late_us` microseconds after it was due.
    pub fn tick(&mut self, late_us: u32, out: &mut Outgoing) {
        self.lateness.note(late_us);
        self.strangers = 0;
        self.dismiss(out);
        for player in &mut self.players {
            player.datagrams = 0;
            player.silence += 1;
            if let Some(input) = player.next_input() {
                self.world.steer(player.id, input);
            }
        }
        self.world.step();
        self.cookies.tick();
        for player in &mut self.players {
            let snapshot = seen_by(&self.world, player.id);
            let (message, is_full) = show(player, snapshot);
            let bytes = message.encode();
            self.counters.snapshots += 1;
            self.counters.full_snapshots += u64::from(is_full);
            self.counters.snapshot_bytes += bytes.len() as u64;
            out.push((player.address, bytes));
        }
    }

    /// Lets those go who leave or were silent for too long.
    fn dismiss(&mut self, out: &mut Outgoing) {
        let (world, counters) = (&mut self.world, &mut self.counters);
        self.players.retain(|player| {
            let why = match (player.is_leaving, player.silence >= SILENCE_MAX) {
                (true, _) => Refusal::Left,
                (false, true) => Refusal::TimedOut,
                (false, false) => return true,
            };
            counters.timed_out += u64::from(why == Refusal::TimedOut);
            world.leave(player.id);
            out.push((player.address, FromServer::Gone { why }.encode()));
            false
        });
    }

    fn join(&mut self, from: SocketAddr, nonce: u32, cookie: u64, name: String) -> FromServer {
        // One whose answer was lost asks again.
        if let Some(player) = self.players.iter().find(|player| player.address == from) {
            let (token, player) = (player.token, player.id);
            return FromServer::Accept {
                nonce,
                token,
                player,
            };
        }
        if !self.cookies.fits(from, cookie) {
            let cookie = self.cookies.bake(from);
            return FromServer::Challenge { nonce, cookie };
        }
        let has_room = self.players.len() < self.settings.players_max.min(PLAYERS_MAX);
        let Some(id) = has_room.then(|| self.world.enter()).flatten() else {
            let why = Refusal::Full;
            return FromServer::Refuse { nonce, why };
        };
        // A token is no secret of its own: only datagrams from the same address count.
        self.last_token = self.last_token.wrapping_add(1);
        let token = self.last_token;
        self.counters.joined += 1;
        self.players.push(Player::new(from, token, id, name));
        FromServer::Accept {
            nonce,
            token,
            player: id,
        }
    }

    fn player(&mut self, from: SocketAddr, token: u32) -> Option<&mut Player> {
        let is_it = |player: &&mut Player| player.address == from && player.token == token;
        self.players.iter_mut().find(is_it)
    }
}

/// Returns what tells a player what it sees, and whether that had to be everything.
fn show(player: &mut Player, snapshot: Snapshot) -> (FromServer, bool) {
    let nothing = Snapshot::default();
    let baseline = player.baseline().unwrap_or(&nothing);
    let is_full = baseline.tick == 0;
    let message = FromServer::Snapshot {
        tick: snapshot.tick,
        input: player.last_input(),
        delta: Delta::between(baseline, &snapshot),
    };
    player.remember(snapshot);
    (message, is_full)
}
