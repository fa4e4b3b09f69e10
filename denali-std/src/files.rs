//! The files that the manifest's `include` names, packed into the image by `build.rs`.

use denali_rt::libc::files;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Makes them known to the C library, and so to `std::fs`.
pub(crate) fn provide() {
    files::provide(FILES);
}
