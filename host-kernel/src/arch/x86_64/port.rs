//! I/O ports.

#![expect(unsafe_code, reason = "port instructions")]

use x86_64::instructions::port::Port;

/// Reads a byte from `port`.
pub(crate) fn inb(port: u16) -> u8 {
    let mut port = Port::new(port);
    // SAFETY: reading a port of a PC's own devices has no effect on memory; this crate's callers
    // name ports of devices they own.
    unsafe { port.read() }
}

/// Writes a byte to `port`.
pub(crate) fn outb(port: u16, value: u8) {
    let mut port = Port::new(port);
    // SAFETY: as in `inb`; none of the devices driven by ports (PIC, PIT, RTC, UART, PCI
    // configuration, reset) reaches memory by itself.
    unsafe { port.write(value) }
}

/// Reads a dword from `port`.
pub(crate) fn inl(port: u16) -> u32 {
    let mut port = Port::new(port);
    // SAFETY: as in `inb`.
    unsafe { port.read() }
}

/// Writes a dword to `port`.
pub(crate) fn outl(port: u16, value: u32) {
    let mut port = Port::new(port);
    // SAFETY: as in `outb`; what PCI devices may reach is the business of their drivers, which
    // give them addresses of DMA memory alone.
    unsafe { port.write(value) }
}
