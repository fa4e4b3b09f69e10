//! Serves what loads the network: bulk streams on port 5001, echoes for thousands on port 7, and
//! what the VM holds on port 9.
//!
//! A bulk request is a letter, a seed and a length, both in eight bytes, least first. `u`: the bytes
//! of the seed come in, and the answer is how many of them were right. `d`: they go out; `n`: they go
//! out without congestion control.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use alloc::vec;
use denali_rt::io::{Read, Result, Write};
use denali_rt::net::{self, Buffers, Congestion, TcpListener, TcpStream};
use denali_rt::{registers, task, thread};

denali_rt::entry!(main);

/// Bytes handled at a time.
const PIECE: usize = 16 * 1024;

fn main() -> Result<()> {
    let bulk = TcpListener::bind(5001)?;
    bulk.set_buffers(Buffers::BULK)?;
    thread::spawn(move || {
        for stream in bulk.incoming().flatten() {
            thread::spawn(move || serve_bulk(stream));
        }
    });
    let status = TcpListener::bind(9)?;
    thread::spawn(move || {
        for mut stream in status.incoming().flatten() {
            // Who does not wait for the answer has none.
            let _ = stream.write_all(holdings().as_bytes());
        }
    });
    let echoes = TcpListener::bind(7)?;
    echoes.set_backlog(1024)?;
    denali_rt::println!("serving");
    task::block_on(async {
        let echoes = task::net::TcpListener::from(echoes);
        loop {
            let (stream, _) = echoes.accept().await?;
            // It goes on by itself.
            drop(task::spawn(async move {
                echo(&stream).await.unwrap_or_default();
            }));
        }
    })
}

/// Returns what the VM holds at the moment.
fn holdings() -> alloc::string::String {
    let stats = net::stats().unwrap_or_default();
    format!(
        "connections {} buffer_bytes {} pages {}\n",
        stats.connections,
        stats.buffer_bytes,
        registers::resident_pages()
    )
}

async fn echo(stream: &task::net::TcpStream) -> Result<()> {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => {
                let mut rest = &buffer[..count];
                while !rest.is_empty() {
                    let written = stream.write(rest).await?;
                    rest = &rest[written..];
                }
                stream.flush()?;
            }
        }
    }
}

fn serve_bulk(mut stream: TcpStream) {
    let mut request = [0; 17];
    if stream.read_exact(&mut request).is_err() {
        return;
    }
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&request[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (pattern, len) = (Pattern::new(word(1)), word(9));
    // A peer that goes away takes its answer with it.
    let _ = match request[0] {
        b'u' => take(&mut stream, pattern, len),
        b'n' => stream
            .set_congestion(Congestion::None)
            .and_then(|()| give(&mut stream, pattern, len)),
        _ => give(&mut stream, pattern, len),
    };
}

/// Reads `len` bytes and answers how many came before the first wrong one.
fn take(stream: &mut TcpStream, mut pattern: Pattern, len: u64) -> Result<()> {
    let (mut buffer, mut expected) = (vec![0; PIECE], vec![0; PIECE]);
    let mut right = 0;
    let mut left = len;
    while left > 0 {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let expected = &mut expected[..count];
        expected.fill_with(|| pattern.next());
        let same = buffer.iter().zip(&*expected).take_while(|(a, b)| a == b);
        let same = same.count();
        right += u64::try_from(same).unwrap_or(0);
        if same < count {
            break;
        }
        left -= u64::try_from(count).unwrap_or(0);
    }
    stream.write_all(&right.to_le_bytes())
}

fn give(stream: &mut TcpStream, mut pattern: Pattern, len: u64) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut left = len;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        buffer[..count].fill_with(|| pattern.next());
        stream.write_all(&buffer[..count])?;
        left -= u64::try_from(count).unwrap_or(0);
    }
    Ok(())
}

/// The bytes of a seed (Marsaglia 2003, xorshift64).
struct Pattern {
    state: u64,
    at: usize,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            at: 8,
        }
    }

    fn next(&mut self) -> u8 {
        if self.at == 8 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            self.at = 0;
        }
        self.at += 1;
        self.state.to_le_bytes()[self.at - 1]
    }
}
