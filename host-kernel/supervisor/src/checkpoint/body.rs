//! What is in a checkpoint, and in which order.
//!
//! | part   | form                                                                    |
//! |--------|-------------------------------------------------------------------------|
//! | facts  | a length of four bytes, then that much JSON ([`Facts`])                  |
//! | image  | the pages of text, rodata and data, as many as its header says           |
//! | pages  | a number of four bytes and 4,096 bytes each, in ascending order; then [`END`] |
//! | state  | a [`FrozenVm`]                                                           |
//!
//! Numbers are little-endian. Reading holds one item at a time.

use super::Facts;
use super::sealed::Unsound;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::control::FrozenVm;
use denali_abi::convert::u32_to_usize;
use denali_abi::image::ImageHeader;
use zerocopy::FromBytes as _;

/// A page's contents.
pub type Page = [u8; PAGE_LEN];

/// Bytes of a page.
pub const PAGE_LEN: usize = 4096;

/// Stands where the number of another page could.
pub const END: u32 = u32::MAX;

/// Most bytes of facts.
const FACTS_LEN_MAX: usize = 32 * 1024;

/// What takes the parts of a body.
#[expect(clippy::missing_errors_doc, reason = "each says why it does not go on")]
pub trait Target {
    /// Takes the facts. Comes first.
    fn facts(&mut self, facts: Facts, image: ImageHeader) -> Result<(), Unsound>;

    /// Takes a page of the image.
    fn image_page(&mut self, index: u64, page: &Page) -> Result<(), Unsound>;

    /// Takes a page that was written.
    fn page(&mut self, number: u32, page: &Page) -> Result<(), Unsound>;

    /// Takes the rest. Comes last.
    fn state(&mut self, state: Box<FrozenVm>) -> Result<(), Unsound>;
}

/// What is to come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    FactsLength,
    Facts(usize),
    ImagePage { index: u64, count: u64 },
    PageNumber { after: Option<u32> },
    Page(u32),
    State,
    Nothing,
}

impl Next {
    const fn len(self) -> usize {
        match self {
            Self::FactsLength | Self::PageNumber { .. } => 4,
            Self::Facts(length) => length,
            Self::ImagePage { .. } | Self::Page(_) => PAGE_LEN,
            Self::State => size_of::<FrozenVm>(),
            Self::Nothing => 1,
        }
    }
}

/// Takes a body apart as it comes.
#[derive(Debug)]
pub struct Reader {
    next: Next,
    pending: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            next: Next::FactsLength,
            pending: Vec::new(),
        }
    }
}

impl Reader {
    /// Takes more of the body.
    ///
    /// # Errors
    ///
    /// It is malformed, or the target does not go on.
    pub fn add(&mut self, bytes: &[u8], target: &mut dyn Target) -> Result<(), Unsound> {
        self.pending.extend_from_slice(bytes);
        let pending = core::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while let Some((item, behind)) = rest.split_at_checked(self.next.len()) {
            self.next = take(self.next, item, target)?;
            rest = behind;
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// Checks that everything came.
    ///
    /// # Errors
    ///
    /// Something is missing.
    pub fn finish(&self) -> Result<(), Unsound> {
        match self.next {
            Next::Nothing if self.pending.is_empty() => Ok(()),
            _ => Err(malformed("it ends too early")),
        }
    }
}

fn take(next: Next, item: &[u8], target: &mut dyn Target) -> Result<Next, Unsound> {
    Ok(match next {
        Next::FactsLength => match u32_to_usize(number(item)) {
            length if length <= FACTS_LEN_MAX => Next::Facts(length),
            _ => return Err(malformed("its facts are too long")),
        },
        Next::Facts(_) => {
            let facts: Facts = serde_json::from_slice(item)
                .map_err(|_| malformed("its facts are of another form"))?;
            let image = ImageHeader::read_from_bytes(&facts.image)
                .ok()
                .filter(|image| image.validate().is_ok())
                .ok_or_else(|| malformed("its image is none"))?;
            target.facts(facts, image)?;
            Next::ImagePage {
                index: 0,
                count: image.content_pages(),
            }
        }
        Next::ImagePage { index, count } => {
            target.image_page(index, page(item)?)?;
            match index + 1 {
                index if index < count => Next::ImagePage { index, count },
                _ => Next::PageNumber { after: None },
            }
        }
        Next::PageNumber { after } => match number(item) {
            END => Next::State,
            number if after.is_none_or(|after| number > after) => Next::Page(number),
            _ => return Err(malformed("its pages are out of order")),
        },
        Next::Page(number) => {
            target.page(number, page(item)?)?;
            Next::PageNumber {
                after: Some(number),
            }
        }
        Next::State => {
            let mut state = Box::new(super::frozen::blank());
            zerocopy::IntoBytes::as_mut_bytes(&mut *state).copy_from_slice(item);
            target.state(state)?;
            Next::Nothing
        }
        Next::Nothing => return Err(malformed("something follows its end")),
    })
}

fn number(item: &[u8]) -> u32 {
    item.try_into().map_or(END, u32::from_le_bytes)
}

fn page(item: &[u8]) -> Result<&Page, Unsound> {
    item.try_into().map_err(|_| malformed("a page is cut"))
}

fn malformed(why: &str) -> Unsound {
    Unsound(String::from("the checkpoint is malformed: ") + why)
}
