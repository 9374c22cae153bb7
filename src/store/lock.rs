//! Keys of advisory locks. Each is used for one thing only. The letters are `qontak` or `qk` in ASCII, so that
//! another application on the same database hardly has the same keys.

/// Creating partitions of the journal.
pub const PARTITIONS: i64 = 0x716f_6e74_616b;
/// Creating or dropping the search indexes. Held for minutes.
pub const SEARCH_INDEXES: i64 = 0x716f_6e74_616b_0001;
/// Waiting for a synchronous standby without writing anything.
pub const STANDBY: i64 = 0x716f_6e74_616b_0002;

/// Refreshing tokens; the second key is the hash of an organisation's name.
pub const TOKENS: i32 = 0x716b_0001;
/// Backfilling; the second key is the hash of an organisation's name.
pub const BACKFILL: i32 = 0x716b_0002;
