//! All SQL, one file per table.
//!
//! A batch is written by one call of the SQL function `ingest_1`. It merges rows in `insert … on
//! conflict do update`, with rules that do not depend on order. So any number of writers and replicas
//! agree, and no row is read before it is written.
//!
//! Tables:
//!
//! | file | content |
//! | --- | --- |
//! | `event` | the journal: all webhooks, duplicates, replays |
//! | `partition` | daily partitions of the journal |
//! | `ledger` | deliveries per hour and outcome |
//! | `activity` | events per hour, channel and kind: what is usual |
//! | `organization` | organisations that occur in the ledger |
//! | `batch` | applied events in stream order, positions |
//! | `room` | conversations: merge of snapshots, lists, statistics |
//! | `room_event` | lifecycle events of rooms |
//! | `message` | messages: merge, lists, counts per hour |
//! | `media` | copies of the files of messages |
//! | `sender` | last known names and avatars |
//! | `resolution` | when rooms were resolved |
//! | `response` | answers that ended a wait of a customer |
//! | `broadcast` | broadcasts |
//! | `broadcast_log` | recipients of broadcasts: merge, lists, counts, funnel |
//! | `facet` | values that occur, for drop-downs |
//! | `api_key` | keys of the read API |
//! | `qontak_token` | encrypted tokens of Qontak's API |
//! | `qontak_check` | checks of Qontak by one of the replicas, and their results |
//! | `qontak_hook` | webhook settings at Qontak |
//! | `qontak_status` | incidents and maintenance of Qontak's status page |
//! | `qontak_backfill` | where an interrupted backfill goes on, and since when webhooks are missing |
//! | `audit` | who exported, replayed, erased, created and read what |
//! | `replay` | bulk replays requested over the API |
//! | `creation` | templates and contact lists created at Qontak over the API |
//! | `problem` | what is wrong, since when, and whether a notification was sent |
//! | `lease` | recurring work that one replica does |
//! | `catalog` | names of agents, templates, channel integrations, divisions and contact lists |
//! | `catalog_state` | states of templates and agents over time |
//! | `reconciliation` | what Qontak had and this service lacked |
//!
//! Queries over several tables: `agent` (names of agents), `delivery` (delivery statuses of messages and
//! broadcast logs), `erase` (a person or an organisation), `retention` (deletes rows by age), `search`
//! (search queries and their indexes), `trace` (everything about an id or phone number).
//!
//! Infrastructure:
//!
//! | file | content |
//! | --- | --- |
//! | `connect` | pools, options and timeouts of connections |
//! | `writer_connection` | the connection of a writer; runs `ingest` |
//! | `ingest` | writes a batch: folds its changes, one call of `ingest_1` |
//! | `dry_run` | the same, compared and rolled back |
//! | `failure` | Postgres errors, classified by what the caller should do |
//! | `probe` | test of whether the journal can be written |
//! | `rows` | columns of bulk queries |
//! | `replica` | positions of the write-ahead log, on the primary and on a standby |
//! | `server` | what a server or its pooler can break, and missing rights |
//! | `schema` | migrations, checks of server settings and clock |
//! | `generic_plan` | plans of statements that fetch rows by their keys |
//! | `walk` | which rows of a list to fetch: start, direction, limit |

pub mod activity;
pub mod agent;
pub mod api_key;
pub mod audit;
pub mod batch;
pub mod broadcast;
pub mod broadcast_log;
pub mod catalog;
pub mod catalog_state;
mod connect;
pub mod creation;
pub mod delivery;
pub mod dry_run;
pub mod erase;
pub mod event;
pub mod facet;
mod failure;
mod generic_plan;
mod ingest;
pub mod lease;
pub mod ledger;
pub mod lock;
pub mod media;
pub mod message;
pub mod organization;
pub mod partition;
pub mod primary;
mod probe;
pub mod problem;
pub mod qontak_backfill;
pub mod qontak_check;
pub mod qontak_hook;
pub mod qontak_status;
pub mod qontak_token;
pub mod reconciliation;
pub mod replay;
pub mod replica;
pub mod resolution;
pub mod response;
pub mod retention;
pub mod room;
pub mod room_event;
mod rows;
mod schema;
pub mod search;
pub mod sender;
pub mod server;
pub mod trace;
pub mod walk;
mod writer_connection;

pub use self::connect::{
    UNREACHABLE, begin_key_reads, check_connection, connect, connect_for_qontak, connect_to_read,
    options, read_options, snapshot, within,
};
pub use self::event::{PreviousOutcome, Stored, Written};
pub use self::failure::{Failure, is_outage};
pub use self::generic_plan::{use_custom_plans, use_generic_plans};
pub use self::probe::test_write;
pub use self::schema::{
    Schema, assess_schema, clock, durability, migrate, pending_migrations, unlogged_tables,
};
pub use self::writer_connection::WriterConnection;
