//! Credential services that refuse, are missing, fail, hang, answer garbage, or issue what has already expired.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use apig_proxy::emulator::{Accounts, FaultMode, Service};

use tokio::time::Instant;

use super::region::{SOURCES, accepted, of_all_sources};
use super::{Region, log};
use crate::support::{Proxy, pause, wait_until};

/// Every fault of a service, its name, and the reason that is logged.
const FAULTS: [(FaultMode, &str, &str); 6] = [
    (FaultMode::Unauthorized, "unauthorized", "status 401"),
    (FaultMode::Missing, "missing", "status 404"),
    (FaultMode::Broken, "broken", "status 500"),
    (FaultMode::Hangs, "hangs", "did not answer in time"),
    (FaultMode::Garbage, "garbage", "unexpected response"),
    (FaultMode::Expired, "expired", "has already expired"),
];

/// The reason that is logged for a service.
fn complaint(service: Service, fault: FaultMode, usual: &'static str) -> &'static str {
    match (service, fault) {
        (Service::Metadata, FaultMode::Unauthorized) => "this server has no agency",
        // The token of the first step has expired, so the second step refuses it.
        (Service::Idp, FaultMode::Expired) => "status 401",
        _ => usual,
    }
}

fn set_faults(region: &Region, fault: FaultMode) {
    for (_, service, _) in SOURCES {
        region.cloud.set_fault(service, fault);
    }
}

fn kind(service: Service) -> &'static str {
    match service {
        Service::Iam => "token",
        _ => "key",
    }
}

/// Runs a test for each fault, all in parallel, since they mostly wait.
fn for_each_fault(test: fn(&str, FaultMode, &'static str)) {
    log::listen();
    let running = FAULTS.map(|(fault, name, says)| thread::spawn(move || test(name, fault, says)));
    let failed = running.into_iter().filter_map(|test| test.join().err());
    assert_eq!(failed.count(), 0, "see above");
}

/// Requests of all routes are refused with `Retry-After`, since the services issue nothing.
fn all_are_refused(proxy: &Proxy) {
    thread::scope(|scope| {
        for (name, ..) in SOURCES {
            scope.spawn(move || {
                let answer = proxy.get(&format!("/{name}"));
                answer.about(name).assert_refused(503, "no_credentials");
                assert_eq!(answer.header("retry-after"), "1");
            });
        }
    });
}

/// Waits until each route is served.
fn wait_for_all(proxy: &Proxy) {
    for (name, ..) in SOURCES {
        let path = format!("/{name}");
        wait_until(&format!("{name} recovers"), || {
            pause(Duration::from_millis(100));
            proxy.get(&path).status == 200
        });
    }
    proxy.asked("/readyz").assert_status(200);
}

#[test]
fn a_service_that_fails_at_the_start_is_retried_without_a_restart() {
    for_each_fault(|name, fault, says| {
        let region = Region::new(Accounts::throw_away());
        set_faults(&region, fault);
        let start = format!("start-{name}-");
        let proxy = region.proxy(&of_all_sources(&region, &start));
        let ready = proxy.asked("/readyz");
        assert_eq!(ready.status, 503, "{name}");
        for (source, service, _) in SOURCES {
            let set = format!("{start}{source}");
            let missing = format!("{} of credentials {set}", kind(service));
            ready.assert_says(&missing);
            let line = &log::about(&set)[0];
            let expected = complaint(service, fault, says);
            assert!(line.starts_with("ERROR"), "{line}");
            assert!(line.contains(expected) && line.contains("503"), "{line}");
        }
        all_are_refused(&proxy);
        assert_eq!(region.counts.requests.load(Ordering::SeqCst), 0);
        set_faults(&region, FaultMode::None);
        wait_for_all(&proxy);
        for (source, ..) in SOURCES {
            let lines = log::about(&format!("{start}{source}"));
            let last = lines.last().unwrap();
            assert!(last.starts_with("INFO") && last.contains("again"), "{last}");
        }
    });
}

#[test]
fn a_service_that_fails_later_affects_no_request_until_the_key_expires() {
    for_each_fault(|name, fault, says| {
        let lifetime = Duration::from_secs(6);
        let region = Region::new(Accounts {
            lifetime: Some(lifetime),
            ..Accounts::throw_away()
        });
        let start = format!("later-{name}-");
        let proxy = region.proxy(&of_all_sources(&region, &start));
        set_faults(&region, fault);
        // A refresh is due after three seconds, when the keys are still valid.
        let started = Instant::now();
        while started.elapsed() < lifetime * 2 / 3 {
            for (source, ..) in SOURCES {
                accepted(&proxy.get(&format!("/{source}")));
            }
            pause(Duration::from_millis(200));
        }
        pause(lifetime);
        all_are_refused(&proxy);
        proxy.asked("/readyz").assert_status(503);
        for (source, service, _) in SOURCES {
            let lines = log::about(&format!("{start}{source}"));
            let expected = complaint(service, fault, says);
            // A service that hangs may be logged only after the key has expired.
            let told = lines.iter().find(|line| line.contains(expected));
            let told = told.unwrap_or_else(|| panic!("{source}: {lines:?}"));
            if fault != FaultMode::Hangs {
                let valid = "the current one is valid for another";
                assert!(told.starts_with("WARN") && told.contains(valid), "{told}");
            }
            let last = lines.iter().rfind(|line| line.starts_with("ERROR"));
            assert!(last.unwrap().contains("answered with 503"), "{lines:?}");
        }
        set_faults(&region, FaultMode::None);
        wait_for_all(&proxy);
        assert_eq!(region.counts.refused_expired.load(Ordering::SeqCst), 0);
        let tokens = &region.counts.refused_expired_tokens;
        assert_eq!(tokens.load(Ordering::SeqCst), 0);
    });
}
