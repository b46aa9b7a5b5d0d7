//! Bodies on their way: to the gateway ([`RequestBody`]) and back ([`ResponseBody`]).

mod blocks;
mod request;
mod response;

pub(super) use blocks::BLOCK;
pub use blocks::Blocks;
pub(super) use request::Pieces;
pub use request::{Held, RequestBody, Streamed};
pub use response::{Relayed, ResponseBody, ResponseEnded};
