//! Bulk streams to and from the guest `net_server`, of which every byte is compared.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The port it takes and gives them on.
pub const PORT: u16 = 5001;

/// How long one transfer may take.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// How the service sends.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Sending {
    /// As any stream.
    Controlled = b'd',
    /// Without congestion control.
    Uncontrolled = b'n',
}

/// Connects, and sets how long to wait for anything.
///
/// # Panics
///
/// If nobody listens.
#[must_use]
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a time-out");
    stream
}

/// Sends `len` bytes of a seed.
///
/// # Panics
///
/// If not all of them arrive.
pub fn upload(to: SocketAddr, seed: u64, len: u64) {
    let mut stream = request(to, b'u', seed, len);
    stream.write_all(&pattern(seed, len)).expect("all is sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut right = [0; 8];
    stream.read_exact(&mut right).expect("an answer");
    assert_eq!(u64::from_le_bytes(right), len, "right bytes of seed {seed}");
}

/// Receives `len` bytes of a seed.
///
/// # Panics
///
/// If they are others.
pub fn download(to: SocketAddr, seed: u64, len: u64) {
    download_with(to, Sending::Controlled, seed, len);
}

/// Does so from a service that sends in a way of its own.
///
/// # Panics
///
/// As [`download`].
pub fn download_with(to: SocketAddr, sending: Sending, seed: u64, len: u64) {
    let mut received = Vec::new();
    request(to, sending as u8, seed, len)
        .read_to_end(&mut received)
        .expect("all comes, and then the end");
    let expected = pattern(seed, len);
    assert_eq!(received.len(), expected.len(), "seed {seed}");
    let wrong = received.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "seed {seed}");
}

fn request(to: SocketAddr, what: u8, seed: u64, len: u64) -> TcpStream {
    let mut stream = connect(to);
    let words = [&[what][..], &seed.to_le_bytes(), &len.to_le_bytes()].concat();
    stream.write_all(&words).expect("sent");
    stream
}

/// Returns the bytes of a seed, as the service makes them (Marsaglia 2003, xorshift64).
fn pattern(seed: u64, len: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let len = usize::try_from(len).expect("it fits");
    words.flatten().take(len).collect()
}
