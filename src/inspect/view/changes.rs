//! What the proxy has changed: two heads compared field by field, with the rule behind each change.

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::head::{Head, hidden, path_and_query, request_line, text};
use super::rules::{ANSWER, Direction, HOP_BY_HOP, NAMED, PASSED, REQUEST, Rule, UNEXPLAINED};
use crate::config::owned_headers::{folded, is_hop_by_hop};
use crate::signature::normalize_target;

const ENCODING: Rule = (
    "encoding",
    "gateways read `+`, `;`, a lone `%` and raw UTF-8 differently, so these are percent-encoded",
);

/// The changes between the request of the caller and the last one that was sent; the first is that
/// of the request line.
pub(in crate::inspect) fn request_changes(entry: &Entry) -> Vec<Value> {
    let last = entry
        .attempts
        .last()
        .and_then(|attempt| attempt.sent.as_ref());
    let sent = last.and_then(|sent| Head::parse(&sent.head));
    match (entry.received(), sent) {
        (Some(received), Some(sent)) => {
            let mut changes = vec![line(&received, &sent, entry)];
            changes.extend(compare(&received, &sent, &REQUEST));
            changes
        }
        _ => Vec::new(),
    }
}

/// The changes between the last response of the gateway and that of the caller.
pub(super) fn answer_changes(entry: &Entry) -> Vec<Value> {
    let last = entry
        .attempts
        .last()
        .and_then(|attempt| attempt.response.as_ref());
    let from = last.and_then(|(_, response)| Head::parse(&response.head));
    match (from, entry.answer()) {
        (Some(from), Some(to)) => compare(&from, &to, &ANSWER),
        _ => Vec::new(),
    }
}

/// The change of the request line.
fn line(received: &Head<'_>, sent: &Head<'_>, entry: &Entry) -> Value {
    let (_, received_target) = request_line(received.line);
    let (_, sent_target) = request_line(sent.line);
    let (path, query) = path_and_query(&received_target);
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let normalized = normalize_target(&target);
    let mut rules = Vec::new();
    if target != received_target {
        rules.push(("absolute form", "the gateway gets the path only"));
    }
    // What stands for a hidden value is no part of the target.
    let shown = hidden(&target).fold(target.clone(), |shown, value| shown.replacen(value, "", 1));
    if normalize_target(&shown) != shown {
        rules.push(ENCODING);
    }
    if path_and_query(&normalized).0 != path_and_query(&sent_target).0 && !entry.route().is_empty()
    {
        rules.push((
            "route",
            "the prefix of the route is replaced by the path of its upstream",
        ));
    }
    // A hidden value may be what was encoded.
    if rules.is_empty() && received_target != sent_target {
        rules.push(ENCODING);
    }
    let names: Vec<_> = rules.iter().map(|rule| rule.0).collect();
    let texts: Vec<_> = rules.iter().map(|rule| rule.1).collect();
    let kind = if received_target == sent_target {
        "kept"
    } else {
        "rewritten"
    };
    let (reason, why) = match kind {
        "kept" => (PASSED.0.to_owned(), PASSED.1.to_owned()),
        _ => (names.join(", "), texts.join("; ")),
    };
    json!({
        "kind": kind,
        "name": ":line",
        "before": text(received.line),
        "after": text(sent.line),
        "reason": reason,
        "text": why,
    })
}

/// The changes of the fields: those that came in their order, then those that were set.
fn compare(before: &Head<'_>, after: &Head<'_>, direction: &Direction) -> Vec<Value> {
    let named = named_by_connection(before);
    let mut left: Vec<Option<(&[u8], &[u8])>> = after.fields.iter().copied().map(Some).collect();
    let mut changes = Vec::new();
    // The equal ones are paired first, so that of several values the right one counts as replaced.
    let kept: Vec<bool> = (before.fields.iter())
        .map(|field| {
            take(&mut left, |other| {
                same_name(field.0, other.0) && field.1 == other.1
            })
            .is_some()
        })
        .collect();
    for ((name, value), is_kept) in before.fields.iter().zip(kept) {
        let lower = text(name).to_ascii_lowercase();
        let change =
            |kind, after: Option<&[u8]>, rule: Rule| change(kind, &lower, Some(value), after, rule);
        changes.push(if is_kept {
            change("kept", Some(value), PASSED)
        } else if let Some((rule, new)) = rewritten(direction, &lower, &mut left) {
            change("rewritten", Some(new), rule)
        } else {
            let is_replaced = after.all(&lower).next().is_some();
            change(
                "dropped",
                None,
                drop_rule(direction, &lower, &named, is_replaced),
            )
        });
    }
    for (name, value) in left.into_iter().flatten() {
        let lower = text(name).to_ascii_lowercase();
        let rule = find(direction.set, &lower).unwrap_or(direction.other);
        changes.push(change("set", &lower, None, Some(value), rule));
    }
    changes
}

/// The value that takes the place of one of this name, and why.
fn rewritten<'a>(
    direction: &Direction,
    name: &str,
    left: &mut [Option<(&'a [u8], &'a [u8])>],
) -> Option<(Rule, &'a [u8])> {
    let rule = find(direction.rewritten, name)?;
    let new = take(left, |other| same_name(name.as_bytes(), other.0))?;
    Some((rule, new.1))
}

fn drop_rule(direction: &Direction, name: &str, named: &[&[u8]], is_replaced: bool) -> Rule {
    let is_named = |option: &&[u8]| folded(option).eq(folded(name.as_bytes()));
    if is_hop_by_hop(name.as_bytes()) {
        return HOP_BY_HOP;
    } else if named.iter().any(is_named) {
        return NAMED;
    }
    let rule = (direction.dropped)(name);
    rule.unwrap_or(if is_replaced {
        direction.other
    } else {
        UNEXPLAINED
    })
}

/// The names that `Connection` lists.
fn named_by_connection<'a>(head: &Head<'a>) -> Vec<&'a [u8]> {
    let options = head
        .all("connection")
        .flat_map(|value| value.split(|byte| *byte == b','));
    options
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.eq_ignore_ascii_case(b"close"))
        .collect()
}

fn change(
    kind: &str,
    name: &str,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    rule: Rule,
) -> Value {
    let spelling = if kind == "dropped" && name.contains('_') {
        "; gateways read `_` in a name as `-`"
    } else {
        ""
    };
    json!({
        "kind": kind,
        "name": name,
        "before": before.map(text),
        "after": after.map(text),
        "reason": rule.0,
        "text": format!("{}{spelling}", rule.1),
    })
}

/// Takes the first field that fits.
fn take<T: Copy>(fields: &mut [Option<T>], fits: impl Fn(T) -> bool) -> Option<T> {
    fields
        .iter_mut()
        .find(|field| field.is_some_and(&fits))?
        .take()
}

fn same_name(one: &[u8], other: &[u8]) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn find(rules: &[(&str, Rule)], name: &str) -> Option<Rule> {
    let is_it = |known: &str| known == name || (known.ends_with('-') && name.starts_with(known));
    rules
        .iter()
        .find(|(known, _)| is_it(known))
        .map(|(_, rule)| *rule)
}
