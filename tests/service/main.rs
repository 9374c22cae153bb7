//! The service as its users see it: real router or real binary, real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with it")]

mod binary;
#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../../benches/read/cases.rs"]
mod cases;
mod crash;
mod crowd;
mod delivery;
mod disk;
#[path = "../../benches/read/explain.rs"]
mod explain;
mod export;
mod fixtures;
mod fold;
mod harness;
mod key;
mod layout;
mod limits;
mod link;
mod manners;
mod messages;
mod normalize;
mod open;
mod openapi;
mod order;
mod plan;
mod process;
mod properties;
mod read;
mod readme;
mod receive;
mod refuse;
mod replay;
mod room;
mod schema;
mod search;
mod simulate;
mod spool;
mod stats;
mod strange;
mod stream;
mod trace;
mod writer;
