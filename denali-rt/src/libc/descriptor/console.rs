//! The console: output only, there is nobody to type.

use super::watch::Watch;
use super::{Kind, Object};
use crate::hypercall;
use crate::libc::errno::Errno;
use crate::net::Readiness;
use core::task::Waker;

/// Standard input, output and error.
pub(super) struct Console;

impl Object for Console {
    fn try_read(&self, _buffer: &mut [u8]) -> Result<usize, Errno> {
        Ok(0)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        hypercall::console_write_all(bytes);
        Ok(bytes.len())
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            readable: true,
            writable: true,
            ..Readiness::default()
        }
    }

    fn watch(&self, _waker: &Waker) -> Option<Watch> {
        None
    }

    fn available(&self) -> Result<usize, Errno> {
        Ok(0)
    }

    fn kind(&self) -> Kind {
        Kind::CharacterDevice
    }
}
