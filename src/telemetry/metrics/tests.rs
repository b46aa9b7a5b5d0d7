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
