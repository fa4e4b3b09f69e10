//! The one `syscall` instruction of a guest.

#![expect(unsafe_code, reason = "crosses into the kernel")]

use core::arch::asm;
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;

/// Makes a hypercall. Callers in this module's parent pass only memory that the call may use.
pub(super) fn call(number: Hypercall, arguments: [u64; 4]) -> Result<u64, Errno> {
    let [first, second, third, fourth] = arguments;
    let result: i64;
    // SAFETY: to the guest a hypercall is a function call that keeps all registers but those of
    // `clobber_abi`; the memory it reads and writes is what the wrappers made of references.
    unsafe {
        asm!(
            "771: syscall",
            // Tells the builder that this one is ours; not in the image.
            ".pushsection .denali_hypercalls,\"\",@progbits",
            ".quad 771b",
            ".popsection",
            inlateout("rax") number.number() => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            clobber_abi("sysv64"),
            options(nostack),
        );
    }
    u64::try_from(result).map_err(|_| errno(result))
}

/// Returns the error of a negative result; one this ABI version does not know is `Invalid`.
fn errno(result: i64) -> Errno {
    i32::try_from(-result)
        .ok()
        .and_then(Errno::from_code)
        .unwrap_or(Errno::Invalid)
}
