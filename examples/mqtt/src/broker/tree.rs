//! Who subscribed to what: a tree of topic levels.

use super::session::SessionId;
use crate::codec::Qos;
use crate::topic;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A level of filters, and everything below it. Filters have few levels, so recursion is shallow.
#[derive(Debug, Default)]
pub(super) struct Tree {
    children: BTreeMap<Box<str>, Self>,
    subscribers: Vec<(SessionId, Qos)>,
}

impl Tree {
    /// Adds a subscription, or changes its level.
    pub(super) fn insert(&mut self, filter: &str, session: SessionId, qos: Qos) {
        let mut node = self;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        match node
            .subscribers
            .iter_mut()
            .find(|(known, _)| *known == session)
        {
            Some(entry) => entry.1 = qos,
            None => node.subscribers.push((session, qos)),
        }
    }

    /// Removes a subscription.
    pub(super) fn remove(&mut self, filter: &str, session: SessionId) {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        let Some(child) = self.children.get_mut(level) else {
            return;
        };
        match rest {
            Some(rest) => child.remove(rest, session),
            None => child.subscribers.retain(|(known, _)| *known != session),
        }
        if child.children.is_empty() && child.subscribers.is_empty() {
            self.children.remove(level);
        }
    }

    /// Returns who gets a message of this topic, each once, with the highest level it asked for.
    pub(super) fn subscribers(&self, name: &str) -> Vec<(SessionId, Qos)> {
        let mut found = Vec::new();
        let wildcards_first = !topic::is_reserved(name);
        self.collect(Some(name), wildcards_first, &mut found);
        // The highest level comes first, so the others go.
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        found.dedup_by_key(|(session, _)| *session);
        found
    }

    fn collect(&self, rest: Option<&str>, wildcards: bool, found: &mut Vec<(SessionId, Qos)>) {
        if wildcards && let Some(all) = self.children.get("#") {
            found.extend_from_slice(&all.subscribers);
        }
        let Some(rest) = rest else {
            found.extend_from_slice(&self.subscribers);
            return;
        };
        let (level, rest) = match rest.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (rest, None),
        };
        let any = self.children.get("+").filter(|_| wildcards);
        for child in self.children.get(level).into_iter().chain(any) {
            child.collect(rest, true, found);
        }
    }
}

#[cfg(test)]
impl Tree {
    /// Returns how many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        let below: usize = self.children.values().map(Self::len).sum();
        self.subscribers.len() + below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::samples::Random;
    use alloc::string::String;

    fn random_topic(random: &mut Random, levels: &[&str]) -> String {
        let count = 1 + random.below(4);
        let levels: Vec<&str> = (0..count)
            .map(|_| levels[random.below(levels.len())])
            .collect();
        levels.join("/")
    }

    #[test]
    fn the_tree_finds_whom_a_list_of_filters_finds() {
        let mut random = Random::new(7);
        let mut tree = Tree::default();
        let mut list: Vec<(String, SessionId, Qos)> = Vec::new();
        for round in 0..4_000 {
            let filter = random_topic(&mut random, &["a", "b", "", "+", "#", "$x"]);
            if !topic::is_filter(&filter) {
                continue;
            }
            let session = SessionId(random.below(8));
            list.retain(|(known, owner, _)| (known, owner) != (&filter, &session));
            if random.below(3) > 0 {
                let qos = Qos::from_number(random.byte() % 3).unwrap();
                tree.insert(&filter, session, qos);
                list.push((filter, session, qos));
            } else {
                tree.remove(&filter, session);
            }
            assert_eq!(tree.len(), list.len(), "round {round}");
            let name = random_topic(&mut random, &["a", "b", "", "c", "$x"]);
            let mut expected: Vec<(SessionId, Qos)> = Vec::new();
            for (filter, session, qos) in &list {
                if topic::matches(filter, &name) {
                    match expected.iter_mut().find(|(known, _)| known == session) {
                        Some(entry) => entry.1 = entry.1.max(*qos),
                        None => expected.push((*session, *qos)),
                    }
                }
            }
            expected.sort_unstable();
            assert_eq!(tree.subscribers(&name), expected, "{name} in round {round}");
        }
        for (filter, session, _) in list {
            tree.remove(&filter, session);
        }
        assert!(tree.children.is_empty());
    }
}
