//! Counters that come to be while the program runs: one for each combination of labels, and for each
//! worker that has met it.
//!
//! A worker finds its own counter without a lock, and nobody else writes to it. The lock is for the
//! first time a worker meets a combination, and for whoever reads the sums.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A counter on a cache line of its own, so that workers do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

/// All counters of one family, over all workers.
#[derive(Debug)]
pub(super) struct Series<K> {
    counters: Mutex<BTreeMap<K, Vec<Arc<Counter>>>>,
    /// The most keys there may be, and the one that stands for all further ones.
    bound: Option<(usize, K)>,
}

impl<K: Ord + Clone> Series<K> {
    /// For keys of which there are only so many.
    pub(super) fn new() -> Self {
        Self {
            counters: Mutex::default(),
            bound: None,
        }
    }

    /// For keys that come from outside: after `most` of them, all others count as `rest`.
    pub(super) fn bounded(most: usize, rest: K) -> Self {
        Self {
            counters: Mutex::default(),
            bound: Some((most, rest)),
        }
    }

    /// What was counted, in the order of the keys.
    pub(super) fn sums(&self) -> Vec<(K, u64)> {
        let sum = |counters: &Vec<Arc<Counter>>| {
            let counts = counters
                .iter()
                .map(|counter| counter.0.load(Ordering::Relaxed));
            counts.sum()
        };
        let counters = self.counters();
        let sums = counters
            .iter()
            .map(|(key, counters)| (key.clone(), sum(counters)));
        sums.collect()
    }

    /// The key itself, or the one that it counts as.
    fn admitted(&self, key: K) -> K {
        let mut counters = self.counters();
        if let Some((most, rest)) = &self.bound
            && counters.len() >= *most
            && !counters.contains_key(&key)
        {
            return rest.clone();
        }
        counters.entry(key.clone()).or_default();
        key
    }

    fn register(&self, key: &K) -> Arc<Counter> {
        let counter = Arc::default();
        let mut counters = self.counters();
        let known = counters.entry(key.clone()).or_default();
        known.push(Arc::clone(&counter));
        counter
    }

    fn counters(&self) -> MutexGuard<'_, BTreeMap<K, Vec<Arc<Counter>>>> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's counters of a family.
#[derive(Debug)]
pub(super) struct Tally<K> {
    series: Arc<Series<K>>,
    own: RefCell<BTreeMap<K, Arc<Counter>>>,
}

impl<K: Ord + Clone> Tally<K> {
    pub(super) fn of(series: &Arc<Series<K>>) -> Self {
        Self {
            series: Arc::clone(series),
            own: RefCell::default(),
        }
    }

    /// Counts one.
    pub(super) fn count<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(counter) = self.own.borrow().get(key) {
            counter.0.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let key = self.series.admitted(key.to_owned());
        let mut own = self.own.borrow_mut();
        let counter = own
            .entry(key)
            .or_insert_with_key(|key| self.series.register(key));
        counter.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_is_summed_by_key() {
        let series = Arc::new(Series::new());
        let (first, second) = (Tally::of(&series), Tally::of(&series));
        for key in [2, 1, 2] {
            first.count(&key);
        }
        second.count(&2);
        assert_eq!(series.sums(), [(1, 1), (2, 3)]);
        drop(second);
        assert_eq!(series.sums(), [(1, 1), (2, 3)]);
    }

    #[test]
    fn after_so_many_keys_all_others_count_as_one() {
        let series = Arc::new(Series::bounded(64, "other".to_owned()));
        let (first, second) = (Tally::of(&series), Tally::of(&series));
        for number in 0..1000 {
            first.count(format!("APIG.{number:04}").as_str());
        }
        second.count("APIG.0063");
        second.count("APIG.0064");
        let sums: BTreeMap<String, u64> = series.sums().into_iter().collect();
        assert_eq!(sums.len(), 65);
        assert_eq!((sums["APIG.0000"], sums["APIG.0063"]), (1, 2));
        assert_eq!(sums["other"], 1000 - 64 + 1);
        // Nothing is kept for those that are not told apart.
        assert_eq!(first.own.borrow().len(), 65);
    }
}
