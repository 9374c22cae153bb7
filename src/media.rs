//! Copies the files of messages, whose links at Qontak may expire, into a folder.
//!
//! ```text
//! worker.rs     finds new files, fetches those that are due, removes the copies of deleted messages
//!   fetch.rs      one download: redirects, limits of size and type, timeout
//!     address.rs    which links and addresses may be connected to
//!   folder.rs     the folder: copies by their hash
//! kind.rs       media types: which are shown in a page, and which a server did not name
//! ```
//!
//! Links come from messages, so anybody who writes one chooses what this service connects to. Off by default,
//! and nothing here is called while a webhook is processed.

mod address;
mod fetch;
pub mod folder;
pub mod kind;
mod worker;

pub use self::worker::{Worker, remove_deleted};
