//! Counts those who call, and says who it is and what it knows whenever it goes on as another.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::format;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use denali_rt::block::{BLOCK_LEN, Volume};
use denali_rt::io::{self, Write as _};
use denali_rt::net::{self, TcpListener, TcpStream};
use denali_rt::time::{Duration, Instant};
use denali_rt::{on_resume, println, random, registers, resume, thread, time};

denali_rt::entry!(main);

const PORT: u16 = 7;

/// How often it looks whether it is still who it was.
const LOOK: Duration = Duration::from_millis(20);

static CALLS: AtomicU64 = AtomicU64::new(0);
static HOOKED: AtomicU32 = AtomicU32::new(0);

fn main() -> io::Result<()> {
    let known = on_resume(|| {
        HOOKED.fetch_add(1, Ordering::Relaxed);
    });
    known.map_err(|_| io::ErrorKind::OutOfMemory)?;
    let origin = net::wait_until_configured(Duration::from_secs(30))?.address;
    if let Some(volume) = Volume::open("data") {
        volume.write(0, &[0x5a; BLOCK_LEN])?;
        volume.flush()?;
    }
    // Some bytes stay in the runtime's buffer, which every clone has.
    let drawn = random::u64();
    thread::spawn(|| serve().unwrap_or_else(|error| println!("served no more: {error}")));
    println!("began at {origin}, drew {drawn:016x}");
    let (mut generation, mut last) = (resume::generation(), Instant::now());
    loop {
        thread::sleep(LOOK);
        let now = Instant::now();
        if now < last {
            println!("the clock ran backwards");
        }
        last = now;
        if resume::generation() != generation {
            generation = resume::generation();
            tell(generation, origin.into());
        }
    }
}

/// Answers calls.
fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(PORT)?;
    println!("listening");
    loop {
        let (mut stream, peer) = listener.accept()?;
        let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let line = format!("call {count} from {}\n", peer.ip());
        stream.write_all(line.as_bytes()).ok();
    }
}

/// Says who this is now; a clone calls the one it was.
fn tell(generation: u32, origin: IpAddr) {
    let calls = CALLS.load(Ordering::Relaxed);
    let hooked = HOOKED.load(Ordering::Relaxed);
    let address = net::wait_until_configured(Duration::from_secs(30)).map(|it| it.address);
    let Ok(address) = address else {
        return println!("has no address any more");
    };
    let [.., a, b, c] = registers::network().mac;
    let wall = time::wall().as_secs();
    let drawn = random::u64();
    println!(
        "resumed {generation} hooks {hooked} calls {calls} drew {drawn:016x} \
         mac {a:02x}{b:02x}{c:02x} at {address} wall {wall}"
    );
    if let Some(volume) = Volume::open("data") {
        let mut block = [0; BLOCK_LEN];
        let found = volume
            .read(0, &mut block)
            .map(|()| block == [0x5a; BLOCK_LEN]);
        println!("volume {found:?}");
    }
    if IpAddr::from(address) != origin {
        match ask(SocketAddr::new(origin, PORT)) {
            Ok(answer) => println!("answered: {}", answer.trim()),
            Err(error) => println!("not answered: {error}"),
        }
    }
}

fn ask(server: SocketAddr) -> io::Result<alloc::string::String> {
    let stream = TcpStream::connect(server)?;
    let mut line = [0; 64];
    let count = stream.read(&mut line)?;
    Ok(alloc::string::String::from_utf8_lossy(&line[..count]).into_owned())
}
