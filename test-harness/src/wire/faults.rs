//! The middle of a wire: frames are lost, doubled and overtaken, as a seed says.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a frame may be held back so that the next one overtakes it.
const HELD_MAX: Duration = Duration::from_millis(5);

/// Longest frame.
const FRAME_LEN_MAX: usize = 65_600;

/// How a wire mistreats frames, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mistreatment {
    /// Lost.
    pub lose: u32,
    /// Sent twice.
    pub duplicate: u32,
    /// Overtaken by the next.
    pub reorder: u32,
}

impl Mistreatment {
    /// The same parts for each.
    #[must_use]
    pub const fn all(per_mille: u32) -> Self {
        Self {
            lose: per_mille,
            duplicate: per_mille,
            reorder: per_mille,
        }
    }
}

/// What both directions follow.
#[derive(Debug, Default)]
struct Shared {
    lose: AtomicU32,
    duplicate: AtomicU32,
    reorder: AtomicU32,
    stopped: AtomicBool,
}

/// The two directions of a wire, until dropped.
pub struct Faults {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Faults {
    /// Carries frames that come to `ours[0]` on to `theirs[1]`, and the other way round.
    ///
    /// # Panics
    ///
    /// If the sockets cannot be made.
    #[must_use]
    pub fn start(ours: [String; 2], theirs: [String; 2], seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let [from_host, from_linux] = ours.map(|path| {
            let socket = UnixDatagram::bind(path).expect("a socket of ours");
            let patience = Some(HELD_MAX);
            socket.set_read_timeout(patience).expect("a time-out");
            socket
        });
        let [host, linux] = theirs;
        let threads = [(from_host, linux, seed), (from_linux, host, !seed)]
            .into_iter()
            .map(|(from, to, seed)| {
                let shared = shared.clone();
                thread::spawn(move || carry(&from, Path::new(&to), &shared, seed))
            })
            .collect();
        Self { shared, threads }
    }

    /// Mistreats frames from now on.
    pub fn set(&self, mistreatment: Mistreatment) {
        let Shared {
            lose,
            duplicate,
            reorder,
            ..
        } = &*self.shared;
        lose.store(mistreatment.lose, Ordering::Relaxed);
        duplicate.store(mistreatment.duplicate, Ordering::Relaxed);
        reorder.store(mistreatment.reorder, Ordering::Relaxed);
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            thread.join().ok();
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

fn carry(from: &UnixDatagram, to: &Path, shared: &Shared, seed: u64) {
    let socket = UnixDatagram::unbound().expect("a socket");
    // An end that is not there yet, or no more, loses what is sent to it, as a wire does.
    let send = |frame: &[u8]| {
        socket.send_to(frame, to).ok();
    };
    let mut random = seed | 1;
    let mut chance = |per_mille: &AtomicU32| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) % 1000 < u64::from(per_mille.load(Ordering::Relaxed))
    };
    let mut buffer = vec![0; FRAME_LEN_MAX];
    let mut held: Option<Vec<u8>> = None;
    while !shared.stopped.load(Ordering::Relaxed) {
        let frame = match from.recv(&mut buffer) {
            Ok(len) => &buffer[..len],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                held.take().iter().for_each(|frame| send(frame));
                continue;
            }
            Err(error) => panic!("the wire broke: {error}"),
        };
        if chance(&shared.lose) {
            continue;
        }
        if held.is_none() && chance(&shared.reorder) {
            held = Some(frame.to_vec());
            continue;
        }
        send(frame);
        if chance(&shared.duplicate) {
            send(frame);
        }
        held.take().iter().for_each(|frame| send(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_mistreatment_frames_come_in_order_and_with_it_in_the_parts_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let host = UnixDatagram::bind(path("host")).expect("a socket");
        host.set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a time-out");
        let faults = Faults::start([path("a"), path("b")], [path("host"), path("nobody")], 7);
        let linux = UnixDatagram::unbound().expect("a socket");
        let carried = |mistreatment| {
            faults.set(mistreatment);
            let mut received = Vec::new();
            for number in 0..1000_u32 {
                linux
                    .send_to(&number.to_le_bytes(), path("b"))
                    .expect("sent");
                if number % 4 == 3 {
                    let mut buffer = [0; 4];
                    let mut patience = 0;
                    while patience < 1 && received.len() < 4 * 1000 {
                        host.set_read_timeout(Some(Duration::from_millis(8)))
                            .expect("a time-out");
                        match host.recv(&mut buffer) {
                            Ok(_) => received.push(u32::from_le_bytes(buffer)),
                            Err(_) => patience += 1,
                        }
                    }
                }
            }
            received
        };
        let whole = carried(Mistreatment::default());
        assert_eq!(whole, (0..1000).collect::<Vec<_>>());
        let lost = carried(Mistreatment {
            lose: 100,
            ..Mistreatment::default()
        });
        assert!((850..950).contains(&lost.len()), "{}", lost.len());
        let doubled = carried(Mistreatment {
            duplicate: 100,
            ..Mistreatment::default()
        });
        assert!((1050..1150).contains(&doubled.len()), "{}", doubled.len());
        let mixed = carried(Mistreatment {
            reorder: 100,
            ..Mistreatment::default()
        });
        let inversions = mixed.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert_eq!(mixed.len(), 1000);
        assert!((30..150).contains(&inversions), "{inversions}");
    }
}
