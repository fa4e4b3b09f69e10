//! What others left in registers: vectors, control words, segment bases.
//!
//! The victim keeps secrets in all of them while these attacks run beside it.

use crate::raw::peek;
use crate::{Attack, Outcome, ensure};
use core::arch::asm;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{GUEST_END, IMAGE_BASE};

/// Crossings an attack looks behind.
const CROSSINGS: usize = 2000;

/// MXCSR and x87 control word as a VM starts with them (ABI of `syscall`, System V).
const MXCSR: u32 = 0x1f80;
const CONTROL_WORD: u16 = 0x037f;

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    Attack::harmless("vectors-behind-a-hypercall", vectors_behind_hypercalls),
    Attack::harmless("vectors-kept-by-preemption", vectors_across_preemption),
    Attack::harmless("upper-halves-at-the-start", upper_halves),
    Attack::harmless("x87-registers-at-the-start", x87_registers),
    Attack::harmless("control-words-at-the-start", control_words),
    Attack::harmless("control-words-are-ones-own", own_control_words),
    Attack::harmless("segment-bases-at-the-start", segment_bases),
    Attack::harmless("segment-bases-are-ones-own", own_segment_bases),
    Attack::harmless("segment-bases-in-the-kernel", kernel_segment_bases),
    Attack::harmless("unmasked-x87-into-hypercall", unmasked_into_hypercall),
];

/// All sixteen vector registers, 256 bits each.
type Vectors = [[u64; 4]; 16];

/// Reads the vector registers behind a hypercall.
fn behind_hypercall() -> Vectors {
    let mut vectors: Vectors = [[0; 4]; 16];
    // SAFETY: writes the array and nothing else; vector registers are lost anyway.
    unsafe {
        asm!(
            "syscall",
            "vmovdqu [{to}], ymm0", "vmovdqu [{to} + 32], ymm1",
            "vmovdqu [{to} + 64], ymm2", "vmovdqu [{to} + 96], ymm3",
            "vmovdqu [{to} + 128], ymm4", "vmovdqu [{to} + 160], ymm5",
            "vmovdqu [{to} + 192], ymm6", "vmovdqu [{to} + 224], ymm7",
            "vmovdqu [{to} + 256], ymm8", "vmovdqu [{to} + 288], ymm9",
            "vmovdqu [{to} + 320], ymm10", "vmovdqu [{to} + 352], ymm11",
            "vmovdqu [{to} + 384], ymm12", "vmovdqu [{to} + 416], ymm13",
            "vmovdqu [{to} + 448], ymm14", "vmovdqu [{to} + 480], ymm15",
            "vzeroupper",
            to = in(reg) vectors.as_mut_ptr(),
            inlateout("rax") Hypercall::Yield.number() => _,
            clobber_abi("sysv64"),
        );
    }
    vectors
}

fn vectors_behind_hypercalls() -> Outcome {
    for crossing in 0..CROSSINGS {
        let vectors = behind_hypercall();
        let found = vectors.iter().flatten().find(|&&word| word != 0);
        ensure!(found.is_none(), "{found:x?} behind crossing {crossing}");
    }
    Ok(())
}

/// Keeps values in registers over many quanta; returns whether they are still there.
pub(crate) fn keep_in_registers(mark: u64, turns: u64) -> bool {
    let values = [mark, !mark, mark.rotate_left(17), mark ^ 0x5a5a];
    let mut kept = [[0_u64; 4]; 3];
    let (mut fs, mut gs): (u64, u64) = (mark >> 20, mark >> 21);
    // SAFETY: reads and writes the arrays named; 64-bit guests do not use FS and GS otherwise.
    unsafe {
        asm!(
            "vmovdqu ymm3, [{from}]", "vmovdqu ymm9, [{from}]", "vmovdqu ymm15, [{from}]",
            "wrfsbase {fs}", "wrgsbase {gs}",
            "2:", "dec {turns}", "jnz 2b",
            "rdfsbase {fs}", "rdgsbase {gs}",
            "vmovdqu [{to}], ymm3", "vmovdqu [{to} + 32], ymm9", "vmovdqu [{to} + 64], ymm15",
            "vzeroall",
            from = in(reg) values.as_ptr(),
            to = in(reg) kept.as_mut_ptr(),
            turns = inout(reg) turns => _,
            fs = inout(reg) fs,
            gs = inout(reg) gs,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
        );
    }
    kept == [values; 3] && (fs, gs) == (mark >> 20, mark >> 21)
}

fn vectors_across_preemption() -> Outcome {
    for round in 0..4_u64 {
        let mark = 0x0123_4567_89ab_cdef_u64.wrapping_mul(round + 1);
        ensure!(
            keep_in_registers(mark, 4_000_000),
            "a register changed in round {round}"
        );
    }
    Ok(())
}

/// Compiled code uses the lower halves alone, so the upper ones are as the VM started.
fn upper_halves() -> Outcome {
    let mut halves = [[0_u64; 2]; 16];
    // SAFETY: writes the array; `xmm0` is named.
    unsafe {
        asm!(
            "vextracti128 [{to}], ymm0, 1", "vextracti128 [{to} + 16], ymm1, 1",
            "vextracti128 [{to} + 32], ymm2, 1", "vextracti128 [{to} + 48], ymm3, 1",
            "vextracti128 [{to} + 64], ymm4, 1", "vextracti128 [{to} + 80], ymm5, 1",
            "vextracti128 [{to} + 96], ymm6, 1", "vextracti128 [{to} + 112], ymm7, 1",
            "vextracti128 [{to} + 128], ymm8, 1", "vextracti128 [{to} + 144], ymm9, 1",
            "vextracti128 [{to} + 160], ymm10, 1", "vextracti128 [{to} + 176], ymm11, 1",
            "vextracti128 [{to} + 192], ymm12, 1", "vextracti128 [{to} + 208], ymm13, 1",
            "vextracti128 [{to} + 224], ymm14, 1", "vextracti128 [{to} + 240], ymm15, 1",
            to = in(reg) halves.as_mut_ptr(),
            options(nostack),
        );
    }
    let found = halves.iter().flatten().find(|&&word| word != 0);
    ensure!(found.is_none(), "{found:x?} in an upper half");
    Ok(())
}

#[repr(C, align(16))]
struct Fxsave([u8; 512]);

fn fxsave() -> Fxsave {
    let mut area = Fxsave([0; 512]);
    // SAFETY: writes the area.
    unsafe { asm!("fxsave64 [{}]", in(reg) area.0.as_mut_ptr(), options(nostack)) };
    area
}

fn x87_registers() -> Outcome {
    let area = fxsave();
    let registers = &area.0[32..160];
    ensure!(
        registers.iter().all(|&byte| byte == 0),
        "x87 registers: {registers:x?}"
    );
    let pointers = &area.0[8..24];
    ensure!(
        pointers.iter().all(|&byte| byte == 0),
        "x87 pointers: {pointers:x?}"
    );
    ensure!(area.0[4] == 0, "x87 tags: {:#x}", area.0[4]);
    Ok(())
}

fn control_words() -> Outcome {
    let (mxcsr, control) = read_control_words();
    ensure!(
        mxcsr & !0x3f == MXCSR && control == CONTROL_WORD,
        "{mxcsr:#x}, {control:#x}"
    );
    Ok(())
}

fn read_control_words() -> (u32, u16) {
    let (mut mxcsr, mut control) = (0_u32, 0_u16);
    // SAFETY: writes the two words.
    unsafe {
        asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut control, options(nostack));
    }
    (mxcsr, control)
}

/// Another rounding mode must neither vanish nor reach a neighbour.
fn own_control_words() -> Outcome {
    let (mxcsr, control) = (0x7f80_u32, 0x0f7f_u16);
    // SAFETY: rounds toward zero from here on, which no code here depends on.
    unsafe {
        asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const mxcsr, in(reg) &raw const control, options(nostack));
    }
    for crossing in 0..CROSSINGS {
        denali_rt::hypercall::yield_cpu();
        let seen = read_control_words();
        ensure!(
            seen == (mxcsr, control),
            "{seen:x?} behind crossing {crossing}"
        );
    }
    Ok(())
}

fn bases() -> (u64, u64) {
    let (fs, gs);
    // SAFETY: reads two registers.
    unsafe { asm!("rdfsbase {}", "rdgsbase {}", out(reg) fs, out(reg) gs, options(nostack)) };
    (fs, gs)
}

fn set_bases(fs: u64, gs: u64) {
    // SAFETY: 64-bit guests do not use FS and GS otherwise.
    unsafe { asm!("wrfsbase {}", "wrgsbase {}", in(reg) fs, in(reg) gs, options(nostack)) };
}

/// By now the runtime has set FS to this thread's own block, which begins with its address (System V
/// ABI, thread-local storage).
fn segment_bases() -> Outcome {
    let (fs, gs) = bases();
    ensure!((IMAGE_BASE..GUEST_END).contains(&fs), "fs {fs:x}");
    ensure!(peek(fs) == fs && gs == 0, "fs {fs:x}, gs {gs:x}");
    Ok(())
}

fn own_segment_bases() -> Outcome {
    set_bases(0x1234_5000, 0x7fff_ffff_f000);
    for crossing in 0..CROSSINGS {
        denali_rt::hypercall::yield_cpu();
        let seen = bases();
        ensure!(
            seen == (0x1234_5000, 0x7fff_ffff_f000),
            "{seen:x?} behind crossing {crossing}"
        );
    }
    Ok(())
}

/// Bases that point into the kernel must not lead it to itself, nor the guest.
fn kernel_segment_bases() -> Outcome {
    set_bases(crate::raw::KERNEL_TEXT, crate::raw::DIRECT_MAP);
    for _ in 0..CROSSINGS {
        denali_rt::hypercall::yield_cpu();
    }
    let seen = bases();
    set_bases(0, 0);
    ensure!(
        seen == (crate::raw::KERNEL_TEXT, crate::raw::DIRECT_MAP),
        "{seen:x?}"
    );
    Ok(())
}

/// A pending, unmasked x87 exception must strike neither the kernel nor the next VM.
fn unmasked_into_hypercall() -> Outcome {
    let (unmasked, masked) = (0x0340_u16, CONTROL_WORD);
    for _ in 0..64 {
        // SAFETY: leaves the x87 unit initialised.
        unsafe {
            asm!(
                "fldcw [{unmasked}]",
                "fld1", "fldz", "fdivp",
                "syscall",
                "fnclex",
                "fninit",
                "fldcw [{masked}]",
                unmasked = in(reg) &raw const unmasked,
                masked = in(reg) &raw const masked,
                inlateout("rax") Hypercall::Yield.number() => _,
                clobber_abi("sysv64"),
            );
        }
    }
    Ok(())
}
