//! Table `creation`: templates and contact lists that are created at Qontak.
//!
//! [`claim`] commits a row before Qontak is called. The unique index on the caller's key decides which of
//! several equal requests calls, so none is sent twice, on one replica or on several.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::{PgExecutor, PgPool};
use strum::IntoStaticStr;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::{self, Action};
use crate::model::Timestamp;

/// Time after which a call that has no result was interrupted: more than the timeouts of all its parts.
const INTERRUPTED: Duration = Duration::from_secs(300);

/// What is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, ToSchema, sqlx::Type, Serialize)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[schema(as = CreationKind)]
pub enum Kind {
    /// A WhatsApp template.
    Template,
    /// A contact list.
    ContactList,
}

impl Kind {
    /// Name in the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// State of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, ToSchema, sqlx::Type, Serialize)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[schema(as = CreationState)]
pub enum State {
    /// Qontak is being called.
    Sending,
    /// Qontak accepted it and has not finished: the template is in review, the list is being imported.
    Processing,
    /// The template is approved, the list is imported.
    Done,
    /// The template was rejected in review or deleted, or no contact was imported.
    Failed,
    /// Qontak refused it; nothing was created.
    Rejected,
    /// Qontak did not get it; the same request may be sent again.
    NotSent,
    /// Qontak may have accepted it; it is not sent again.
    Unknown,
}

impl State {
    /// Name in the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A template or contact list that is created at Qontak.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Creation)]
pub struct CreationRow {
    /// Id of the creation.
    pub creation_id: Uuid,
    /// Organisation.
    pub organization_id: String,
    /// Header `Idempotency-Key` of the request.
    pub idempotency_key: String,
    /// What is created.
    pub kind: Kind,
    /// Name of the template or contact list.
    pub name: String,
    /// State of the creation.
    pub state: State,
    /// Qontak's id of the template or contact list; null unless Qontak accepted it.
    pub qontak_id: Option<String>,
    /// Qontak's row, as of `checked_at`, with fields of the request that it lacks; null unless Qontak
    /// accepted it.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    pub result: Option<Value>,
    /// Why the state is `failed`, `rejected`, `not_sent` or `unknown`; else null.
    pub error: Option<String>,
    /// When it was first asked for.
    pub created_at: Timestamp,
    /// Last change of the state.
    pub updated_at: Timestamp,
    /// When Qontak was last asked about it; null if it was not.
    pub checked_at: Option<Timestamp>,
}

/// A request to create something.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table creation say it")]
pub struct Request<'a> {
    pub organization_id: &'a str,
    pub idempotency_key: &'a str,
    pub request_sha256: [u8; 32],
    pub key_name: &'a str,
    pub kind: Kind,
    pub name: &'a str,
}

/// An attempt to send a creation. The report of an earlier one could end the state of a later one, so that
/// the creation is sent twice.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns of table creation say it")]
pub struct Attempt {
    pub creation_id: Uuid,
    pub attempt: i32,
}

/// Whether to call Qontak.
#[derive(Debug)]
pub enum Claim {
    /// Call Qontak: this creation is new, or did not reach Qontak before.
    Call(Attempt),
    /// The request was sent before.
    Known(Box<CreationRow>),
    /// Another request was sent with this idempotency key.
    KeyTaken,
}

/// Inserts a creation, with its entry in the audit log, or finds the one with this idempotency key.
pub async fn claim(db: &PgPool, request: &Request<'_>) -> sqlx::Result<Claim> {
    let mut transaction = db.begin().await?;
    let claimed = sqlx::query_as!(
        Attempt,
        r#"
            insert into creation (
                creation_id, organization_id, idempotency_key, request_sha256, key_name, kind, name
            )
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (organization_id, idempotency_key) do update
            set state = 'sending', attempt = creation.attempt + 1, error = null, updated_at = now(),
                key_name = excluded.key_name
            where creation.state = 'not_sent' and creation.request_sha256 = excluded.request_sha256
            returning creation_id, attempt
        "#,
        Uuid::now_v7(),
        request.organization_id,
        request.idempotency_key,
        &request.request_sha256,
        request.key_name,
        request.kind.as_str(),
        request.name,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(attempt) = claimed {
        let entry = audit::Entry {
            key_name: request.key_name.to_owned(),
            action: Action::Create,
            target: format!("{} {}", request.kind.as_str(), attempt.creation_id),
            status: 0,
        };
        audit::insert(&mut *transaction, &entry).await?;
        transaction.commit().await?;
        return Ok(Claim::Call(attempt));
    }
    let found = sqlx::query!(
        r#"
            select creation_id, request_sha256
            from creation
            where organization_id = $1 and idempotency_key = $2
        "#,
        request.organization_id,
        request.idempotency_key,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if found.request_sha256 != request.request_sha256 {
        return Ok(Claim::KeyTaken);
    }
    let row = find(&mut *transaction, None, found.creation_id).await?;
    Ok(Claim::Known(Box::new(row.ok_or(sqlx::Error::RowNotFound)?)))
}

/// A query that returns rows of the table: SQL before and after their columns, and its arguments.
macro_rules! query_rows {
    ($before:literal, $after:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            CreationRow,
            $before + r#"
                creation_id, organization_id, idempotency_key, kind as "kind: Kind", name,
                state as "state: State", qontak_id, result, error,
                created_at, updated_at, checked_at
            "# + $after,
            $($argument),+
        )
    };
}

/// Finds a creation. `organizations` of `None` means all.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    creation_id: Uuid,
) -> sqlx::Result<Option<CreationRow>> {
    query_rows!(
        "select",
        "from creation where creation_id = $1 and ($2::text[] is null or organization_id = any($2))",
        creation_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// What a call of Qontak has shown.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table creation say it")]
pub struct Report {
    pub state: State,
    pub qontak_id: Option<String>,
    pub result: Option<Value>,
    pub error: Option<String>,
}

impl Report {
    /// A report without a row of Qontak's.
    pub const fn of_error(state: State, error: String) -> Self {
        Self { state, qontak_id: None, result: None, error: Some(error) }
    }
}

/// Stores what a call of an attempt has shown, unless there is a later one. A call that was thought to be
/// interrupted may end after all.
pub async fn report(
    db: impl PgExecutor<'_>,
    Attempt { creation_id, attempt }: Attempt,
    report: &Report,
) -> sqlx::Result<Option<CreationRow>> {
    query_rows!(
        r#"
            update creation
            set state = $2,
                qontak_id = coalesce($3, qontak_id),
                -- Fields that Qontak does not show this time stay.
                result = case when $4::jsonb is null then result else coalesce(result, '{}') || $4 end,
                error = $5,
                updated_at = case when state = $2 then updated_at else now() end,
                checked_at = case when $4::jsonb is null then checked_at else now() end
            where creation_id = $1
                and attempt = $6
                and state in ('sending', 'unknown', 'processing')
            returning
        "#,
        "",
        creation_id,
        report.state.as_str(),
        report.qontak_id,
        report.result,
        report.error,
        attempt,
    )
    .fetch_optional(db)
    .await
}

/// Marks creations whose call was interrupted by the end of its process. Returns their number.
pub async fn note_interrupted(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let noted = sqlx::query!(
        r#"
            update creation
            set state = 'unknown', error = 'the service ended during the call', updated_at = now()
            where state = 'sending' and updated_at < now() - make_interval(secs => $1)
        "#,
        INTERRUPTED.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected())
}

/// A creation to ask Qontak about.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table creation say it")]
pub struct Pending {
    pub creation_id: Uuid,
    pub attempt: i32,
    pub organization_id: String,
    pub kind: Kind,
    pub qontak_id: String,
    /// Whether Qontak has had time to show it.
    pub is_old: bool,
}

/// Takes creations that Qontak is processing and about which it was not asked for a while: 2 seconds at
/// first, later a tenth of their age, an hour at most.
pub async fn take_pending(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Pending>> {
    sqlx::query_as!(
        Pending,
        r#"
            update creation
            set checked_at = now()
            where creation_id = any(array(
                select creation_id
                from creation
                where state = 'processing'
                    and qontak_id is not null
                    and coalesce(checked_at, created_at) < now() - greatest(
                        interval '2 s', least((now() - created_at) / 10, interval '1 h')
                    )
                order by coalesce(checked_at, created_at)
                limit 10
                for update skip locked
            ))
            returning
                creation_id, attempt, organization_id, kind as "kind: Kind",
                qontak_id as "qontak_id!", created_at < now() - interval '10 min' as "is_old!"
        "#
    )
    .fetch_all(db)
    .await
}

/// Deletes creations, and with them their idempotency keys, 30 days after the request.
pub async fn delete_expired(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("delete from creation where created_at < now() - interval '30 days'")
        .execute(db)
        .await?;
    Ok(())
}
