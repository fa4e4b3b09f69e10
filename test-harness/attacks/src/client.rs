//! The victim's client: another VM, which asks it all the time and tells how long each answer took.
//!
//! Its clock is the host's. Where an emulator counts instructions as time, its figures do not depend
//! on what else the emulator's own machine does.

use crate::victim;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::{Ipv4Addr, SocketAddr};
use denali_rt::io::Write as _;
use denali_rt::net::TcpStream;
use denali_rt::time::{Duration, Instant};

/// The argument that makes a client of the image; the victim's address follows.
pub const CLIENT: &str = "client";

/// Pause between an answer and the next question: long enough that the victim, beside a dozen
/// others, wants less of the CPU than it is entitled to.
const PAUSE: Duration = Duration::from_millis(12);

/// Asks for ever: a line on the console for each answer, `NANOSECONDS` or what is wrong with it.
///
/// # Errors
///
/// The address is none.
pub fn ask(address: &str) -> Result<(), String> {
    let address: Ipv4Addr = address.parse().map_err(|_| format!("`{address}`"))?;
    let victim = SocketAddr::new(address.into(), 80);
    for nonce in 0_u64.. {
        let nonce = format!("{nonce:x}");
        let expected = victim::expected(&nonce);
        let start = Instant::now();
        let answer = answer(victim, &nonce);
        let took = start.elapsed();
        match answer {
            Ok(answer) if answer.ends_with(&expected) => denali_rt::println!("{}", took.as_nanos()),
            Ok(answer) => denali_rt::println!("wrong: {answer:?}"),
            Err(error) => denali_rt::println!("wrong: {error}"),
        }
        denali_rt::thread::sleep(PAUSE);
    }
    Ok(())
}

fn answer(victim: SocketAddr, nonce: &str) -> Result<String, String> {
    let read = || {
        let mut stream = TcpStream::connect(victim)?;
        stream.write_all(format!("GET /{nonce} HTTP/1.1\r\nHost: victim\r\n\r\n").as_bytes())?;
        let mut answer = alloc::vec::Vec::new();
        let mut part = [0; 512];
        loop {
            match stream.read(&mut part)? {
                0 => return Ok(answer),
                len => answer.extend_from_slice(&part[..len]),
            }
        }
    };
    let answer = read().map_err(|error: denali_rt::io::Error| error.to_string())?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
