//! From the loader's 32-bit protected mode to Rust in the upper half of 64-bit mode.
//!
//! Two doors lead in: PVH (QEMU `-kernel`, Firecracker; the note of type 18 named `Xen`) and
//! Multiboot2 (GRUB, on BIOS and EFI machines alike, since without an EFI tag in the header GRUB
//! leaves boot services itself). Both arrive with paging off, flat segments and the address of
//! their tables in `ebx`. The tables built here map the first 4 GiB three times, writable and
//! executable: where it is, in the direct map, and (the first GiB) at the kernel's link address.
//! [`paging`](super::paging) replaces them.

#![expect(unsafe_code, reason = "declares the entry points of the loader")]

use core::arch::global_asm;

global_asm!(
    r#"
.section .boot.header, "a"
.align 8
multiboot2_header:
    .long 0xe85250d6                /* magic */
    .long 0                         /* 32-bit protected mode of i386 */
    .long multiboot2_header_end - multiboot2_header
    .long -(0xe85250d6 + (multiboot2_header_end - multiboot2_header))
    .align 8                        /* information request: memory map */
    .short 1, 0
    .long 12, 6
    .align 8                        /* entry address */
    .short 3, 0
    .long 12, multiboot2_entry
    .align 8                        /* modules page aligned */
    .short 6, 0
    .long 8
    .align 8                        /* end */
    .short 0, 0
    .long 8
multiboot2_header_end:

.section .note.Xen, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long pvh_entry

.section .boot.text, "ax"
.code32
.global pvh_entry
pvh_entry:
    mov edi, {pvh}
    jmp enter_long_mode

.global multiboot2_entry
multiboot2_entry:
    mov edi, {multiboot2}

enter_long_mode:
    cli
    cld
    mov esp, offset boot_stack_top
    mov esi, ebx                    /* edi, esi: kernel_main's arguments */

    /* Is there a long mode? CPUID 8000_0001h EDX bit 29. */
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc no_long_mode

    /* 4 page directories of 2 MiB pages. */
    mov eax, 0x83                   /* present, writable, large */
    xor ecx, ecx
2:  mov [boot_directories + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jb 2b
    mov eax, offset boot_directories + 3
    xor ecx, ecx
3:  mov [boot_pdpt_low + ecx * 8], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jb 3b
    mov dword ptr [boot_pdpt_high + 510 * 8], offset boot_directories + 3
    mov dword ptr [boot_root], offset boot_pdpt_low + 3
    mov dword ptr [boot_root + 256 * 8], offset boot_pdpt_low + 3
    mov dword ptr [boot_root + 511 * 8], offset boot_pdpt_high + 3

    mov eax, offset boot_root
    mov cr3, eax
    mov eax, 0x620                  /* CR4: PAE, OSFXSR, OSXMMEXCPT */
    mov cr4, eax
    mov ecx, 0xc0000080             /* EFER: LME */
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, 0x80010023             /* CR0: PG, WP, NE, MP, PE */
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    push 8
    mov eax, offset long_mode
    push eax
    retf

no_long_mode:
    mov ecx, offset no_long_mode_text
4:  mov al, [ecx]
    test al, al
    jz 5f
    mov dx, 0x3f8
    out dx, al
    inc ecx
    jmp 4b
5:  hlt
    jmp 5b

.code64
long_mode:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    movabs rsp, offset kernel_stack_top
    movabs rax, offset {kernel_entry}
    xor ebp, ebp
    call rax
    ud2

.section .boot.data, "a"
.align 8
boot_gdt:
    .quad 0
    .quad 0x00209a0000000000        /* 64-bit code */
boot_gdt_pointer:
    .short 15
    .long boot_gdt
no_long_mode_text:
    .asciz "denali: this CPU has no 64-bit mode\r\n"

.section .boot.bss, "aw", @nobits
.align 4096
boot_root:        .skip 4096
boot_pdpt_low:    .skip 4096
boot_pdpt_high:   .skip 4096
boot_directories: .skip 4 * 4096
boot_stack:       .skip 256
boot_stack_top:
"#,
    pvh = const PVH,
    multiboot2 = const MULTIBOOT2,
    kernel_entry = sym kernel_entry,
);

const PVH: u32 = 1;
const MULTIBOOT2: u32 = 2;

/// How the kernel was loaded, and so what its boot tables look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loader {
    /// By PVH.
    Pvh,
    /// By Multiboot2.
    Multiboot2,
}

/// The first Rust code: on the kernel stack, on the boot page tables, interrupts off.
extern "C" fn kernel_entry(door: u32, tables: u32) -> ! {
    let loader = if door == PVH {
        Loader::Pvh
    } else {
        Loader::Multiboot2
    };
    crate::kernel_main(loader, u64::from(tables))
}
