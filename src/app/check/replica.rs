//! The hot standby of `database.read_url`: reachable, a standby, of the same server, and how far behind.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::Check;
use crate::config::Config;
use crate::store::replica::{Position, position};
use crate::store::{self, Failure, server};

/// Time that the standby has to reach the position of the primary.
const WAIT: Duration = Duration::from_secs(2);

/// Interval of the measurements meanwhile.
const INTERVAL: Duration = Duration::from_millis(20);

/// Name of the check.
const NAME: &str = "replica";

/// Checks the standby; `None` if none is configured. A standby that cannot be used is a warning: the primary
/// is read instead.
pub async fn standby(config: &Config, primary: &PgPool) -> sqlx::Result<Option<Check>> {
    let Some(settings) = config.database.of_replica() else { return Ok(None) };
    let unreachable = |cause: sqlx::Error| {
        let cause = Failure::from(cause);
        let text = format!(
            "database.read_url: {cause}; start the standby, or correct the URL. Until then the primary is read"
        );
        Ok(Some(Check::warn(NAME, text)))
    };
    // Without a pool, which would hide the cause of an error.
    if let Err(cause) = server::connect_twice(&settings).await {
        return unreachable(cause);
    }
    let standby = store::connect_to_read(&settings, 1)?;
    let on_primary = position(primary).await?;
    let began = Instant::now();
    loop {
        let on_standby = match position(&standby).await {
            Ok(found) => found,
            Err(cause) => return unreachable(cause),
        };
        if let Some(check) = assess(&on_primary, &on_standby, began.elapsed()) {
            return Ok(Some(check));
        }
        sleep(INTERVAL).await;
    }
}

/// Compares the positions; `None` while the standby may still reach that of the primary.
fn assess(on_primary: &Position, on_standby: &Position, waited: Duration) -> Option<Check> {
    let behind = on_primary.bytes - on_standby.bytes;
    if on_standby.system != on_primary.system {
        let text = "database.read_url has the data of another server than DATABASE_URL; correct one of them";
        Some(Check::fail(NAME, text))
    } else if !on_standby.is_standby {
        let text = "database.read_url is not a standby; set it to a hot standby of DATABASE_URL, or remove it";
        Some(Check::fail(NAME, text))
    } else if behind <= 0 {
        let text = format!("a standby, {} ms behind the primary", waited.as_millis());
        Some(Check::ok(NAME, text))
    } else if waited >= WAIT {
        let text = format!(
            "the standby of database.read_url is {behind} bytes behind the primary of {} s ago; see its \
             network, its disk, and queries that delay its replay",
            WAIT.as_secs()
        );
        Some(Check::warn(NAME, text))
    } else {
        None
    }
}
