//! Volumes: which blocks of the partition are whose, and their keys.
//!
//! A volume is made when a release first asks for it and stays until its service is removed. Its key
//! goes with its record, and with that everything written to it.

use super::{Keeper, get, put};
use crate::hex;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use denali_abi::block::{VOLUME_KEY_LEN, VOLUME_NAME_MAX, VolumeConfig, VolumeInfo};
use denali_abi::layout::PAGE_SIZE;
use denali_protocol::VolumeRequest;
use denali_store::Changes;
use serde::{Deserialize, Serialize};

/// A volume that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Volume {
    /// Its first block in the partition.
    start: u64,
    /// Its blocks.
    blocks: u64,
    /// Its key in hexadecimal digits.
    key: String,
}

impl Keeper {
    /// Returns the volumes a service asks for; those that are not there are made, in a partition of
    /// `total` blocks, with keys drawn by `draw`.
    ///
    /// # Errors
    ///
    /// One line: there is no room, a volume has another size, or the store cannot keep it.
    pub fn volumes(
        &mut self,
        name: &str,
        requests: &[VolumeRequest],
        total: u64,
        mut draw: impl FnMut(&mut [u8]),
    ) -> Result<Vec<VolumeConfig>, String> {
        let mut taken = self.all_volumes();
        let mut changes = Changes::new();
        let mut configs = Vec::new();
        for request in requests {
            let record = format!("volume/{name}/{}", request.name);
            let blocks = request.size / PAGE_SIZE;
            let found = self.store.get(record.as_bytes()).and_then(get::<Volume>);
            let volume = match found {
                Some(found) if found.blocks == blocks => found,
                Some(found) => {
                    return Err(format!(
                        "volume `{}` has {} KiB since it was made: keep that size, or remove the \
                         service and what it wrote with `rm`",
                        request.name,
                        found.blocks * (PAGE_SIZE / 1024)
                    ));
                }
                None => {
                    let start = first_fit(&mut taken, blocks, total).ok_or_else(|| {
                        format!("no room for volume `{}`: use a larger --data", request.name)
                    })?;
                    let mut key = [0; VOLUME_KEY_LEN];
                    draw(&mut key);
                    let made = Volume {
                        start,
                        blocks,
                        key: hex::encode(&key),
                    };
                    taken.push((start, blocks));
                    put(&mut changes, &record, &made);
                    made
                }
            };
            configs.push(config(&request.name, &volume)?);
        }
        let kept = self.store.commit(&changes);
        kept.map_err(|error| format!("volumes cannot be kept: {error}"))?;
        Ok(configs)
    }

    fn all_volumes(&self) -> Vec<(u64, u64)> {
        let records = self.store.range(b"volume/");
        let volumes = records.filter_map(|(_, value)| get::<Volume>(value));
        volumes
            .map(|volume| (volume.start, volume.blocks))
            .collect()
    }
}

/// Returns the first block of a row that nobody has.
fn first_fit(taken: &mut [(u64, u64)], blocks: u64, total: u64) -> Option<u64> {
    taken.sort_unstable();
    let mut start = 0_u64;
    for &(next, length) in taken.iter() {
        if next.checked_sub(start)? >= blocks {
            return Some(start);
        }
        start = next.checked_add(length)?;
    }
    (total.checked_sub(start)? >= blocks).then_some(start)
}

fn config(name: &str, volume: &Volume) -> Result<VolumeConfig, String> {
    let mut padded = [0; VOLUME_NAME_MAX];
    for (place, byte) in padded.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    Ok(VolumeConfig {
        start: volume.start,
        info: VolumeInfo {
            blocks: volume.blocks,
            name: padded,
        },
        key: hex::decode(&volume.key).ok_or_else(|| format!("the key of `{name}` is damaged"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::Memory;
    use alloc::boxed::Box;

    fn request(name: &str, blocks: u64) -> VolumeRequest {
        VolumeRequest {
            name: name.into(),
            size: blocks * PAGE_SIZE,
        }
    }

    #[test]
    fn volumes_stay_where_they_are_and_room_is_used_again() {
        let memory = Memory::new(512);
        let open = || Keeper::open(Box::new(memory.clone()), 7).unwrap().0;
        let mut keeper = open();
        let mut count = 0;
        let mut draw = |bytes: &mut [u8]| {
            count += 1;
            bytes.fill(count);
        };
        let asked = [request("data", 10), request("log", 5)];
        let first = keeper.volumes("web", &asked, 40, &mut draw).unwrap();
        let other = keeper.volumes("api", &[request("data", 20)], 40, &mut draw);
        assert_eq!(other.unwrap()[0].start, 15);
        let full = keeper.volumes("big", &[request("data", 6)], 40, &mut draw);
        assert!(full.unwrap_err().contains("no room"));
        drop(keeper);
        let mut keeper = open();
        let again = keeper.volumes("web", &asked, 40, &mut draw).unwrap();
        for (one, other) in first.iter().zip(&again) {
            assert_eq!((one.start, one.key), (other.start, other.key));
        }
        let larger = keeper.volumes("web", &[request("data", 11)], 40, &mut draw);
        assert!(larger.unwrap_err().contains("keep that size"));
        keeper.forget("web").unwrap();
        let next = keeper.volumes("new", &[request("data", 12)], 40, &mut draw);
        let next = next.unwrap()[0];
        assert_eq!(next.start, 0);
        assert_ne!(next.key, first[0].key);
    }
}
