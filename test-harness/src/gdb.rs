//! QEMU's debugger stub: registers of a processor that stands still, set as no program could.
//!
//! The GDB remote protocol (GDB manual, appendix E): `$data#checksum`, each packet acknowledged
//! with `+`, numbers in hexadecimal digits, registers in little-endian order.

use crate::host::free_port;
use anyhow::{Context as _, Result, ensure};
use denali_build::qmp::Monitor;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A general register or the instruction pointer, by its number in the protocol for x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// The stack pointer.
    Rsp = 7,
    /// The instruction pointer.
    Rip = 16,
}

impl Register {
    /// Returns where its hexadecimal digits are among those of all registers, eight bytes each.
    const fn digits(self) -> std::ops::Range<usize> {
        let start = 16 * self as usize;
        start..start + 16
    }
}

/// A machine that stands still while this lives.
#[derive(Debug)]
pub struct Debugger {
    stream: TcpStream,
}

impl Debugger {
    /// Stops a machine.
    ///
    /// # Errors
    ///
    /// QEMU offers no debugger.
    pub fn stop(monitor: &mut Monitor) -> Result<Self> {
        let port = free_port();
        monitor.human(&format!("gdbserver tcp:127.0.0.1:{port}"))?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("QEMU's debugger")?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut debugger = Self { stream };
        debugger.ask("?")?;
        Ok(debugger)
    }

    /// Returns a register.
    ///
    /// # Errors
    ///
    /// The stub does not answer.
    pub fn register(&mut self, register: Register) -> Result<u64> {
        let all = self.ask("g")?;
        let digits = all.get(register.digits()).context("all registers")?;
        let value = u64::from_str_radix(digits, 16).with_context(|| format!("{digits:?}"))?;
        Ok(value.swap_bytes())
    }

    /// Sets a register.
    ///
    /// # Errors
    ///
    /// The stub refuses.
    pub fn set_register(&mut self, register: Register, value: u64) -> Result<()> {
        let mut all = self.ask("g")?;
        ensure!(all.get(register.digits()).is_some(), "registers: {all:?}");
        all.replace_range(register.digits(), &format!("{:016x}", value.swap_bytes()));
        let answer = self.ask(&format!("G{all}"))?;
        ensure!(answer == "OK", "{register:?}: {answer:?}");
        Ok(())
    }

    /// Lets the machine go on.
    ///
    /// # Errors
    ///
    /// The stub refuses.
    pub fn go_on(mut self) -> Result<()> {
        self.ask("D").map(drop)
    }

    /// Sends a packet and returns the answer's data. That the machine has stopped is told unasked,
    /// too.
    fn ask(&mut self, data: &str) -> Result<String> {
        let sum = data.bytes().fold(0_u8, u8::wrapping_add);
        write!(self.stream, "${data}#{sum:02x}")?;
        loop {
            let answer = self.answer()?;
            if data == "?" || !answer.starts_with('T') {
                return Ok(answer);
            }
        }
    }

    fn answer(&mut self) -> Result<String> {
        let mut byte = [0];
        let mut read = || -> Result<u8> {
            self.stream
                .read_exact(&mut byte)
                .context("QEMU's debugger is silent")?;
            Ok(byte[0])
        };
        while read()? != b'$' {}
        let mut answer = String::new();
        loop {
            match read()? {
                b'#' => break,
                byte => answer.push(byte.into()),
            }
        }
        // Its checksum; what TCP brings is not checked again.
        read()?;
        read()?;
        self.stream.write_all(b"+")?;
        Ok(answer)
    }
}
