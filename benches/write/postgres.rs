//! Databases for the services, and the cost that Postgres reports.

use std::time::Instant;

use anyhow::{Context, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::process::stat;
use crate::report::median;

pub struct Cluster {
    options: PgConnectOptions,
    db: PgConnection,
    /// Parent of all its processes.
    pub pid: u32,
    databases: u32,
}

#[derive(sqlx::FromRow)]
pub struct Content {
    pub disk_bytes: i64,
    pub events: i64,
    pub deliveries: i64,
}

impl Cluster {
    /// Connects. Fails if commits are not durable.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let mut db = options.connect().await.context("cannot connect to the cluster")?;
        let (is_durable, backend): (bool, i32) = sqlx::query_as(
            "select bool_and(setting = 'on'), pg_backend_pid()
             from pg_settings
             where name in ('fsync', 'synchronous_commit', 'full_page_writes')",
        )
        .fetch_one(&mut db)
        .await?;
        ensure!(is_durable, "fsync, synchronous_commit and full_page_writes must be on");
        let (pid, ..) = stat(backend.try_into()?)?;
        Ok(Self { options, db, pid, databases: 0 })
    }

    /// Opens a database, or a new one. Its URL and a connection.
    pub async fn open(&mut self, name: Option<&str>) -> sqlx::Result<(String, PgConnection)> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.create_database("").await?,
        };
        let options = self.options.clone().database(&name);
        Ok((options.to_url_lossy().to_string(), options.connect().await?))
    }

    /// Copies a database with 10 million messages and adds 6 %, about six to each index page of a
    /// hundred entries: a page's first change after the copy's checkpoint writes all of it to the WAL.
    pub async fn copy_and_touch_pages(&mut self, template: &str) -> sqlx::Result<String> {
        // The other strategy would write all of it to the WAL.
        let name = self.create_database(&format!("template {template} strategy file_copy")).await?;
        let (_, mut db) = self.open(Some(&name)).await?;
        sqlx::raw_sql(
            "insert into message (
                organization, message_id, received_at, room_id, created_at, external_id, text,
                text_rank
             )
             select
                organization, gen_random_uuid()::text, received_at, room_id, created_at,
                'wamid.' || replace(gen_random_uuid()::text, '-', ''), text, text_rank
             from message tablesample system (6)",
        )
        .execute(&mut db)
        .await?;
        Ok(name)
    }

    async fn create_database(&mut self, options: &str) -> sqlx::Result<String> {
        self.databases += 1;
        let name = format!("bench_{}", self.databases);
        self.execute(format!("create database {name} {options}")).await?;
        Ok(name)
    }

    /// Drops all databases of the benchmark. Each one costs a checkpoint.
    pub async fn drop_databases(&mut self) -> sqlx::Result<()> {
        let sql = "select datname::text from pg_database where starts_with(datname, 'bench_')";
        let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut self.db).await?;
        for name in names {
            self.execute(format!("drop database {name} with (force)")).await?;
        }
        Ok(())
    }

    /// Bytes of WAL flushed so far.
    pub async fn wal_bytes(&mut self) -> sqlx::Result<i64> {
        self.value("select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint").await
    }

    /// WAL position of the last checkpoint.
    pub async fn last_checkpoint(&mut self) -> sqlx::Result<String> {
        self.value("select redo_lsn::text from pg_control_checkpoint()").await
    }

    /// Median duration of a single-row insert as large as a message event, in milliseconds.
    pub async fn time_single_inserts(&mut self) -> sqlx::Result<f64> {
        self.execute(
            "create table if not exists single (id int generated always as identity primary key, body text)"
                .to_owned(),
        )
        .await?;
        let mut times = Vec::new();
        for _ in 0..1000 {
            let started = Instant::now();
            sqlx::query("insert into single (body) values ($1)")
                .bind("x".repeat(1600))
                .execute(&mut self.db)
                .await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        self.execute("drop table single".to_owned()).await?;
        Ok(median(times))
    }

    async fn value<T>(&mut self, sql: &'static str) -> sqlx::Result<T>
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(&mut self.db).await
    }

    async fn execute(&mut self, sql: String) -> sqlx::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.db).await.map(drop)
    }
}

/// Size, events and deliveries of a database; none if there is none.
pub async fn content(db: &mut Option<PgConnection>) -> sqlx::Result<Option<Content>> {
    let Some(db) = db else { return Ok(None) };
    // The benchmark sends nothing older.
    let sql = "select pg_database_size(current_database()) as disk_bytes, count(*) as events,
            coalesce(sum(deliveries), 0)::bigint as deliveries
        from event
        where day >= current_date - 1";
    sqlx::query_as(sql).fetch_one(db).await.map(Some)
}
