//! Volumes: whose they are, and which block of which disk is meant.

use super::BlockLayer;
use super::cipher::Key;
use super::partition::Part;
use super::ring::BlockRing;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::vm::VmId;
use alloc::vec::Vec;
use denali_abi::block::{VOLUME_KEY_LEN, VOLUMES_MAX, VolumeConfig, VolumeInfo};
use denali_abi::errno::Errno;

/// A volume of a VM.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    /// Its blocks on the disk.
    pub(super) part: Part,
    pub(super) key: Key,
}

/// What a VM with volumes has.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) vm: VmId,
    pub(super) volumes: Vec<Volume>,
    pub(super) ring: BlockRing,
    /// Its requests that have a slot.
    pub(super) under_way: u32,
    /// Whether it waits for a slot.
    pub(super) is_waiting: bool,
}

/// A block of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) disk: u8,
    pub(super) block: u64,
}

impl Place {
    const fn as_part(self) -> Part {
        Part {
            disk: self.disk,
            start: self.block,
            blocks: 1,
        }
    }
}

impl Guest {
    /// Returns a volume of the VM and where a block of it lies.
    ///
    /// # Errors
    ///
    /// [`Errno::NotFound`] if it has no such volume, [`Errno::Invalid`] if that has no such block.
    pub(super) fn locate(&self, volume: u32, block: u64) -> Result<(&Volume, Place), Errno> {
        let index = usize::try_from(volume).map_err(|_| Errno::NotFound)?;
        let volume = self.volumes.get(index).ok_or(Errno::NotFound)?;
        if block >= volume.part.blocks && !cfg!(sabotage = "trust-block-number") {
            return Err(Errno::Invalid);
        }
        let block = volume.part.start.checked_add(block);
        let place = Place {
            disk: volume.part.disk,
            block: block.ok_or(Errno::Invalid)?,
        };
        Ok((volume, place))
    }
}

impl BlockLayer {
    /// Checks volumes for a new VM and returns them.
    fn volumes_of(&self, configs: &[VolumeConfig]) -> Result<Vec<Volume>, Errno> {
        let whole = self.volumes.ok_or(Errno::NotFound)?;
        let mut volumes: Vec<Volume> = Vec::with_capacity(configs.len());
        for config in configs {
            let blocks = config.info.blocks;
            let end = config.start.checked_add(blocks);
            if blocks == 0 || end.is_none_or(|end| end > whole.blocks) {
                return Err(Errno::Invalid);
            }
            let part = Part {
                start: whole.start + config.start,
                blocks,
                ..whole
            };
            let twice = volumes.iter().any(|other| overlap(other.part, part));
            if twice || self.is_in_use(part) {
                return Err(Errno::Busy);
            }
            let key = Key::new(&config.key).map_err(|_| Errno::Invalid)?;
            volumes.push(Volume { part, key });
        }
        Ok(volumes)
    }

    /// Returns whether a VM has any of these blocks.
    fn is_in_use(&self, part: Part) -> bool {
        if cfg!(sabotage = "share-volumes") {
            return false;
        }
        let mut of_guests = self.guests.values().flat_map(|guest| &guest.volumes);
        of_guests.any(|volume| overlap(volume.part, part))
    }

    /// Returns whether requests are under way that a VM had which ended, for blocks that are this
    /// VM's now: its own have to come later.
    pub(super) fn inherits_requests(&self, guest: &Guest) -> bool {
        let orphans = self.slots.iter().filter_map(|slot| slot.job.as_ref());
        let mut places = orphans
            .filter(|job| job.vm.is_none())
            .map(|job| job.place.as_part());
        places.any(|place| {
            let mut volumes = guest.volumes.iter();
            volumes.any(|volume| overlap(volume.part, place))
        })
    }

    fn add(&mut self, vm: VmId, volumes: Vec<Volume>) {
        let guest = Guest {
            vm,
            volumes,
            ring: BlockRing::default(),
            under_way: 0,
            is_waiting: false,
        };
        self.guests.insert(vm.index(), guest);
    }

    /// Forgets a VM that ended. What is under way for it is finished, for nobody.
    pub(crate) fn forget(&mut self, id: VmId) {
        if self.guests.remove(&id.index()).is_none() {
            return;
        }
        self.waiting.retain(|&waiter| waiter != id);
        for slot in &mut self.slots {
            if let Some(job) = slot.job.as_mut().filter(|job| job.vm == Some(id)) {
                job.vm = None;
            }
        }
    }
}

impl Kernel {
    /// Checks that a new VM can have these volumes now.
    pub(crate) fn check_volumes(&self, configs: &[VolumeConfig]) -> Result<(), Errno> {
        if configs.is_empty() {
            return Ok(());
        }
        let layer = self.block.as_ref().ok_or(Errno::NotFound)?;
        layer.volumes_of(configs).map(drop)
    }

    /// Gives a new VM its volumes, which were checked.
    pub(crate) fn give_volumes(&mut self, vm: VmId, configs: &[VolumeConfig]) {
        if let Some(layer) = self.block.as_mut().filter(|_| !configs.is_empty())
            && let Ok(volumes) = layer.volumes_of(configs)
        {
            layer.add(vm, volumes);
        }
    }

    /// Makes the partition for the store the volume of the supervisor.
    pub(crate) fn store_open(
        &mut self,
        caller: VmId,
        address: u64,
        machine: &mut dyn Machine,
    ) -> Result<u64, Errno> {
        let mut key = [0; VOLUME_KEY_LEN];
        self.copy_in(caller, address, &mut key, machine)?;
        let key = Key::new(&key).map_err(|_| Errno::Invalid)?;
        let layer = self.block.as_mut().ok_or(Errno::NotFound)?;
        let part = layer.store.ok_or(Errno::NotFound)?;
        if layer.guests.contains_key(&caller.index()) {
            return Err(Errno::Exists);
        }
        let volume = Volume { part, key };
        layer.add(caller, alloc::vec![volume]);
        Ok(part.blocks)
    }
}

/// Returns what the registers of a VM say of its volumes.
pub(crate) fn infos(configs: &[VolumeConfig]) -> [VolumeInfo; VOLUMES_MAX] {
    let mut infos = [VolumeInfo::default(); VOLUMES_MAX];
    for (place, config) in infos.iter_mut().zip(configs) {
        *place = config.info;
    }
    infos
}

const fn overlap(one: Part, other: Part) -> bool {
    one.disk == other.disk
        && one.start < other.start.saturating_add(other.blocks)
        && other.start < one.start.saturating_add(one.blocks)
}
