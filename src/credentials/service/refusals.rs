//! Backoff after STS has refused a key. Gateways lock a key after several wrong signatures, and it is
//! not documented whether STS counts separately.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::credentials::CredentialsError;
use crate::credentials::error::KEY_REFUSED;
use crate::credentials::types::{Credentials, Lease};
use crate::lock::lock;

/// Refusals in a row before there is a pause.
const FREE: u32 = 3;

/// The pause after more, which doubles each time, and the longest.
const MIN_PAUSE: Duration = Duration::from_secs(60);
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// The refusals of one key in a row: the key, their number, and the time of the last one.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Option<(Credentials, u32, Moment)>>);

impl Refusals {
    pub(super) fn check(&self, key: &Credentials, now: Moment) -> Result<(), CredentialsError> {
        match &*lock(&self.0) {
            Some((refused, count, at))
                if refused.is_same(key) && now.since(*at) < pause(*count) =>
            {
                Err(KEY_REFUSED)
            }
            _ => Ok(()),
        }
    }

    /// Records the result of a request with a key.
    pub(super) fn record(
        &self,
        key: &Credentials,
        asked: &Result<Lease, CredentialsError>,
        now: Moment,
    ) {
        let mut refused = lock(&self.0);
        match asked {
            Err(CredentialsError::Refused { status: 401, .. }) => {
                let before = refused.take().filter(|(refused, ..)| refused.is_same(key));
                let count = before.map_or(1, |(_, count, _)| count + 1);
                *refused = Some((key.clone(), count, now));
            }
            // It says nothing about the key.
            Err(CredentialsError::Exchange(_)) => {}
            _ => *refused = None,
        }
    }
}

fn pause(count: u32) -> Duration {
    let doublings = count.checked_sub(FREE).map(|more| more.min(6));
    let pause = doublings.map(|doublings| MIN_PAUSE * 2_u32.pow(doublings));
    pause.unwrap_or_default().min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Credentials {
        Credentials::checked("HSTAAABBBCCCDDDEEEFF", secret.into(), None).unwrap()
    }

    fn refused(status: u16) -> Result<Lease, CredentialsError> {
        Err(CredentialsError::Refused {
            status,
            code: None,
            hint: "",
        })
    }

    #[test]
    fn a_key_that_is_refused_three_times_is_used_less_and_less_often_until_it_changes() {
        let (refusals, wrong, other) = (Refusals::default(), key("wrong"), key("other"));
        let with_token = Credentials {
            security_token: Some("token".into()),
            ..wrong.clone()
        };
        let mut now = Moment::now();
        for pause in [0, 0, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            refusals.record(&wrong, &refused(401), now);
            if pause > 0 {
                let before = now.later_by(Duration::from_secs(pause - 1));
                assert!(refusals.check(&wrong, before).is_err(), "{pause}");
                for changed in [&other, &with_token] {
                    assert!(refusals.check(changed, before).is_ok());
                }
            }
            now = now.later_by(Duration::from_secs(pause));
            assert!(refusals.check(&wrong, now).is_ok(), "{pause}");
        }
        refusals.record(&wrong, &refused(403), now);
        refusals.record(&wrong, &refused(401), now);
        assert!(refusals.check(&wrong, now).is_ok());
    }
}
