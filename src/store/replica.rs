//! Positions of the write-ahead log, on the primary and on a hot standby.

use sqlx::PgPool;

/// Where a server is in the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whether it is a standby.
    pub is_standby: bool,
    /// Bytes of the log that are written or, on a standby, replayed.
    pub bytes: i64,
    /// Identifier that a standby has from its primary.
    pub system: i64,
}

/// Reads the position of a server.
pub async fn position(db: &PgPool) -> sqlx::Result<Position> {
    sqlx::query_as!(
        Position,
        r#"
            select
                pg_is_in_recovery() as "is_standby!",
                (
                    case
                        when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                        else pg_current_wal_lsn()
                    end - '0/0'::pg_lsn
                )::bigint as "bytes!",
                system_identifier as "system!"
            from pg_control_system()
        "#
    )
    .fetch_one(db)
    .await
}
