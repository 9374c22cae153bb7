//! Statistics for charts: messages, deliveries and resolutions over time, response times, agents, and
//! the conversations that are open now.
//!
//! Every figure is of counts or rows that are kept while events are written; see
//! `docs/architecture.md`.

mod agents;
mod figures;
mod period;
mod seconds;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgPool;
use tokio::try_join;
use utoipa::ToSchema;

use self::figures::{
    Agent, Deliveries, Events, LastEvent, Local, MAX_MEASURED, Messages, ResolutionTimes,
    Resolutions, Responses, Rooms, Times,
};
use self::period::{Interval, Period, StatsQuery};
use self::seconds::Seconds;
use super::envelope::{One, one};
use super::reader::{Authorized, OrganizationQuery};
use crate::http::Error;
use crate::model::Timestamp;
use crate::store::activity;
use crate::store::broadcast_log::hour_count;
use crate::store::message::count;
use crate::store::resolution;
use crate::store::response;
use crate::store::room::stats;

/// Maximum number of open rooms that are counted; counting them takes some 60 ms.
const MAX_OPEN: i64 = 10_000;

/// How far back the last event of a channel is looked for: a channel that went silent must not vanish.
const MAX_SILENCE: TimeDelta = TimeDelta::days(7);
/// Maximum number of channels with their last event.
const MAX_CHANNELS: i64 = 100;

#[derive(Serialize, ToSchema)]
struct Stats {
    #[schema(value_type = Interval)]
    interval: &'static str,
    /// Time zone of all times in the response.
    #[schema(value_type = String)]
    time_zone: Tz,
    /// Start of the period, inclusive: a whole hour, not after `start_date`.
    start: Local,
    /// End of the period, exclusive: a whole hour, not before `end_date`.
    end: Local,
    /// Whether the first interval begins before `start`, so that its figures are those of a part.
    is_start_cut: bool,
    /// Whether the last interval ends after `end`, so that its figures are those of a part.
    is_end_cut: bool,
    /// Whether the period ends early, because `start_date` is too long ago for the maximum length and
    /// there is no `end_date`.
    is_period_cut: bool,
    /// Messages per hour or day and channel.
    messages: Vec<Messages>,
    /// Deliveries per hour or day and source.
    deliveries: Vec<Deliveries>,
    /// Events per hour or day and kind. Counted once per `alarm.interval`, and only with `alarm.silence`.
    events: Vec<Events>,
    /// The last event of each channel of each organisation, within the 7 days before `end`; counted like
    /// `events`.
    last_events: Vec<LastEvent>,
    /// First responses of agents: one for each wait of a customer.
    first_response: Responses,
    /// The same for bots. An answer of an agent ends such a wait unmeasured.
    bot_response: Responses,
    /// Resolutions per hour or day.
    resolutions: Vec<Resolutions>,
    /// Resolutions of the whole period.
    resolution: ResolutionTimes,
    /// Agents that answered or resolved in the period, or have open rooms now; those with most rooms
    /// first, at most 200.
    agents: Vec<Agent>,
    rooms: Rooms,
}

/// Get statistics: messages, deliveries and resolutions per hour or day, response times, agents, open conversations
///
/// Hours, days, channels and sources without messages are omitted.
#[utoipa::path(
    get, path = "/stats", params(StatsQuery, OrganizationQuery),
    responses((status = OK, body = One<Stats>))
)]
pub async fn show(
    Authorized { reader, query }: Authorized<StatsQuery>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let period = Period::read(query)?;
    let Period { since, until, ref starts, .. } = period;
    let organizations = reader.organizations();
    let week_ago = Timestamp(until.0 - MAX_SILENCE);
    let (by_interval, (answers, resolved), open) = try_join!(
        async {
            Ok::<_, sqlx::Error>((
                count::list(&db, organizations, starts, since, until).await?,
                hour_count::list(&db, organizations, starts, since, until).await?,
                activity::count(&db, organizations, starts, since, until).await?,
                activity::list_last(&db, organizations, week_ago, until, MAX_CHANNELS).await?,
                resolution::count(&db, organizations, starts, since, until).await?,
            ))
        },
        async {
            Ok::<_, sqlx::Error>((
                response::latest(&db, organizations, since, until, MAX_MEASURED).await?,
                resolution::latest(&db, organizations, since, until, MAX_MEASURED).await?,
            ))
        },
        stats::count_open(&db, organizations, MAX_OPEN)
    )?;
    let (messages, recipients, events, last, counted) = by_interval;
    let agents = agents::list(&db, &answers, &resolved, &open).await?;
    let local = |time: Timestamp| Local(time.0.with_timezone(&period.time_zone));
    let start_of = |span: i32| {
        let index = usize::try_from(span).ok()?.checked_sub(1)?;
        Some(local(*starts.get(index)?))
    };
    let mut measured: HashMap<i32, (i64, Seconds)> = HashMap::new();
    for row in &resolved {
        let (read, seconds) = measured.entry(period.span_of(row.at)).or_default();
        *read += 1;
        seconds.extend(row.seconds);
    }
    let all = open.iter().find(|row| row.agent_id.is_none());
    let mut deliveries: Vec<(i32, Deliveries)> = Vec::new();
    for row in messages.iter().filter(|row| row.outgoing > 0) {
        match deliveries.last_mut() {
            Some((span, interval)) if *span == row.span => interval.add(row),
            _ => deliveries.extend(start_of(row.span).map(|at| {
                let mut interval = Deliveries::none(at, "conversation");
                interval.add(row);
                (row.span, interval)
            })),
        }
    }
    deliveries.extend(recipients.into_iter().filter_map(|row| {
        let hour_count::Counted { span, count: total, sent, delivered, read, failed } = row;
        let at = start_of(span)?;
        Some((span, Deliveries { at, source: "broadcast", total, sent, delivered, read, failed }))
    }));
    // Stable, so that conversations precede broadcasts.
    deliveries.sort_by_key(|(span, _)| *span);
    Ok(one(Stats {
        interval: period.interval.into(),
        time_zone: period.time_zone,
        start: local(since),
        end: local(until),
        is_start_cut: period.is_start_cut,
        is_end_cut: period.is_end_cut,
        is_period_cut: period.is_period_cut,
        messages: messages
            .into_iter()
            .filter_map(|row| Some(Messages::new(start_of(row.span)?, row)))
            .collect(),
        deliveries: deliveries.into_iter().map(|(_, interval)| interval).collect(),
        events: events
            .into_iter()
            .filter_map(|row| {
                Some(Events { at: start_of(row.span)?, kind: row.kind, events: row.count })
            })
            .collect(),
        last_events: last
            .into_iter()
            .map(|row| LastEvent {
                organization_id: Some(row.organization_id).filter(|id| !id.is_empty()),
                channel: row.channel,
                kind: row.kind,
                at: row.last_at,
            })
            .collect(),
        first_response: Responses::of(&answers, true),
        bot_response: Responses::of(&answers, false),
        resolution: ResolutionTimes::new(counted.iter().map(|row| row.count).sum(), &resolved),
        resolutions: counted
            .into_iter()
            .filter_map(|row| {
                let (read, seconds) = measured.remove(&row.span).unwrap_or_default();
                let Times { p50_seconds, p95_seconds, .. } = Times::of(seconds);
                let is_sample = read < row.count;
                let at = start_of(row.span)?;
                Some(Resolutions {
                    at,
                    resolutions: row.count,
                    p50_seconds,
                    p95_seconds,
                    is_sample,
                })
            })
            .collect(),
        agents,
        rooms: Rooms {
            open: all.map_or(0, |row| row.open),
            unanswered: all.map_or(0, |row| row.unanswered),
            is_sample: all.is_some_and(|row| row.examined == MAX_OPEN),
        },
    }))
}
