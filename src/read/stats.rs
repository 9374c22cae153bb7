//! Statistics for charts: messages, deliveries and resolutions over time, response times, agents, and
//! the conversations that are open now.
//!
//! Every figure is of counts or rows that are kept while events are written; see
//! `docs/architecture.md`.

mod figures;
mod period;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use self::figures::{
    Agent, Deliveries, Local, MAX_MEASURED, Messages, ResolutionTimes, Resolutions, Responses,
    Rooms,
};
use self::period::{Interval, Period, StatsQuery};
use super::envelope::{One, one};
use super::reader::{Authorized, OrganizationQuery};
use crate::http::Error;
use crate::model::Timestamp;
use crate::store::agent::{self, Limits};
use crate::store::broadcast_log::hour_count;
use crate::store::message::count;
use crate::store::resolution::{self, Resolved};
use crate::store::response;
use crate::store::room::stats;

/// Maximum number of open rooms that are counted; counting them takes some 30 ms.
const MAX_OPEN: i64 = 20_000;
/// Maximum number of agents.
const MAX_AGENTS: i64 = 200;

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
    let messages = count::list(&db, organizations, starts, since, until).await?;
    let recipients = hour_count::list(&db, organizations, starts, since, until).await?;
    let responses = response::measure(&db, organizations, since, until, MAX_MEASURED).await?;
    let mut resolved =
        resolution::list(&db, organizations, starts, since, until, MAX_MEASURED).await?;
    let limits = Limits { facts: MAX_MEASURED, open: MAX_OPEN, agents: MAX_AGENTS };
    let agents = agent::list(&db, organizations, since, until, limits).await?;
    let open = stats::count_open(&db, organizations, MAX_OPEN).await?;
    let local = |time: Timestamp| Local(time.0.with_timezone(&period.time_zone));
    let start_of = |span: i32| {
        let index = usize::try_from(span).ok()?.checked_sub(1)?;
        Some(local(*starts.get(index)?))
    };
    let whole: Vec<Resolved> = resolved.extract_if(.., |row| row.span.is_none()).collect();
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
        first_response: Responses::of("agent", &responses),
        bot_response: Responses::of("bot", &responses),
        resolutions: resolved
            .into_iter()
            .filter_map(|row| {
                Some(Resolutions {
                    at: start_of(row.span?)?,
                    resolutions: row.count,
                    p50_seconds: row.p50_seconds,
                    p95_seconds: row.p95_seconds,
                    is_sample: row.measured < row.count,
                })
            })
            .collect(),
        resolution: ResolutionTimes::new(whole.first()),
        agents: agents.into_iter().map(Agent::from).collect(),
        rooms: Rooms {
            open: open.open,
            unanswered: open.unanswered,
            is_sample: open.examined == MAX_OPEN,
        },
    }))
}
