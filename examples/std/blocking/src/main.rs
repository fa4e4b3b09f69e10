//! A guest book without a runtime for asynchronous code: tiny_http and a few threads that block.
//! `POST /` adds a line, `GET /` shows the last ones.

use denali_std as _;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread;
use tiny_http::{Method, Request, Response, Server};

/// Threads that answer.
const THREADS: usize = 8;

/// Most lines kept.
const LINES_MAX: usize = 100;

/// Longest line, in bytes.
const LINE_MAX: u64 = 1024;

type Book = Mutex<VecDeque<String>>;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let server = Arc::new(Server::http("0.0.0.0:80")?);
    println!("listening on port 80");
    let book = Arc::new(Book::default());
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (server, book) = (Arc::clone(&server), Arc::clone(&book));
            thread::spawn(move || {
                for request in server.incoming_requests() {
                    if let Err(error) = answer(request, &book) {
                        eprintln!("a client: {error}");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn answer(mut request: Request, book: &Book) -> std::io::Result<()> {
    match request.method() {
        Method::Get => {
            let lines: Vec<String> = lock(book).iter().cloned().collect();
            request.respond(Response::from_string(lines.concat()))
        }
        Method::Post => {
            let mut line = String::new();
            let read = request.as_reader().take(LINE_MAX).read_to_string(&mut line);
            if read.is_err() || line.trim().is_empty() {
                return request.respond(Response::empty(400));
            }
            let mut lines = lock(book);
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{}\n", line.trim()));
            drop(lines);
            request.respond(Response::empty(201))
        }
        _ => request.respond(Response::empty(405)),
    }
}

fn lock(book: &Book) -> std::sync::MutexGuard<'_, VecDeque<String>> {
    book.lock().expect("nobody panics with the book")
}
