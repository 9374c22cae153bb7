//! Erases what belongs to a person or an organisation: rows of all projections, and bodies of the journal.
//!
//! A person's rooms are erased whole, with what others wrote there. The journal keeps its rows without
//! their bodies: the dedup key recognises a redelivery, and nothing can be replayed. Counts per hour are of
//! no person and stay.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::rows::column;
use super::{event, media};

/// Rows that a statement deletes of an organisation, and events that are read at once.
const PAGE_ROWS: i64 = 5000;

/// Shortest text that is looked for in bodies: a shorter one would be found by chance.
const MIN_NEEDLE_BYTES: usize = 8;

/// Condition of a row of an organisation in tables that have its number, and in those that have its id.
const BY_NUMBER: &str = "organization = (select organization_number($1))";
const BY_ID: &str = "organization_id = $1";

/// Tables of an organisation, without the journal.
pub(super) const TABLES: [(&str, &str); 22] = [
    ("message", BY_NUMBER),
    ("message_channel_id", BY_NUMBER),
    ("message_count", BY_NUMBER),
    ("room", BY_NUMBER),
    ("room_word", BY_NUMBER),
    ("room_event", BY_NUMBER),
    ("resolution", BY_NUMBER),
    ("response", BY_NUMBER),
    ("sender", BY_NUMBER),
    ("broadcast_log", BY_NUMBER),
    ("broadcast", BY_NUMBER),
    ("broadcast_count", BY_NUMBER),
    ("recipient_count", BY_NUMBER),
    ("ledger", BY_ID),
    ("facet", BY_ID),
    ("activity", BY_ID),
    ("catalog", BY_ID),
    ("catalog_state", BY_ID),
    ("creation", BY_ID),
    ("qontak_finding", BY_ID),
    ("reconciliation", BY_ID),
    ("problem", BY_ID),
];

/// Who is erased.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Everybody with this phone number: digits with the country code.
    Phone(String),
    /// The contact with this id of Qontak's, or the account name that is sent in place of a number.
    Contact(String),
    /// All of an organisation.
    Organization(String),
}

impl Subject {
    /// Name in the table.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Phone(_) => "phone",
            Self::Contact(_) => "contact",
            Self::Organization(_) => "organization",
        }
    }
}

/// Number of rows by table.
pub type Report = BTreeMap<String, u64>;

/// What identifies a person's rows and events.
#[derive(Debug, Default)]
pub struct Traces {
    /// Ids of rooms, messages, broadcast logs and contacts: subjects of events.
    pub ids: BTreeSet<String>,
    /// Texts that occur only in bodies about the person.
    pub needles: BTreeSet<String>,
}

impl Traces {
    fn add_needle(&mut self, text: &str) {
        if text.len() >= MIN_NEEDLE_BYTES {
            self.needles.insert(text.to_owned());
        }
    }

    /// Whether a body is about the person.
    fn is_in(&self, body: &[u8]) -> bool {
        let is_in = |needle: &String| body.windows(needle.len()).any(|it| it == needle.as_bytes());
        self.needles.iter().any(is_in)
    }
}

/// Deletes a person's rows in this transaction. Returns their numbers, and what their events are found by.
pub async fn erase_person(
    db: &mut PgConnection,
    subject: &Subject,
) -> sqlx::Result<(Report, Traces)> {
    let (phone, contact) = match subject {
        Subject::Phone(digits) => (Some(digits.as_str()), None),
        Subject::Contact(id) => (None, Some(id.as_str())),
        Subject::Organization(_) => (None, None),
    };
    // The statements below delete what depends on a message; counts of hours stay.
    sqlx::raw_sql("set local receiver.keep_hours = on").execute(&mut *db).await?;
    let (mut report, mut traces) = (Report::new(), Traces::default());
    for text in phone.iter().chain(&contact) {
        traces.add_needle(text);
        traces.ids.insert((*text).to_owned());
    }
    if let Some(local) = phone.and_then(|digits| digits.strip_prefix("62")) {
        traces.add_needle(&format!("0{local}"));
    }
    let rooms = sqlx::query!(
        r#"
            select room_id as "room_id!", organization as "organization!"
            from room
            where account_normalized = $1 or account_uniq_id = $2
            union
            select room_id, organization
            from message
            where sender_id = $2 and participant_type = 'customer' and room_id is not null
        "#,
        phone,
        contact,
    )
    .fetch_all(&mut *db)
    .await?;
    for room in &rooms {
        traces.add_needle(&room.room_id);
        traces.ids.insert(room.room_id.clone());
    }
    let (room_ids, organizations) =
        (column(&rooms, |row| row.room_id.clone()), column(&rooms, |row| row.organization));
    let messages = sqlx::query!(
        r#"
            with person as (
                select * from unnest($1::text[], $2::int[]) as room (room_id, organization)
            ), deleted as (
                delete from message
                where (room_id, organization) in (select room_id, organization from person)
                    or sender_id = $3 and participant_type = 'customer'
                returning message_id, organization, sender_id, participant_type
            ), unlinked as (
                delete from message_channel_id as link
                using deleted
                where link.message_id = deleted.message_id
                    and link.organization = deleted.organization
            ), copies as (
                update media
                set state = 'deleted'
                from deleted
                where media.message_id = deleted.message_id
                    and media.organization_id = organization_id(deleted.organization)
            )
            select
                message_id as "message_id!", organization as "organization!",
                case participant_type when 'customer' then sender_id end as contact
            from deleted
        "#,
        &room_ids,
        &organizations,
        contact,
    )
    .fetch_all(&mut *db)
    .await?;
    report.insert("message".to_owned(), messages.len() as u64);
    let mut contacts = BTreeSet::new();
    for message in messages {
        traces.ids.insert(message.message_id);
        if let Some(contact) = message.contact {
            traces.add_needle(&contact);
            traces.ids.insert(contact.clone());
            contacts.insert((contact, message.organization));
        }
    }
    for table in ["response", "resolution", "room_word", "room_event", "room"] {
        let sql = format!(
            "delete from {table} where (room_id, organization) in (select * from unnest($1, $2))"
        );
        // Safe: the tables are those above.
        let deleted = sqlx::query(AssertSqlSafe(sql)).bind(&room_ids).bind(&organizations);
        let deleted = deleted.execute(&mut *db).await?.rows_affected();
        report.insert(table.to_owned(), deleted);
    }
    let contacts: Vec<_> = contacts.into_iter().collect();
    let deleted = sqlx::query!(
        r#"
            delete from sender
            where (sender_id, organization) in (select * from unnest($1::text[], $2::int[]))
                or sender_id = $3
        "#,
        &column(&contacts, |(contact, _)| contact.clone()),
        &column(&contacts, |(_, organization)| *organization),
        contact,
    )
    .execute(&mut *db)
    .await?;
    report.insert("sender".to_owned(), deleted.rows_affected());
    let logs = sqlx::query_scalar!(
        r#"
            delete from broadcast_log
            where contact_phone_digits = $1 or contact_id = $2
            returning log_id
        "#,
        phone,
        contact,
    )
    .fetch_all(&mut *db)
    .await?;
    report.insert("broadcast_log".to_owned(), logs.len() as u64);
    traces.ids.extend(logs);
    Ok((report, traces))
}

/// Erases the bodies of events with these subjects. Returns their number.
pub async fn erase_subjects(db: impl PgExecutor<'_>, traces: &Traces) -> sqlx::Result<u64> {
    let ids: Vec<String> = traces.ids.iter().cloned().collect();
    let erased = sqlx::query!(
        r#"
            update event
            set body = '', dictionary = null, body_bytes = 0, subject_id = null, reasons = null,
                erased_at = now()
            where subject_id = any($1) and erased_at is null
        "#,
        &ids,
    )
    .execute(db)
    .await?;
    Ok(erased.rows_affected())
}

/// A place in the journal.
pub type Place = (NaiveDate, Uuid);

/// Erases the bodies after a place that are about a person, of one page of the journal. Returns where the
/// next page starts, and the number of bodies.
///
/// All bodies are read: an event that could not be identified has no subject, and a text can mention the
/// person's number.
pub async fn erase_page(
    db: &mut PgConnection,
    traces: &Traces,
    after: Option<Place>,
) -> sqlx::Result<(Option<Place>, u64)> {
    let (day, id) = after.unwrap_or((FIRST_DAY, Uuid::nil()));
    let rows = sqlx::query!(
        r#"
            select day, event_id, body, dictionary
            from event
            where (day, event_id) > ($1, $2) and erased_at is null
            order by day, event_id
            limit $3
        "#,
        day,
        id,
        PAGE_ROWS,
    )
    .fetch_all(&mut *db)
    .await?;
    let last = rows.last().map(|row| (row.day, row.event_id));
    let mut found = Vec::new();
    for row in rows {
        if traces.is_in(&event::decompress(row.body, row.dictionary)?) {
            found.push((row.day, row.event_id));
        }
    }
    let erased = sqlx::query!(
        r#"
            update event
            set body = '', dictionary = null, body_bytes = 0, subject_id = null, reasons = null,
                erased_at = now()
            from unnest($1::date[], $2::uuid[]) as found (day, event_id)
            where event.day = found.day and event.event_id = found.event_id
        "#,
        &column(&found, |place| place.0),
        &column(&found, |place| place.1),
    )
    .execute(&mut *db)
    .await?;
    Ok((last, erased.rows_affected()))
}

/// Before all events.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a day that exists");

/// Counts the rows of an organisation by table, by reading them.
pub async fn count_organization(db: &PgPool, organization_id: &str) -> sqlx::Result<Report> {
    let mut report = Report::new();
    for (table, condition) in TABLES.into_iter().chain([("media", BY_ID), ("event", BY_NUMBER)]) {
        let sql = format!("select count(*) from {table} where {condition}");
        // Safe: the tables are those above.
        let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(organization_id);
        let count: i64 = count.fetch_one(db).await?;
        report.insert(table.to_owned(), count.unsigned_abs());
    }
    Ok(report)
}

/// Deletes the rows of an organisation and erases its events, page by page.
pub async fn erase_organization(db: &PgPool, organization_id: &str) -> sqlx::Result<Report> {
    let mut report = Report::new();
    report.insert("media".to_owned(), media::delete_of_organization(db, organization_id).await?);
    for (table, condition) in TABLES {
        let sql = format!(
            "delete from {table} where ctid = any(array(
                 select ctid from {table} where {condition} limit $2
             ))"
        );
        let mut total = 0;
        loop {
            // Safe: the tables are those above.
            let deleted =
                sqlx::query(AssertSqlSafe(sql.clone())).bind(organization_id).bind(PAGE_ROWS);
            let deleted = deleted.execute(db).await?.rows_affected();
            total += deleted;
            if deleted == 0 {
                break;
            }
        }
        report.insert(table.to_owned(), total);
    }
    let mut total = 0;
    loop {
        let erased = sqlx::query!(
            r#"
                update event
                set body = '', dictionary = null, body_bytes = 0, subject_id = null,
                    reasons = null, erased_at = now()
                where (day, event_id) in (
                    select day, event_id
                    from event
                    where organization = (select organization_number($1)) and erased_at is null
                    limit $2
                )
            "#,
            organization_id,
            PAGE_ROWS,
        )
        .execute(db)
        .await?
        .rows_affected();
        total += erased;
        if erased == 0 {
            break;
        }
    }
    report.insert("event".to_owned(), total);
    Ok(report)
}

/// Records an erasure. `subject` is masked.
pub async fn record(
    db: impl PgExecutor<'_>,
    kind: &str,
    subject: &str,
    report: &Report,
) -> sqlx::Result<()> {
    let rows: Value =
        report.iter().map(|(table, rows)| (table.clone(), Value::from(*rows))).collect();
    sqlx::query!(
        "insert into erasure (erasure_id, kind, subject, rows) values ($1, $2, $3, $4)",
        Uuid::now_v7(),
        kind,
        subject,
        rows,
    )
    .execute(db)
    .await?;
    Ok(())
}
