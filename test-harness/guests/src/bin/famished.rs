//! Takes all the memory there is, but for some small pieces, once a client has said something, and
//! echoes to that client with what is left.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::vec::Vec;
use denali_rt::io::{Result, Write};
use denali_rt::net::TcpListener;

denali_rt::entry!(main);

/// The pieces it takes.
const PIECES: [usize; 2] = [64 << 10, 8 << 10];

/// Most pieces.
const PIECES_MAX: usize = 512;

fn main() -> Result<()> {
    let listener = TcpListener::bind(7)?;
    let mut buffer = [0; 1024];
    // Whoever says nothing only looks whether somebody is there.
    let (mut stream, first) = loop {
        let (stream, _) = listener.accept()?;
        match stream.read(&mut buffer)? {
            0 => {}
            count => break (stream, count),
        }
    };
    let _hoard = hoard();
    stream.write_all(&buffer[..first])?;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}

/// Takes all memory that comes in such pieces.
fn hoard() -> Vec<Vec<u8>> {
    let mut hoard = Vec::with_capacity(PIECES_MAX);
    for piece in PIECES {
        while hoard.len() < PIECES_MAX {
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(piece).is_err() {
                break;
            }
            bytes.resize(piece, 1);
            hoard.push(bytes);
        }
    }
    hoard
}
