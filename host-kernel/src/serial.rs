//! The first serial port, a 16550 by its ports: where the log goes.

use crate::arch::port::{inb, outb};

const BASE: u16 = 0x3f8;
const LINE_STATUS: u16 = BASE + 5;
const TRANSMIT_EMPTY: u8 = 0x20;
/// A byte takes 87 µs at 115,200 baud, a poll about one; a port that is not there reads all ones.
const POLLS_MAX: u32 = 10_000;

/// Sets 115,200 baud, 8 bits, no parity, FIFOs on, interrupts off.
pub(crate) fn start() {
    const SETTINGS: [(u16, u8); 7] = [
        (BASE + 1, 0x00),
        (BASE + 3, 0x80), // divisor follows
        (BASE, 0x01),
        (BASE + 1, 0x00),
        (BASE + 3, 0x03),
        (BASE + 2, 0xc7),
        (BASE + 4, 0x03),
    ];
    for (port, value) in SETTINGS {
        outb(port, value);
    }
}

/// Writes bytes; a line feed gets its carriage return.
pub(crate) fn write(bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' {
            write_byte(b'\r');
        }
        write_byte(byte);
    }
}

fn write_byte(byte: u8) {
    for _ in 0..POLLS_MAX {
        if inb(LINE_STATUS) & TRANSMIT_EMPTY != 0 {
            break;
        }
    }
    outb(BASE, byte);
}
