//! The signature against Huawei's own SDKs, and against what must hold for every request.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod properties;
mod query_normalization;
mod requests;
mod vectors;
