//! Vector state that somebody passes in: whether loading it can fault.
//!
//! The world switch loads it in ring 0, where a fault is the kernel's end, so all that XRSTOR and
//! LDMXCSR refuse is refused before (SDM vol. 1 §13.8.1, vol. 2 `XRSTOR`, `LDMXCSR`).

use core::ops::Range;

/// Where MXCSR lies in the area.
const MXCSR: Range<usize> = 24..28;

/// Where the components that are not in their initial state are listed.
const COMPONENTS: Range<usize> = 512..520;

/// Rest of the header: the format, which is the standard one if all is zero, and what is reserved.
const HEADER_REST: Range<usize> = 520..576;

/// Bits of MXCSR that a processor with 64-bit mode has.
const MXCSR_DEFINED: u32 = 0xffff;

/// Returns whether MXCSR can be loaded.
#[must_use]
pub const fn is_mxcsr(value: u32) -> bool {
    value & !MXCSR_DEFINED == 0
}

/// Returns whether a save area can be loaded where `enabled` are the components of XSAVE; 0 means
/// FXSAVE.
#[must_use]
pub fn is_loadable(area: &[u8], enabled: u64) -> bool {
    let mxcsr = area.get(MXCSR).and_then(|bytes| bytes.try_into().ok());
    let is_legacy_sound = mxcsr.is_some_and(|bytes| is_mxcsr(u32::from_le_bytes(bytes)));
    if enabled == 0 {
        return is_legacy_sound;
    }
    let present = area.get(COMPONENTS).and_then(|bytes| bytes.try_into().ok());
    let are_enabled = present.is_some_and(|bytes| u64::from_le_bytes(bytes) & !enabled == 0);
    let rest = area.get(HEADER_REST).unwrap_or(&[1]);
    is_legacy_sound && are_enabled && rest.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x87, SSE and AVX.
    const ENABLED: u64 = 7;

    fn clean() -> [u8; 832] {
        let mut area = [0; 832];
        area[MXCSR].copy_from_slice(&0x1f80_u32.to_le_bytes());
        area[512] = 7;
        area
    }

    #[test]
    fn what_a_processor_saved_can_be_loaded() {
        assert!(is_loadable(&clean(), ENABLED));
        assert!(is_loadable(&clean(), 0xe7));
        assert!(is_loadable(&clean()[..512], 0));
    }

    #[test]
    fn a_flipped_bit_is_refused_where_loading_would_fault_and_nowhere_else() {
        for bit in 0..8 * clean().len() {
            let mut area = clean();
            area[bit / 8] ^= 1 << (bit % 8);
            let faults = match bit / 8 {
                26 | 27 => true,
                512 => bit % 8 > 2,
                513..576 => true,
                _ => false,
            };
            assert_eq!(is_loadable(&area, ENABLED), !faults, "bit {bit}");
        }
    }

    #[test]
    fn an_area_that_is_cut_is_refused() {
        for length in 0..576 {
            assert!(!is_loadable(&clean()[..length], ENABLED), "{length}");
        }
    }
}
