//! The last requests, within a number of them and within a size.
//!
//! The oldest request that has ended makes room first. Requests in flight keep their summary when
//! their bodies, and then their heads, have to make room. The note of an end may be lost, and its
//! request then never ends; so requests in flight take about half of the places of a full store.
//! Nothing is kept of a request whose first note was lost.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

use super::entry::Entry;
use super::filter::Filter;
use super::note::{Event, Note};
use super::view;

/// The most ids that left the store that are remembered for readers of the feed, and the memory per
/// remembered id. Readers who are further behind start anew.
const MAX_REMEMBERED: usize = 1024;
const MEMORY_PER_REMEMBERED: usize = 4096;

/// One request takes at most this part of the memory.
const LARGEST_PART: usize = 8;

/// What the store holds at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreLimits {
    pub(super) requests: usize,
    /// All requests together, in bytes.
    pub(super) memory: usize,
}

/// When a request began, and its number. Batches of several workers do not come in this order.
type Key = (Timestamp, u64);

/// The requests that are kept.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) limits: StoreLimits,
    entries: BTreeMap<Key, Box<Entry>>,
    keys: HashMap<u128, Key>,
    /// The ids that left the store, with the sequence numbers of that and of their end.
    gone: VecDeque<(u64, u128, u64)>,
    /// Readers of the feed that are not past this sequence number start anew.
    reset_seq: u64,
    /// The sequence number of the last change.
    pub(super) seq: u64,
    last_number: u64,
    weight: usize,
    /// How many requests have made room for others.
    pub(super) evicted: u64,
}

/// What has changed since a sequence number.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// True if a reader has to forget everything first.
    pub(super) is_reset: bool,
    /// The summaries of requests that are new, that have changed, and that have ended. Each request
    /// is in one of the three; one that has begun and ended is in the last.
    pub(super) started: Vec<Value>,
    pub(super) changed: Vec<Value>,
    pub(super) ended: Vec<Value>,
    /// The ids of requests that are gone.
    pub(super) evicted: Vec<Value>,
    /// The sequence number to ask with next.
    pub(super) seq: u64,
}

impl Store {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Applies a note, and makes room for it. Late notes of requests that have left are ignored.
    pub(super) fn apply(&mut self, note: Note) {
        let seq = self.seq + 1;
        let (before, entry) = match (self.keys.get(&note.id).copied(), note.event) {
            (None, Event::Begun(begun)) => {
                self.last_number += 1;
                let entry = Entry::new(note.id, begun, self.last_number, seq);
                let key = (entry.start.time, entry.number);
                self.keys.insert(note.id, key);
                (
                    0,
                    self.entries.entry(key).or_insert_with(|| Box::new(entry)),
                )
            }
            (Some(key), event) => {
                let entry = self.entries.get_mut(&key).expect("each key has an entry");
                let before = entry.weight();
                entry.apply(note.at, event, seq);
                (before, entry)
            }
            (None, _) => return,
        };
        self.seq = seq;
        let largest = self.limits.memory / LARGEST_PART;
        while entry.weight() > largest && entry.shed() {}
        self.weight = self.weight - before + entry.weight();
        self.make_room();
    }

    fn make_room(&mut self) {
        let half = self.limits.requests / 2 + 1;
        while self.entries.len() > self.limits.requests.max(1) {
            let ended = self.first_ended(half);
            let oldest = ended.or_else(|| self.entries.keys().next().copied());
            oldest.into_iter().for_each(|key| self.evict(key));
        }
        while self.memory_used() > self.limits.memory && !self.entries.is_empty() {
            if let Some(key) = self.first_ended(usize::MAX) {
                self.evict(key);
            } else if !self.shed_oldest() {
                let oldest = *self.entries.keys().next().expect("there is one");
                self.evict(oldest);
            }
        }
    }

    /// The first of the oldest requests that has ended.
    fn first_ended(&self, among: usize) -> Option<Key> {
        let mut oldest = self.entries.iter().take(among);
        let ended = oldest.find(|(_, entry)| entry.is_done());
        ended.map(|(key, _)| *key)
    }

    /// Drops the next part of the oldest request among those that have dropped the fewest. `false` if
    /// none has anything left.
    fn shed_oldest(&mut self) -> bool {
        let next = self.entries.values_mut().min_by_key(|entry| entry.sheds);
        next.is_some_and(|entry| {
            let before = entry.weight();
            let has_shed = entry.shed();
            self.weight = self.weight - before + entry.weight();
            has_shed
        })
    }

    fn evict(&mut self, key: Key) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        self.keys.remove(&entry.id);
        self.weight -= entry.weight();
        self.evicted += 1;
        self.seq += 1;
        let ended = entry.ended_seq.unwrap_or(self.seq);
        self.gone.push_back((self.seq, entry.id, ended));
        let remembered = (self.limits.memory / MEMORY_PER_REMEMBERED).min(MAX_REMEMBERED);
        while self.gone.len() > remembered
            && let Some((seq, ..)) = self.gone.pop_front()
        {
            self.reset_seq = self.reset_seq.max(seq);
        }
    }

    /// Removes all requests. Notes of those in flight are ignored from then on.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.gone.clear();
        self.weight = 0;
        self.seq += 1;
        self.reset_seq = self.seq;
    }

    /// Changes the limits, and makes room for the new ones.
    pub(super) fn set_limits(&mut self, limits: StoreLimits) {
        self.limits = limits;
        self.make_room();
    }

    /// The number of requests that are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The memory that the store takes, in bytes.
    pub(super) fn memory_used(&self) -> usize {
        self.weight + self.gone.capacity() * size_of::<(u64, u128, u64)>()
    }

    /// The requests that a filter takes and that have changed since a sequence number, the newest
    /// first.
    pub(super) fn summaries(&self, filter: &Filter, after: u64, limit: usize) -> Vec<Value> {
        let entries = self.filtered(filter).filter(|entry| entry.seq > after);
        entries.take(limit).map(view::summary).collect()
    }

    /// How many requests have ended after a sequence number, and have left already.
    pub(super) fn missed(&self, after: u64) -> usize {
        let gone = self.gone.iter().rev();
        let gone = gone.take_while(|(left, ..)| *left > after);
        gone.filter(|(.., ended)| after > 0 && *ended > after)
            .count()
    }

    fn filtered<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Entry> {
        let entries = self.entries.values().rev().map(|entry| &**entry);
        entries.filter(|entry| filter.matches(entry))
    }

    /// What has changed since a sequence number, the oldest first.
    pub(super) fn changes_since(&self, seq: u64) -> Changes {
        let is_reset = seq < self.reset_seq || seq > self.seq;
        let since = if is_reset { 0 } else { seq };
        let mut changes = Changes {
            is_reset,
            seq: self.seq,
            ..Changes::default()
        };
        for entry in self.entries.values().filter(|entry| entry.seq > since) {
            let list = match entry.ended_seq {
                Some(ended) if ended > since => &mut changes.ended,
                _ if entry.begun_seq > since => &mut changes.started,
                _ => &mut changes.changed,
            };
            list.push(view::summary(entry));
        }
        if !is_reset {
            let gone = self.gone.iter().filter(|(at, ..)| *at > since);
            changes.evicted = gone.map(|(_, id, _)| view::id(*id).into()).collect();
        }
        changes
    }

    pub(super) fn get(&self, id: u128) -> Option<&Entry> {
        self.entries.get(self.keys.get(&id)?).map(|entry| &**entry)
    }

    /// The ids of the requests that a filter takes, the oldest first.
    pub(super) fn ids(&self, filter: &Filter) -> Vec<u128> {
        let ids: Vec<u128> = self.filtered(filter).map(|entry| entry.id).collect();
        ids.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests;
