//! The state of the proxy, as the inspector shows it.

use super::Settings;
use crate::inspect::program::{CredentialState, ProgramState, UpstreamState};

impl Settings {
    /// The state now. `url` is where callers connect.
    pub(crate) fn program_state(&self, url: String) -> ProgramState {
        let credentials = self
            .credentials
            .statuses()
            .zip(self.credentials.are_locked());
        let credentials = credentials.map(|(status, is_locked)| CredentialState {
            name: status.label,
            kind: status.kind.to_string(),
            is_good: status.is_good,
            left_s: status.left.map(|left| left.as_secs()),
            is_locked,
        });
        let upstreams = self.upstreams().into_iter();
        let upstreams = upstreams.map(|(name, (idle, active, clock_offset_s))| UpstreamState {
            name,
            idle,
            active,
            clock_offset_s,
        });
        ProgramState {
            proxy: url,
            kind: "proxy",
            credentials: credentials.collect(),
            upstreams: upstreams.collect(),
            buffered: self.budget.taken(),
        }
    }
}
