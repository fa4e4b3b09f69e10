//! What a player sees, as a difference from what it has seen.

use super::DATAGRAM_MAX;
use super::wire::{Reader, Writer};
use crate::interest::VISIBLE_MAX;
use alloc::vec::Vec;

/// Something in the arena, as players see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// Which one; players come before shots.
    pub id: u8,
    /// Where, in 16ths of a unit.
    pub x: u16,
    /// Where, in 16ths of a unit.
    pub y: u16,
    /// Where it looks or flies, in 256ths of a turn.
    pub angle: u8,
    /// How well it is, 0 to 100.
    pub health: u8,
    /// How often it has hit somebody.
    pub score: u16,
}

/// Everything a player sees in a tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The tick; the first is 1.
    pub tick: u32,
    /// Entities by ascending id, at most [`VISIBLE_MAX`].
    pub entities: Vec<Entity>,
}

/// The difference between two snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The tick of the snapshot it changes; 0 is one without entities.
    pub baseline: u32,
    changes: Vec<Change>,
}

/// What has become of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    /// The bits of what has changed, or [`GONE`].
    mask: u8,
    /// Its new state, where it has changed.
    entity: Entity,
}

const POSITION: u8 = 1;
const ANGLE: u8 = 2;
const HEALTH: u8 = 4;
const SCORE: u8 = 8;
const ALL: u8 = POSITION | ANGLE | HEALTH | SCORE;
const GONE: u8 = 0x80;

/// Longest change in bytes: id, mask and every field.
const CHANGE_LEN_MAX: usize = 2 + 4 + 1 + 1 + 2;

/// Bytes before the changes: what every datagram begins with, tick, input, baseline, count.
const HEAD_LEN: usize = 3 + 4 + 4 + 4 + 1;

// Everything seen may be new, and everything seen before gone.
const _: () = assert!(HEAD_LEN + VISIBLE_MAX * (CHANGE_LEN_MAX + 2) <= DATAGRAM_MAX);
const _: () = assert!(2 * VISIBLE_MAX <= u8::MAX as usize);

impl Delta {
    /// Returns what makes `new` out of `old`.
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut changes = Vec::new();
        let mut old_entities = old.entities.iter().peekable();
        for entity in &new.entities {
            while let Some(gone) = old_entities.next_if(|old| old.id < entity.id) {
                changes.push(Change::gone(gone.id));
            }
            let mask = match old_entities.next_if(|old| old.id == entity.id) {
                Some(old) => difference(old, entity),
                None => ALL,
            };
            if mask != 0 {
                changes.push(Change {
                    mask,
                    entity: *entity,
                });
            }
        }
        changes.extend(old_entities.map(|gone| Change::gone(gone.id)));
        Self {
            baseline: old.tick,
            changes,
        }
    }

    /// Returns the snapshot of `tick`, which this makes out of `old`; `None` if it is not about
    /// `old`, or contradicts it.
    #[must_use]
    pub fn apply(&self, old: &Snapshot, tick: u32) -> Option<Snapshot> {
        if old.tick != self.baseline {
            return None;
        }
        let mut entities = old.entities.clone();
        for change in &self.changes {
            let id = change.entity.id;
            match (
                entities.binary_search_by_key(&id, |entity| entity.id),
                change.mask,
            ) {
                (Ok(at), GONE) => {
                    entities.remove(at);
                }
                (Ok(at), _) => change.write_to(&mut entities[at]),
                (Err(at), ALL) => entities.insert(at, change.entity),
                (Err(_), _) => return None,
            }
        }
        Some(Snapshot { tick, entities })
    }

    /// Returns how many entities it changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns whether nothing is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.baseline);
        writer.u8(u8::try_from(self.changes.len()).unwrap_or(u8::MAX));
        for Change { mask, entity } in &self.changes {
            writer.bytes(&[entity.id, *mask]);
            if mask & POSITION != 0 {
                writer.u16(entity.x);
                writer.u16(entity.y);
            }
            if mask & ANGLE != 0 {
                writer.u8(entity.angle);
            }
            if mask & HEALTH != 0 {
                writer.u8(entity.health);
            }
            if mask & SCORE != 0 {
                writer.u16(entity.score);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let baseline = reader.u32()?;
        let count = reader.u8()?;
        let mut changes = Vec::new();
        for _ in 0..count {
            let mut entity = Entity {
                id: reader.u8()?,
                ..Entity::default()
            };
            let mask = reader.u8()?;
            if mask != GONE && (mask == 0 || mask & !ALL != 0) {
                return None;
            }
            if mask & POSITION != 0 {
                (entity.x, entity.y) = (reader.u16()?, reader.u16()?);
            }
            if mask & ANGLE != 0 {
                entity.angle = reader.u8()?;
            }
            if mask & HEALTH != 0 {
                entity.health = reader.u8()?;
            }
            if mask & SCORE != 0 {
                entity.score = reader.u16()?;
            }
            changes.push(Change { mask, entity });
        }
        Some(Self { baseline, changes })
    }
}

impl Change {
    fn gone(id: u8) -> Self {
        let entity = Entity {
            id,
            ..Entity::default()
        };
        Self { mask: GONE, entity }
    }

    fn write_to(&self, entity: &mut Entity) {
        let new = &self.entity;
        if self.mask & POSITION != 0 {
            (entity.x, entity.y) = (new.x, new.y);
        }
        if self.mask & ANGLE != 0 {
            entity.angle = new.angle;
        }
        if self.mask & HEALTH != 0 {
            entity.health = new.health;
        }
        if self.mask & SCORE != 0 {
            entity.score = new.score;
        }
    }
}

fn difference(old: &Entity, new: &Entity) -> u8 {
    let bit = |differs: bool, bit: u8| if differs { bit } else { 0 };
    bit((old.x, old.y) != (new.x, new.y), POSITION)
        | bit(old.angle != new.angle, ANGLE)
        | bit(old.health != new.health, HEALTH)
        | bit(old.score != new.score, SCORE)
}

#[cfg(test)]
mod tests {
    use super::super::FromServer;
    use super::*;
    use crate::random::Random;

    fn random_snapshot(random: &mut Random, tick: u32, old: &Snapshot) -> Snapshot {
        let mut entities = Vec::new();
        for id in 0..=u8::MAX {
            let known = old.entities.iter().find(|entity| entity.id == id);
            if entities.len() == VISIBLE_MAX || random.below(6) > u32::from(known.is_some()) * 4 {
                continue;
            }
            let mut entity = known.copied().unwrap_or(Entity {
                id,
                ..Entity::default()
            });
            if random.below(2) == 0 {
                entity.x = random.number().to_be_bytes()[0].into();
                entity.health = random.byte() % 101;
            }
            if random.below(4) == 0 {
                (entity.angle, entity.score) = (random.byte(), random.byte().into());
            }
            entities.push(entity);
        }
        Snapshot { tick, entities }
    }

    #[test]
    fn a_difference_makes_the_new_out_of_the_old_within_one_datagram() {
        let mut random = Random::new(2);
        let mut old = Snapshot::default();
        for tick in 1..2_000 {
            let new = random_snapshot(&mut random, tick, &old);
            let delta = Delta::between(&old, &new);
            let sent = FromServer::Snapshot {
                tick,
                input: 7,
                delta,
            };
            let bytes = sent.encode();
            assert!(bytes.len() <= DATAGRAM_MAX);
            let Some(FromServer::Snapshot { delta, .. }) = FromServer::decode(&bytes) else {
                panic!("a snapshot");
            };
            assert_eq!(delta.apply(&old, tick).as_ref(), Some(&new));
            assert_eq!(
                delta.apply(&new, tick),
                None,
                "it is about another baseline"
            );
            old = new;
        }
    }

    #[test]
    fn nothing_new_costs_a_head_alone() {
        let mut random = Random::new(3);
        let old = random_snapshot(&mut random, 1, &Snapshot::default());
        let new = Snapshot {
            tick: 2,
            ..old.clone()
        };
        let delta = Delta::between(&old, &new);
        assert!(delta.is_empty());
        let sent = FromServer::Snapshot {
            tick: 2,
            input: 0,
            delta,
        };
        assert_eq!(sent.encode().len(), HEAD_LEN);
    }
}
