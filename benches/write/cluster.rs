//! The cluster: databases for the services, and what Postgres knows of their cost.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::process;

/// What all databases are called that are made here, and then a number.
const PREFIX: &str = "bench_";

/// As large as a message event.
const BODY_BYTES: usize = 1600;

/// A cluster that nobody else uses.
pub struct Cluster {
    options: PgConnectOptions,
    link: PgConnection,
    /// The first of its processes; all others are its children.
    pub pid: u32,
    /// Whether it can tell what its WAL consists of.
    can_inspect_wal: bool,
    /// How many were made.
    databases: u32,
}

/// A database of a service.
pub struct Database {
    /// Where the service finds it.
    pub url: String,
    link: PgConnection,
}

/// What a database holds.
#[derive(Clone, Copy)]
pub struct Content {
    /// Of all tables and indexes, and of the catalog, which does not grow.
    pub disk_bytes: i64,
    /// Those in the journal, of today and yesterday.
    pub events: i64,
    pub deliveries: i64,
}

impl Cluster {
    /// Connects. Refuses one that does not keep what it commits.
    pub async fn connect(options: PgConnectOptions) -> anyhow::Result<Self> {
        let mut link = options.connect().await.context("the cluster")?;
        let weak: Vec<String> = sqlx::query_scalar(
            "select name from pg_settings
             where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting <> 'on'",
        )
        .fetch_all(&mut link)
        .await?;
        ensure!(weak.is_empty(), "the cluster may lose what it commits: {} off", weak.join(", "));
        let backend: i32 =
            sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut link).await?;
        let can_inspect_wal = sqlx::raw_sql("create extension if not exists pg_walinspect")
            .execute(&mut link)
            .await
            .is_ok();
        let pid = process::parent(backend.try_into()?)?;
        Ok(Self { options, link, pid, can_inspect_wal, databases: 0 })
    }

    /// Its version, and the settings that matter.
    pub async fn description(&mut self) -> anyhow::Result<String> {
        let sql = "select string_agg(name || ' ' || current_setting(name), ', ' order by name)
            from pg_settings
            where name in ('server_version', 'fsync', 'synchronous_commit', 'shared_buffers',
                'checkpoint_timeout', 'max_wal_size', 'wal_compression')";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.link).await?)
    }

    /// Makes an empty database. Its name.
    pub async fn create_database(&mut self) -> anyhow::Result<String> {
        self.make_database("").await
    }

    /// Copies a database that nobody is connected to. The copy's name.
    pub async fn copy_database(&mut self, template: &str) -> anyhow::Result<String> {
        // The other way would write all of it to the WAL. This one takes two checkpoints.
        self.make_database(&format!("template {template} strategy file_copy")).await
    }

    async fn make_database(&mut self, how: &str) -> anyhow::Result<String> {
        self.databases += 1;
        let name = format!("{PREFIX}{}", self.databases);
        self.execute(format!("create database {name} {how}")).await?;
        Ok(name)
    }

    /// Connects to a database.
    pub async fn open(&self, name: &str) -> anyhow::Result<Database> {
        let options = self.options.clone().database(name);
        Ok(Database { url: options.to_url_lossy().to_string(), link: options.connect().await? })
    }

    /// Drops all databases that were made here. Each one costs a checkpoint.
    pub async fn drop_databases(&mut self) -> anyhow::Result<()> {
        let sql = "select datname::text from pg_database where starts_with(datname, $1)";
        let names: Vec<String> =
            sqlx::query_scalar(sql).bind(PREFIX).fetch_all(&mut self.link).await?;
        for name in names {
            self.execute(format!("drop database {name} with (force)")).await?;
        }
        Ok(())
    }

    /// Bytes of WAL that ever reached the disk, as all of a commit has: what is farther on cannot be
    /// looked into.
    pub async fn wal_bytes(&mut self) -> anyhow::Result<i64> {
        let sql = "select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.link).await?)
    }

    /// Where in the WAL its last checkpoint began.
    pub async fn last_checkpoint(&mut self) -> anyhow::Result<String> {
        let sql = "select redo_lsn::text from pg_control_checkpoint()";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.link).await?)
    }

    /// How many of the bytes from one of these positions to another are images of whole pages;
    /// `None` if it cannot tell.
    pub async fn wal_page_bytes(&mut self, from: i64, to: i64) -> anyhow::Result<Option<i64>> {
        if !self.can_inspect_wal {
            return Ok(None);
        }
        let sql = "select sum(fpi_size)::bigint
            from pg_get_wal_stats('0/0'::pg_lsn + $1::numeric, '0/0'::pg_lsn + $2::numeric)";
        Ok(sqlx::query_scalar(sql).bind(from).bind(to).fetch_one(&mut self.link).await?)
    }

    /// The median of how long one caller waits for the commit of a single row, in milliseconds.
    pub async fn time_single_inserts(&mut self, time: Duration) -> anyhow::Result<f64> {
        self.execute(
            "drop table if exists single;
             create table single (
                single_id bigint primary key generated always as identity, body bytea not null
             )"
            .to_owned(),
        )
        .await?;
        let body = vec![b'x'; BODY_BYTES];
        let mut micros = Histogram::<u64>::new(3)?;
        let began = Instant::now();
        while began.elapsed() < time {
            let sent = Instant::now();
            sqlx::query("insert into single (body) values ($1)")
                .bind(&body)
                .execute(&mut self.link)
                .await?;
            micros.record(sent.elapsed().as_micros().try_into()?)?;
        }
        self.execute("drop table single".to_owned()).await?;
        Ok(micros.value_at_quantile(0.5) as f64 / 1e3)
    }

    async fn execute(&mut self, sql: String) -> anyhow::Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.link).await?;
        Ok(())
    }
}

impl Database {
    /// Adds as many messages to those of a filled database that, once two have done so, each page of
    /// their indexes is touched: some six to a page that holds a hundred.
    pub async fn touch_pages(&mut self) -> anyhow::Result<()> {
        sqlx::raw_sql(
            "insert into message (
                organization_id, message_id, received_at, room_id, created_at, external_id, text,
                text_rank
             )
             select
                organization_id, gen_random_uuid()::text, received_at, room_id, created_at,
                'wamid.' || replace(gen_random_uuid()::text, '-', ''), text, text_rank
             from message tablesample system (3)",
        )
        .execute(&mut self.link)
        .await?;
        Ok(())
    }

    /// What it holds.
    pub async fn content(&mut self) -> anyhow::Result<Content> {
        // Nothing that we send can be older.
        let sql = "select pg_database_size(current_database()), count(*),
                coalesce(sum(deliveries), 0)::bigint
            from event
            where day >= current_date - 1";
        let (disk_bytes, events, deliveries) =
            sqlx::query_as(sql).fetch_one(&mut self.link).await?;
        Ok(Content { disk_bytes, events, deliveries })
    }
}
