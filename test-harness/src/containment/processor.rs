//! What the running processor says of itself, through QEMU's monitor.

use anyhow::{Context as _, Result};
use denali_build::qmp::Monitor;
use std::fs;
use std::path::Path;

/// Offset of the I/O permission bitmap's base in a 64-bit TSS (Intel SDM vol. 3A §8.7).
const BITMAP_BASE_OFFSET: u64 = 0x66;

/// Says so if a port is open to ring 3: none is while the bitmap lies beyond the TSS's limit
/// (Intel SDM vol. 1 §19.5.2).
pub(super) fn open_ports(monitor: &mut Monitor) -> Result<Vec<String>> {
    let registers = monitor.human("info registers")?;
    let line = registers.lines().find(|line| line.starts_with("TR"));
    let words: Vec<&str> = line.context("QEMU shows TR")?.split_whitespace().collect();
    let number = |index: usize| {
        let word = words.get(index).copied().unwrap_or_default();
        u64::from_str_radix(word, 16).with_context(|| format!("{word:?} of {words:?}"))
    };
    // "TR =0030 ffffffff80260000 00000067 00008b00 DPL=0 TSS64-busy"
    let (base, limit) = (number(2)?, number(3)?);
    let shown = monitor.human(&format!("x /1hx {:#x}", base + BITMAP_BASE_OFFSET))?;
    let bitmap = shown.trim().rsplit("0x").next().unwrap_or_default();
    let bitmap = u64::from_str_radix(bitmap, 16).with_context(|| format!("{shown:?}"))?;
    let open = bitmap <= limit;
    Ok(open
        .then(|| format!("ports are open: bitmap at {bitmap:#x}, limit {limit:#x}"))
        .into_iter()
        .collect())
}

/// Protections of ring 0: a register as QEMU shows it, the bit, what it is (Intel SDM vol. 3A §2.5,
/// §2.2.1).
const PROTECTIONS: [(&str, u32, &str); 5] = [
    ("CR0=", 16, "write protection in ring 0"),
    ("CR4=", 11, "UMIP"),
    ("CR4=", 20, "SMEP"),
    ("CR4=", 21, "SMAP"),
    ("EFER=", 11, "no-execute pages"),
];

/// Says so if a protection of ring 0 is off; the processor that is emulated has them all.
pub(super) fn missing_protections(monitor: &mut Monitor) -> Result<Vec<String>> {
    let registers = monitor.human("info registers")?;
    let mut missing = Vec::new();
    for (register, bit, name) in PROTECTIONS {
        let words = registers.split_whitespace();
        let value = words.filter_map(|word| word.strip_prefix(register)).next();
        let value = value.with_context(|| format!("QEMU shows {register}"))?;
        let value = u64::from_str_radix(value, 16).with_context(|| format!("{register}{value}"))?;
        if value >> bit & 1 == 0 {
            missing.push(format!("{name} is off: {register}{value:#x}"));
        }
    }
    Ok(missing)
}

/// Where the kernel's half of the address space starts; the boot code below is not mapped any more.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// Says so if the kernel's text in memory is not that of its file.
pub(super) fn changed_text(
    monitor: &mut Monitor,
    kernel: &Path,
    scratch: &Path,
) -> Result<Vec<String>> {
    let elf = fs::read(kernel).context("the kernel's file")?;
    let segments = executable_segments(&elf).context("the kernel is an ELF file")?;
    let mut wrong = Vec::new();
    for (address, contents) in segments {
        if address < KERNEL_HALF {
            continue;
        }
        let order = format!(
            "memsave {address:#x} {} \"{}\"",
            contents.len(),
            scratch.display()
        );
        monitor.human(&order)?;
        let memory = fs::read(scratch).context("what QEMU saved")?;
        if memory != contents {
            let at = memory.iter().zip(contents).position(|(a, b)| a != b);
            wrong.push(format!(
                "kernel text at {address:#x} changed, first at {at:?}"
            ));
        }
    }
    Ok(wrong)
}

/// Returns address and contents of the executable segments (ELF-64 object file format).
fn executable_segments(elf: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let word = |at: usize| Some(u64::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let half = |at: usize| Some(u16::from_le_bytes(*elf.get(at..)?.first_chunk()?));
    let table = usize::try_from(word(32)?).ok()?;
    let mut segments = Vec::new();
    for index in 0..usize::from(half(56)?) {
        let header = table + index * usize::from(half(54)?);
        let kind_and_flags = word(header)?;
        let executable = kind_and_flags & 0xffff_ffff == 1 && kind_and_flags >> 32 & 1 != 0;
        if executable {
            let offset = usize::try_from(word(header + 8)?).ok()?;
            let length = usize::try_from(word(header + 32)?).ok()?;
            segments.push((word(header + 16)?, elf.get(offset..offset + length)?));
        }
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_executable_segments() {
        let elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!executable_segments(&elf).unwrap().is_empty());
        assert!(executable_segments(&elf[..40]).is_none());
    }
}
