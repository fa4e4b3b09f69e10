//! Keeps values in every vector register while others run, and looks whether they are still there.

#![no_std]
#![cfg_attr(denali, no_main)]
#![expect(unsafe_code, reason = "names registers")]

use core::arch::asm;

denali_rt::entry!(main);

/// Bytes of the sixteen SSE registers.
const LEN: usize = 16 * 16;

/// Times the registers are filled, with other values each time.
const ROUNDS: u8 = 4;

/// Turns of an empty loop a round: many quanta, whatever the machine.
const TURNS: u64 = 30_000_000;

fn main() -> Result<(), &'static str> {
    for round in 0..ROUNDS {
        let mut values = [0; LEN];
        for (value, number) in values.iter_mut().zip(0_u8..) {
            *value = number.wrapping_mul(31) ^ round;
        }
        if keep(&values) != values {
            return Err("a register changed");
        }
    }
    denali_rt::println!("kept");
    Ok(())
}

/// Loads the registers, waits in a loop, and returns what they hold then.
fn keep(values: &[u8; LEN]) -> [u8; LEN] {
    let mut kept = [0; LEN];
    // SAFETY: reads and writes `LEN` bytes at each pointer; everything else it touches is named.
    unsafe {
        asm!(
            "movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
            "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
            "movdqu xmm4, [{from} + 64]", "movdqu xmm5, [{from} + 80]",
            "movdqu xmm6, [{from} + 96]", "movdqu xmm7, [{from} + 112]",
            "movdqu xmm8, [{from} + 128]", "movdqu xmm9, [{from} + 144]",
            "movdqu xmm10, [{from} + 160]", "movdqu xmm11, [{from} + 176]",
            "movdqu xmm12, [{from} + 192]", "movdqu xmm13, [{from} + 208]",
            "movdqu xmm14, [{from} + 224]", "movdqu xmm15, [{from} + 240]",
            "2:", "dec {turns}", "jnz 2b",
            "movdqu [{to}], xmm0", "movdqu [{to} + 16], xmm1",
            "movdqu [{to} + 32], xmm2", "movdqu [{to} + 48], xmm3",
            "movdqu [{to} + 64], xmm4", "movdqu [{to} + 80], xmm5",
            "movdqu [{to} + 96], xmm6", "movdqu [{to} + 112], xmm7",
            "movdqu [{to} + 128], xmm8", "movdqu [{to} + 144], xmm9",
            "movdqu [{to} + 160], xmm10", "movdqu [{to} + 176], xmm11",
            "movdqu [{to} + 192], xmm12", "movdqu [{to} + 208], xmm13",
            "movdqu [{to} + 224], xmm14", "movdqu [{to} + 240], xmm15",
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
