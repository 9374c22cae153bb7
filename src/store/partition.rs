//! Daily partitions of the journal (table `event`): created ahead, dropped by age.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgExecutor, PgPool};

use crate::model::Timestamp;

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

/// Drops the partitions of days before `oldest` and returns these days.
pub async fn drop_before(pool: &PgPool, oldest: NaiveDate) -> sqlx::Result<Vec<NaiveDate>> {
    let mut days = list(pool).await?;
    days.retain(|day| *day < oldest);
    for day in &days {
        let mut transaction = pool.begin().await?;
        // Needs an exclusive lock on the journal. Writers queue behind it and give up after 300 ms,
        // so this gives up first if a long read holds the journal; the next run tries again.
        let sql = format!("set local lock_timeout = '100ms'; drop table if exists {};", name(*day));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(days)
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
    // Any number that nothing else in this database uses: "qontak" in ASCII.
    const PARTITIONS: i64 = 0x716f_6e74_616b;
    sqlx::query!("select pg_advisory_xact_lock($1)", PARTITIONS).execute(db).await?;
    Ok(())
}

fn name(day: NaiveDate) -> String {
    day.format("event_%Y%m%d").to_string()
}

fn day(name: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(name, "event_%Y%m%d").ok()
}
