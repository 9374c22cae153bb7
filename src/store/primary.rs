//! Several servers in `database.url`: which of them is the primary, and following it after a failover.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::connect::within;
use crate::config;

/// Interval of looking at the server in use.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time in which a server has to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// A pool, and the options of its connections to the server in use.
pub type Follower = (PgPool, fn(&config::Database) -> sqlx::Result<PgConnectOptions>);

/// Whether a server accepts writes.
pub async fn is_primary(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let is_standby = sqlx::query_scalar!(
        r#"
            select
                pg_is_in_recovery() or current_setting('transaction_read_only')::boolean
                    as "is_standby!"
        "#
    );
    Ok(!is_standby.fetch_one(connection).await?)
}

/// Whether a server can be reached and accepts writes.
pub async fn is_primary_at(server: &PgConnectOptions) -> sqlx::Result<bool> {
    Ok(connect(server).await?.is_some())
}

/// Connects to a server; `None` if it does not accept writes.
async fn connect(server: &PgConnectOptions) -> sqlx::Result<Option<PgConnection>> {
    let connected = within(LIMIT, async {
        let mut connection = PgConnection::connect_with(server).await?;
        Ok(is_primary(&mut connection).await?.then_some(connection))
    });
    connected.await
}

/// Looks for the primary, if `database.url` names several servers.
pub async fn choose(settings: &config::Database) {
    if settings.servers().len() > 1 {
        find(settings).await;
    }
}

/// Looks for the primary, from the server in use on, and uses it from now on. Returns a connection to it;
/// `None` if no server is one.
async fn find(settings: &config::Database) -> Option<PgConnection> {
    let servers = settings.servers();
    let first = settings.primary.get();
    for place in (first..servers.len()).chain(0..first) {
        if let Ok(Some(connection)) = connect(&servers[place]).await {
            settings.primary.set(place);
            return Some(connection);
        }
    }
    None
}

/// Looks for the primary whenever the server in use is not one any more, and has the pools connect to it.
pub async fn follow(settings: &config::Database, pools: &[Follower]) -> ! {
    let mut connection = None;
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(connection) = &mut connection
            && matches!(within(LIMIT, is_primary(connection)).await, Ok(true))
        {
            continue;
        }
        let before = settings.primary.get();
        connection = find(settings).await;
        if settings.primary.get() == before {
            continue;
        }
        let mut server = String::new();
        for (pool, options) in pools {
            if let Ok(options) = options(settings) {
                server = format!("{}:{}", options.get_host(), options.get_port());
                pool.set_connect_options(options);
            }
        }
        warn!(server, "another server has become the primary of the database");
    }
}
