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

pub use faults::{Faults, Mistreatment};

use crate::cli::Running;
use crate::home::Home;
use crate::wait;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Seconds after which the QEMU in the middle ends whatever happens.
const LIFETIME: &str = "900";

/// The address of Linux, which is also the router the host knows.
pub const ADDRESS: &str = "10.90.0.2";

/// A wire; dropped, its namespace goes.
#[derive(Debug)]
pub struct Wire {
    name: String,
    faults: Faults,
    folder: PathBuf,
    _bridge: Running,
}

impl Wire {
    /// Makes a wire without faults; those to come follow from `seed`.
    ///
    /// # Panics
    ///
    /// If the namespace cannot be made: that takes root.
    #[must_use]
    pub fn new(home: &Home, seed: u64) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("denali-{}-{number}", std::process::id());
        let folder = home.path().join(format!("wire-{number}"));
        std::fs::create_dir(&folder).expect("a folder of ours");
        ip(&["netns", "add", &name]);
        for words in [
            "link set lo up",
            "tuntap add tap0 mode tap",
            &format!("addr add {ADDRESS}/16 dev tap0"),
            "link set tap0 up",
        ] {
            let words: Vec<_> = words.split(' ').collect();
            ip(&[&["-n", &name], &words[..]].concat());
        }
        let path = |end: &str| folder.join(end).to_string_lossy().into_owned();
        let faults = Faults::start(
            [path("host-far"), path("linux-far")],
            [path("host-near"), path("linux-near")],
            seed,
        );
        let link = netdev(&path("linux-near"), &path("linux-far"));
        let bridge = home
            .invoke("timeout")
            .args(["--foreground", LIFETIME, "ip", "netns", "exec", &name])
            .args(["qemu-system-x86_64", "-machine", "none", "-nodefaults"])
            .args(["-display", "none", "-netdev", &link])
            .args(["-netdev", "tap,id=tap,ifname=tap0,script=no,downscript=no"])
            .args(["-netdev", "hubport,id=port0,hubid=0,netdev=tap"])
            .args(["-netdev", "hubport,id=port1,hubid=0,netdev=net0"])
            .start();
        let wire = Self {
            name,
            faults,
            folder,
            _bridge: bridge,
        };
        let bound = wire.folder.join("linux-near");
        wait::until("the middle of the wire", || bound.exists().then_some(()));
        wire
    }

    /// Returns the name of the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what QEMU needs to put a machine's card at the other end.
    #[must_use]
    pub fn netdev(&self) -> String {
        let path = |end: &str| self.folder.join(end).to_string_lossy().into_owned();
        netdev(&path("host-near"), &path("host-far"))
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
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter();
                work()
            });
            inside.join().expect("it holds")
        })
    }

    /// Moves the calling thread into the namespace.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn enter(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("the namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(namespace.as_fd(), kind).expect("we may enter it");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // What is left of it is harmless: a name without processes.
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .status()
            .ok();
    }
}

/// Returns whether this process may make wires.
#[must_use]
pub fn is_possible() -> bool {
    rustix::process::geteuid().is_root()
}

fn netdev(near: &str, far: &str) -> String {
    format!("dgram,id=net0,local.type=unix,local.path={near},remote.type=unix,remote.path={far}")
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status();
    assert!(
        status.expect("ip(8) is installed").success(),
        "ip {words:?}"
    );
}
