//! General registers as the stubs of `idt.rs` and `switch.rs` push them.

use core::fmt;

/// General registers as the stubs push them, lowest address first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) rdx: u64,
    pub(crate) rcx: u64,
    pub(crate) rax: u64,
    pub(crate) vector: u64,
    pub(crate) error: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

// The CPU aligns the stack it pushes on to 16 bytes (SDM vol. 3A §6.14.2).
const _: () = assert!(size_of::<Registers>().is_multiple_of(16));

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rbp,
            rsp,
            ..
        } = self;
        let Self {
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags,
            cs,
            ss,
            ..
        } = self;
        writeln!(
            f,
            "  rip {rip:016x}  cs  {cs:04x}  rflags {rflags:08x}  ss {ss:04x}"
        )?;
        writeln!(
            f,
            "  rax {rax:016x}  rbx {rbx:016x}  rcx {rcx:016x}  rdx {rdx:016x}"
        )?;
        writeln!(
            f,
            "  rsi {rsi:016x}  rdi {rdi:016x}  rbp {rbp:016x}  rsp {rsp:016x}"
        )?;
        writeln!(
            f,
            "  r8  {r8:016x}  r9  {r9:016x}  r10 {r10:016x}  r11 {r11:016x}"
        )?;
        write!(
            f,
            "  r12 {r12:016x}  r13 {r13:016x}  r14 {r14:016x}  r15 {r15:016x}"
        )
    }
}
