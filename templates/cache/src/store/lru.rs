//! The order in which items were used: a list through the items themselves.

use super::arena::{Arena, BlockId, Link};

/// The two ends of the list.
#[derive(Debug, Default)]
pub struct Lru {
    newest: Link,
    oldest: Link,
}

impl Lru {
    /// Returns the item that has not been used for longest.
    pub fn oldest(&self) -> Link {
        self.oldest
    }

    /// Adds an item as the one used most recently.
    pub fn push(&mut self, arena: &mut Arena, id: BlockId) {
        let older = self.newest.replace(id);
        let item = arena.item_mut(id);
        item.newer = None;
        item.older = older;
        match older {
            Some(older) => arena.item_mut(older).newer = Some(id),
            None => self.oldest = Some(id),
        }
    }

    /// Removes an item.
    pub fn remove(&mut self, arena: &mut Arena, id: BlockId) {
        let item = arena.item(id);
        let (newer, older) = (item.newer, item.older);
        match newer {
            Some(newer) => arena.item_mut(newer).older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => arena.item_mut(older).newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Makes an item the one used most recently.
    pub fn bump(&mut self, arena: &mut Arena, id: BlockId) {
        if self.newest != Some(id) {
            self.remove(arena, id);
            self.push(arena, id);
        }
    }
}
