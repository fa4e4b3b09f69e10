//! Counts the words of each line it is sent, in ordinary Rust: `std`, threads and sockets.
//!
//! `cargo run` runs it on this machine, `cargo denali run` in a VM.

use denali_std as _;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const PORT: u16 = 7008;

/// Longest line taken, in bytes.
const LINE_MAX: u64 = 64 * 1024;

/// How often each word was seen, by all clients together.
type Words = Arc<Mutex<HashMap<String, u64>>>;

fn main() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    println!("listening on port {PORT}");
    let words = Words::default();
    for connection in listener.incoming() {
        let (stream, words) = (connection?, Arc::clone(&words));
        let serve = move || {
            if let Err(error) = serve(&stream, &words) {
                eprintln!("a client: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().stack_size(48 * 1024).spawn(serve) {
            eprintln!("refused a client: {error}");
        }
    }
    Ok(())
}

/// Answers each line with the number of its words that were new.
fn serve(stream: &TcpStream, words: &Words) -> Result<()> {
    use std::io::Read;

    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.by_ref().take(LINE_MAX).read_line(&mut line)? > 0 {
        let mut known = words.lock().expect("nobody panics while counting");
        let mut fresh = 0;
        for word in line.split_whitespace() {
            let count = known.entry(word.to_lowercase()).or_insert(0);
            fresh += u64::from(*count == 0);
            *count += 1;
        }
        let all = known.len();
        drop(known);
        // Written at once: each write is a segment of its own.
        let answer = format!("{fresh} new, {all} known\n");
        let mut writer = stream;
        writer.write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}
