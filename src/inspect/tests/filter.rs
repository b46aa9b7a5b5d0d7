//! The grammar of filters.

use super::super::filter::Filter;
use super::*;

#[test]
fn all_terms_have_to_hold() {
    let mut store = store_of(vec![
        beginning("POST /flowers/Predict?x HTTP/1.1"),
        routed(""),
        relayed(401, "HTTP/1.1 401 Unauthorized", "APIG.0301"),
        ended(401, 0, 0),
    ]);
    apply(
        &mut store,
        0xabc << 116,
        vec![beginning("GET /v1/x:y HTTP/1.1")],
    );
    for (filter, expected) in [
        ("", "12"),
        ("status:401", "1"),
        ("status:4xx method:post", "1"),
        ("status:40X", "1"),
        ("-status:4xx", "2"),
        ("status:200", ""),
        ("method:GET", "2"),
        ("route:/flowers", "1"),
        ("route:/flow", ""),
        ("code:apig", "1"),
        ("path:/predict", "1"),
        ("path:x:y", "2"),
        ("/v1/x:y", "2"),
        ("is:error -is:open", "1"),
        ("is:open", "2"),
        ("-is:hint -is:slow -is:replay", "12"),
        ("id:ABC", "2"),
        ("flowers", "1"),
        ("  0301   post ", "1"),
        ("get flowers", ""),
    ] {
        let found = store.ids(&Filter::parse(filter).unwrap());
        let numbers = found.iter().map(|id| store.get(*id).unwrap().number);
        let mut numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers.concat(), expected, "{filter}");
    }
}
