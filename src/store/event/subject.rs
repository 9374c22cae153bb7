//! Bodies of the events about some subjects, for what the other tables do not contain.

use std::collections::HashMap;

use sqlx::PgExecutor;

use super::body;
use crate::model::Timestamp;
use crate::store::rows::column;

/// Maximum number of events per subject, on average: Qontak sends about five about a broadcast log.
const MAX_EVENTS: i64 = 20;

/// A subject of events.
#[derive(Debug)]
pub struct Subject {
    /// Organisation of the events; empty when unknown.
    pub organization_id: String,
    /// `event.subject_id`.
    pub id: String,
    /// No event of it was received before. The earlier it is, the more partitions are read.
    pub since: Timestamp,
}

/// Lists the bodies of the events about each subject, newest first. Events of days that were dropped
/// by age are missing. Uses index `event_by_subject` of each day.
pub async fn bodies(
    db: impl PgExecutor<'_>,
    subjects: &[Subject],
) -> sqlx::Result<Vec<Vec<Vec<u8>>>> {
    let mut bodies: Vec<Vec<Vec<u8>>> = subjects.iter().map(|_| Vec::new()).collect();
    // One scan of each day for all subjects: a lateral join takes 3 to 50 times as long.
    let Some(since) = subjects.iter().map(|subject| subject.since.day()).min() else {
        return Ok(bodies);
    };
    let rows = sqlx::query!(
        r#"
            select subject_id as "subject_id!",
                (
                    select organization_id from organization where number = event.organization
                ) as "organization_id!",
                body, dictionary
            from event
            where subject_id = any($1) and day >= $2
            order by day desc, event_id desc
            limit $3
        "#,
        &column(subjects, |subject| subject.id.as_str()) as _,
        since,
        MAX_EVENTS * subjects.len() as i64,
    )
    .fetch_all(db)
    .await?;
    let key = |subject: &Subject| (subject.id.clone(), subject.organization_id.clone());
    let indexes: HashMap<(String, String), usize> =
        subjects.iter().enumerate().map(|(index, subject)| (key(subject), index)).collect();
    for row in rows {
        if let Some(index) = indexes.get(&(row.subject_id, row.organization_id)) {
            bodies[*index].push(body::decompress(row.body, row.dictionary)?);
        }
    }
    Ok(bodies)
}
