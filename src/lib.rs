//! Stores Mekari Qontak webhooks in Postgres and serves them over a REST API.
//!
//! Path of a webhook, with the file of each step:
//!
//! ```text
//! POST /webhooks/qontak/{token}
//!   http/server.rs           connections, limits, shutdown
//!   router.rs                webhooks here, everything else to its route
//!   http/trace.rs            request id, log line, panics
//!   receive.rs               the handler, in three steps
//!     receive/auth.rs          token and body              request → Authentic
//!     receive/large.rs         the share of large bodies
//!     ingest.rs                Ingest::accept: store the event, or spool it
//!       ingest/normalize.rs      parse; never fails        Webhook → Event
//!         ingest/json.rs           JSON as slices of the body
//!         ingest/payload.rs        Qontak's field names: classify.rs, fields.rs, changes.rs
//!       ingest/writer.rs         group commit              Event → Receipt
//!         store.rs                 all SQL, one file per table
//!       ingest/spool.rs          local disk, while the database is unavailable
//!     receive.rs               Receipt → 200
//! ```
//!
//! Path of a read request:
//!
//! ```text
//! GET /v1/…
//!   read.rs                  routes, one file per resource
//!     read/reader.rs           key, scopes, organisations   request → Reader
//!     read/page.rs             cursors and pages; read/export.rs: CSV and NDJSON
//!     store.rs                 the query
//! ```
//!
//! [`console`] serves pages for people; it calls the routes of [`read`] in process.
//!
//! [`event`] and [`model`] define the types that all of these share. [`http`] has what every HTTP
//! surface needs: errors, extractors, conditional requests. [`app`] starts the parts and stops them
//! in order; [`cli`] has the other commands, [`config`] the settings. [`qontak`] calls Qontak's own
//! API. [`simulate`] plays Qontak: it sends webhooks and verifies what the API shows.
//!
//! [`media`] copies the files of messages.
//!
//! [`alarm`] finds problems, among them silence, and notifies of them.
//!
//! `docs/architecture.md` describes the layers and the rules of merging.

pub mod alarm;
pub mod app;
pub mod cli;
pub mod config;
pub mod console;
pub mod event;
pub mod http;
pub mod ingest;
pub mod media;
pub mod model;
pub mod qontak;
pub mod read;
pub mod receive;
pub mod router;
#[cfg(feature = "simulate")]
pub mod simulate;
pub mod store;
pub mod telemetry;
