//! The parameter `q`.

use sqlx::PgPool;

use crate::http::Error;
use crate::http::extract::Parameters;
use crate::read::state::ReadState;
use crate::store::search::{self, Query};

/// Reads what is searched for.
pub fn query(parameters: &mut Parameters, app: &ReadState) -> Option<Query> {
    query_named("q", parameters, app)
}

/// The same from the parameter of this name.
pub fn query_named(
    name: &'static str,
    parameters: &mut Parameters,
    app: &ReadState,
) -> Option<Query> {
    let text = parameters.text(name)?;
    if !app.search_enabled {
        return parameters
            .refuse(name, "search is switched off here, by the setting search.enabled");
    }
    Query::parse(&text).or_else(|| parameters.refuse(name, Query::ALLOWED))
}

/// Refuses a search until its indexes are there: it would read everything.
pub async fn ready(db: &PgPool, query: Option<&Query>) -> Result<(), Error> {
    if query.is_some() && !search::is_ready(db).await? {
        return Err(Error::NotReady("the indexes of search are not made yet, try again later"));
    }
    Ok(())
}
