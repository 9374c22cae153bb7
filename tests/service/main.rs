//! Integration tests: the real router or the real binary over a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test's tasks end with it")]

mod account;
mod admission;
mod alias;
mod binary;
#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "../../benches/read/cases.rs"]
mod cases;
mod check;
mod cli;
mod clock;
mod concurrency;
mod connection_loss;
mod crash;
mod delivery;
mod delivery_attempt;
mod delivery_error;
mod direction;
mod drift;
mod envelope;
mod excel;
#[path = "../../benches/read/explain.rs"]
mod explain;
mod export;
mod facet;
mod filter;
mod filter_journal;
mod filter_message;
mod filter_room;
mod fixtures;
mod funnel;
mod funnel_list;
mod generators;
mod handover;
mod harness;
mod identity;
mod key;
mod layout;
mod leniency;
mod limits;
mod messages;
mod metrics;
mod middleware;
mod normalize;
mod openapi;
mod order;
mod oversize;
mod partition;
mod phone;
mod plan;
mod process;
mod properties;
mod qontak_api;
mod qontak_backfill;
mod qontak_catalog;
mod qontak_client;
mod qontak_hmac;
mod qontak_lists;
mod qontak_login;
mod qontak_register;
mod qontak_response;
mod qontak_watch;
mod read;
mod readiness;
mod readme;
mod receive;
mod rejection;
mod replay;
mod response;
mod room;
mod room_snapshots;
mod schema;
mod search;
mod search_text;
mod simulate;
mod spool;
mod spool_disk;
mod stats;
mod stream;
mod times;
mod trace;
mod writer;
mod writer_plan;
