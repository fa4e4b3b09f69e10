//! Checkpoints: a running service as a file, and services made of one.
//!
//! ```text
//!  file:   header ‖ chunk ‖ chunk ‖ … ‖ last chunk      sealed to the host (`sealed.rs`)
//!  body:   facts ‖ image ‖ pages ‖ state                what the chunks hold, compressed (`body.rs`)
//! ```
//!
//! Only pages that say something new are in it: not those that the service never wrote, nor those
//! that are as in the image. Volumes are not in it; the restored service has those of its name.
//!
//! | file        | holds                                         |
//! |-------------|-----------------------------------------------|
//! | `sealed`    | header, compression, authenticated encryption |
//! | `body`      | the order of what is inside                   |
//! | `frozen`    | a VM that is kept still and read              |
//! | `restoring` | a service made of what is read                |

pub mod body;
pub mod frozen;
pub mod restoring;
pub mod sealed;

use crate::service::{Origin, Service};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use denali_abi::image::{BUILD_ID_LEN, ImageHeader};
use denali_protocol::{Check, Limits, PublishedPort, Restart};
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes as _;

/// What is to be known of a service before its pages mean anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Version of its crate.
    pub version: String,
    /// Its published ports.
    pub publish: Vec<PublishedPort>,
    /// Its arguments and environment, encoded.
    pub arguments: Vec<u8>,
    /// The image's build-id.
    pub build_id: [u8; BUILD_ID_LEN],
    /// By what its image is the same as another.
    pub digest: [u8; 32],
    /// The check in its manifest.
    pub health: Option<Check>,
    /// What happens when it ends though nobody asked it to.
    pub restart: Restart,
    /// Memory limit in pages.
    pub memory_pages: u32,
    /// What it may take.
    pub limits: Limits,
    /// Its address, if it was given one.
    pub address: Option<[u8; 4]>,
    /// How many volumes it has.
    pub volumes: usize,
    /// The header of its image.
    pub image: Vec<u8>,
}

impl Facts {
    /// Returns what is to be known of a service with this image.
    #[must_use]
    pub fn of(service: &Service, origin: &Origin, image: &ImageHeader) -> Self {
        Self {
            name: service.name.to_string(),
            version: origin.version.clone(),
            publish: origin.publish.clone(),
            arguments: origin.arguments.clone(),
            build_id: origin.build_id,
            digest: origin.digest,
            health: origin.health.clone(),
            restart: origin.restart,
            memory_pages: service.memory_pages,
            limits: service.limits,
            address: service.address().map(|address| address.octets()),
            volumes: origin.volumes.len(),
            image: image.as_bytes().to_vec(),
        }
    }

    /// Returns what a service keeps of them that has no volumes.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin {
            version: self.version.clone(),
            publish: self.publish.clone(),
            arguments: self.arguments.clone(),
            volumes: Vec::new(),
            build_id: self.build_id,
            digest: self.digest,
            health: self.health.clone(),
            restart: self.restart,
        }
    }
}
