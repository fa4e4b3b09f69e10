//! The arena: who is where, and what happens in a tick.
//!
//! Whole numbers throughout, so that a tick gives the same everywhere.

use crate::protocol::{Entity, Input};
use crate::random::Random;
use alloc::vec::Vec;

/// Most players.
pub const PLAYERS_MAX: usize = 32;

/// Ticks a second.
pub const TICKS_PER_SECOND: u32 = 10;

/// Side of the arena, in 16ths of a unit: the largest position.
pub const SIDE: u16 = u16::MAX;

/// Shots in the air at once; further ones are not fired.
const SHOTS_MAX: usize = 96;

/// Way of a player in a tick, in 16ths of a unit.
const SPEED: i32 = 400;

/// Way of a shot in a tick.
const SHOT_SPEED: i32 = 1_600;

/// Ticks a shot flies.
const SHOT_LIFE: u8 = 12;

/// Ticks between two shots of a player.
const RELOAD: u8 = 4;

/// Distance at which a shot hits: half of its way in a tick, so that none passes through.
const HIT_DISTANCE: i32 = 800;

const HEALTH: u8 = 100;
const DAMAGE: u8 = 20;

/// A quarter of a sine wave in 64 steps, in 128ths.
const SINE: [i32; 65] = [
    0, 3, 6, 9, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40, 43, 46, 49, 52, 55, 58, 60, 63, 66, 68, 71,
    74, 76, 79, 81, 84, 86, 88, 91, 93, 95, 97, 99, 101, 103, 105, 106, 108, 110, 111, 113, 114,
    116, 117, 118, 119, 121, 122, 122, 123, 124, 125, 126, 126, 127, 127, 127, 128, 128, 128, 128,
];

/// A player in the arena.
#[derive(Clone, Copy, Debug)]
struct Player {
    entity: Entity,
    input: Input,
    reload: u8,
}

/// A shot in the air.
#[derive(Clone, Copy, Debug)]
struct Shot {
    entity: Entity,
    owner: u8,
    life: u8,
}

/// The arena.
#[derive(Debug)]
pub struct World {
    players: [Option<Player>; PLAYERS_MAX],
    shots: Vec<Shot>,
    random: Random,
    tick: u32,
}

impl World {
    /// Makes an empty one.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            players: [None; PLAYERS_MAX],
            shots: Vec::new(),
            random: Random::new(seed),
            tick: 0,
        }
    }

    /// Returns how many ticks have passed.
    #[must_use]
    pub fn tick(&self) -> u32 {
        self.tick
    }

    /// Lets a player in, at a random place. Returns its id, or `None` if all places are taken.
    pub fn enter(&mut self) -> Option<u8> {
        let free = self.players.iter().position(Option::is_none)?;
        let id = u8::try_from(free).ok()?;
        let mut entity = Entity {
            id,
            health: HEALTH,
            ..Entity::default()
        };
        self.place(&mut entity);
        self.players[free] = Some(Player {
            entity,
            input: Input::default(),
            reload: 0,
        });
        Some(id)
    }

    /// Takes a player out.
    pub fn leave(&mut self, id: u8) {
        if let Some(player) = self.players.get_mut(usize::from(id)) {
            *player = None;
        }
    }

    /// Notes what a player wants from now on.
    pub fn steer(&mut self, id: u8, input: Input) {
        if let Some(Some(player)) = self.players.get_mut(usize::from(id)) {
            player.input = input;
        }
    }

    /// Returns everything there is, by ascending id.
    pub fn entities(&self) -> impl Iterator<Item = &Entity> {
        let players = self.players.iter().flatten().map(|player| &player.entity);
        players.chain(self.shots.iter().map(|shot| &shot.entity))
    }

    /// Returns a player.
    #[must_use]
    pub fn player(&self, id: u8) -> Option<&Entity> {
        let player = self.players.get(usize::from(id))?.as_ref()?;
        Some(&player.entity)
    }

    /// Lets a tick pass.
    pub fn step(&mut self) {
        self.tick += 1;
        self.move_players();
        self.move_shots();
    }

    fn move_players(&mut self) {
        for player in self.players.iter_mut().flatten() {
            let Input { buttons, aim } = player.input;
            let axis = |less: u8, more: u8| {
                i32::from(buttons & more != 0) - i32::from(buttons & less != 0)
            };
            let entity = &mut player.entity;
            entity.angle = aim;
            entity.x = moved(entity.x, axis(Input::LEFT, Input::RIGHT) * SPEED);
            entity.y = moved(entity.y, axis(Input::UP, Input::DOWN) * SPEED);
            player.reload = player.reload.saturating_sub(1);
            if buttons & Input::FIRE != 0 && player.reload == 0 && self.shots.len() < SHOTS_MAX {
                player.reload = RELOAD;
                let shot = Shot {
                    entity: Entity {
                        id: free_id(&self.shots),
                        health: 0,
                        score: 0,
                        ..*entity
                    },
                    owner: entity.id,
                    life: SHOT_LIFE,
                };
                let at = self
                    .shots
                    .partition_point(|other| other.entity.id < shot.entity.id);
                self.shots.insert(at, shot);
            }
        }
    }

    fn move_shots(&mut self) {
        let mut shots = core::mem::take(&mut self.shots);
        shots.retain_mut(|shot| {
            let (dx, dy) = direction(shot.entity.angle);
            shot.entity.x = moved(shot.entity.x, dx * SHOT_SPEED / 128);
            shot.entity.y = moved(shot.entity.y, dy * SHOT_SPEED / 128);
            shot.life -= 1;
            !self.hit(shot) && shot.life > 0
        });
        self.shots = shots;
    }

    /// Returns whether a shot hits somebody, who suffers from it.
    fn hit(&mut self, shot: &Shot) -> bool {
        let is_hit = |player: &&mut Player| {
            player.entity.id != shot.owner && distance(&player.entity, &shot.entity) < HIT_DISTANCE
        };
        let Some(victim) = self.players.iter_mut().flatten().find(is_hit) else {
            return false;
        };
        victim.entity.health = victim.entity.health.saturating_sub(DAMAGE);
        if victim.entity.health == 0 {
            let mut entity = victim.entity;
            entity.health = HEALTH;
            self.place(&mut entity);
            self.players[usize::from(entity.id)]
                .as_mut()
                .into_iter()
                .for_each(|player| {
                    player.entity = entity;
                });
        }
        if let Some(Some(owner)) = self.players.get_mut(usize::from(shot.owner)) {
            owner.entity.score = owner.entity.score.saturating_add(1);
        }
        true
    }

    fn place(&mut self, entity: &mut Entity) {
        let mut position = || u16::try_from(self.random.below(u32::from(SIDE))).unwrap_or(SIDE);
        (entity.x, entity.y) = (position(), position());
    }
}

/// Returns the larger of the distances in x and y.
#[must_use]
pub fn distance(a: &Entity, b: &Entity) -> i32 {
    let along = |a: u16, b: u16| (i32::from(a) - i32::from(b)).abs();
    along(a.x, b.x).max(along(a.y, b.y))
}

fn moved(position: u16, way: i32) -> u16 {
    let there = (i32::from(position) + way).clamp(0, i32::from(SIDE));
    u16::try_from(there).unwrap_or(SIDE)
}

/// Returns the way in x and y at this angle, in 128ths.
fn direction(angle: u8) -> (i32, i32) {
    let sine = |angle: u8| {
        let step = usize::from(angle % 64);
        match angle / 64 {
            0 => SINE[step],
            1 => SINE[64 - step],
            2 => -SINE[step],
            _ => -SINE[64 - step],
        }
    };
    (sine(angle.wrapping_add(64)), sine(angle))
}

/// Returns the first id behind the players' that no shot has; there are fewer shots than ids.
fn free_id(shots: &[Shot]) -> u8 {
    let first = u8::try_from(PLAYERS_MAX).unwrap_or(u8::MAX);
    let ids = shots.iter().map(|shot| shot.entity.id);
    ids.fold(first, |free, id| if id == free { free + 1 } else { free })
}

const _: () = assert!(PLAYERS_MAX + SHOTS_MAX < u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_stay_in_the_arena() {
        let mut world = World::new(1);
        let id = world.enter().unwrap();
        let input = Input {
            buttons: Input::LEFT | Input::DOWN,
            aim: 9,
        };
        world.steer(id, input);
        for _ in 0..200 {
            world.step();
        }
        let player = world.player(id).unwrap();
        assert_eq!((player.x, player.y, player.angle), (0, SIDE, 9));
    }

    #[test]
    fn a_shot_flies_hits_and_counts() {
        let mut world = World::new(1);
        let [one, other] = [(); 2].map(|()| world.enter().unwrap());
        for (id, x) in [(one, 10_000), (other, 20_000)] {
            let player = world.players[usize::from(id)].as_mut().unwrap();
            (player.entity.x, player.entity.y) = (x, 30_000);
        }
        let fire = Input {
            buttons: Input::FIRE,
            aim: 0,
        };
        world.steer(one, fire);
        for _ in 0..8 {
            world.step();
        }
        assert_eq!(world.player(other).unwrap().health, HEALTH - DAMAGE);
        assert_eq!(world.player(one).unwrap().score, 1);
        let ids: Vec<u8> = world.entities().map(|entity| entity.id).collect();
        assert!(ids.is_sorted() && ids.len() > 2, "{ids:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_game() {
        let play = || {
            let mut world = World::new(5);
            let mut random = Random::new(6);
            for _ in 0..PLAYERS_MAX {
                world.enter().unwrap();
            }
            assert_eq!(world.enter(), None);
            for _ in 0..500 {
                for id in 0..32 {
                    let input = Input {
                        buttons: random.byte(),
                        aim: random.byte(),
                    };
                    world.steer(id, input);
                }
                world.step();
                assert!(world.shots.len() <= SHOTS_MAX);
                assert!(world.shots.is_sorted_by_key(|shot| shot.entity.id));
            }
            world.entities().copied().collect::<Vec<_>>()
        };
        assert_eq!(play(), play());
    }

    #[test]
    fn directions_are_as_long_as_they_should_be() {
        for angle in 0..=u8::MAX {
            let (dx, dy) = direction(angle);
            let squared = dx * dx + dy * dy;
            assert!(
                (125 * 125..=131 * 131).contains(&squared),
                "{angle}: {dx}, {dy}"
            );
        }
        assert_eq!((direction(0), direction(64)), ((128, 0), (0, 128)));
    }
}
