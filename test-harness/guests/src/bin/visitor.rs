//! Asks services for their pages, as arguments say, and tells how long they took:
//! `FIRST COUNT REQUESTS SEED` asks `REQUESTS` times one at random of the `COUNT` services from the
//! address `FIRST` on, or each of them once if that is 0.

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use denali_rt::io::Write;
use denali_rt::net::TcpStream;
use denali_rt::time::Instant;
use denali_rt::{println, thread};

denali_rt::entry!(main);

/// How often a service is asked until it counts as silent.
const TRIES: u32 = 3;

/// How many services are asked at a time.
const VISITORS: usize = 8;

/// What was found out.
#[derive(Default)]
struct Visit {
    /// The page that all have.
    page: Option<Vec<u8>>,
    took_us: Vec<u64>,
    silent: u32,
    wrong: u32,
}

fn main() {
    let arguments: Vec<String> = denali_rt::env::args().map(String::from).collect();
    let [first, numbers @ ..] = arguments.as_slice() else {
        println!("usage: FIRST COUNT REQUESTS SEED");
        return;
    };
    let first: Ipv4Addr = first.parse().expect("an address");
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [count, requests, mut seed] = numbers[..] else {
        println!("usage: FIRST COUNT REQUESTS SEED");
        return;
    };
    let address = |nth: u64| {
        let nth = u32::try_from(nth).expect("few services");
        Ipv4Addr::from_bits(first.to_bits() + nth)
    };
    let chosen: Vec<Ipv4Addr> = if requests == 0 {
        (0..count).map(address).collect()
    } else {
        let next = |_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            address((seed >> 33) % count)
        };
        (0..requests).map(next).collect()
    };
    visit(chosen).tell();
    println!("visits are over");
}

/// Asks all these services, several at a time.
fn visit(addresses: Vec<Ipv4Addr>) -> Visit {
    let addresses = Arc::new(addresses);
    let visitors: Vec<_> = (0..VISITORS)
        .map(|nth| {
            let addresses = Arc::clone(&addresses);
            let mut visit = Visit::default();
            thread::spawn(move || {
                for &address in addresses.iter().skip(nth).step_by(VISITORS) {
                    visit.ask(address);
                }
                visit
            })
        })
        .collect();
    let mut all = Visit::default();
    for visitor in visitors {
        let mut visit = visitor.join();
        all.took_us.append(&mut visit.took_us);
        all.silent += visit.silent;
        all.wrong += visit.wrong;
        if all.page.is_none() {
            all.page = visit.page;
        } else if visit.page.is_some() && visit.page != all.page {
            all.wrong += 1;
        }
    }
    all
}

impl Visit {
    fn ask(&mut self, address: Ipv4Addr) {
        let started = Instant::now();
        for _ in 0..TRIES {
            let Some(page) = fetch(address) else { continue };
            if *self.page.get_or_insert_with(|| page.clone()) != page {
                self.wrong += 1;
                println!("{address}: another page than the first one");
            }
            let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.took_us.push(took);
            return;
        }
        self.silent += 1;
        println!("{address}: no answer");
    }

    /// Prints what was found out.
    fn tell(mut self) {
        self.took_us.sort_unstable();
        let answered = self.took_us.len();
        let at = |part: usize| {
            self.took_us
                .get(answered * part / 1000)
                .copied()
                .unwrap_or(0)
        };
        let Self { silent, wrong, .. } = &self;
        let (half, most, nearly, all) = (at(500), at(900), at(990), at(999));
        println!(
            "{answered} answered, {silent} silent, {wrong} wrong; \
             p50 {half} us, p90 {most} us, p99 {nearly} us, p99.9 {all} us"
        );
    }
}

/// Returns what a service answers to a request for its page, without the date.
fn fetch(address: Ipv4Addr) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::new(address.into(), 80)).ok()?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: visited\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        match stream.read(&mut piece).ok()? {
            0 => break,
            length => answer.extend_from_slice(piece.get(..length)?),
        }
    }
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let is_ok = answer.starts_with(b"HTTP/1.1 200");
    is_ok.then(|| answer.split_off(head + 4))
}
