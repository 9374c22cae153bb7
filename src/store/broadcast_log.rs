//! Table `broadcast_log`: one row per recipient of a broadcast.

pub mod count;
pub mod funnel;
pub mod hour_count;
mod read;

pub use self::read::{LogKey, LogRow, Place, list, show};
