//! A panic ends the VM: message, thread and place go to the console, the exit code is 101.

use crate::console::Writer;
use crate::process;
use crate::thread::scheduler;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Set by the first panic; a panic while reporting one must not report again.
static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.swap(true, Ordering::Relaxed) {
        process::abort();
    }
    let mut console = Writer::new();
    // The console takes everything; there would be nobody to tell otherwise.
    let _ = console.write_str("thread '");
    scheduler::with_current_name(|name| {
        let _ = console.write_str(name);
    });
    let _ = console.write_str("' panicked");
    if let Some(location) = info.location() {
        let _ = write!(console, " at {location}");
    }
    let _ = writeln!(console, ":\n{}", info.message());
    drop(console);
    process::abort()
}
