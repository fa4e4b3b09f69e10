//! Echoes TCP on port 7 and UDP on port 7.

#![no_std]
#![cfg_attr(denali, no_main)]

use denali_rt::io::{Result, Write};
use denali_rt::net::{TcpListener, TcpStream, UdpSocket};
use denali_rt::thread;

denali_rt::entry!(main);

const PORT: u16 = 7;

fn main() -> Result<()> {
    let datagrams = UdpSocket::bind(PORT)?;
    thread::spawn(move || echo_datagrams(&datagrams));
    let listener = TcpListener::bind(PORT)?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || echo_stream(stream));
    }
}

fn echo_stream(mut stream: TcpStream) {
    let mut buffer = [0; 2048];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

fn echo_datagrams(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
        // A datagram that cannot be sent back is lost, as datagrams may be.
        let _ = socket.send_to(&buffer[..len], peer);
    }
}
