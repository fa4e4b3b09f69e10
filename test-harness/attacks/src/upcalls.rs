//! Upcalls to where nothing is, on stacks that are none, and without end.

use crate::raw::{DIRECT_MAP, KERNEL_TEXT, address_of, hypercall, refused};
use crate::{Attack, End, Outcome, ensure};
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use denali_abi::end::EndReason::{self, AccessViolation, BadAddress, StackOverflow};
use denali_abi::errno::Errno;
use denali_abi::hypercall::Hypercall;
use denali_abi::layout::{
    GUEST_END, IMAGE_BASE, PAGE_SIZE, REGISTERS_ADDRESS, SHARED_ADDRESS, SMALL_STACKS_BASE,
};
use denali_abi::shared::{SharedPage, interrupt};
use denali_abi::upcall::{RED_ZONE, UpcallFrame};

const ENABLED: u64 = SHARED_ADDRESS + offset_of!(SharedPage, interrupts_enabled) as u64;
const PENDING: u64 = SHARED_ADDRESS + offset_of!(SharedPage, pending) as u64;
const TIMER: u64 = SHARED_ADDRESS + offset_of!(SharedPage, timer_ns) as u64;

const OUTSIDE: &[EndReason] = &[BadAddress];
const FORBIDDEN: &[EndReason] = &[AccessViolation];
const GUARDED: &[EndReason] = &[StackOverflow];

/// Addresses that can be neither entry nor stack.
const IMPOSSIBLE: [u64; 9] = [
    8,
    REGISTERS_ADDRESS,
    SHARED_ADDRESS + PAGE_SIZE,
    IMAGE_BASE - 16,
    GUEST_END + PAGE_SIZE,
    1 << 47,
    DIRECT_MAP,
    KERNEL_TEXT,
    u64::MAX - 15,
];

/// An attack that lets an upcall come with this stack pointer.
macro_rules! stack {
    ($name:literal, $reasons:expr, $rsp:expr) => {
        Attack::killed($name, $reasons, || {
            register(entry(count), 0)?;
            wait_on_stack($rsp)
        })
    };
}

/// An attack that lets an upcall go to this entry.
macro_rules! entry {
    ($name:literal, $reasons:expr, $entry:expr) => {
        Attack::killed($name, $reasons, || {
            register($entry, 0)?;
            self_interrupt();
            Err("an upcall to nowhere went well".into())
        })
    };
}

/// The attacks.
pub const ATTACKS: &[Attack] = &[
    Attack::new(
        "upcall-entry-impossible",
        End::Refused(Errno::BadAddress),
        || each_is_refused(|address| [address, 0, 0, 0]),
    ),
    Attack::new(
        "upcall-stack-impossible",
        End::Refused(Errno::BadAddress),
        || each_is_refused(|address| [entry(count), address, 0, 0]),
    ),
    Attack::new(
        "upcall-stack-misaligned",
        End::Refused(Errno::Invalid),
        || {
            let arguments = [entry(count), SMALL_STACKS_BASE + 0x8004, 0, 0];
            refused(
                hypercall(Hypercall::RegisterUpcall, arguments),
                Errno::Invalid,
            )
        },
    ),
    entry!("upcall-entry-on-heap", FORBIDDEN, {
        address_of(alloc::boxed::Box::leak(alloc::boxed::Box::new(0xcc_u8)))
    }),
    entry!("upcall-entry-on-stack", FORBIDDEN, {
        let local = 0xcc_u8;
        address_of(&raw const local)
    }),
    entry!("upcall-entry-in-guard", GUARDED, SMALL_STACKS_BASE + 64),
    entry!("upcall-entry-at-the-end", FORBIDDEN, GUEST_END - 1),
    stack!("upcall-stack-in-text", FORBIDDEN, IMAGE_BASE + 0x800),
    stack!(
        "upcall-stack-in-registers",
        FORBIDDEN,
        REGISTERS_ADDRESS + 0x800
    ),
    stack!("upcall-stack-in-guard", GUARDED, SMALL_STACKS_BASE + 0x800),
    stack!("upcall-stack-at-zero", OUTSIDE, 0),
    stack!("upcall-stack-wraps", OUTSIDE, 64),
    stack!("upcall-stack-non-canonical", OUTSIDE, 1 << 47),
    stack!("upcall-stack-in-kernel", OUTSIDE, KERNEL_TEXT + 0x1000),
    stack!(
        "upcall-stack-in-direct-map",
        OUTSIDE,
        DIRECT_MAP + 0x10_0000
    ),
    stack!("upcall-stack-at-the-top", OUTSIDE, u64::MAX - 7),
    Attack::killed("upcall-nesting-storm", GUARDED, || {
        register(entry(nest), 0)?;
        self_interrupt();
        Err("nesting came to an end".into())
    }),
    Attack::new("hog-self-interrupts", End::Throttled, || {
        register(entry(count), 0)?;
        loop {
            self_interrupt();
        }
    }),
    Attack::new("hog-upcall-timers", End::Throttled, || {
        register(entry(count_and_arm), 0)?;
        store(TIMER, 1);
        store(ENABLED, 1);
        loop {
            core::hint::spin_loop();
        }
    }),
    Attack::harmless("upcall-with-unknown-bits", unknown_bits),
    Attack::harmless("upcall-keeps-registers", keeps_registers),
    Attack::harmless("upcall-sees-clean-flags", sees_clean_flags),
    Attack::harmless("upcall-on-the-shared-page", on_the_shared_page),
];

/// Upcalls that came.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The flags an upcall began with.
static FLAGS: AtomicU64 = AtomicU64::new(0);

fn entry(entry: extern "C" fn() -> !) -> u64 {
    (entry as *const ()).addr() as u64
}

fn register(entry: u64, stack_top: u64) -> Outcome {
    let result = hypercall(Hypercall::RegisterUpcall, [entry, stack_top, 0, 0]);
    ensure!(result == 0, "{result} for an upcall to {entry:#x}");
    Ok(())
}

fn each_is_refused(arguments: impl Fn(u64) -> [u64; 4]) -> Outcome {
    for address in IMPOSSIBLE {
        let result = hypercall(Hypercall::RegisterUpcall, arguments(address));
        refused(result, Errno::BadAddress)
            .map_err(|error| alloc::format!("{error} for {address:#x}"))?;
    }
    Ok(())
}

/// Takes back what the runtime asked of the kernel: an attack is a guest without upcalls, unless it
/// registers its own.
pub fn begin_without() {
    core::mem::forget(denali_rt::interrupt::mask());
    hypercall(Hypercall::RegisterUpcall, [0; 4]);
    store(TIMER, 0);
    store(TIMER + 4, 0);
}

/// Writes a word of the shared page.
fn store(address: u64, value: u32) {
    // SAFETY: the shared page is this VM's, and an attack runs with interrupts masked until here.
    unsafe {
        asm!("mov dword ptr [{}], {:e}", in(reg) address, in(reg) value, options(nostack));
    }
}

/// Makes an interrupt pending, enables upcalls, and enters the kernel.
fn self_interrupt() {
    store(PENDING, interrupt::RECEIVE);
    store(ENABLED, 1);
    hypercall(Hypercall::Yield, [0; 4]);
}

/// Lets the timer interrupt on this stack pointer.
fn wait_on_stack(rsp: u64) -> Outcome {
    // SAFETY: none; the kernel must end this VM.
    unsafe {
        asm!(
            "mov rsp, {rsp}",
            "mov dword ptr [{pending}], {receive}",
            "mov dword ptr [{enabled}], 1",
            "2: pause",
            "jmp 2b",
            rsp = in(reg) rsp,
            pending = const PENDING,
            receive = const interrupt::RECEIVE,
            enabled = const ENABLED,
            options(noreturn),
        );
    }
}

/// Counts an upcall and returns from it.
#[unsafe(naked)]
extern "C" fn count() -> ! {
    naked_asm!(
        "pushfq",
        "pop qword ptr [rip + {flags}]",
        "inc qword ptr [rip + {count}]",
        "jmp {back}",
        flags = sym FLAGS,
        count = sym COUNT,
        back = sym back,
    )
}

/// Returns from an upcall: flags and address go right below the red zone.
#[unsafe(naked)]
extern "C" fn back() -> ! {
    naked_asm!(
        "push rax",
        "push rcx",
        "mov rcx, [rsp + 16 + {rsp}]",
        "sub rcx, {red_zone} + 16",
        "mov rax, [rsp + 16 + {rip}]",
        "mov [rcx + 8], rax",
        "mov rax, [rsp + 16 + {rflags}]",
        "mov [rcx], rax",
        "mov [rsp + 16], rcx",
        "pop rcx",
        "pop rax",
        "mov dword ptr [{enabled}], 1",
        "pop rsp",
        "popfq",
        "ret {red_zone}",
        rip = const offset_of!(UpcallFrame, rip),
        rflags = const offset_of!(UpcallFrame, rflags),
        rsp = const offset_of!(UpcallFrame, rsp),
        red_zone = const RED_ZONE,
        enabled = const ENABLED,
    )
}

/// As [`count`], and wants the next upcall at once.
#[unsafe(naked)]
extern "C" fn count_and_arm() -> ! {
    naked_asm!(
        "inc qword ptr [rip + {count}]",
        "mov qword ptr [{timer}], 1",
        "jmp {back}",
        count = sym COUNT,
        timer = const TIMER,
        back = sym back,
    )
}

/// Never returns, but is interrupted again.
#[unsafe(naked)]
extern "C" fn nest() -> ! {
    naked_asm!(
        "2: mov dword ptr [{pending}], {receive}",
        "mov dword ptr [{enabled}], 1",
        "mov eax, {yield_now}",
        "syscall",
        "jmp 2b",
        pending = const PENDING,
        receive = const interrupt::RECEIVE,
        enabled = const ENABLED,
        yield_now = const Hypercall::Yield.number(),
    )
}

fn unknown_bits() -> Outcome {
    register(entry(count), 0)?;
    for bit in interrupt::RESUME.trailing_zeros() + 1..32 {
        store(PENDING, 1 << bit);
        store(ENABLED, 1);
        hypercall(Hypercall::Yield, [0; 4]);
        let came = COUNT.load(Ordering::Relaxed);
        ensure!(came == 0, "bit {bit} is an interrupt");
    }
    Ok(())
}

/// Is interrupted in loops that hold a value in every register and below the stack pointer.
fn keeps_registers() -> Outcome {
    register(entry(count), 0)?;
    for round in 0..20_u64 {
        let before = COUNT.load(Ordering::Relaxed);
        store(PENDING, interrupt::RECEIVE);
        let wrong: u64;
        // SAFETY: uses the red zone, which the upcall leaves alone, and what is named.
        unsafe {
            asm!(
                "mov [rsp - 8], rbx",
                "mov [rsp - 16], rbp",
                "mov [rsp - 128], r8",
                "mov rax, r8",
                "mov dword ptr [{enabled}], 1",
                "lea rbx, [rax + 1]", "lea rcx, [rax + 2]", "lea rdx, [rax + 3]",
                "lea rbp, [rax + 4]", "lea rsi, [rax + 5]", "lea rdi, [rax + 6]",
                "lea r9, [rax + 7]", "lea r10, [rax + 8]", "lea r11, [rax + 9]",
                "lea r12, [rax + 10]", "lea r13, [rax + 11]", "lea r14, [rax + 12]",
                "lea r15, [rax + 13]",
                "2: cmp dword ptr [{pending}], 0",
                "jne 2b",
                "sub rbx, 1", "sub rcx, 2", "sub rdx, 3", "sub rbp, 4", "sub rsi, 5", "sub rdi, 6",
                "sub r9, 7", "sub r10, 8", "sub r11, 9", "sub r12, 10", "sub r13, 11",
                "sub r14, 12", "sub r15, 13",
                "xor rbx, rax", "xor rcx, rax", "xor rdx, rax", "xor rbp, rax", "xor rsi, rax",
                "xor rdi, rax", "xor r9, rax", "xor r10, rax", "xor r11, rax", "xor r12, rax",
                "xor r13, rax", "xor r14, rax", "xor r15, rax",
                "xor rax, [rsp - 128]",
                "or rax, rbx", "or rax, rcx", "or rax, rdx", "or rax, rbp", "or rax, rsi",
                "or rax, rdi", "or rax, r9", "or rax, r10", "or rax, r11", "or rax, r12",
                "or rax, r13", "or rax, r14", "or rax, r15",
                "mov rbx, [rsp - 8]",
                "mov rbp, [rsp - 16]",
                enabled = const ENABLED,
                pending = const PENDING,
                inout("r8") round << 32 | 0x5555 => _,
                out("rax") wrong,
                out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r9") _,
                out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _,
                out("r15") _,
            );
        }
        ensure!(wrong == 0, "round {round}: {wrong:#x} changed");
        let came = COUNT.load(Ordering::Relaxed) - before;
        ensure!(came == 1, "{came} upcalls for one interrupt");
    }
    Ok(())
}

/// Sets flags that must not reach the upcall, and must be there again after it.
fn sees_clean_flags() -> Outcome {
    const CARRY: u64 = 1;
    const DIRECTION: u64 = 1 << 10;
    const ALIGNMENT: u64 = 1 << 18;
    const SET: u64 = CARRY | DIRECTION | ALIGNMENT;
    register(entry(count), 0)?;
    store(PENDING, interrupt::RECEIVE);
    let after: u64;
    // SAFETY: restores the flags that code relies on before it ends.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {set}",
            "popfq",
            "mov dword ptr [{enabled}], 1",
            "2: mov ecx, dword ptr [{pending}]",
            "jrcxz 3f",
            "jmp 2b",
            "3: pushfq",
            "pop rcx",
            "push 2",
            "popfq",
            set = const SET,
            enabled = const ENABLED,
            pending = const PENDING,
            out("rcx") after,
        );
    }
    let (flags, came) = (FLAGS.load(Ordering::Relaxed), COUNT.load(Ordering::Relaxed));
    ensure!(came == 1, "{came} upcalls");
    ensure!(flags == 0x202, "the upcall began with the flags {flags:#x}");
    ensure!(after & SET == SET, "the flags came back as {after:#x}");
    Ok(())
}

/// Lets the kernel write a frame over the guest's own rings.
fn on_the_shared_page() -> Outcome {
    register(entry(count), 0)?;
    // SAFETY: nothing of this VM uses the rings; the stack pointer comes back before it is used.
    unsafe {
        asm!(
            "mov {kept}, rsp",
            "mov rsp, {rsp}",
            "mov dword ptr [{pending}], {receive}",
            "mov dword ptr [{enabled}], 1",
            "2: cmp dword ptr [{pending}], 0",
            "jne 2b",
            "mov rsp, {kept}",
            kept = out(reg) _,
            rsp = in(reg) SHARED_ADDRESS + 0x800,
            pending = const PENDING,
            receive = const interrupt::RECEIVE,
            enabled = const ENABLED,
        );
    }
    let came = COUNT.load(Ordering::Relaxed);
    ensure!(came == 1, "{came} upcalls");
    Ok(())
}
