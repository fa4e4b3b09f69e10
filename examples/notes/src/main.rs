//! Notes by name, over HTTP, on a volume: what was acknowledged survives power cuts.
//!
//! | module  | what                                  |
//! |---------|---------------------------------------|
//! | `store` | the database and the volume below it  |
//! | `http`  | requests in, answers out              |

#![no_std]
#![cfg_attr(denali, no_main)]

extern crate alloc;

mod http;
mod store;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use denali_rt::block::Volume;
use denali_rt::net::TcpListener;
use denali_rt::thread;
use store::Notes;

denali_rt::entry!(main);

/// The port, inside the VM.
const PORT: u16 = 80;

/// The volume, as the manifest calls it.
const VOLUME: &str = "data";

fn main() -> Result<(), String> {
    // The database keeps whole pages on the stack.
    let server = thread::Builder::new()
        .stack(thread::StackSize::Large)
        .spawn(serve)
        .map_err(|error| format!("no thread: {error}"))?;
    server.join()
}

fn serve() -> Result<(), String> {
    let volume = Volume::open(VOLUME).ok_or("this VM has no volume `data`")?;
    let notes = Arc::new(Notes::open(volume).map_err(|error| format!("notes: {error:?}"))?);
    let failed = |error| format!("network: {error}");
    let listener = TcpListener::bind(PORT).map_err(failed)?;
    log::info!("notes on port {PORT}");
    loop {
        let (stream, peer) = listener.accept().map_err(failed)?;
        let notes = Arc::clone(&notes);
        let spawned = thread::Builder::new()
            .stack(thread::StackSize::Large)
            .spawn(move || http::serve(stream, &notes));
        if let Err(error) = spawned {
            log::warn!("{peer}: {error}");
        }
    }
}
