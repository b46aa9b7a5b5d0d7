//! Addresses that others than this machine reach.

use super::URL;
use super::problems::{problem, problems};

#[test]
fn an_admin_address_that_others_reach_has_to_be_wanted() {
    for address in ["0.0.0.0:8081", "[::]:8081", "10.0.0.7:8081"] {
        let refused = problem(&format!("admin = \"{address}\""));
        assert!(
            refused.starts_with("x.toml:2: admin: ")
                && refused.contains("access.allow_remote = true"),
            "{refused}"
        );
        let wanted =
            format!("upstream = \"{URL}\"\nadmin = \"{address}\"\n[access]\nallow_remote = true");
        assert_eq!(problems(&wanted), [""; 0]);
    }
    // Said once, by the key that is wrong.
    let unclear = "upstream = \"https://gw.example\"\nadmin = \"0.0.0.0:8081\"\n[access]\nallow_remote = \"perhaps\"";
    let keys = problems(unclear);
    assert_eq!(
        keys.iter()
            .filter(|said| said.contains("allow_remote: "))
            .count(),
        1,
        "{keys:?}"
    );
}
