//! SQL over TCP: each line is a statement for SQLite, answered with its rows, values separated by
//! tabs, and a line `ok` or `error: …`. The database is a file on a volume: what was answered with `ok`
//! is there after a power cut.

use denali_std as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const PORT: u16 = 7011;

/// Longest statement, in bytes.
const STATEMENT_MAX: u64 = 64 * 1024;

/// The volume, which is a folder on other machines, and the database on it.
const FOLDER: &str = "data";
const FILE: &str = "data/tables.sqlite";

type Database = Arc<Mutex<Connection>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(FOLDER)?;
    let database = Database::new(Mutex::new(open()?));
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    println!("SQLite {} on port {PORT}", rusqlite::version());
    for stream in listener.incoming() {
        let (stream, database) = (stream?, Arc::clone(&database));
        thread::spawn(move || {
            if let Err(error) = serve(&stream, &database) {
                eprintln!("a client: {error}");
            }
        });
    }
    Ok(())
}

/// Opens the database, whose changes are durable when they are answered.
fn open() -> rusqlite::Result<Connection> {
    let database = Connection::open(FILE)?;
    // `FULL`, the default, leaves it to the next change to make durable that the journal is gone,
    // and a power cut before it takes this change back (https://sqlite.org/pragma.html).
    database.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(database)
}

fn serve(stream: &TcpStream, database: &Database) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut statement = String::new();
    while reader
        .by_ref()
        .take(STATEMENT_MAX)
        .read_line(&mut statement)?
        > 0
    {
        let database = database.lock().expect("nobody panics with the database");
        let mut answer = String::new();
        let end = match execute(&database, &statement, &mut answer) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        drop(database);
        let mut writer = stream;
        writer.write_all(format!("{answer}{end}\n").as_bytes())?;
        statement.clear();
    }
    Ok(())
}

/// Executes a statement and adds its rows to `answer`.
fn execute(database: &Connection, statement: &str, answer: &mut String) -> rusqlite::Result<()> {
    let mut statement = database.prepare(statement)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| text(row, column));
        let values: Vec<_> = values.collect::<rusqlite::Result<_>>()?;
        answer.push_str(&values.join("\t"));
        answer.push('\n');
    }
    Ok(())
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    })
}
