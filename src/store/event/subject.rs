//! Bodies of the events about one subject, for what the other tables do not contain.

use sqlx::PgExecutor;

use super::body;
use crate::model::Timestamp;
use crate::store::rows::column;

/// Events about a subject.
#[derive(Debug)]
pub struct Subject {
    /// Organisation of the events; empty when unknown.
    pub organization_id: String,
    /// `event.subject_id`.
    pub id: String,
    /// No event of it was received before. The earlier it is, the more partitions are read.
    pub since: Option<Timestamp>,
}

/// Lists the bodies of the newest events about each subject, newest first, at most `each`. Each has the
/// index of its subject. Events of days that were dropped by age are missing. Uses index
/// `event_by_subject`.
pub async fn bodies(
    db: impl PgExecutor<'_>,
    subjects: &[Subject],
    each: i64,
) -> sqlx::Result<Vec<(usize, Vec<u8>)>> {
    let rows = sqlx::query!(
        r#"
            select subject.place as "place!", event.body as "body!", event.dictionary
            from unnest($1::text[], $2::text[], $3::date[]) with ordinality
                as subject (subject_id, organization_id, since, place)
            cross join lateral (
                select event.body, event.dictionary, event.day, event.event_id
                from event
                where event.subject_id = subject.subject_id
                    and event.organization_id = subject.organization_id
                    and event.day >= subject.since
                order by event.day desc, event.event_id desc
                limit $4
            ) as event
            order by subject.place, event.day desc, event.event_id desc
        "#,
        &column(subjects, |subject| subject.id.as_str()) as _,
        &column(subjects, |subject| subject.organization_id.as_str()) as _,
        &column(subjects, |subject| subject.since.unwrap_or_default().day()),
        each,
    )
    .fetch_all(db)
    .await?;
    let body = |place: i64, bytes, dictionary| {
        let index = usize::try_from(place - 1).unwrap_or_default();
        Ok((index, body::decompress(bytes, dictionary)?))
    };
    rows.into_iter().map(|row| body(row.place, row.body, row.dictionary)).collect()
}
