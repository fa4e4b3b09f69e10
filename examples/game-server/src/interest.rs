//! What of the arena a player gets to know: what is near.

use crate::protocol::{Entity, Snapshot};
use crate::world::{World, distance};
use alloc::vec::Vec;

/// Most entities in a snapshot, so that one fits a datagram.
pub const VISIBLE_MAX: usize = 64;

/// How far a player sees along either axis, in 16ths of a unit: a quarter of the arena.
pub const SIGHT: i32 = 16_384;

/// Returns what a player sees now: itself and whatever is near; the nearest, if that is too much.
#[must_use]
pub fn seen_by(world: &World, id: u8) -> Snapshot {
    let mut entities: Vec<Entity> = Vec::new();
    if let Some(viewer) = world.player(id) {
        let near = |entity: &&Entity| distance(entity, viewer) <= SIGHT;
        entities.extend(world.entities().filter(near));
        if entities.len() > VISIBLE_MAX {
            entities.sort_by_key(|entity| (entity.id != id, distance(entity, viewer)));
            entities.truncate(VISIBLE_MAX);
            entities.sort_by_key(|entity| entity.id);
        }
    }
    Snapshot {
        tick: world.tick(),
        entities,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Input;

    #[test]
    fn a_player_sees_itself_and_what_is_near_and_nothing_else() {
        let mut world = World::new(3);
        for _ in 0..32 {
            world.enter().unwrap();
        }
        let fire = Input {
            buttons: Input::FIRE,
            aim: 0,
        };
        let mut most = 0;
        for _ in 0..30 {
            (0..32).for_each(|id| world.steer(id, fire));
            world.step();
            for id in 0..32 {
                let viewer = *world.player(id).unwrap();
                let seen = seen_by(&world, id);
                assert!(seen.entities.contains(&viewer));
                assert!(seen.entities.is_sorted_by_key(|entity| entity.id));
                let near = world
                    .entities()
                    .filter(|entity| distance(entity, &viewer) <= SIGHT);
                let near = near.count();
                assert_eq!(seen.entities.len(), near.min(VISIBLE_MAX));
                most = most.max(near);
            }
        }
        assert!(most < world.entities().count(), "nobody sees everything");
    }
}
