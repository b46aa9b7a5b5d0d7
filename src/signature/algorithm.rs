//! The algorithms of signatures. They differ in the hash, in the key, and in how requests name them.

use super::{CONTENT_HASH_HEADER, SigningDate};

/// The algorithm of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm<'a> {
    /// `SDK-HMAC-SHA256`, which every API Gateway takes.
    #[default]
    HmacSha256,
    /// `SDK-HMAC-SM3`, with the hash of GM/T 0004 in all places.
    HmacSm3,
    /// `V11-HMAC-SHA256`, whose key is derived for a day, a region and a service.
    V11HmacSha256 {
        /// The region, like `cn-north-4`.
        region: &'a str,
        /// The service, like `iotdm`.
        service: &'a str,
    },
}

impl<'a> Algorithm<'a> {
    /// The names of all algorithms.
    pub const NAMES: [&'static str; 3] = ["SDK-HMAC-SHA256", "SDK-HMAC-SM3", "V11-HMAC-SHA256"];

    /// The algorithm of this name; region and service are those of `V11-HMAC-SHA256`.
    #[must_use]
    pub fn from_name(name: &str, region: &'a str, service: &'a str) -> Option<Self> {
        let [sha256, sm3, v11] = Self::NAMES;
        Some(match name {
            _ if name == sha256 => Self::HmacSha256,
            _ if name == sm3 => Self::HmacSm3,
            _ if name == v11 => Self::V11HmacSha256 { region, service },
            _ => return None,
        })
    }

    /// The algorithm that a value of `Authorization` names, without region and service;
    /// `SDK-HMAC-SHA256` if it names none.
    #[must_use]
    pub fn of_authorization(authorization: &[u8]) -> Self {
        let name = authorization
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .next();
        let name = name.and_then(|name| str::from_utf8(name).ok());
        Self::from_name(name.unwrap_or_default(), "", "").unwrap_or_default()
    }

    /// Its name: the first word of `Authorization` and the first line of the string to sign.
    #[must_use]
    pub fn name(self) -> &'static str {
        let [sha256, sm3, v11] = Self::NAMES;
        match self {
            Self::HmacSha256 => sha256,
            Self::HmacSm3 => sm3,
            Self::V11HmacSha256 { .. } => v11,
        }
    }

    /// The header whose value takes the place of the payload hash; signed when present.
    #[must_use]
    pub fn content_hash_header(self) -> &'static str {
        match self {
            Self::HmacSha256 | Self::V11HmacSha256 { .. } => CONTENT_HASH_HEADER,
            Self::HmacSm3 => "x-sdk-content-sm3",
        }
    }

    /// What the key is derived for, as the string to sign has it.
    pub(super) fn scope(self, date: &SigningDate) -> Option<String> {
        match self {
            Self::HmacSha256 | Self::HmacSm3 => None,
            Self::V11HmacSha256 { region, service } => {
                Some(format!("{}/{region}/{service}", &date.as_str()[..8]))
            }
        }
    }
}
