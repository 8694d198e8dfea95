//! A small memory of what was used last.

use std::{borrow::Borrow, collections::VecDeque};

/// The values last used, as many as a limit on their cost (a number of them, or bytes) allows.
pub struct Recent<K, V> {
    limit: usize,
    cost: usize,
    /// Newest at the back.
    kept: VecDeque<Entry<K, V>>,
}

struct Entry<K, V> {
    key: K,
    value: V,
    cost: usize,
}

impl<K: PartialEq, V: Clone> Recent<K, V> {
    /// Nothing yet; the costs of what is kept sum to at most `limit`.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            cost: 0,
            kept: VecDeque::new(),
        }
    }

    /// Whether a value is kept; it does not count as used.
    pub fn holds<Q: ?Sized + PartialEq>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.kept.iter().any(|entry| entry.key.borrow() == key)
    }

    /// A value, which counts as used.
    pub fn get<Q: ?Sized + PartialEq>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.kept.iter().position(|entry| entry.key.borrow() == key)?;
        let entry = self.kept.remove(index)?;
        let value = entry.value.clone();
        self.kept.push_back(entry);
        Some(value)
    }

    /// Keeps a value in place of the one of its key; what was not used for longest makes room. What costs more than the
    /// limit is not kept.
    pub fn put(&mut self, key: K, value: V, cost: usize) {
        if let Some(index) = self.kept.iter().position(|entry| entry.key == key) {
            self.drop_at(index);
        }
        if cost > self.limit {
            return;
        }
        while self.cost + cost > self.limit {
            self.drop_at(0);
        }
        self.cost += cost;
        self.kept.push_back(Entry { key, value, cost });
    }

    fn drop_at(&mut self, index: usize) {
        if let Some(entry) = self.kept.remove(index) {
            self.cost -= entry.cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut recent = Recent::new(10);
        recent.put("a", 1, 4);
        recent.put("b", 2, 4);
        assert_eq!(recent.get("a"), Some(1));
        recent.put("c", 3, 5);
        assert_eq!(
            [recent.get("a"), recent.get("b"), recent.get("c")],
            [Some(1), None, Some(3)]
        );
        recent.put("d", 4, 11);
        assert_eq!(recent.get("d"), None, "it costs more than the limit");
        recent.put("c", 5, 6);
        assert_eq!([recent.get("a"), recent.get("c")], [Some(1), Some(5)]);
    }
}
