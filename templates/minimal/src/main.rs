//! Answers every connection with a greeting.

#![no_std]
#![cfg_attr(denali, no_main)]

use denali_rt::io::{Result, Write};
use denali_rt::net::TcpListener;

denali_rt::entry!(main);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\nhello from Denali!\n";

fn main() -> Result<()> {
    let listener = TcpListener::bind(80)?;
    loop {
        let (mut stream, peer) = listener.accept()?;
        denali_rt::println!("greeting {peer}");
        // A client that goes away early is its own problem, not the service's.
        let _ = stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(ANSWER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo denali test` runs this inside a VM.
    #[denali_rt::test]
    fn the_port_is_free_once() -> Result<()> {
        let _listener = TcpListener::bind(80)?;
        assert!(TcpListener::bind(80).is_err());
        Ok(())
    }
}
