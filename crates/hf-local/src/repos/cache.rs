//! Git objects that were read lately. They never change, so nothing here gets stale.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// A map that forgets what was not asked for lately: two halves, of which the older is dropped when the younger is full.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    half: usize,
    state: Mutex<Halves<K, V>>,
}

#[derive(Debug)]
struct Halves<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    weight: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> Cache<K, V> {
    /// Holds values of about `capacity` in weight.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = Mutex::new(Halves {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
        });
        Self {
            half: capacity / 2,
            state,
        }
    }

    pub(crate) fn get(&self, key: &K, weight: impl Fn(&V) -> usize) -> Option<V> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = state.young.get(key) {
            return Some(value.clone());
        }
        let value = state.old.remove(key)?;
        self.insert_locked(&mut state, *key, value.clone(), weight(&value));
        Some(value)
    }

    pub(crate) fn insert(&self, key: K, value: V, weight: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.insert_locked(&mut state, key, value, weight);
    }

    fn insert_locked(&self, state: &mut Halves<K, V>, key: K, value: V, weight: usize) {
        if weight > self.half {
            return;
        }
        if state.weight + weight > self.half {
            state.old = std::mem::take(&mut state.young);
            state.weight = 0;
        }
        if state.young.insert(key, value).is_none() {
            state.weight += weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let cache = Cache::new(20);
        for key in 0..100 {
            cache.insert(key, key, 1);
            assert_eq!(cache.get(&0, |_| 1), Some(0), "at {key}");
        }
        assert_eq!(cache.get(&50, |_| 1), None);
        cache.insert(1000, 0, 11);
        assert_eq!(cache.get(&1000, |_| 11), None);
    }
}
