//! A network on which services answer as a test wants.

use super::probe::Probe;
use crate::fixtures::SharedKernel;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;
use denali_protocol::Check;
use std::sync::Mutex;

/// How services answer.
type Answer = Box<dyn FnMut(Ipv4Addr, &Check) -> Result<(), String> + Send>;

/// The fake: a pause moves the kernel's clock.
pub struct FakeNetwork {
    kernel: SharedKernel,
    answer: Mutex<Answer>,
}

impl FakeNetwork {
    /// Returns a network on which each service answers by `answer`.
    pub(crate) fn new(
        kernel: &SharedKernel,
        answer: impl FnMut(Ipv4Addr, &Check) -> Result<(), String> + Send + 'static,
    ) -> Box<Self> {
        Box::new(Self {
            kernel: kernel.clone(),
            answer: Mutex::new(Box::new(answer)),
        })
    }
}

impl fmt::Debug for FakeNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeNetwork").finish_non_exhaustive()
    }
}

impl Probe for FakeNetwork {
    fn ask(&self, address: Ipv4Addr, check: &Check) -> Result<(), String> {
        let mut answer = self.answer.lock().expect("no test panics with it in hand");
        (*answer)(address, check)
    }

    fn pause(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).expect("tests wait for seconds");
        self.kernel.lock().now_ns += ns;
    }
}
