//! Counts primes: each line `N` is answered with the number of primes below it, counted by rayon on
//! several threads; other clients are served meanwhile.

use denali_std as _;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

const PORT: u16 = 7012;

/// Threads that count.
const THREADS: usize = 4;

/// Largest number taken: a few seconds of work.
const LIMIT_MAX: u32 = 10_000_000;

/// Longest line, in bytes.
const LINE_MAX: u64 = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(THREADS).build()?);
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    println!("listening on port {PORT}");
    for stream in listener.incoming() {
        let (stream, pool) = (stream?, Arc::clone(&pool));
        thread::spawn(move || {
            if let Err(error) = serve(&stream, &pool) {
                eprintln!("a client: {error}");
            }
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, pool: &ThreadPool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.by_ref().take(LINE_MAX).read_line(&mut line)? > 0 {
        let answer = match line.trim().parse() {
            Ok(limit @ ..=LIMIT_MAX) => format!("{}\n", pool.install(|| primes_below(limit))),
            _ => format!("error: not a number up to {LIMIT_MAX}\n"),
        };
        let mut writer = stream;
        writer.write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}

fn primes_below(limit: u32) -> usize {
    (0..limit).into_par_iter().filter(|n| is_prime(*n)).count()
}

fn is_prime(n: u32) -> bool {
    let mut divisors = (3..).step_by(2).take_while(|d| d * d <= n);
    n == 2 || n > 2 && n % 2 == 1 && divisors.all(|d| n % d != 0)
}
