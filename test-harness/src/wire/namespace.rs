//! A network namespace with Linux's stack and a TAP device.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The address of Linux, which is also the router the host knows.
pub const ADDRESS: &str = "10.90.0.2";

/// The card at the other end of which a QEMU puts a machine.
pub const NETDEV: &str = "tap,id=net0,ifname=tap0,script=no,downscript=no";

/// A namespace; dropped, it goes.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace in which Linux has [`ADDRESS`] on a TAP device.
    ///
    /// # Panics
    ///
    /// If it cannot be made: that takes root.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("denali-{}-{number}", std::process::id());
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
        Self { name }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is left of it is harmless: a name without processes.
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .status()
            .ok();
    }
}

fn ip(words: &[&str]) {
    let status = Command::new("ip").args(words).status();
    assert!(
        status.expect("ip(8) is installed").success(),
        "ip {words:?}"
    );
}
