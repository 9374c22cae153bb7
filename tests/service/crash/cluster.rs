//! PostgreSQL server that can be killed, stopped and frozen.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::DEADLINE;

/// Environment variables of a server.
type Environment = Vec<(String, String)>;

/// Server of this test; removed when dropped.
pub struct Cluster {
    pub url: String,
    pub port: u16,
    folder: PathBuf,
    options: String,
    environment: Environment,
    /// URL of the server of which this one is a standby.
    primary: Option<String>,
}

impl Cluster {
    /// Creates and starts a server with an empty database.
    pub async fn make() -> Self {
        Self::make_with(Vec::new()).await
    }

    /// Creates and starts a server with these environment variables.
    pub async fn make_with(environment: Environment) -> Self {
        let name = format!("qontak-receiver-crash-{}", uuid::Uuid::now_v7());
        let folder = std::env::var("CRASH_FOLDER")
            .map_or_else(|_| std::env::temp_dir().join(name), PathBuf::from);
        let cluster = Self::make_in(&folder, free_port(), environment, None).await;
        let server = cluster.url.replace("/receiver", "/postgres");
        let mut server = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql("create database receiver").execute(&mut server).await.unwrap();
        cluster
    }

    /// Creates and starts a hot standby of this server.
    pub async fn standby(&self) -> Self {
        self.standby_on(free_port()).await
    }

    /// Creates and starts a hot standby that listens on this port.
    pub async fn standby_on(&self, port: u16) -> Self {
        let folder = self.folder.parent().and_then(Path::to_str).expect("the folder has a parent");
        // The standby of a former standby.
        let folder =
            folder.strip_suffix("-standby").map_or(format!("{folder}-standby"), str::to_owned);
        let primary = self.url.replace("/receiver", "/postgres");
        Self::make_in(Path::new(&folder), port, self.environment.clone(), Some(primary)).await
    }

    async fn make_in(
        folder: &Path,
        port: u16,
        environment: Environment,
        primary: Option<String>,
    ) -> Self {
        let cluster = Self {
            url: format!("postgres://postgres@127.0.0.1:{port}/receiver"),
            port,
            folder: folder.join("postgres"),
            options: format!("-c listen_addresses=127.0.0.1 -c port={port}"),
            environment,
            primary,
        };
        std::fs::create_dir_all(folder).unwrap();
        cluster.start().await;
        cluster
    }

    /// Replaces this server by a new standby on this port: everything acknowledged is on both when this one
    /// is killed.
    pub async fn fail_over(&mut self, port: u16, pause: Duration) {
        let standby = self.standby_on(port).await;
        let mut server = PgConnection::connect(&self.url).await.unwrap();
        for sql in ["alter system set synchronous_standby_names = '*'", "select pg_reload_conf()"] {
            sqlx::raw_sql(sql).execute(&mut server).await.unwrap();
        }
        // Until the server has read the setting, commits wait for no standby.
        sleep(Duration::from_secs(1)).await;
        let position: String = sqlx::query_scalar("select pg_current_wal_lsn()::text")
            .fetch_one(&mut server)
            .await
            .unwrap();
        let is_synchronous = "select exists(select from pg_stat_replication
            where sync_state = 'sync' and flush_lsn >= $1::pg_lsn)";
        let synchronous = async {
            while !sqlx::query_scalar::<_, bool>(is_synchronous)
                .bind(&position)
                .fetch_one(&mut server)
                .await
                .unwrap()
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(DEADLINE, synchronous).await.expect("the standby should catch up");
        sleep(pause).await;
        self.kill();
        sleep(pause).await;
        let mut promoted = PgConnection::connect(&standby.url).await.unwrap();
        sqlx::raw_sql("select pg_promote()").execute(&mut promoted).await.unwrap();
        *self = standby;
    }

    /// Empties the log of the server.
    pub fn empty_log(&self) {
        File::options().write(true).truncate(true).open(self.folder.join("log")).unwrap();
    }

    pub async fn start(&self) {
        let mut command = self.script("start");
        let started = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
        assert!(started.unwrap().success(), "the server should start");
    }

    /// Fast shutdown: connections are closed, all data is flushed.
    pub async fn stop(&self) {
        let mut command = self.script("stop");
        let stopped = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
        assert!(stopped.unwrap().success(), "the server should stop");
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&self) {
        signal("KILL", &self.processes()[..1]);
    }

    /// Suspends all server processes; connections stay open.
    pub fn freeze(&self) {
        signal("STOP", &self.processes());
    }

    /// Resumes all server processes.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// Process ids of the server and its children, the server first.
    fn processes(&self) -> Vec<u32> {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid"));
        let Some(server) = file.ok().and_then(|file| file.lines().next()?.parse::<u32>().ok())
        else {
            return Vec::new();
        };
        let mut processes = vec![server];
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // `pid (name) state parent …`
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            if parent == Some(&server.to_string()) {
                processes
                    .extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
            }
        }
        processes
    }

    fn script(&self, what: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres.sh");
        let mut command = Command::new(script);
        command.arg(what).arg(&self.folder).env("POSTGRES_OPTIONS", &self.options);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.primary.iter().map(|url| ("POSTGRES_PRIMARY", url)));
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        _ = self.script("stop").arg("--wipe").status();
        _ = std::fs::remove_dir(self.folder.parent().expect("the folder has a parent"));
    }
}

/// Unused TCP port.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Sends a signal to processes, which may have ended already.
pub fn signal(name: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let processes = processes.iter().map(u32::to_string);
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).args(processes).stderr(Stdio::null());
        _ = kill.status();
    }
}
