//! Broken set-ups, each of which is found by `check` on a migrated database.

/// A set-up.
pub struct Case {
    /// Changes of the environment; an empty value removes a variable.
    pub changes: &'static [(&'static str, &'static str)],
    /// Change of the database.
    pub sql: &'static str,
    /// Its undoing.
    pub undo: &'static str,
    /// Beginning of the line.
    pub expected: &'static str,
}

const fn setting(changes: &'static [(&'static str, &'static str)], expected: &'static str) -> Case {
    Case { changes, sql: "", undo: "", expected }
}

const fn database(sql: &'static str, undo: &'static str, expected: &'static str) -> Case {
    Case { changes: &[], sql, undo, expected }
}

const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Puts a schema before `pg_catalog` in new sessions.
macro_rules! shadow {
    ($fake:literal) => {
        concat!(
            "create schema fake; ",
            $fake,
            "; do $$ begin execute format('alter database %I set search_path = fake, pg_catalog, public',
                current_database()); end $$"
        )
    };
}
const UNSHADOW: &str = "do $$ begin execute format('alter database %I reset search_path',
    current_database()); end $$; drop schema fake cascade";

/// The cases.
pub const CASES: &[Case] = &[
    setting(
        &[("RECEIVER__LOG__FILTER", "verbose")],
        "fail settings: log.filter: expected error, warn",
    ),
    setting(
        &[("RECEIVER__LOG__FILTER", "sqlx=debug")],
        "fail settings: log.filter: expected error",
    ),
    setting(
        &[("RECEIVER__LOG__FILTER", "info,a=b=c")],
        "fail settings: log.filter: expected error",
    ),
    setting(
        &[("RECEIVER__LOG__FORMAT", "xml")],
        "fail settings: log.format: expected text or json",
    ),
    setting(
        &[("DATABASE_URL_FILE", "/nowhere")],
        "fail settings: DATABASE_URL: is set, and DATABASE_URL_FILE too; remove one of them",
    ),
    setting(
        &[("RECEIVER__API__HMAC_SECRET_FILE", "/nowhere")],
        "fail settings: RECEIVER__API__HMAC_SECRET_FILE: cannot read the file",
    ),
    setting(
        &[("RECEIVER__ENDPOINT__OTHER__TOKENS", "{token}")],
        "fail settings: endpoint.qontak.tokens: a token is also one of endpoint.other; replace one",
    ),
    setting(
        &[("RECEIVER__ENDPOINT__QONTAK__TOKENS", "short")],
        "fail settings: endpoint.qontak.tokens: expected tokens of at least 16 characters",
    ),
    setting(
        &[
            ("RECEIVER__ENDPOINT__QONTAK__TOKENS", ""),
            ("RECEIVER__ENDPOINT__BOUND__TOKENS", ""),
            ("RECEIVER__ENDPOINT__BOUND__ORGANIZATION_ID", ""),
        ],
        "fail settings: endpoint: no webhook token is set; set RECEIVER__ENDPOINT__QONTAK__TOKENS",
    ),
    setting(
        &[
            ("RECEIVER__KEY__TWIN__SHA256", SHA256),
            ("RECEIVER__KEY__TWIN__SCOPES", "replay"),
            ("RECEIVER__KEY__TWIN__ORGANIZATIONS", "*"),
        ],
        "fail settings: key.twin.sha256: the same as key.all.sha256; remove one",
    ),
    setting(
        &[("RECEIVER__KEY__ALL__SHA256", SHA256_OF_NOTHING)],
        "fail settings: key.all.sha256: is that of an empty text; expected that of a key",
    ),
    setting(
        &[("RECEIVER__KEY__ALL__SCOPES", ",")],
        "fail settings: key.all.scopes: expected one or more of read, read_masked, export, replay, write",
    ),
    setting(
        &[("RECEIVER__KEY__ALL__SCOPES", "export")],
        "fail settings: key.all.scopes: export requires read",
    ),
    setting(
        &[("RECEIVER__KEY__ALL__ORGANIZATIONS", ",")],
        "fail settings: key.all.organizations: expected ids of organisations, or * for all",
    ),
    setting(
        &[("RECEIVER_HTTP_LISTEN", "0.0.0.0:80")],
        "fail settings: RECEIVER_HTTP_LISTEN: no setting; write two underscores: RECEIVER__HTTP__LISTEN",
    ),
    setting(
        &[("RECEIVER_SPOOL__FOLDER", "/spool")],
        "fail settings: RECEIVER_SPOOL__FOLDER: no setting; write two underscores: RECEIVER__SPOOL__FOLDER",
    ),
    setting(
        &[("RECEIVER__WRITER__MAX_BTACH", "5")],
        "fail settings: writer: unknown field `max_btach`",
    ),
    setting(
        &[("RECEIVER__HTTP__LISTEN", "8080")],
        "fail settings: http.listen: expected an address with a port, such as 0.0.0.0:8080",
    ),
    setting(
        &[
            ("RECEIVER__HTTP__LISTEN", "127.0.0.1:7000"),
            ("RECEIVER__OPS__LISTEN", "127.0.0.1:7000"),
        ],
        "fail settings: ops.listen: must differ from http.listen; write another port",
    ),
    setting(
        &[("RECEIVER__HTTP__STOP_TIMEOUT", "0s")],
        "fail settings: http.stop_timeout: expected a duration from 1ms to 1h, such as 10s",
    ),
    setting(
        &[("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "0s")],
        "fail settings: database.statement_timeout: expected a duration from 1ms to 1h, such as 10s",
    ),
    setting(
        &[("RECEIVER__HTTP__DRAIN_DELAY", "5")],
        "fail settings: http.drain_delay: expected a duration from 0day to 1h, such as 10s",
    ),
    setting(
        &[("RECEIVER__SPOOL__FOLDER", "/var/spool"), ("RECEIVER__WRITER__ANSWER_TIMEOUT", "400ms")],
        "fail settings: writer.answer_timeout: must be above 400ms if there is a spool, such as 1400ms",
    ),
    setting(
        &[("RECEIVER__WRITER__COMMIT_TIMEOUT", "5s")],
        "warn settings: writer.commit_timeout: should be above database.statement_timeout",
    ),
    setting(
        &[("RECEIVER__STREAM__MAX_LISTENERS", "2048")],
        "warn settings: stream.max_listeners: should be below http.max_connections",
    ),
    setting(
        &[("MEKARI_CLIENT_ID", "id")],
        "warn settings: MEKARI_CLIENT_ID: not used; known are MEKARI_API_CLIENT_ID",
    ),
    setting(
        &[("MEKARI_API_CLIENT_ID", "id")],
        "fail settings: qontak.mekari.client_secret: not set",
    ),
    setting(&[("DATABASE_URL", "")], "fail settings: database.url: not set; set DATABASE_URL"),
    setting(
        &[("DATABASE_URL", "postgres://user:p@ss#word@localhost/receiver")],
        "fail settings: database.url: not a Postgres URL; set DATABASE_URL, for example to \
         postgres://user:password@host/database; percent-encode special characters of the password",
    ),
    setting(
        &[("DATABASE_URL", "postgres://127.0.0.1:1/receiver")],
        "fail database: database unreachable; check DATABASE_URL and that Postgres is running: ",
    ),
    setting(
        &[("RECEIVER__SPOOL__FOLDER", "/nowhere/spool")],
        "fail spool: /nowhere/spool: its parent folder does not exist; check spool.folder",
    ),
    setting(
        &[("RECEIVER__SPOOL__FOLDER", "/dev/shm/spool")],
        "fail spool: /dev/shm/spool: is on tmpfs, which loses its files with the container or machine",
    ),
    setting(
        &[("RECEIVER__SPOOL__FOLDER", "/etc/hostname")],
        "fail spool: /etc/hostname: is not a folder; check spool.folder",
    ),
    setting(
        &[("RECEIVER__MEDIA__FOLDER", "/nowhere/media")],
        "warn media: /nowhere/media: its parent folder does not exist; check media.folder",
    ),
    setting(
        &[("RECEIVER__MEDIA__FOLDER", "/tmp/media"), ("RECEIVER__MEDIA__BUCKET", "copies")],
        "fail settings: media.bucket: is set, and media.folder too; files are copied to one place, so \
         remove one of them",
    ),
    setting(
        &[("RECEIVER__MEDIA__BUCKET", "copies")],
        "fail settings: media.access_key_id: not set; media.bucket needs it",
    ),
    setting(
        &[("RECEIVER__MEDIA__BUCKET", "copies"), ("RECEIVER__MEDIA__ACCESS_KEY_ID", "key")],
        "fail settings: media.secret_access_key: not set; media.bucket needs it",
    ),
    setting(
        &[("RECEIVER__MEDIA__ENDPOINT", "http://minio:9000")],
        "fail settings: media.bucket: not set, but media.endpoint, media.access_key_id or \
         media.secret_access_key is; set it, or remove them",
    ),
    setting(
        &[("RECEIVER__MEDIA__SECRET_ACCESS_KEY", "secret")],
        "fail settings: media.bucket: not set, but media.endpoint, media.access_key_id or \
         media.secret_access_key is; set it, or remove them",
    ),
    setting(
        &[("RECEIVER__MEDIA__REGION", "a{b")],
        "fail settings: media.region: expected a region such as us-east-1: letters, digits and hyphens",
    ),
    setting(
        &[("RECEIVER__MEDIA__REGION", "a@b")],
        "fail settings: media.region: expected a region such as us-east-1: letters, digits and hyphens",
    ),
    setting(
        &[("RECEIVER__MEDIA__REGION", "a?b")],
        "fail settings: media.region: expected a region such as us-east-1: letters, digits and hyphens",
    ),
    setting(
        &[
            ("RECEIVER__MEDIA__BUCKET", "copies"),
            ("RECEIVER__MEDIA__ACCESS_KEY_ID", "key"),
            ("RECEIVER__MEDIA__SECRET_ACCESS_KEY", "secret"),
            ("RECEIVER__MEDIA__PATH_STYLE", "false"),
            ("RECEIVER__MEDIA__ENDPOINT", "http://[::1]:9000"),
        ],
        "fail settings: media.path_style: must be true, because media.endpoint is an IP address",
    ),
    setting(
        &[
            ("RECEIVER__MEDIA__BUCKET", "copies"),
            ("RECEIVER__MEDIA__ACCESS_KEY_ID", "key"),
            ("RECEIVER__MEDIA__SECRET_ACCESS_KEY", "secret"),
            ("RECEIVER__MEDIA__PATH_STYLE", "false"),
            ("RECEIVER__MEDIA__ENDPOINT", "http://127.0.0.1:9000"),
        ],
        "fail settings: media.path_style: must be true, because media.endpoint is an IP address",
    ),
    setting(
        &[("RECEIVER__MEDIA__ENDPOINT", "http://minio:9000/copies")],
        "fail settings: media.endpoint: expected an address without a path, such as http://minio:9000",
    ),
    setting(&[("RECEIVER__SPOOL__FOLDER", "/proc/spool")], "fail spool: /proc/spool: "),
    setting(
        &[
            ("RECEIVER__SPOOL__FOLDER", "/var/spool"),
            ("RECEIVER__SPOOL__MAX_BYTES", "1099511627776"),
        ],
        "fail spool: /var/spool: has ",
    ),
    setting(
        &[("RECEIVER__HTTP__LISTEN", "192.0.2.1:0")],
        "fail ports: http.listen: cannot listen on 192.0.2.1:0: ",
    ),
    database(
        "do $$ begin execute format('alter database %I connection limit 11', current_database()); end $$",
        "do $$ begin execute format('alter database %I connection limit -1', current_database()); end $$",
        "fail sessions: postgres may open 11, a replica needs 15; raise max_connections of the server",
    ),
    database(
        shadow!("create table fake.pg_available_extensions (name text)"),
        UNSHADOW,
        "fail search: the server has no extension pg_trgm; install postgresql-contrib there",
    ),
    database(
        shadow!(
            "create function fake.clock_timestamp() returns timestamptz language sql
                as $$ select now() - interval '2 minutes' $$"
        ),
        UNSHADOW,
        "fail clock: differs from the database by 1",
    ),
    database(
        shadow!(
            "create function fake.clock_timestamp() returns timestamptz language sql
                as $$ select now() + interval '30 seconds' $$"
        ),
        UNSHADOW,
        "warn clock: differs from the database by ",
    ),
    database(
        "create schema hidden; alter table _sqlx_migrations set schema hidden",
        "alter table hidden._sqlx_migrations set schema public; drop schema hidden",
        "fail schema: migrations are pending; run `qontak-receiver migrate`",
    ),
    database(
        "update _sqlx_migrations set checksum = checksum || '0' where version = 5",
        "update _sqlx_migrations set checksum = substr(checksum, 1, 48) where version = 5",
        "fail schema: migration 5 was changed after it was applied; use the program that applied it",
    ),
    database(
        "insert into _sqlx_migrations select 9999, 'newer', now(), true, '', 0",
        "delete from _sqlx_migrations where version = 9999",
        "warn schema: is of a newer program (migration 9999), with which this one works during",
    ),
    database(
        "create table event_default partition of event default",
        "drop table event_default",
        "fail partitions: event_default is a default partition",
    ),
    database(
        "alter table event rename to event_renamed",
        "alter table event_renamed rename to event",
        "fail database: cannot be read: relation \"event\" does not exist (42P01)",
    ),
    database(
        "alter table event add column more int not null",
        "alter table event drop column more",
        "fail write: a test event cannot be stored: null value in column \"more\"",
    ),
    database(
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on',
            current_database()); end $$",
        "begin; set transaction read write; do $$ begin execute format(
            'alter database %I reset default_transaction_read_only', current_database()); end $$; commit",
        "fail write: a test event cannot be stored: database is read-only (25006)",
    ),
];
