//! Copies the files of messages, whose links at Qontak may expire, into a folder or a bucket.
//!
//! ```text
//! worker.rs     finds new files, fetches those that are due, removes the copies of deleted messages
//!   fetch.rs      one download: redirects, limits of size and type, timeout
//!     address.rs    which links and addresses may be connected to
//!     download.rs   the temporary file of a download
//!   storage.rs    where copies are, by their hash
//!     folder.rs     a folder
//!     bucket.rs     a bucket of S3: requests, signatures, errors
//! kind.rs       media types: which are shown in a page, and which a server did not name
//! ```
//!
//! Links come from messages, so anybody who writes one chooses what this service connects to. Off by default,
//! and nothing here is called while a webhook is processed.

mod address;
mod bucket;
mod download;
mod fetch;
mod folder;
pub mod kind;
pub mod storage;
mod worker;

pub use self::storage::Storage;
pub use self::worker::{Worker, remove_deleted};

/// A hash, or another value of a few bytes, in hex.
fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name of a copy, the same in a folder and a bucket, so that one can be copied into the other.
fn name(sha256: &str) -> String {
    format!("{}/{sha256}", &sha256[..2])
}
