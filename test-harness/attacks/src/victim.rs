//! The victim: serves checked answers, and looks after secrets in memory and registers.
//!
//! Every answer proves that both are intact: `intact NONCE DIGEST`, with a digest of the request's
//! path and of the secret memory.

use crate::vector_state::keep_in_registers;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::hint::black_box;
use denali_rt::io::Write as _;
use denali_rt::net::{TcpListener, TcpStream};

/// Words of secret memory.
pub const WORDS: u64 = 32 << 10;

/// A secret that nobody else may ever find.
pub const CANARY: u64 = 0xca9a_12fe_ed5e_c2e7;

/// Turns of an empty loop with secrets in registers, for each answer.
const TURNS: u64 = 300_000;

/// Serves for ever.
///
/// # Errors
///
/// The network is not there, or a secret changed.
pub fn serve() -> Result<(), String> {
    let secrets: Vec<u64> = black_box((0..WORDS).map(secret).collect());
    let listener = TcpListener::bind(80).map_err(|error| error.to_string())?;
    denali_rt::println!("guarding");
    loop {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        // A client that goes away early is its own problem.
        let Ok(nonce) = read_nonce(&stream) else {
            continue;
        };
        let answer = match check(&secrets) {
            Ok(()) => format!(
                "intact {nonce} {:016x}\n",
                digest(&nonce, secrets.iter().copied())
            ),
            Err(what) => format!("broken: {what}\n"),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        let mut writer = &stream;
        if writer.write_all(head.as_bytes()).is_ok() {
            // As above.
            let _ = writer.write_all(answer.as_bytes());
        }
    }
}

/// Returns the answer of an intact victim.
#[must_use]
pub fn expected(nonce: &str) -> String {
    format!(
        "intact {nonce} {:016x}\n",
        digest(nonce, (0..WORDS).map(secret))
    )
}

fn check(secrets: &[u64]) -> Result<(), String> {
    let wrong = secrets
        .iter()
        .zip(0..)
        .find(|(word, index)| **word != secret(*index));
    if let Some((word, index)) = wrong {
        return Err(format!("word {index} is {word:#x}"));
    }
    if !keep_in_registers(CANARY, TURNS) {
        return Err(String::from("a register changed"));
    }
    Ok(())
}

/// Reads a request and returns its path without the slash.
fn read_nonce(stream: &TcpStream) -> Result<String, ()> {
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < 4096 {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return Err(()),
            Ok(len) => request.extend_from_slice(&part[..len]),
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).ok_or(())?;
    Ok(path.trim_start_matches('/').to_string())
}

const fn secret(index: u64) -> u64 {
    CANARY ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// FNV-1a over the nonce and the words.
fn digest(nonce: &str, words: impl Iterator<Item = u64>) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let start = nonce.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    words.fold(start, |hash, word| (hash ^ word).wrapping_mul(PRIME))
}
