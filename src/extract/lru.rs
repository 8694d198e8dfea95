//! A cache that drops the least recently used values.

use std::{borrow::Borrow, collections::VecDeque};

/// Least-recently-used cache with a bound on the summed cost of its values: their number, or bytes.
pub struct LruCache<K, V> {
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

impl<K: PartialEq, V: Clone> LruCache<K, V> {
    /// An empty cache for costs of at most `limit` in all.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            cost: 0,
            kept: VecDeque::new(),
        }
    }

    /// Whether the cache holds a value. Does not count as a use.
    pub fn holds<Q: ?Sized + PartialEq>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.kept.iter().any(|entry| entry.key.borrow() == key)
    }

    /// A value, which counts as a use.
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

    /// Stores a value in place of the one of its key, and drops the least recently used until it fits. A value that costs
    /// more than the limit is not stored.
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
    fn the_least_recently_used_makes_room() {
        let mut cache = LruCache::new(10);
        cache.put("a", 1, 4);
        cache.put("b", 2, 4);
        assert_eq!(cache.get("a"), Some(1));
        cache.put("c", 3, 5);
        assert_eq!(
            [cache.get("a"), cache.get("b"), cache.get("c")],
            [Some(1), None, Some(3)]
        );
        cache.put("d", 4, 11);
        assert_eq!(cache.get("d"), None, "it costs more than the limit");
        cache.put("c", 5, 6);
        assert_eq!([cache.get("a"), cache.get("c")], [Some(1), Some(5)]);
    }
}
