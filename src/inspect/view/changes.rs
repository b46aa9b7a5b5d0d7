//! What the proxy has changed: two heads compared field by field, with the rule behind each change.

use serde_json::{Value, json};

use super::super::entry::Entry;
use super::super::head::{
    Field, Head, origin_form, path_and_query, replace_hidden, request_line, text,
};
use super::rules::{
    ABSOLUTE, ANSWER, Direction, ENCODING, HOP_BY_HOP, NAMED, PASSED, REQUEST, ROUTE, Rule,
};
use crate::config::owned_headers::is_hop_by_hop;
use crate::signature::normalize_target;

/// The changes between the request of the caller and the last one that was sent; the first is that
/// of the request line.
pub(in crate::inspect) fn request_changes(entry: &Entry) -> Vec<Value> {
    let last = entry.attempts.last();
    let sent = last.and_then(|attempt| Head::parse(&attempt.sent.as_ref()?.head));
    let Some((received, sent)) = entry.received().zip(sent) else {
        return Vec::new();
    };
    let mut changes = vec![line(&received, &sent, entry)];
    changes.extend(compare(&received, &sent, &REQUEST));
    changes
}

/// The changes between the last response of the gateway and that of the caller.
pub(super) fn answer_changes(entry: &Entry) -> Vec<Value> {
    let last = entry.attempts.last();
    let from = last.and_then(|attempt| Head::parse(&attempt.response.as_ref()?.1.head));
    let heads = from.zip(entry.answer());
    heads.map_or_else(Vec::new, |(from, to)| compare(&from, &to, &ANSWER))
}

fn line(received: &Head<'_>, sent: &Head<'_>, entry: &Entry) -> Value {
    let (_, from) = request_line(received.line);
    let (_, to) = request_line(sent.line);
    let target = origin_form(&from);
    // The text in place of a hidden value is not part of the target.
    let shown = replace_hidden(target, |_| String::new());
    let is_moved = path_and_query(&normalize_target(target)).0 != path_and_query(&to).0;
    let rules = [
        (target != from, ABSOLUTE),
        (normalize_target(&shown) != shown, ENCODING),
        (is_moved && !entry.route().is_empty(), ROUTE),
    ];
    let rules = rules.into_iter().filter(|(holds, _)| *holds);
    let mut rules: Vec<Rule> = rules.map(|(_, rule)| rule).collect();
    let kind = match from == to {
        true => {
            rules = vec![PASSED];
            "kept"
        }
        false => "rewritten",
    };
    if rules.is_empty() {
        // Then a hidden value was encoded.
        rules.push(ENCODING);
    }
    let (names, texts): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
    let rule = (&*names.join(", "), &*texts.join("; "));
    change(kind, ":line", Some(received.line), Some(sent.line), rule)
}

/// The changes of the fields: those that came in their order, then those that were set.
fn compare(before: &Head<'_>, after: &Head<'_>, direction: &Direction) -> Vec<Value> {
    let mut left: Vec<Option<Field<'_>>> = after.fields.iter().copied().map(Some).collect();
    let mut take = |fits: &dyn Fn(Field<'_>) -> bool| {
        let found = left.iter_mut().find(|field| field.is_some_and(fits));
        found.and_then(Option::take)
    };
    // The equal ones are paired first, so that of several values the right one counts as replaced.
    let is_same = |one: &[u8], other: &[u8]| one.eq_ignore_ascii_case(other);
    let fields = before.fields.iter();
    let kept: Vec<_> = fields
        .map(|field| take(&|other| is_same(field.0, other.0) && field.1 == other.1))
        .collect();
    let mut changes = Vec::new();
    for ((name, value), kept) in before.fields.iter().zip(kept) {
        let lower = text(name).to_ascii_lowercase();
        let (kind, after, rule) = if kept.is_some() {
            ("kept", Some(*value), PASSED)
        } else if let Some((_, new)) = take(&|other| is_same(name, other.0)) {
            ("rewritten", Some(new), direction.of_set(&lower))
        } else if is_hop_by_hop(name) {
            ("dropped", None, HOP_BY_HOP)
        } else if before.is_named_by_connection(name) {
            ("dropped", None, NAMED)
        } else {
            ("dropped", None, direction.of_dropped(&lower))
        };
        changes.push(change(kind, &lower, Some(value), after, rule));
    }
    for (name, value) in left.into_iter().flatten() {
        let lower = text(name).to_ascii_lowercase();
        let rule = direction.of_set(&lower);
        changes.push(change("set", &lower, None, Some(value), rule));
    }
    changes
}

fn change(
    kind: &str,
    name: &str,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    (reason, why): (&str, &str),
) -> Value {
    let spelling = match kind == "dropped" && name.contains('_') {
        true => "; gateways read `_` in a name as `-`",
        false => "",
    };
    json!({
        "kind": kind,
        "name": name,
        "before": before.map(text),
        "after": after.map(text),
        "reason": reason,
        "text": format!("{why}{spelling}"),
    })
}
