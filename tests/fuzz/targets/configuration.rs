//! A configuration file is taken or refused, and no problem with it quotes what it says: a secret may
//! have been put in a wrong place.
//!
//! The input is the text of a file.

use std::path::Path;

use apig_proxy::Config;
use apig_proxy::config::{Listen, Problems, from_text};

/// Stands for a secret. No text of the program has it, and no key can be shown that has it.
const MARKER: &str = "MARKER";

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    // `upstream_tls.ca_file` is opened, and opening some devices has effects.
    if text.contains("/dev") || text.contains("\\u") || text.contains("\\x") {
        return;
    }
    check(from_text(Path::new("x.toml"), text));
    // The same with a secret at the beginning and at the end of every text.
    let marked = text.replace("= \"", "= \"MARKER");
    let marked = marked
        .replace("\"\n", "MARKER\"\n")
        .replace("= '", "= 'MARKER");
    check(from_text(Path::new("x.toml"), &marked));
}

fn check(read: Result<Config, Problems>) {
    match read {
        Ok(config) => check_config(&config),
        Err(mut problems) => {
            assert!(!problems.0.is_empty());
            for problem in &problems.0 {
                assert!(!problem.message.is_empty() && !problem.message.ends_with('\n'));
                assert!(!problem.message.contains(MARKER));
            }
            // The names of services are shown as they are.
            (problems.0).retain(|problem| !problem.key.starts_with("cloud.endpoints."));
            let shown = format!("{problems}{problems:?}");
            assert!(!shown.contains(MARKER), "{shown}");
        }
    }
}

/// What the rest of the program relies on.
fn check_config(config: &Config) {
    assert!(!config.listen.is_empty() && !config.routes.is_empty());
    let takes_certificates = config
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_ca.is_some());
    let is_guarded = config.access.token.is_some() || takes_certificates;
    let is_here = |listen: &Listen| listen.address().is_none_or(|at| at.ip().is_loopback());
    assert!(is_guarded || config.listen.iter().all(is_here));
    assert!(
        config
            .routes
            .is_sorted_by(|a, b| a.prefix.len() >= b.prefix.len())
    );
    for route in &config.routes {
        let is_path =
            |path: &str| path.is_empty() || (path.starts_with('/') && !path.ends_with('/'));
        assert!(is_path(&route.prefix) && is_path(&route.upstream.base_path));
        assert!(!route.upstream.host.is_empty() && route.upstream.port > 0);
        assert!(route.upstream.authority.to_str().is_ok() && route.stage.to_str().is_ok());
        assert!(!route.stage.is_empty());
    }
    assert!(config.limits.body <= config.limits.buffered && config.limits.connections > 0);
    assert!(!config.timeouts.response.is_zero() && config.pool.connections > 0);
}
