//! Table `room_event`: lifecycle events of rooms, such as assignments and resolutions.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::room::RoomKey;
use super::walk::Walk;
use crate::model::{RoomEventType, Timestamp};

/// A lifecycle event of a room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RoomEvent)]
pub struct RoomEventRow {
    /// Type: `created`, `assigned`, `unassigned`, `handed_over` or `resolved`.
    #[schema(value_type = RoomEventType)]
    pub r#type: String,
    /// Time of the lifecycle event, as reported by Qontak; null if the webhook contained none.
    pub at: Option<Timestamp>,
    /// Id of the user that was assigned or unassigned, took over or resolved; null if not reported.
    pub actor_id: Option<String>,
    /// Name of that user; null if not reported.
    pub actor_name: Option<String>,
    /// Id of the first event that reported it.
    pub event_id: Uuid,
    /// Time this service first received a report of it.
    pub received_at: Timestamp,
    /// Distinguishes lifecycle events of the same type in a room; equal in repeated reports.
    #[serde(skip)]
    pub discriminator: String,
}

/// Place of a lifecycle event in the list of its room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Time of the lifecycle event, or else of its first report.
    #[serde(with = "crate::model::micros")]
    pub at: Timestamp,
    /// Tie-breaker for equal times.
    pub r#type: String,
    /// Tie-breaker for equal types.
    pub discriminator: String,
}

impl RoomEventRow {
    /// Place in the list of its room.
    pub fn place(&self) -> Place {
        Place {
            at: self.at.unwrap_or(self.received_at),
            r#type: self.r#type.clone(),
            discriminator: self.discriminator.clone(),
        }
    }
}

/// Lists the lifecycle events of a room, newest first. A room has few, so all of them are found by
/// the primary key and sorted.
pub async fn list(
    db: impl PgExecutor<'_>,
    room: &RoomKey,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<RoomEventRow>> {
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                RoomEventRow,
                r#"
                    select
                        type, at, actor_id, actor_name, event_id, received_at,
                        mark as discriminator
                    from room_event
                    where organization = organization_number($1)
                        and room_id = $2
                        and ($3::timestamptz is null
                            or (coalesce(at, received_at), type, mark) "#
                    + $cmp
                    + r#" ($3, $4, $5))
                    order by "#
                    + $order
                    + r#"
                    limit $6
                "#,
                room.organization_id,
                room.room_id,
                from.map(|place| place.at) as _,
                from.map(|place| place.r#type.as_str()),
                from.map(|place| place.discriminator.as_str()),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "coalesce(at, received_at), type, mark")
    } else {
        page!("<", "coalesce(at, received_at) desc, type desc, mark desc")
    }
}
