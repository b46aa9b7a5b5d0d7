//! Spans follow one another whatever the marks are.

use proptest::prelude::*;

use super::*;
use crate::upstream::ConnectTimes;

fn steps(dns: Option<u64>, tcp: Option<u64>, tls: Option<u64>) -> ConnectTimes {
    let [dns, tcp, tls] = [dns, tcp, tls].map(|time| time.map(ms));
    ConnectTimes { dns, tcp, tls }
}

fn marks(signing: u64, signed: u64, sent: Option<u64>, first_byte: Option<u64>) -> AttemptTimes {
    AttemptTimes {
        signing: ms(signing),
        signed: ms(signed),
        sent: sent.map(ms),
        first_byte: first_byte.map(ms),
    }
}

fn sent(connect: ConnectTimes) -> Event {
    let Event::Attempt(mut sent) = attempt("GET / HTTP/1.1") else {
        unreachable!()
    };
    sent.connect = connect;
    Event::Attempt(sent)
}

fn with_times(attempts: Vec<Event>, times: Times) -> Value {
    let mut events = vec![beginning("GET / HTTP/1.1")];
    events.extend(attempts);
    let Event::Ended(mut end) = ended(200, 0, 0) else {
        unreachable!()
    };
    end.times = times;
    events.push(Event::Ended(end));
    detail_of(events)
}

/// The spans as `name length` in milliseconds.
fn spans(list: &Value) -> String {
    let list = list.as_array().unwrap().iter();
    let span = |one: &Value| {
        let (name, us) = (one["name"].as_str(), one["us"].as_u64());
        format!("{} {}", name.unwrap(), us.unwrap() / 1000)
    };
    list.map(span).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_steps_of_two_attempts_follow_one_another() {
    let connect = steps(Some(1), Some(2), Some(3));
    let times = Times {
        body_read: Some(ms(5)),
        attempts: vec![
            marks(1, 20, Some(22), Some(40)),
            marks(1, 45, None, Some(60)),
        ],
        last_byte: Some(ms(70)),
        total: ms(71),
    };
    let detail = with_times(
        vec![
            sent(connect),
            response("HTTP/1.1 401 x", ""),
            sent(ConnectTimes::default()),
        ],
        times,
    );
    let [first, second] = [0, 1].map(|at| spans(&detail["attempts"][at]["spans"]));
    assert_eq!(
        first,
        "wait 8, dns 1, tcp 2, tls 3, sign 1, send 2, gateway 18"
    );
    assert_eq!(second, "wait 4, sign 1, gateway 15, answer 10");
    assert_eq!(
        spans(&detail["spans"]),
        format!("body 5, {first}, {second}")
    );
    assert_eq!(
        detail["summary"]["bar"],
        serde_json::json!({"wait": 17000, "connect": 6000, "send": 4000, "gateway": 33000, "answer": 10000})
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_span_overlaps_another_or_is_longer_than_the_request(
        all in prop::collection::vec((0..90u64, 0..90u64, prop::option::of(0..90u64), prop::option::of(0..90u64), prop::option::of(0..50u64)), 0..4),
        body_read in prop::option::of(0..90u64),
        last_byte in prop::option::of(0..90u64),
        (total, lost) in (0..90u64, any::<bool>()),
    ) {
        let mut attempts: Vec<Event> = all.iter().map(|mark| {
            sent(steps(mark.4, mark.4, mark.4))
        }).collect();
        if lost {
            attempts.pop();
        }
        let times = Times {
            body_read: body_read.map(ms),
            attempts: all.iter().map(|mark| marks(mark.0, mark.1, mark.2, mark.3)).collect(),
            last_byte: last_byte.map(ms),
            total: ms(total),
        };
        let detail = with_times(attempts, times);
        let mut end = 0;
        for span in detail["spans"].as_array().unwrap() {
            prop_assert_eq!(span["start_us"].as_u64().unwrap(), end);
            end += span["us"].as_u64().unwrap();
        }
        prop_assert!(end <= total * 1000);
        let bar = detail["summary"]["bar"].as_object().unwrap().values();
        prop_assert_eq!(bar.map(|part| part.as_u64().unwrap()).sum::<u64>(), end);
        let lists = detail["attempts"].as_array().unwrap().iter();
        let of_attempts = lists.map(|one| one["spans"].as_array().unwrap().len()).sum::<usize>();
        let others = detail["spans"].as_array().unwrap().len() - of_attempts;
        prop_assert!(others <= 1 + usize::from(of_attempts == 0));
    }
}
