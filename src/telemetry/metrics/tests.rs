use super::*;

fn text(metrics: &Metrics) -> String {
    metrics.text(State::default())
}

#[test]
fn every_family_is_told_from_the_beginning_and_nothing_else() {
    let text = text(&Metrics::new());
    let told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let expected = FAMILIES.map(|family| {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        format!("{} {kind}", family.name)
    });
    assert_eq!(told, expected);
}

#[test]
fn a_request_is_in_flight_until_it_is_dropped_and_counted_once() {
    let metrics = Metrics::new();
    let numbers = ["/flowers", "", "/flowers"].map(|prefix| metrics.route(prefix));
    assert_eq!(numbers, [0, 1, 0]);
    let (first, second) = (Rc::new(metrics.meter()), Rc::new(metrics.meter()));
    let flight = first.begin("GET", None);
    flight.on_route(1);
    let other = second.begin("MARKER", None);
    assert!(text(&metrics).contains("\napig_proxy_in_flight 2\n"));
    flight.relayed(200);
    other.answered(403, Outcome::Proxy("host_not_allowed"));
    drop((flight, other));
    let text = text(&metrics);
    for line in [
        "apig_proxy_in_flight 0",
        "apig_proxy_request_duration_seconds_count 2",
        "apig_proxy_requests_total{route=\"/\",method=\"GET\",code=\"200\",outcome=\"ok\"} 1",
        "apig_proxy_requests_total{route=\"none\",method=\"other\",code=\"403\",outcome=\"host_not_allowed\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert_eq!(text.matches("\napig_proxy_requests_total{").count(), 2);
}

#[test]
fn a_request_that_is_never_answered_is_counted_too() {
    let metrics = Metrics::new();
    let flight = Rc::new(metrics.meter()).begin("POST", None);
    flight.on_route(metrics.route("/flowers"));
    drop(flight);
    let expected = "apig_proxy_requests_total{route=\"/flowers\",method=\"POST\",code=\"499\",outcome=\"caller_gone\"} 1\n";
    assert!(text(&metrics).contains(expected), "{}", text(&metrics));
}
