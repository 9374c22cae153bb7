//! What one page costs, and where a deep one begins.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::cases::{ALL, Case, IDS, Ids, Shape};
use super::explain::{Plan, Plans};
use super::service::Service;

/// After how many rows page 10,000 begins, if a page has 10.
const DEEP: usize = 99_990;

/// The most rows that a page can have.
const STRIDE: usize = 500;

/// What a page has if nobody says how many.
const DEFAULT_ROWS: usize = 50;

/// How often each page is asked for.
const SAMPLES: usize = 100;

/// How often to be explained. Postgres makes a plan each time.
const EXPLAINED: usize = 4;

/// What a page costs.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// How many rows of the list come before it.
    pub after_rows: usize,
    /// How many rows it shows, if it is a page of a list.
    pub shown: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of all statements together.
    pub rows_read: f64,
    /// The same.
    pub buffers: f64,
    /// What is wrong with the plans.
    pub objections: Vec<String>,
}

/// The ids that are there.
pub async fn find_ids(service: &Service) -> anyhow::Result<Ids> {
    let mut ids = Ids::new();
    for (name, path, place) in IDS {
        let rows = service.json(ALL, path).await?;
        let rows = rows["data"].as_array().context(path)?.iter();
        let found = rows.filter_map(|row| Some(row.pointer(place)?.as_str()?.to_owned()));
        ids.insert(name, found.collect());
        ensure!(!ids[name].is_empty(), "{path} has no {place}");
    }
    Ok(ids)
}

/// A page of a case: the same one again and again, or one with another id each time.
pub struct Page<'a> {
    /// The service as it is delivered, and the one whose plans are told.
    pub services: (&'a Service, &'a Service),
    pub paths: Vec<String>,
    pub after_rows: usize,
    /// It is asked for in every turn, or in every so many.
    pub every: usize,
}

/// What these pages cost. They take turns, so that each has its share of what else goes on.
pub async fn costs(case: &Case, pages: &[Page<'_>], plans: &Plans) -> anyhow::Result<Vec<Cost>> {
    let mut times = vec![Vec::with_capacity(SAMPLES); pages.len()];
    for page in pages {
        // Each path once, so that all are in memory.
        for path in &page.paths {
            page.services.0.get(case.key, path).await?;
        }
    }
    for sample in 0..SAMPLES {
        for (page, times) in pages.iter().zip(&mut times) {
            if sample % page.every != 0 {
                continue;
            }
            let path = &page.paths[sample / page.every % page.paths.len()];
            let (_, took) = page.services.0.get(case.key, path).await?;
            times.push(took.as_secs_f64() * 1e3);
        }
    }
    let mut costs = Vec::with_capacity(pages.len());
    for (page, mut times) in pages.iter().zip(times) {
        times.sort_by(f64::total_cmp);
        costs.push(explain(case, page, plans, &times).await?);
    }
    Ok(costs)
}

async fn explain(
    case: &Case,
    page: &Page<'_>,
    plans: &Plans,
    times: &[f64],
) -> anyhow::Result<Cost> {
    let (mut shown, explained) = (0, page.services.1);
    plans.take();
    for path in page.paths.iter().cycle().take(EXPLAINED) {
        shown = rows_shown(&explained.get(case.key, path).await?.0);
    }
    // Of a statement that is left after its first row, the plan comes behind the answer.
    sleep(Duration::from_millis(20)).await;
    let plans = plans.take();
    let (rows_read, buffers) = plans.iter().map(Plan::cost).fold((0.0, 0.0), |sum, cost| {
        (sum.0 + cost.0 / EXPLAINED as f64, sum.1 + cost.1 / EXPLAINED as f64)
    });
    let most_rows = case.most_rows(DEFAULT_ROWS);
    let mut objections: Vec<String> =
        plans.iter().flat_map(|plan| plan.objections(most_rows)).collect();
    objections.sort();
    objections.dedup();
    Ok(Cost {
        after_rows: page.after_rows,
        shown,
        p50_ms: times[times.len() / 2],
        // Of a hundred, one was slower; of fifty it is the slowest.
        p99_ms: times[(times.len() * 99).div_ceil(100) - 1],
        rows_read,
        buffers,
        objections,
    })
}

/// How many rows an answer shows; one thing is a row.
fn rows_shown(body: &[u8]) -> usize {
    match serde_json::from_slice::<Value>(body) {
        Ok(answer) => answer["data"].as_array().map_or(1, Vec::len),
        Err(_) => 1,
    }
}

/// Where the deep page of a long list begins, found by walking there, and how many rows come before
/// it. It is the one after 99,990 rows, or one near the end.
pub async fn walk(
    case: &Case,
    ids: &Ids,
    service: &Service,
) -> anyhow::Result<Option<(String, usize)>> {
    if case.shape != Shape::LongList {
        return Ok(None);
    }
    let path = &case.paths(ids)[0];
    // Of a list's last page there may be few rows, so the one before it is kept as well.
    let (mut before, mut here) = (None, None::<(String, usize)>);
    loop {
        let (from, passed) = here.clone().unwrap_or_else(|| (path.to_owned(), 0));
        let stride = STRIDE.min(DEEP - passed);
        if stride == 0 {
            return Ok(here);
        }
        let page = service.json(case.key, &with(&from, "limit", &stride.to_string())).await?;
        let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() else {
            let rows = page["data"].as_array().map_or(0, Vec::len);
            return Ok(if rows < DEFAULT_ROWS { before } else { here });
        };
        before = here.replace((with(path, "cursor", next), passed + stride));
    }
}

fn with(path: &str, parameter: &str, value: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}{parameter}={value}")
}
