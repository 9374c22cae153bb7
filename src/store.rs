//! All SQL, one file per table.
//!
//! Rows are merged by Postgres, in `on conflict do update`, with rules that do not depend on
//! order. Any number of writers and replicas agree, and nothing is read before it is written.

pub mod api_key;
pub mod batch;
pub mod broadcast;
pub mod broadcast_log;
mod connect;
pub mod delivery;
pub mod dry_run;
pub mod event;
mod failure;
pub mod ledger;
pub mod message;
pub mod partition;
pub mod room;
pub mod room_event;
mod rows;
mod schema;
pub mod search;
pub mod sender;
pub mod trace;
mod transaction;
pub mod walk;
mod writer_connection;

pub use self::connect::{UNREACHABLE, connect, connect_to_read, reach, snapshot, within};
pub use self::event::{PreviousOutcome, Stored, Written};
pub use self::failure::{Failure, is_outage};
pub use self::schema::{clock, durability, migrate, pending_migrations};
pub use self::writer_connection::WriterConnection;
