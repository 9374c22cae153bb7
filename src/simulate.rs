//! Simulator: plays Qontak against a webhook receiver and verifies the result.
//!
//! ```text
//! traffic.rs   the webhooks of a scenario, in order; a function of the seed
//!   chat.rs, broadcast.rs, storm.rs      scenarios, all in one `world.rs`
//!   message.rs, room.rs, room_event.rs   state, and the bodies made from it
//!   body.rs, template.rs, body/          templates of bodies
//! demo.rs      a day of them that ends now, for the console
//! load.rs      sends the traffic through `client.rs`, measures latency (`report.rs`)
//! verify.rs    compares the API with the state expected from acknowledged events (`expected.rs`)
//! serve.rs     Qontak's own API: webhook settings, lists, status page, faults
//! ```
//!
//! It shares nothing with the service but `model::Timestamp`: an oracle that shares code with the
//! service shares its bugs.

mod body;
mod broadcast;
mod chat;
mod client;
mod demo;
mod expected;
mod load;
mod message;
mod report;
mod room;
mod room_event;
mod serve;
mod storm;
mod template;
mod traffic;
mod verify;
mod webhook;
mod world;

pub use self::client::Address;
pub use self::demo::day;
pub use self::load::{Limit, Load};
pub use self::serve::{Change, Credentials, Fake};
pub use self::traffic::{Scenario, Traffic};
pub use self::verify::{Api, verify};
pub use self::webhook::Webhook;
