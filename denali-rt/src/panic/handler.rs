//! What a guest does when it panics.

use super::backtrace;
use crate::console::Writer;
use crate::interrupt;
use crate::process;
use crate::thread::scheduler;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Set by the first panic; a panic while reporting one must not report again.
static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The report is whole, and the VM ends with it.
    let _masked = interrupt::mask();
    if PANICKING.swap(true, Ordering::Relaxed) {
        process::abort();
    }
    let mut console = Writer::new();
    // The console takes everything; there would be nobody to tell otherwise.
    let _ = report(&mut console, info, backtrace::frame_pointer());
    drop(console);
    process::abort()
}

fn report(console: &mut Writer, info: &PanicInfo<'_>, frame: u64) -> fmt::Result {
    console.write_str("thread '")?;
    let mut written = Ok(());
    scheduler::with_current_name(|name| written = console.write_str(name));
    written?;
    console.write_str("' panicked")?;
    if let Some(location) = info.location() {
        write!(console, " at {location}")?;
    }
    writeln!(console, ":\n{}", info.message())?;
    backtrace::write(console, frame)
}
