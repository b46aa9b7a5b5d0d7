use http::Request;

use super::*;
use crate::proxy::guard::ListenerKind;
use crate::telemetry::metrics::Metrics;

fn begin(metrics: &Rc<WorkerMetrics>, method: &str) -> Rc<RequestContext> {
    let caller = CallerConnection::new(ListenerKind::Tcp, Rc::default());
    let (head, ()) = Request::builder()
        .method(method)
        .body(())
        .unwrap()
        .into_parts();
    RequestContext::begin(Rc::clone(metrics), Rc::new(caller), &head)
}

#[test]
fn a_request_is_in_flight_until_it_is_dropped_and_counted_once() {
    let metrics = Metrics::default();
    let labels = ["/flowers", "", "/flowers"].map(|prefix| metrics.route_label(prefix));
    assert_eq!(labels, ["/flowers", "/", "/flowers"]);
    let workers = [Rc::new(metrics.worker()), Rc::new(metrics.worker())];
    let (first, other) = (begin(&workers[0], "GET"), begin(&workers[1], "MARKER"));
    first.routed(labels[1]);
    let text = metrics.text(Vec::new());
    assert!(text.contains("\napig_proxy_in_flight 2\n"));
    first.relayed(200, false, None);
    other.answered(403, Outcome::Proxy("host_not_allowed"));
    drop((first, other));
    let text = metrics.text(Vec::new());
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
    let metrics = Metrics::default();
    let context = begin(&Rc::new(metrics.worker()), "POST");
    context.routed(metrics.route_label("/flowers"));
    drop(context);
    let expected = "apig_proxy_requests_total{route=\"/flowers\",method=\"POST\",code=\"499\",outcome=\"caller_gone\"} 1\n";
    let text = metrics.text(Vec::new());
    assert!(text.contains(expected), "{text}");
}
