//! The arguments of a variadic call, as the System V ABI for x86-64 lays them out (§3.5.7).

#![expect(
    unsafe_code,
    reason = "walks registers and stack that the caller saved"
)]

use super::memory::Out;
use super::stdlib::scaled;

/// Bytes of the save area that hold general registers.
const GENERAL_END: u32 = 48;

/// Bytes of the save area that hold all registers.
const VECTOR_END: u32 = 176;

/// C's `va_list`: where the arguments not read yet are.
#[derive(Debug)]
#[repr(C)]
pub struct VaList {
    /// The next general register in the save area.
    gp_offset: u32,
    /// The next vector register in the save area.
    fp_offset: u32,
    /// The next argument on the stack.
    overflow: Out<u8>,
    /// The save area.
    saved: Out<u8>,
}

/// What variadic functions take arguments from.
pub(super) trait Arguments {
    /// Returns the next argument of integer or pointer type; the upper half of an `int` is garbage.
    fn word(&mut self) -> u64;

    /// Returns the next argument of type `double`.
    fn double(&mut self) -> f64;

    /// Returns the next argument of type `long double`, to the nearest `double`.
    fn long_double(&mut self) -> f64;
}

impl Arguments for Out<VaList> {
    fn word(&mut self) -> u64 {
        let list = list(self);
        if list.gp_offset < GENERAL_END {
            let place = list.saved.add(offset(list.gp_offset));
            list.gp_offset += 8;
            return place.cast::<u64>().read().unwrap_or(0);
        }
        list.on_stack().cast::<u64>().read().unwrap_or(0)
    }

    fn double(&mut self) -> f64 {
        let list = list(self);
        let place = if list.fp_offset < VECTOR_END {
            let place = list.saved.add(offset(list.fp_offset));
            list.fp_offset += 16;
            place
        } else {
            list.on_stack()
        };
        place.cast::<f64>().read().unwrap_or(0.0)
    }

    fn long_double(&mut self) -> f64 {
        let list = list(self);
        let misaligned = list.overflow.address() % 16;
        if misaligned != 0 {
            list.overflow = list.overflow.add(16 - misaligned);
        }
        let place = list.on_stack();
        list.on_stack();
        let significand = place.cast::<u64>().read().unwrap_or(0);
        let head = place.add(8).cast::<u16>().read().unwrap_or(0);
        extended(significand, head)
    }
}

impl VaList {
    /// Takes eight bytes off the stack.
    fn on_stack(&mut self) -> Out<u8> {
        let place = self.overflow;
        self.overflow = place.add(8);
        place
    }
}

fn list(pointer: &mut Out<VaList>) -> &mut VaList {
    // SAFETY: C code passes the `va_list` of a call that is still going on, to one function at a
    // time.
    unsafe { &mut *pointer.as_raw() }
}

fn offset(offset: u32) -> usize {
    denali_abi::convert::u32_to_usize(offset)
}

/// Returns the `double` nearest to an x87 number (SDM vol. 1 §4.2.2): a significand with its whole
/// part, and sign and exponent.
fn extended(significand: u64, head: u16) -> f64 {
    let exponent = i32::from(head & 0x7fff);
    let magnitude = match (exponent, significand << 1) {
        (0x7fff, 0) => f64::INFINITY,
        (0x7fff, _) => f64::NAN,
        _ => scaled(significand, exponent.max(1) - 16383 - 63),
    };
    if head >> 15 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_numbers_become_the_nearest_double() {
        let one = 1 << 63;
        assert_eq!(extended(one, 16383).to_bits(), 1.0_f64.to_bits());
        assert_eq!(
            extended(one, 16384 | 0x8000).to_bits(),
            (-2.0_f64).to_bits()
        );
        assert_eq!(extended(one | 1 << 10, 16383).to_bits(), 1.0_f64.to_bits());
        assert_eq!(
            extended(one | 3 << 10, 16383).to_bits(),
            1.0_f64.to_bits() + 2
        );
        assert!(extended(one, 0x7fff).is_infinite() && extended(one | 1, 0x7fff).is_nan());
        assert!(extended(u64::MAX, 0x7ffe).is_infinite());
        assert_eq!(extended(one, 0).to_bits(), 0);
        assert_eq!(extended(one, 16383 - 1074).to_bits(), 1);
    }
}
