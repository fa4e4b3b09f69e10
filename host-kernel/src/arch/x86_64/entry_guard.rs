//! What is done on every entry from a guest before the first indirect branch or return.
//!
//! The world switch has a 5-byte NOP on its only way out of a guest; where the CPU needs it the
//! NOP becomes a jump to the code here. A condition instead would itself be predicted.

#![expect(unsafe_code, reason = "patches the world switch at boot")]

use core::arch::global_asm;
use host_kernel::measures::{Measure, Measures, msr};

global_asm!(
    r#"
.text
/* IBPB; it need not forget the return stack, so 32 harmless entries replace what is there. */
.balign 16
.global entry_guard_barrier, entry_guard_history, entry_guard_both
entry_guard_both:
    mov r8d, 1
    jmp 1f
entry_guard_barrier:
    xor r8d, r8d
1:  mov ecx, {pred_cmd}
    mov eax, {ibpb}
    xor edx, edx
    wrmsr
    .rept 32
    call 2f
    int3
2:
    .endr
    add rsp, 32 * 8
    lfence
    test r8d, r8d
    jz world_left_guarded

/* Overwrites branch history: Intel, "Branch History Injection and Intra-mode Branch Target
 * Injection", the short sequence, five times five taken branches of each kind. */
entry_guard_history:
    mov ecx, 5
    call 3f
    jmp 8f
    .balign 64
3:  call 4f
    ret
    .balign 64
4:  mov eax, 5
5:  jmp 6f
    nop
6:  sub eax, 1
    jnz 5b
    sub ecx, 1
    jnz 3b
    ret
8:  lfence
    jmp world_left_guarded
"#,
    pred_cmd = const msr::PRED_CMD,
    ibpb = const msr::PRED_CMD_IBPB,
);

unsafe extern "C" {
    fn world_left();
    static entry_guard_barrier: u8;
    static entry_guard_history: u8;
    static entry_guard_both: u8;
}

/// Leads entries through what `measures` say. Only on the boot page tables, whose text is writable.
pub(crate) fn install(measures: &Measures) {
    let target = match (
        measures.has(Measure::EntryBarrier),
        measures.has(Measure::ClearHistory),
    ) {
        (false, false) => return,
        (true, false) => (&raw const entry_guard_barrier).addr(),
        (false, true) => (&raw const entry_guard_history).addr(),
        (true, true) => (&raw const entry_guard_both).addr(),
    };
    let site = (world_left as *const ()).addr();
    let distance = i32::try_from(target.wrapping_sub(site + 5).cast_signed())
        .expect("the kernel's text is less than 2 GiB");
    let [a, b, c, d] = distance.to_le_bytes();
    let site = core::ptr::with_exposed_provenance_mut::<[u8; 5]>(site);
    // SAFETY: five bytes of NOP that nothing has executed yet: no guest has run. The boot tables
    // map them writable.
    unsafe { site.write_volatile([0xe9, a, b, c, d]) };
}
