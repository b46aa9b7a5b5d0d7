//! The event stream of the inspector: changes in their order, for at most four readers.

use std::time::Duration;

use serde_json::{Value, json};

use super::{AUTHORIZED, ask, assert_error, ended, inspected, inspected_before, order, read};
use crate::support::{Client, Proxy, Upstream, get, request, wait_until};

/// A reader of the feed that has received the head.
fn reader(proxy: &Proxy, query: &str, fields: &str) -> Client {
    let mut client = proxy.admin();
    let line = format!("GET /inspect/v1/feed{query}");
    client.send(request(&line, &format!("{AUTHORIZED}{fields}"), ""));
    let head = client.until("HTTP/1.1 200", "\r\n\r\n");
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    client
}

/// The next event of this name, and its sequence number.
fn next(client: &mut Client, name: &str) -> (u64, Value) {
    let before = client.until("", &format!("event: {name}\ndata: "));
    let data = client.until("", "\n\n");
    let mut lines = before.lines().rev();
    let id = lines.find_map(|line| line.strip_prefix("id: ")?.parse().ok());
    (id.unwrap_or_default(), serde_json::from_str(&data).unwrap())
}

fn paths(requests: &Value) -> Vec<&str> {
    let requests = requests.as_array().unwrap().iter();
    let paths = requests.map(|request| request["path"].as_str().unwrap());
    paths.collect()
}

#[test]
fn a_request_begins_and_ends_and_the_state_follows() {
    let (upstream, hold) = Upstream::holding();
    let scene = inspected_before(upstream, |_| {});
    let mut feed = reader(&scene.proxy, "", "");
    assert_eq!(next(&mut feed, "state").1["is_recording"], json!(true));
    let mut client = scene.client();
    client.send(get("/held"));
    let (begun, requests) = next(&mut feed, "begun");
    assert_eq!(paths(&requests), ["/held"]);
    assert_eq!(requests[0]["state"], "open");
    hold.send(()).unwrap();
    client.answer().assert_status(200);
    let (ended, requests) = next(&mut feed, "ended");
    assert_eq!(requests[0]["status"], json!(200));
    assert_eq!(requests[0]["state"], json!("done"));
    assert!(ended > begun, "{ended} {begun}");
    order(&scene.proxy, "pause");
    while next(&mut feed, "state").1["is_recording"] == json!(true) {}
    order(&scene.proxy, "clear");
    assert_eq!(next(&mut feed, "cleared").1, json!({}));
}

#[test]
fn a_reader_goes_on_from_where_it_was() {
    let scene = inspected();
    scene.passes(get("/first"));
    ended(&scene.proxy, "", 1);
    let seq = read(&scene.proxy, "requests")["seq"].as_u64().unwrap();
    scene.passes(get("/second"));
    ended(&scene.proxy, "", 2);
    for (query, fields) in [
        (format!("?after={seq}"), String::new()),
        (String::new(), format!("|Last-Event-ID: {seq}")),
    ] {
        let mut feed = reader(&scene.proxy, &query, &fields);
        let (id, requests) = next(&mut feed, "ended");
        assert_eq!(paths(&requests), ["/second"]);
        assert!(id > seq);
    }
    // After a restart the number is unknown, and the reader gets everything.
    let mut feed = reader(&scene.proxy, "?after=999999", "");
    next(&mut feed, "cleared");
    assert_eq!(next(&mut feed, "ended").1.as_array().unwrap().len(), 2);
}

#[test]
fn many_requests_come_in_few_frames_and_none_is_lost() {
    const COUNT: usize = 200;
    let scene = inspected();
    let mut feed = reader(&scene.proxy, "", "");
    let mut client = scene.client();
    for number in 0..COUNT {
        client.get(&format!("/{number}")).assert_status(200);
    }
    let (mut seen, mut frames, mut last) = (Vec::new(), 0, 0);
    while seen.len() < COUNT {
        let (seq, requests) = next(&mut feed, "ended");
        let paths = paths(&requests);
        seen.extend(paths.into_iter().map(str::to_owned));
        assert!(seq > last);
        (frames, last) = (frames + 1, seq);
    }
    let expected: Vec<String> = (0..COUNT).map(|number| format!("/{number}")).collect();
    assert_eq!(seen, expected);
    assert!(frames < COUNT, "{frames}");
    assert_eq!(read(&scene.proxy, "state")["dropped"], json!(0));
}

#[test]
fn a_fifth_reader_is_refused_until_one_has_gone() {
    let scene = inspected();
    let mut readers: Vec<Client> = (0..4).map(|_| reader(&scene.proxy, "", "")).collect();
    let fifth = ask(&scene.proxy, "GET", "feed", "");
    assert_error(&fifth, 429, "too_many_readers");
    // A reader that stalls delays nothing.
    scene.passes(get("/"));
    ended(&scene.proxy, "", 1);
    readers.pop();
    wait_until("a reader has gone", || {
        let mut client = scene.proxy.admin();
        client.send(request("GET /inspect/v1/feed", AUTHORIZED, ""));
        client.until("HTTP/1.1 ", "\r\n").contains("200")
    });
}

#[test]
fn a_feed_outlives_the_limits_of_the_admin_listener_and_ends_with_the_proxy() {
    let scene = inspected();
    let mut feed = reader(&scene.proxy, "", "");
    next(&mut feed, "state");
    // Longer than the idle limit of the admin listener.
    crate::support::pause(Duration::from_secs(3));
    scene.passes(get("/late"));
    assert_eq!(paths(&next(&mut feed, "ended").1), ["/late"]);
    scene.proxy.ended();
    // The rest of the last frame may come first.
    assert!((0..10_000).any(|_| feed.is_closed()));
}
