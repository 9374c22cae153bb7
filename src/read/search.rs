//! The parameter `q`, or `query` on Qontak's own routes.

use utoipa::openapi::schema::ObjectBuilder;

use super::state::ReadState;
use crate::http::Error;
use crate::http::query::Parameter;
use crate::http::query::value::text;
use crate::parameter_schema;
use crate::store::search::{self, Query};

parameter_schema!(Query, [], schema());

fn schema() -> ObjectBuilder {
    text().max_length(Some(Query::MAX_CHARACTERS)).pattern(Some(Query::PATTERN))
}

impl Parameter for Query {
    fn parse(values: &[&str]) -> Result<Self, String> {
        Self::parse(values[0]).ok_or_else(|| Self::ALLOWED.to_owned())
    }
}

/// Prepares a query. Fails if search is disabled, or if its indexes do not exist yet: the query would
/// scan the table.
pub async fn prepare(
    state: &ReadState,
    name: &'static str,
    query: &mut Option<Query>,
) -> Result<(), Error> {
    let Some(given) = query.take() else { return Ok(()) };
    if !state.search_enabled {
        return Err(Error::parameter(name, "search is disabled by the setting search.enabled"));
    }
    if !search::is_ready(state.db()).await? {
        return Err(Error::NotReady("search indexes are being built, retry later"));
    }
    let folded = given.fold(state.db()).await?;
    *query = Some(folded.ok_or_else(|| Error::parameter(name, Query::ALLOWED))?);
    Ok(())
}
