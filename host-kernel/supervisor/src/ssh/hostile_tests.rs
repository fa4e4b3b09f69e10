//! Clients that nobody let in: whatever they send, the server goes on.

use super::login::{Identity, Login};
use crate::fixtures::{self, SharedKernel};
use crate::shared::Shared;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embedded_io_async::{ErrorType, Read, Write};
use rand_core::{TryCryptoRng, TryRng};
use std::sync::Arc;
use zssh::{AuthMethod, Behavior, SecretKey, Transport};

/// What a client sends, in pieces of random length; what it is sent is counted.
struct Sent {
    bytes: Vec<u8>,
    position: usize,
    answered: usize,
}

impl ErrorType for Sent {
    type Error = Infallible;
}

impl Read for Sent {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = &self.bytes[self.position..];
        let len = rest.len().min(buffer.len()).min(1 + self.position % 61);
        buffer[..len].copy_from_slice(&rest[..len]);
        self.position += len;
        Ok(len)
    }
}

impl Write for Sent {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.answered += bytes.len();
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The server's answers to [`Login`]'s questions, over a stream of a test.
struct Server {
    stream: Sent,
    random: Dice,
    identity: Identity,
    shared: Arc<Shared>,
}

impl Behavior for Server {
    type Stream = Sent;
    type Random = Dice;
    type User = ();
    type Command = ();

    fn stream(&mut self) -> &mut Sent {
        &mut self.stream
    }

    fn random(&mut self) -> &mut Dice {
        &mut self.random
    }

    fn host_secret_key(&self) -> &SecretKey {
        self.identity.host_key()
    }

    fn allow_user(&mut self, user: &str, method: &AuthMethod) -> Option<()> {
        Login::allows(&self.shared, user, method).map(|_| ())
    }

    fn allow_shell(&self) -> bool {
        true
    }

    fn parse_command(&mut self, _: &str) {}
}

/// A generator of numbers that look random (Marsaglia 2003, xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| u8::try_from(self.below(256)).unwrap())
            .collect()
    }
}

/// Keys that are no secret.
struct Dice(Numbers);

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.0.below(1 << 32)).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::try_from(self.0.below(usize::MAX)).unwrap())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0.bytes(bytes.len()));
        Ok(())
    }
}

impl TryCryptoRng for Dice {}

fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

/// Frames a payload as a packet without encryption (RFC 4253 §6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let len = u32::try_from(payload.len() + padding + 1).unwrap();
    let mut bytes = len.to_be_bytes().to_vec();
    bytes.push(u8::try_from(padding).unwrap());
    bytes.extend(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// A proposal of algorithms that the server agrees to.
fn proposal() -> Vec<u8> {
    let mut payload = vec![20];
    payload.extend([7; 16]);
    for list in [
        "curve25519-sha256,kex-strict-c-v00@openssh.com",
        "ssh-ed25519",
        "chacha20-poly1305@openssh.com",
        "chacha20-poly1305@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ] {
        payload.extend(string(list.as_bytes()));
    }
    payload.extend([0; 5]);
    payload
}

fn serve(bytes: Vec<u8>, shared: &Arc<Shared>) {
    let server = Server {
        stream: Sent {
            bytes,
            position: 0,
            answered: 0,
        },
        random: Dice(Numbers(88_172_645_463_325_252)),
        identity: Identity::new(&fixtures::settings()),
        shared: Arc::clone(shared),
    };
    let mut buffer = vec![0; super::session::PACKET_LEN];
    let mut transport = Transport::new(&mut buffer, server);
    let accepted = {
        let mut future = pin!(transport.accept());
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(accepted) => accepted.is_ok(),
            Poll::Pending => panic!("the stream never waits"),
        }
    };
    assert!(!accepted, "nobody is let in");
}

/// `DENALI_SEED` sets the first seed, `DENALI_CLIENTS` how many clients come (500).
#[test]
fn nothing_that_a_stranger_sends_ends_the_server() {
    let shared = Arc::new(Shared::new(SharedKernel::new(1000).supervisor()));
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let first: u64 = number("DENALI_SEED").unwrap_or(1);
    let clients: u64 = number("DENALI_CLIENTS").unwrap_or(500);
    for seed in first..first + clients {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut bytes = Vec::new();
        if numbers.below(16) > 0 {
            bytes.extend(b"SSH-2.0-stranger\r\n");
        }
        if numbers.below(4) > 0 {
            bytes.extend(packet(&proposal()));
            if numbers.below(3) > 0 {
                let mut exchange = vec![30];
                exchange.extend(string(&numbers.bytes(32)));
                bytes.extend(packet(&exchange));
                if numbers.below(2) > 0 {
                    bytes.extend(packet(&[21]));
                }
            }
        }
        for _ in 0..numbers.below(8) {
            let len = numbers.below(300);
            let mut payload = numbers.bytes(len + 1);
            if numbers.below(2) > 0 {
                payload[0] = [1, 2, 5, 20, 21, 30, 50, 90, 94, 98][numbers.below(10)];
            }
            if numbers.below(4) > 0 {
                bytes.extend(packet(&payload));
            } else {
                bytes.extend(payload);
            }
        }
        // Some packets are changed on their way.
        for _ in 0..numbers.below(4) {
            if let Some(byte) = (!bytes.is_empty()).then(|| numbers.below(bytes.len())) {
                bytes[byte] ^= 1 << numbers.below(8);
            }
        }
        serve(bytes, &shared);
    }
}
