//! Names of what rows mention only by id.

use std::collections::HashMap;

use sqlx::PgExecutor;

use crate::store::catalog::{self, Key, Kind};

/// Something that may have a name: its organisation, kind and id.
pub type Mention<'a> = (Option<&'a str>, Kind, Option<&'a str>);

/// The names of some rows.
pub struct Names(HashMap<Key, String>);

impl Names {
    /// Finds the names of everything that is mentioned.
    pub async fn find<'a>(
        db: impl PgExecutor<'_>,
        mentions: impl Iterator<Item = Mention<'a>>,
    ) -> sqlx::Result<Self> {
        Ok(Self(catalog::names(db, &mentions.filter_map(key).collect()).await?))
    }

    /// The name; `None` if it is not known.
    pub fn get(&self, mention: Mention<'_>) -> Option<String> {
        self.0.get(&key(mention)?).cloned()
    }
}

fn key((organization_id, kind, id): Mention<'_>) -> Option<Key> {
    Some((organization_id?.to_owned(), kind, id?.to_owned()))
}
