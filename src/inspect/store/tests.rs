//! The limits hold whatever notes come, in whatever order.

use proptest::prelude::*;

use super::super::note::Side;
use super::super::tests::*;
use super::super::{copy, har};
use super::*;

fn small(requests: usize, memory: usize) -> Store {
    Store::new(StoreLimits { requests, memory })
}

fn numbers(store: &Store) -> Vec<u64> {
    store.entries.keys().map(|key| key.1).collect()
}

fn begin(store: &mut Store, id: u128) {
    apply(store, id, vec![beginning("GET /a HTTP/1.1")]);
}

fn end(store: &mut Store, id: u128) {
    apply(store, id, vec![ended(200, 0, 0)]);
}

#[test]
fn the_oldest_that_has_ended_makes_room_first_and_requests_in_flight_stay() {
    let mut store = small(8, 1 << 20);
    (1..=8).for_each(|id| begin(&mut store, id));
    for id in [3, 2, 5, 6, 7, 8] {
        end(&mut store, id);
    }
    begin(&mut store, 9);
    begin(&mut store, 10);
    assert_eq!(numbers(&store), [1, 4, 5, 6, 7, 8, 9, 10]);
    // Notes of ends may be lost, so requests in flight take about half of the places only.
    (11..=14).for_each(|id| begin(&mut store, id));
    assert_eq!(numbers(&store), [1, 4, 9, 10, 11, 12, 13, 14]);
    begin(&mut store, 15);
    assert_eq!(numbers(&store), [4, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(store.evicted, 7);
}

#[test]
fn a_request_in_flight_gives_up_bodies_then_heads_and_keeps_its_summary() {
    let mut store = small(10, 12 << 10);
    let long = "x".repeat(900);
    apply(
        &mut store,
        1,
        vec![
            beginning(&format!("POST /a HTTP/1.1\nx-a: {long}")),
            body(Side::In, long.as_bytes()),
            attempt(&format!("POST /b HTTP/1.1\nx-a: {long}")),
            relayed(200, "HTTP/1.1 200 OK", ""),
        ],
    );
    let entry = store.get(1).unwrap();
    let (method, path, _) = entry.request_line();
    let summary = (&*method, &*path, entry.status());
    assert_eq!(summary, ("POST", "/a", Some(200)));
    let gaps = entry.gaps().join(", ");
    assert!(gaps.contains("the bodies were dropped"), "{gaps}");
    assert!(store.memory_used() <= 12 << 10);
    // One request takes an eighth of the memory at most.
    assert!(entry.weight() <= (12 << 10) / 8, "{}", entry.weight());
}

#[test]
fn readers_of_the_feed_learn_each_change_once() {
    let mut store = small(2, 1 << 20);
    let mut seq = 0;
    let mut read = |store: &Store| {
        let changes = store.changes_since(seq);
        seq = changes.seq;
        let lists = [&changes.started, &changes.changed, &changes.ended];
        let numbers = lists.map(|list| {
            let numbers = list.iter().map(|one| one["number"].to_string());
            numbers.collect::<String>()
        });
        (numbers.join("/"), changes.evicted.len(), changes.is_reset)
    };
    begin(&mut store, 1);
    assert_eq!(read(&store), ("1//".to_owned(), 0, false));
    assert_eq!(read(&store), ("//".to_owned(), 0, false));
    apply(&mut store, 1, vec![relayed(200, "HTTP/1.1 200 OK", "")]);
    begin(&mut store, 2);
    end(&mut store, 2);
    assert_eq!(read(&store), ("/1/2".to_owned(), 0, false));
    end(&mut store, 1);
    begin(&mut store, 3);
    assert_eq!(read(&store), ("3//".to_owned(), 1, false));
    store.clear();
    assert_eq!(read(&store), ("//".to_owned(), 0, true));
    assert_eq!((store.len(), store.evicted), (0, 1));
    // Late notes of what is gone are ignored, and a new request is not.
    end(&mut store, 3);
    begin(&mut store, 4);
    assert_eq!(read(&store), ("4//".to_owned(), 0, false));
}

#[test]
fn a_reader_that_is_too_far_behind_or_of_another_start_begins_anew() {
    let mut store = small(1, 1 << 20);
    for id in 1..=2000 {
        begin(&mut store, id);
        end(&mut store, id);
    }
    assert!(store.changes_since(1).is_reset);
    assert_eq!(store.changes_since(1).ended.len(), 1);
    assert!(store.changes_since(store.seq + 1).is_reset);
    assert!(!store.changes_since(store.seq - 1).is_reset);
}

#[test]
fn smaller_limits_hold_at_once() {
    let mut store = small(50, 1 << 20);
    for id in 1..=50 {
        begin(&mut store, id);
        end(&mut store, id);
    }
    store.set_limits(StoreLimits {
        requests: 5,
        ..store.limits
    });
    assert_eq!(numbers(&store), [46, 47, 48, 49, 50]);
    store.set_limits(StoreLimits {
        memory: 3000,
        ..store.limits
    });
    assert!(store.memory_used() <= 3000 && store.len() < 5);
}

/// A note of a kind, with so many bytes in it.
fn event(kind: usize, size: usize) -> Event {
    let text = "x".repeat(size);
    match kind {
        0 => beginning(&format!("POST /a?{text} HTTP/1.1\nx-a: {text}")),
        1 => routed(&text),
        2 => body(Side::In, text.as_bytes()),
        3 => body(Side::Out, text.as_bytes()),
        4 => attempt(&format!("POST /b HTTP/1.1\nauthorization: {text}")),
        5 => response(&format!("HTTP/1.1 401 x\nx-a: {text}"), &text),
        6 => relayed(401, &format!("HTTP/1.1 401 x\nx-a: {text}"), &text),
        _ => ended(401, 10, size as u64),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_store_stays_within_its_limits_and_counts_right(
        notes in prop::collection::vec((0..9u128, 0..8usize, 0..2000usize), 0..90),
        requests in 0..7usize,
        memory in prop::sample::select(vec![1 << 10, 4 << 10, 20 << 10, 200 << 10, 2 << 20]),
        clear_at in prop::option::of(0..90usize),
    ) {
        let mut store = small(requests, memory);
        let mut seq = 0;
        for (at, (id, kind, size)) in notes.into_iter().enumerate() {
            apply(&mut store, id, vec![event(kind, size)]);
            if clear_at == Some(at) {
                store.clear();
            }
            prop_assert!(store.memory_used() <= memory);
            prop_assert!(store.len() <= requests.max(1));
            prop_assert_eq!(store.weight, store.entries.values().map(|entry| entry.weight()).sum::<usize>());
            prop_assert!(store.entries.values().all(|entry| entry.weight() <= (memory / 8).max(2500)));
            prop_assert_eq!(store.keys.len(), store.len());
            prop_assert!(store.seq >= seq);
            seq = store.seq;
        }
        for entry in store.entries.values() {
            let copied = copy::copy(entry, "curl", "http://h");
            prop_assert_eq!(copied.is_some(), entry.received().is_some());
            let (_, _) = (view::detail(entry), har::entry(entry));
        }
    }
}
