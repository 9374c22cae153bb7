//! Figures of agents: what each of them did in the period, and has open now.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use sqlx::PgExecutor;

use super::figures::{Agent, Times};
use super::seconds::Seconds;
use crate::store::agent;
use crate::store::resolution::Resolved;
use crate::store::response::Answer;
use crate::store::room::stats::Open;

/// Maximum number of agents.
const MAX_AGENTS: usize = 200;

/// Number of the organisation, and id, of an agent.
type Key<'a> = (i32, &'a str);

#[derive(Default)]
struct Work<'a> {
    rooms: HashSet<&'a str>,
    opening: Seconds,
    next: Seconds,
    resolutions: i64,
    resolution: Seconds,
    open: i64,
    unanswered: i64,
}

/// The agents that answered or resolved, or have open rooms; those with most rooms first, at most 200.
pub async fn list(
    db: impl PgExecutor<'_>,
    answers: &[Answer],
    resolved: &[Resolved],
    open: &[Open],
) -> sqlx::Result<Vec<Agent>> {
    let mut agents: Vec<(Key<'_>, Work<'_>)> =
        collect(answers, resolved, open).into_iter().collect();
    agents.sort_by_cached_key(|((organization, id), work)| {
        (Reverse(work.rooms.len()), Reverse(work.open), *id, *organization)
    });
    agents.truncate(MAX_AGENTS);
    let (organizations, ids): (Vec<i32>, Vec<&str>) = agents.iter().map(|(key, _)| *key).unzip();
    let names = agent::names(db, &organizations, &ids).await?;
    let shown = agents.into_iter().zip(names).map(|(((_, id), work), named)| Agent {
        id: id.to_owned(),
        organization_id: named.organization_id,
        name: named.name,
        rooms: work.rooms.len() as i64,
        opening_response: Times::of(work.opening),
        next_response: Times::of(work.next),
        resolution: Times { count: work.resolutions, ..Times::of(work.resolution) },
        open: work.open,
        unanswered: work.unanswered,
    });
    Ok(shown.collect())
}

fn collect<'a>(
    answers: &'a [Answer],
    resolved: &'a [Resolved],
    open: &'a [Open],
) -> HashMap<Key<'a>, Work<'a>> {
    let mut agents: HashMap<Key<'a>, Work<'a>> = HashMap::new();
    for answer in answers.iter().filter(|answer| answer.is_from_agent) {
        if let Some(id) = answer.agent_id.as_deref().filter(|id| !id.is_empty()) {
            let work = agents.entry((answer.organization, id)).or_default();
            work.rooms.insert(&answer.room_id);
            let times = if answer.is_first { &mut work.opening } else { &mut work.next };
            times.push(answer.seconds);
        }
    }
    for row in resolved.iter().filter(|row| !row.agent_id.is_empty()) {
        let work = agents.entry((row.organization, &row.agent_id)).or_default();
        work.rooms.insert(&row.room_id);
        work.resolutions += 1;
        work.resolution.extend(row.seconds);
    }
    for row in open {
        if let (Some(organization), Some(id)) = (row.organization, &row.agent_id) {
            let work = agents.entry((organization, id)).or_default();
            work.open = row.open;
            work.unanswered = row.unanswered;
        }
    }
    agents
}
