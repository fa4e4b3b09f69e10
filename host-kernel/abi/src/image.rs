//! The flat image: a fixed header and page-aligned segments.
//!
//! An image file is one page that starts with the [`ImageHeader`], followed by the pages of text,
//! rodata and data. They are mapped one behind the other from [`IMAGE_BASE`] on, then come
//! `bss_pages` of demand-zero memory, then the heap. Nothing is relocated and nothing is parsed.

use crate::ABI_VERSION;
use crate::layout::{HEAP_END, IMAGE_BASE, PAGE_SIZE};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The first eight bytes of every image.
pub const IMAGE_MAGIC: [u8; 8] = *b"\x7fDenali\n";

/// Length of a build-id in bytes (SHA-1 sized, as in ELF's `NT_GNU_BUILD_ID`).
pub const BUILD_ID_LEN: usize = 20;

/// The header at the start of an image file.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ImageHeader {
    /// [`IMAGE_MAGIC`].
    pub magic: [u8; 8],
    /// The [`ABI_VERSION`] the image was built for.
    pub abi_version: u32,
    /// Memory the service asks for, in pages; the deployer may give another amount.
    pub memory_pages: u32,
    /// Executable pages (`r-x`), the first segment.
    pub text_pages: u32,
    /// Read-only pages (`r--`).
    pub rodata_pages: u32,
    /// Writable pages with initial contents (`rw-`).
    pub data_pages: u32,
    /// Writable pages that start as zero.
    pub bss_pages: u32,
    /// Address of the first instruction, inside text.
    pub entry: u64,
    /// The ELF's build-id, or a digest that stands in for it.
    pub build_id: [u8; BUILD_ID_LEN],
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<ImageHeader>() == 64);

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The magic is wrong: this is no Denali image.
    NotAnImage,
    /// The image was built for another ABI version (the one it asks for).
    AbiVersion(u32),
    /// The segments do not fit below [`HEAP_END`].
    TooLarge,
    /// The entry point is outside text.
    BadEntry,
    /// There is no text segment, or a reserved field is not zero.
    Malformed,
}

impl ImageHeader {
    /// Checks every field against the rules above.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ImageError> {
        if self.magic != IMAGE_MAGIC {
            return Err(ImageError::NotAnImage);
        }
        if self.abi_version != ABI_VERSION {
            return Err(ImageError::AbiVersion(self.abi_version));
        }
        if self.text_pages == 0 || self.reserved != 0 {
            return Err(ImageError::Malformed);
        }
        if self.end_address() >= HEAP_END {
            return Err(ImageError::TooLarge);
        }
        let text_end = IMAGE_BASE + u64::from(self.text_pages) * PAGE_SIZE;
        if !(IMAGE_BASE..text_end).contains(&self.entry) {
            return Err(ImageError::BadEntry);
        }
        Ok(())
    }

    /// Returns the number of pages with contents: text, rodata and data.
    #[must_use]
    pub fn content_pages(&self) -> u64 {
        u64::from(self.text_pages) + u64::from(self.rodata_pages) + u64::from(self.data_pages)
    }

    /// Returns the address behind the last segment, where the heap starts.
    #[must_use]
    pub fn end_address(&self) -> u64 {
        IMAGE_BASE + (self.content_pages() + u64::from(self.bss_pages)) * PAGE_SIZE
    }

    /// Returns the length of the whole image file in bytes, header page included.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        (1 + self.content_pages()) * PAGE_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ImageHeader {
        ImageHeader {
            magic: IMAGE_MAGIC,
            abi_version: ABI_VERSION,
            memory_pages: 256,
            text_pages: 2,
            rodata_pages: 1,
            data_pages: 1,
            bss_pages: 3,
            entry: IMAGE_BASE + 16,
            build_id: [7; BUILD_ID_LEN],
            reserved: 0,
        }
    }

    #[test]
    fn a_sound_header_is_accepted() {
        assert_eq!(header().validate(), Ok(()));
        assert_eq!(header().file_len(), 5 * PAGE_SIZE);
        assert_eq!(header().end_address(), IMAGE_BASE + 7 * PAGE_SIZE);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases = [
            (
                ImageHeader {
                    magic: *b"\x7fELF\x02\x01\x01\0",
                    ..header()
                },
                ImageError::NotAnImage,
            ),
            (
                ImageHeader {
                    abi_version: 99,
                    ..header()
                },
                ImageError::AbiVersion(99),
            ),
            (
                ImageHeader {
                    text_pages: 0,
                    ..header()
                },
                ImageError::Malformed,
            ),
            (
                ImageHeader {
                    reserved: 1,
                    ..header()
                },
                ImageError::Malformed,
            ),
            (
                ImageHeader {
                    bss_pages: u32::MAX,
                    ..header()
                },
                ImageError::TooLarge,
            ),
            (
                ImageHeader {
                    entry: IMAGE_BASE + 2 * PAGE_SIZE,
                    ..header()
                },
                ImageError::BadEntry,
            ),
            (
                ImageHeader {
                    entry: 0,
                    ..header()
                },
                ImageError::BadEntry,
            ),
        ];
        for (header, error) in cases {
            assert_eq!(header.validate(), Err(error));
        }
    }
}
