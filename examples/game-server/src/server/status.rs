//! The questions every server browser asks: `getinfo` and `getstatus`, as Quake III Arena answers
//! them.
//!
//! A question is short and its answer is not, so anybody could make a server flood a third party
//! with answers. They are therefore few: each question counts as a stranger's datagram, of which so
//! many are looked at in a tick.

use super::Server;
use crate::protocol::DATAGRAM_MAX;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

const GETINFO: &[u8] = b"\xff\xff\xff\xffgetinfo";
const INFO: &[u8] = b"\xff\xff\xff\xffinfoResponse\n";
const GETSTATUS: &[u8] = b"\xff\xff\xff\xffgetstatus";
const STATUS: &[u8] = b"\xff\xff\xff\xffstatusResponse\n";

/// Longest text of the questioner's own that is sent back.
const CHALLENGE_MAX: usize = 32;

/// Returns the answer to a browser's question, if it is one.
pub(super) fn answer(server: &Server, datagram: &[u8]) -> Option<Vec<u8>> {
    if let Some(rest) = datagram.strip_prefix(GETINFO) {
        return Some(info(server, challenge(rest)));
    }
    let rest = datagram.strip_prefix(GETSTATUS)?;
    Some(status(server, challenge(rest)))
}

/// Returns what the questioner wants to recognize the answer by.
fn challenge(rest: &[u8]) -> &str {
    let text = core::str::from_utf8(rest).unwrap_or_default().trim_ascii();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain && text.len() <= CHALLENGE_MAX {
        text
    } else {
        ""
    }
}

fn info(server: &Server, challenge: &str) -> Vec<u8> {
    let name = &server.settings.name;
    let (players, most) = (server.players.len(), server.settings.players_max);
    let text = format!(
        "\\challenge\\{challenge}\\protocol\\68\\hostname\\{name}\\mapname\\arena\\clients\\{players}\
         \\sv_maxclients\\{most}\\gamename\\denali\\g_needpass\\0\n"
    );
    [INFO, text.as_bytes()].concat()
}

/// Returns the server's variables in one line, and a line for each player: score, ping, name.
fn status(server: &Server, challenge: &str) -> Vec<u8> {
    let counters = &server.counters;
    let lateness = &server.lateness;
    let mut text = format!(
        "\\challenge\\{challenge}\\sv_hostname\\{}",
        server.settings.name
    );
    let numbers = [
        ("sv_maxclients", server.settings.players_max as u64),
        ("ticks", server.world.tick().into()),
        ("late_mean_us", lateness.mean()),
        ("late_p99_us", lateness.percentile(99).into()),
        ("late_max_us", lateness.max().into()),
        ("joined", counters.joined),
        ("timed_out", counters.timed_out),
        ("snapshots", counters.snapshots),
        ("snapshot_bytes", counters.snapshot_bytes),
        ("full_snapshots", counters.full_snapshots),
        ("rejected", counters.rejected),
        ("flooded", counters.flooded),
    ];
    for (name, number) in numbers {
        push(&mut text, format_args!("\\{name}\\{number}"));
    }
    text.push_str("\\mapname\\arena\\gamename\\denali\\g_needpass\\0\n");
    for player in &server.players {
        let score = server
            .world
            .player(player.id)
            .map_or(0, |entity| entity.score);
        let line = format!("{score} 0 \"{}\"\n", player.name);
        if STATUS.len() + text.len() + line.len() <= DATAGRAM_MAX {
            text.push_str(&line);
        }
    }
    [STATUS, text.as_bytes()].concat()
}

fn push(text: &mut String, arguments: core::fmt::Arguments<'_>) {
    // A string takes everything.
    text.write_fmt(arguments).unwrap_or_default();
}
