//! The secrets that authenticate requests: their sources, and how they are refreshed.
//!
//! ```text
//! requirements ─► Source::open ─► start ─► refresh ─► Slot ─► every worker
//! which           finds the       asks     renews,    the current lease,
//! secrets         source          once     re-reads   and its status
//! ```
//!
//! With `credentials.source = "auto"`, the signing key is that of the first of these sources that
//! exists (`chain`):
//!
//! 1. STS, if `HUAWEICLOUD_OIDC_PROVIDER_URN` is set;
//! 2. IAM with a token of an identity provider, if `HUAWEICLOUD_SDK_IDP_ID` is set;
//! 3. `HUAWEICLOUD_SDK_AK` and `HUAWEICLOUD_SDK_SK`, as for the SDKs, then `HW_ACCESS_KEY` and
//!    `HW_SECRET_KEY`, then `OS_ACCESS_KEY` and `OS_SECRET_KEY`, as for Terraform, then
//!    `CLOUD_SDK_AK` and `CLOUD_SDK_SK`, as in samples of the documentation;
//! 4. systemd's `$CREDENTIALS_DIRECTORY`: `credentials.csv`, or one file each for the parts of a key;
//! 5. the file of `credentials.file`, which is `./credentials.csv` by default;
//! 6. the SDKs' profile, `~/.huaweicloud/credentials`;
//! 7. the metadata service of a server with an agency;
//! 8. the identity of a pod, if `HC_CONTAINER_CREDENTIALS_FULL_URI` is set.
//!
//! An invalid source is an error; later sources are not tried, because signing with another key than
//! the configured one would be a surprise. If a file is named, it is the only source.
//!
//! With `credentials.agency`, that key does not sign requests itself: STS exchanges it for keys of the
//! agency.
//!
//! # What stays in memory
//!
//! The content of files, the copies that parsers make of it and the parts of a key are zeroized
//! when they are no longer needed; a signing key is kept as the state of its HMAC, which is zeroized
//! too. Not zeroized are the environment block, which belongs to the system, what `hmac` leaves on
//! the stack when it is given the key, the password of a network's proxy, a service's response while
//! it is read, and the heads of requests in flight, which contain tokens. The memory as a whole is
//! therefore protected from other processes of the same user (`cli::hardening`).

mod chain;
mod env;
mod error;
mod file;
mod key_check;
mod refresher;
mod service;
mod slot;
mod source;
mod types;

pub use error::CredentialsError;
pub use file::parse;
pub use refresher::{refresh, start};
pub(crate) use service::project_of;
pub use slot::{Attempts, Slot};
pub use source::{Source, requirements};
pub use types::{Credentials, Lease, Origin, Secret};

#[cfg(test)]
mod tests;
