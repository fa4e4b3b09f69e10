//! The panics that may stay, each with the reason why no guest and no frame reaches it.
//!
//! They are our own assertions: where one fails, the kernel's state is not what the kernel made it,
//! and going on could hand one VM's memory to another. To stop is right then.

/// Places that may panic for one reason.
#[derive(Debug)]
pub struct Allowed {
    /// Why nothing from outside leads there.
    pub reason: &'static str,
    /// File and function: the file below `host-kernel`, or below `library` of the standard library's
    /// sources, or of a package with its version. A `*` at the end stands for any rest.
    pub places: &'static [&'static str],
}

/// All that is allowed.
pub const ALLOWED: &[Allowed] = &[
    Allowed {
        reason: "indices of frames come from the table's own lists, which only it links; `audit` \
                 checks them, and every simulation and fuzz campaign audits",
        places: &[
            "core/src/memory/frame.rs frame_of",
            "core/src/memory/frame.rs give_back",
            "core/src/memory/frame.rs give_back_all",
            "core/src/memory/frame.rs hand_over",
            "core/src/memory/frame.rs link",
            "core/src/memory/frame.rs record",
            "core/src/memory/frame.rs take",
            "core/src/memory/frame.rs unlink",
        ],
    },
    Allowed {
        reason: "what is promised is a sum that never exceeds memory: checked when promised, \
                 recomputed by `audit`",
        places: &[
            "core/src/memory/commit.rs release",
            "core/src/vm/creation.rs {closure}",
            "core/src/supervisor.rs restart_supervisor",
            // Two calls of `release` that the compiler merged.
            "core/src/vm/lifecycle.rs end_vm",
        ],
    },
    Allowed {
        reason: "the vacant index was pushed by the same table when the slot was emptied",
        places: &[
            "core/src/vm/table.rs insert",
            "core/src/vm/table.rs next_id",
        ],
    },
    Allowed {
        reason: "the table was made long enough for the index in the lines before",
        places: &[
            "core/src/policy/queue/drr.rs join",
            "core/src/policy/scheduler/fair.rs open",
            "core/src/policy/scheduler/round_robin.rs ready",
        ],
    },
    Allowed {
        reason: "an image is refused unless it ends below 2 GiB",
        places: &["core/src/vm/image.rs page_count"],
    },
    Allowed {
        reason: "the core names pages below `GUEST_END` and offsets inside a frame only (contract \
                 of `Machine`, checked by the fake machine), and adds tables where `map` misses one",
        places: &[
            "src/arch/x86_64/guest_pages.rs add_table",
            "src/arch/x86_64/paging.rs frame_of",
            "src/arch/x86_64/paging.rs walk",
            "src/guest_memory.rs place",
        ],
    },
    Allowed {
        reason: "our own stubs push the vector",
        places: &["src/arch/x86_64/world.rs left"],
    },
    Allowed {
        reason: "an exception in ring 0, a double fault or a machine check: the end, with a record",
        places: &["src/arch/x86_64/idt.rs kernel_exception"],
    },
    Allowed {
        reason: "the clock is refused at boot unless it advances",
        places: &["src/arch/x86_64/clock.rs timestamp_at"],
    },
    Allowed {
        reason: "one CPU with interrupts off, and nothing that borrows calls anything that does",
        places: &["src/cell.rs borrow"],
    },
    Allowed {
        reason: "offsets follow from constants and from buffers that the driver numbered; what a \
                 device writes is bounded before it is used (tests of `virtqueue`)",
        places: &[
            "src/drivers/dma.rs at",
            "src/drivers/virtqueue/mod.rs give_back",
            "src/drivers/virtqueue/mod.rs post",
            "src/drivers/virtqueue/mod.rs post_chain",
            "src/drivers/virtqueue/mod.rs reset",
        ],
    },
    Allowed {
        reason: "an extent is freed once, by the transfer or the VM that holds it; `audit` adds up \
                 what is free and what is held",
        places: &[
            "core/src/swap/extent.rs give_back",
            "core/src/swap/extent.rs remove",
        ],
    },
    Allowed {
        reason: "a block is 4 KiB, far below the cipher's limit, and the ciphers cut it into blocks \
                 of their own size",
        places: &["aes-*", "chacha20poly1305-*", "poly1305-*"],
    },
    Allowed {
        reason: "a transfer has the blocks that its VM's swap description counts, and an index is \
                 one that was found in the same list",
        places: &["library/alloc/src/vec/mod.rs assert_failed"],
    },
    Allowed {
        reason: "page numbers are ordered as numbers are",
        places: &["library/core/src/slice/sort/*"],
    },
    Allowed {
        reason: "the heap is sized at boot for as many VMs as memory has room for, and every table \
                 has a limit; a VM's memory never comes from it",
        places: &[
            "library/alloc/src/boxed.rs *",
            "library/alloc/src/raw_vec/mod.rs *",
            "library/alloc/src/vec/spec_from_iter_nested.rs from_iter",
        ],
    },
    Allowed {
        reason: "the library's own assertions about nodes and rings it made, whatever the keys",
        places: &[
            "library/alloc/src/collections/btree/map/entry.rs *",
            "library/alloc/src/collections/btree/navigate.rs *",
            "library/alloc/src/collections/btree/node.rs *",
            "library/alloc/src/collections/btree/remove.rs *",
            "library/alloc/src/collections/btree/map.rs drop",
            "library/alloc/src/collections/btree/map.rs insert",
            "library/alloc/src/collections/btree/map.rs next",
            "library/alloc/src/collections/btree/map.rs remove_entry",
            "library/alloc/src/collections/vec_deque/mod.rs swap",
            // Calls out of two maps' insertions and removals that the compiler merged.
            "core/src/policy/gatekeeper/line.rs join",
            "core/src/policy/gatekeeper/line.rs leave",
        ],
    },
];

/// Returns the place in the list that names `place`.
pub(super) fn find(place: &str) -> Option<&'static str> {
    let places = ALLOWED.iter().flat_map(|allowed| allowed.places);
    places.copied().find(|allowed| {
        let prefix = allowed.strip_suffix('*');
        prefix.map_or(*allowed == place, |prefix| place.starts_with(prefix))
    })
}
