//! Table `room`: one row per conversation, the fold of all its snapshots.

mod read;
pub mod stats;

pub use self::read::{Filter, Place, RoomKey, RoomRow, Session, find, list, show};
