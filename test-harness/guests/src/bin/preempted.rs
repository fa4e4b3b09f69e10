//! Computes on threads that never wait, while others answer the network and keep appointments.
//!
//! The computing threads hold values in every vector register, a rounding mode and an FS base, and
//! look whether they are still there.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "names registers")]

extern crate alloc;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use denali_rt::io::Write;
use denali_rt::net::TcpListener;
use denali_rt::time::{Duration, Instant};
use denali_rt::{io, println, thread};

denali_rt::entry!(main);

/// Bytes of the registers looked after: sixteen of 32 bytes, or of 16 without AVX.
const LEN: usize = 16 * 32;

/// Turns of an empty loop between two looks: some milliseconds.
const TURNS: u64 = 2_000_000;

/// How often the second hand of this clock moves.
const TICK: Duration = Duration::from_millis(20);

/// What the computing threads found.
#[derive(Default)]
struct Findings {
    stop: AtomicBool,
    rounds: [AtomicU64; 2],
    wrong: AtomicU64,
}

fn main() -> io::Result<()> {
    let findings = Arc::new(Findings::default());
    let ticks = Arc::new(AtomicU64::new(0));
    let hogs: Vec<_> = (0..2)
        .map(|number| {
            let findings = Arc::clone(&findings);
            thread::spawn(move || compute(number, &findings))
        })
        .collect();
    let began = Instant::now();
    let clock = {
        let (findings, ticks) = (Arc::clone(&findings), Arc::clone(&ticks));
        thread::spawn(move || {
            while !findings.stop.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    answer()?;
    findings.stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(thread::JoinHandle::join);
    clock.join();
    let expected = began.elapsed().as_nanos() / TICK.as_nanos();
    let [one, two] = [0, 1].map(|nth| findings.rounds[nth].load(Ordering::Relaxed));
    let wrong = findings.wrong.load(Ordering::Relaxed);
    let ticks = ticks.load(Ordering::Relaxed);
    println!("rounds {one} {two} wrong {wrong} ticks {ticks} of {expected}");
    Ok(())
}

/// Sends back what clients say, until one says that it is enough.
fn answer() -> io::Result<()> {
    let listener = TcpListener::bind(7)?;
    println!("listening");
    let mut buffer = [0; 64];
    loop {
        let (mut stream, _) = listener.accept()?;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if buffer[..count] == *b"enough" {
                return Ok(());
            }
            stream.write_all(&buffer[..count])?;
        }
    }
}

/// Computes until told to stop.
fn compute(number: u8, findings: &Findings) {
    let avx = has_avx();
    let fs_base = has_fs_base().then_some(0x1000 * (u64::from(number) + 1));
    // Round up and round down (SDM vol. 1 §4.8.4).
    let mxcsr = if number == 0 { 0x5f80 } else { 0x3f80 };
    set_state(fs_base, mxcsr);
    let mut round = number;
    while !findings.stop.load(Ordering::Relaxed) {
        round = round.wrapping_add(2);
        let mut values = [0; LEN];
        for (value, position) in values.iter_mut().zip(0_u8..=255) {
            *value = position.wrapping_mul(31) ^ round;
        }
        let kept = if avx {
            keep_avx(&values)
        } else {
            keep_sse(&values)
        };
        let checked = if avx { LEN } else { LEN / 2 };
        if kept[..checked] != values[..checked] || state(fs_base.is_some()) != (fs_base, mxcsr) {
            findings.wrong.fetch_add(1, Ordering::Relaxed);
        }
        findings.rounds[usize::from(number)].fetch_add(1, Ordering::Relaxed);
    }
}

fn has_avx() -> bool {
    const XSAVE_ENABLED: u32 = 1 << 27;
    const AVX: u32 = 1 << 28;
    let needed = XSAVE_ENABLED | AVX;
    if __cpuid(1).ecx & needed != needed {
        return false;
    }
    let enabled: u32;
    // SAFETY: XGETBV is there if the operating system uses XSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack));
    }
    enabled & 6 == 6
}

fn has_fs_base() -> bool {
    __cpuid_count(7, 0).ebx & 1 != 0
}

fn set_state(fs_base: Option<u64>, mxcsr: u32) {
    if let Some(base) = fs_base {
        // SAFETY: CPUID offers the instruction, and nobody uses FS.
        unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack)) };
    }
    // SAFETY: masks all exceptions; nothing here computes with fractions.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack)) };
}

fn state(has_fs_base: bool) -> (Option<u64>, u32) {
    let mut base = 0_u64;
    if has_fs_base {
        // SAFETY: CPUID offers the instruction.
        unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack)) };
    }
    let mut mxcsr = 0_u32;
    // SAFETY: writes the four bytes of the variable.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack)) };
    (has_fs_base.then_some(base), mxcsr & 0xffc0)
}

/// Loads registers, waits in a loop, and returns what they hold then.
macro_rules! keep {
    ($name:ident, $move:literal, $kind:literal, $width:literal) => {
        fn $name(values: &[u8; LEN]) -> [u8; LEN] {
            let mut kept = [0; LEN];
            // SAFETY: reads and writes at most `LEN` bytes at each pointer with instructions the
            // CPU has; everything else it touches is named.
            unsafe {
                asm!(
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                    concat!($move, " ", $kind, "\\n, [{from} + \\n * ", $width, "]"),
                    ".endr",
                    "2:", "dec {turns}", "jnz 2b",
                    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                    concat!($move, " [{to} + \\n * ", $width, "], ", $kind, "\\n"),
                    ".endr",
                    from = in(reg) values.as_ptr(),
                    to = in(reg) kept.as_mut_ptr(),
                    turns = inout(reg) TURNS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nostack),
                );
            }
            kept
        }
    };
}

keep!(keep_sse, "movdqu", "xmm", "16");
keep!(keep_avx, "vmovdqu", "ymm", "32");
