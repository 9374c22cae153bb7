//! Receives the webhooks of Mekari Qontak, makes them durable, lets them be read.
//!
//! A webhook's way, and where each step lives:
//!
//! ```text
//! POST /webhooks/qontak/{token}
//!   └─ receive             the handler: the three steps below, in order
//!       ├─ receive::auth       does the caller know a live token?  request → Authentic
//!       ├─ receive::normalize  what does it say? never fails       Webhook → Event
//!       │    └─ receive::payload   Qontak's field names, and only there
//!       └─ receive::writer     commit it with its neighbours       Event   → Receipt → 200
//!            ├─ store              all SQL
//!            └─ receive::spool     or, while the database is away, keep it for later
//! GET /v1/…
//!   └─ read                keys, pages, one file per resource
//!       └─ store
//! ```
//!
//! [`simulate`] stands on the other side: it plays Qontak, and looks whether all of that is true.
//! [`replay`] sends what the journal holds the same way again. [`event`] and [`model`] are the
//! words that both ways share. [`app`] puts the parts together and takes them apart in order;
//! [`cli`] and [`config`] say how.

pub mod app;
pub mod cli;
pub mod config;
pub mod event;
pub mod http;
pub mod ingest;
pub mod model;
pub mod read;
pub mod receive;
pub mod router;
pub mod simulate;
pub mod store;
pub mod telemetry;
