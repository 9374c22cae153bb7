//! Daily partitions of the journal (table `event`): created ahead, dropped by age.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool};

use super::{lease, lock};
use crate::model::Timestamp;

/// Timeout of detaching a partition: it waits for all transactions that use the journal. The next run goes
/// on where this one was stopped.
const DETACH_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a replica that dies while it drops partitions holds the others up.
const DROP_LEASE_TIME: Duration = Duration::from_secs(900);

/// Comment of a partition that is detached to be dropped.
const TO_DROP: &str = "Detached by retention, to be dropped.";

/// Creates the missing partitions of these days. If that fails because somebody has changed the
/// partitions by hand, the error says how.
pub async fn create(
    db: &mut PgConnection,
    days: impl Iterator<Item = NaiveDate>,
) -> sqlx::Result<()> {
    let Err(error) = create_missing(&mut *db, days).await else { return Ok(()) };
    match problems(db).await {
        Ok(problems) if !problems.is_empty() => {
            Err(sqlx::Error::Configuration(problems.join("; ").into()))
        }
        _ => Err(error),
    }
}

async fn create_missing(
    db: &mut PgConnection,
    days: impl Iterator<Item = NaiveDate>,
) -> sqlx::Result<()> {
    let existing = list(&mut *db).await?;
    let mut missing: Vec<NaiveDate> = days.filter(|day| !existing.contains(day)).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let mut transaction = db.begin().await?;
    sqlx::raw_sql("set local lock_timeout = '5s'").execute(&mut *transaction).await?;
    lock(&mut transaction).await?;
    // Another replica may have created them in the meantime.
    let existing = list(&mut *transaction).await?;
    for day in missing.into_iter().filter(|day| !existing.contains(day)) {
        let (name, next, bounds) = (name(day), day + Days::new(1), bounds(day));
        // Created apart and then attached, because `create table … partition of` blocks writers.
        // The check constraint spares the scan that `attach partition` would do.
        let sql = format!(
            "create table {name} (like event including all);
             alter table {name} add constraint {name}_day
                 check (day >= '{day}' and day < '{next}');
             alter table event attach partition {name} {bounds};
             alter table {name} drop constraint {name}_day;"
        );
        // Safe: the parts are a date and a name derived from it.
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Drops the partitions of days before `oldest` and returns these days. Writers never wait: a partition is
/// detached concurrently, which waits for running transactions without a lock on the journal that they
/// need, and dropped when it is a table of its own. One replica does it at a time.
pub async fn drop_before(pool: &PgPool, oldest: NaiveDate) -> sqlx::Result<Vec<NaiveDate>> {
    if !lease::take(pool, "drop_partitions", DROP_LEASE_TIME).await? {
        return Ok(Vec::new());
    }
    let dropped = drop_all(pool, oldest).await;
    lease::shorten(pool, "drop_partitions", Duration::ZERO).await?;
    dropped
}

async fn drop_all(pool: &PgPool, oldest: NaiveDate) -> sqlx::Result<Vec<NaiveDate>> {
    let mut attached = attached(pool).await?;
    attached.retain(|(day, _)| *day < oldest);
    if !attached.is_empty() {
        // A connection of its own, because its timeout is changed, and not within a transaction, which the
        // statement refuses.
        let mut connection = pool.acquire().await?.detach();
        let timeout = format!("set statement_timeout = '{}s'", DETACH_TIMEOUT.as_secs());
        sqlx::raw_sql(AssertSqlSafe(timeout)).execute(&mut connection).await?;
        for (day, is_pending) in attached {
            let name = name(day);
            // If it was interrupted, it is finished.
            let how = if is_pending { "finalize" } else { "concurrently" };
            let mark = format!("comment on table {name} is '{TO_DROP}'");
            sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut connection).await?;
            let detach = format!("alter table event detach partition {name} {how}");
            sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut connection).await?;
        }
        connection.close().await?;
    }
    let mut dropped = Vec::new();
    for day in detached(pool).await?.into_iter().filter(|day| *day < oldest) {
        let mut transaction = pool.begin().await?;
        let sql = format!("set local lock_timeout = '1s'; drop table if exists {};", name(day));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        dropped.push(day);
    }
    Ok(dropped)
}

/// Lists the days of tables that [`drop_before`] has detached and not dropped yet. Those that somebody
/// detached by hand have no such comment.
async fn detached(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<NaiveDate>> {
    let names = sqlx::query_scalar!(
        r#"
            select relname as "relname!"
            from pg_class
            where relnamespace = (select relnamespace from pg_class where oid = 'event'::regclass)
                and relkind = 'r'
                and relname ~ '^event_[0-9]{8}$'
                and obj_description(oid, 'pg_class') = $1
                and not exists (select from pg_inherits where inhrelid = pg_class.oid)
            order by relname
        "#,
        TO_DROP,
    )
    .fetch_all(db)
    .await?;
    Ok(names.iter().filter_map(|name| day(name)).collect())
}

/// Lists the days that have a partition, and whether it is being detached.
async fn attached(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(NaiveDate, bool)>> {
    let rows = sqlx::query!(
        r#"
            select relname as "name!", inhdetachpending as "is_pending!"
            from pg_inherits
            join pg_class on pg_class.oid = inhrelid
            where inhparent = 'event'::regclass
            order by inhdetachpending desc, relname
        "#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.iter().filter_map(|row| Some((day(&row.name)?, row.is_pending))).collect())
}

/// Lists today and tomorrow if they have no partition.
pub async fn missing(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<NaiveDate>> {
    let existing = list(db).await?;
    let today = Timestamp::now().day();
    let mut days = vec![today, today + Days::new(1)];
    days.retain(|day| !existing.contains(day));
    Ok(days)
}

/// Counts the days after today that have a partition, up to the first gap. `None` if today has none.
pub async fn days_ahead(db: impl PgExecutor<'_>) -> sqlx::Result<Option<u64>> {
    let existing = list(db).await?;
    let today = Timestamp::now().day();
    let days = (0..).take_while(|ahead| existing.contains(&(today + Days::new(*ahead))));
    Ok((days.count() as u64).checked_sub(1))
}

/// Whether a partition receives the events of today. That of the service does; asked where there is none.
pub async fn is_replaced(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
            select exists (
                select
                from pg_inherits
                join pg_class on pg_class.oid = inhrelid
                cross join pg_get_expr(relpartbound, pg_class.oid) as bounds
                cross join regexp_match(bounds, 'FROM \(''(.+)''\) TO \(''(.+)''\)') as bound
                where inhparent = 'event'::regclass
                    and not inhdetachpending
                    and (bounds = 'DEFAULT' or bound[1]::date <= $1 and bound[2]::date > $1)
            ) as "is_replaced!"
        "#,
        Timestamp::now().day(),
    )
    .fetch_one(db)
    .await
}

/// Lists what somebody has changed by hand, each with the statement that changes it back: default and
/// foreign partitions, and detached ones of days that webhooks may still need.
pub async fn problems(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    let tables = sqlx::query!(
        r#"
            select
                relname as "name!", relkind = 'f' as "is_foreign!",
                coalesce(inhparent is not null, false) as "is_attached!",
                coalesce(pg_get_expr(relpartbound, pg_class.oid), '') as "bounds!"
            from pg_class
            left join pg_inherits on inhrelid = pg_class.oid and inhparent = 'event'::regclass
            where inhparent is not null
                or relnamespace = (select relnamespace from pg_class where oid = 'event'::regclass)
                    and relkind in ('r', 'f')
                    and relname ~ '^event_[0-9]{8}$'
            order by relname
        "#
    )
    .fetch_all(db)
    .await?;
    let yesterday = Timestamp::now().day() - Days::new(1);
    let problems = tables.iter().filter_map(|table| {
        let name = &table.name;
        let expected = day(name).map(|day| (day, bounds(day)));
        let detach = format!("run: alter table event detach partition {name}");
        match expected {
            _ if table.bounds == "DEFAULT" => Some(format!(
                "{name} is a default partition, its events are not found by their day; {detach}"
            )),
            Some((day, bounds)) if !table.is_attached => (day >= yesterday).then(|| {
                format!(
                    "{name} is not attached to table event; \
                     run: alter table event attach partition {name} {bounds}"
                )
            }),
            Some((_, bounds)) if !table.is_foreign && bounds == table.bounds.to_lowercase() => None,
            _ => Some(format!("{name} is a partition that this service did not create; {detach}")),
        }
    });
    Ok(problems.collect())
}

fn bounds(day: NaiveDate) -> String {
    format!("for values from ('{day}') to ('{}')", day + Days::new(1))
}

/// Lists the days that have a partition, in order.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<NaiveDate>> {
    let names = sqlx::query_scalar!(
        r#"
            select relname as "relname!"
            from pg_inherits
            join pg_class on pg_class.oid = inhrelid
            where inhparent = 'event'::regclass
            order by relname
        "#
    )
    .fetch_all(db)
    .await?;
    Ok(names.iter().filter_map(|name| day(name)).collect())
}

/// Lets one replica at a time create partitions: replicas may start together.
async fn lock(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", lock::PARTITIONS).execute(db).await?;
    Ok(())
}

fn name(day: NaiveDate) -> String {
    day.format("event_%Y%m%d").to_string()
}

fn day(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name, "event_%Y%m%d").ok()
}
