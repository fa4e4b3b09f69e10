//! A wire of our own: a network namespace with Linux's stack on one end, a machine under QEMU on the
//! other, and faults from a seed in between.
//!
//! ```text
//! namespace: Linux ── tap0 ── QEMU without a machine ══ faults ══ QEMU with the host
//! ```
//!
//! Frames cross the middle as datagrams of Unix sockets, in both directions. A QEMU that emulates
//! nothing joins the TAP device, so no ioctl is needed here.

mod faults;
mod namespace;

pub use faults::{Faults, Mistreatment};
pub use namespace::{ADDRESS, NETDEV, Namespace, device_number};

use crate::cli::Running;
use crate::home::Home;
use crate::wait;
use std::path::{Path, PathBuf};

/// Seconds after which the QEMU in the middle ends whatever happens.
const LIFETIME: &str = "900";

/// A wire; dropped, its namespace goes.
#[derive(Debug)]
pub struct Wire {
    faults: Faults,
    folder: PathBuf,
    _bridge: Running,
    namespace: Namespace,
}

impl Wire {
    /// Makes a wire without faults; those to come follow from `seed`.
    ///
    /// # Panics
    ///
    /// If the namespace cannot be made: that takes root.
    #[must_use]
    pub fn new(home: &Home, seed: u64) -> Self {
        let namespace = Namespace::new();
        let name = namespace.name();
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).expect("a folder of ours");
        let path = |end: &str| folder.join(end).to_string_lossy().into_owned();
        let faults = Faults::start(
            [path("host-far"), path("linux-far")],
            [path("host-near"), path("linux-near")],
            seed,
        );
        let link = netdev(&folder.join("linux-near"), &folder.join("linux-far"));
        let bridge = home
            .invoke("timeout")
            .args(["--foreground", LIFETIME, "ip", "netns", "exec", name])
            .args(["qemu-system-x86_64", "-machine", "none", "-nodefaults"])
            .args(["-display", "none", "-netdev", &link])
            .args(["-netdev", "tap,id=tap,ifname=tap0,script=no,downscript=no"])
            .args(["-netdev", "hubport,id=port0,hubid=0,netdev=tap"])
            .args(["-netdev", "hubport,id=port1,hubid=0,netdev=net0"])
            .start();
        let wire = Self {
            faults,
            folder,
            _bridge: bridge,
            namespace,
        };
        let bound = wire.folder.join("linux-near");
        wait::until("the middle of the wire", || bound.exists().then_some(()));
        wire
    }

    /// Returns the namespace of Linux's end.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the name of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Returns what QEMU needs to put a machine's card at the other end.
    #[must_use]
    pub fn netdev(&self) -> String {
        let [near, far] = ["host-near", "host-far"].map(|end| self.folder.join(end));
        netdev(&near, &far)
    }

    /// Mistreats frames from now on.
    pub fn set(&self, mistreatment: Mistreatment) {
        self.faults.set(mistreatment);
    }

    /// Calls `work` in a thread whose sockets are in the namespace.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn within<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.namespace.within(work)
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn enter(&self) {
        self.namespace.enter();
    }
}

/// Returns whether this process may make wires.
#[must_use]
pub fn is_possible() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns what QEMU calls a wire between two Unix sockets.
pub(crate) fn netdev(near: &Path, far: &Path) -> String {
    let (near, far) = (near.display(), far.display());
    format!("dgram,id=net0,local.type=unix,local.path={near},remote.type=unix,remote.path={far}")
}
