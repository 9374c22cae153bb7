//! Table `catalog`: names of agents, templates, channel integrations, divisions and contact lists. Their
//! states over time are in `catalog_state`.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use strum::IntoStaticStr;

use super::rows::column;
use super::walk::Walk;
use crate::model::Timestamp;

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the names are sufficient")]
pub enum Kind {
    Agent,
    Template,
    Channel,
    Division,
    ContactList,
}

impl Kind {
    /// Name in the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A row of one of Qontak's lists.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table catalog say it")]
pub struct CatalogRow {
    pub organization_id: String,
    pub id: String,
    pub name: Option<String>,
    /// Fields as of now, with those that webhooks have reported.
    pub data: Value,
    pub synced_at: Option<Timestamp>,
    /// Time of the newest report of its state.
    pub state_at: Option<Timestamp>,
}

/// Filter of [`list`]; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Templates with any of these statuses, in lower case.
    pub status: Option<Vec<String>>,
    /// Agents that are online, or not.
    pub is_online: Option<bool>,
}

/// Place of a row in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of table catalog say it")]
pub struct Place {
    pub id: String,
    pub organization_id: String,
}

/// A row to store.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table catalog say it")]
pub struct Entry {
    pub id: String,
    pub name: Option<String>,
    pub data: Value,
}

/// Stores a part of a list of an organisation, and the states that differ from those known. Rows that the
/// list lacks any more stay: old data mentions them. `asked_at` is when Qontak was asked: a webhook that came
/// meanwhile is newer.
pub async fn store(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    kind: Kind,
    entries: &[Entry],
    asked_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with entry as (
                select * from unnest($3::text[], $4::text[], $5::jsonb[]) as entry (id, name, data)
            ), reported as (
                insert into catalog_state (organization_id, kind, id, event_id, at, data, source)
                select $1, $2, entry.id, gen_random_uuid(), $6, state, 'sync'
                from entry
                cross join lateral tracked_state(entry.data) as state
                where $2 in ('agent', 'template')
                    and not state <@ coalesce(
                        catalog_data(row($1, $2, entry.id, null, '{}', null)::catalog, $6), '{}'
                    )
                order by entry.id
            )
            insert into catalog (organization_id, kind, id, name, data, synced_at)
            select $1, $2, id, name, data, $6
            from entry
            order by id
            on conflict (kind, id, organization_id) do update
            set name = excluded.name, data = excluded.data, synced_at = excluded.synced_at
        "#,
        organization_id,
        kind.as_str(),
        &column(entries, |entry| entry.id.as_str()) as _,
        &column(entries, |entry| entry.name.as_deref()) as _,
        &column(entries, |entry| &entry.data) as _,
        asked_at as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether webhooks of an organisation mention an id that no sync has looked for.
pub async fn has_unknown(db: impl PgExecutor<'_>, organization_id: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
            select exists (
                select
                from facet
                join (
                    values ('agent', 'agent'), ('template', 'template'),
                        ('channel_integration', 'channel')
                ) as known (name, kind) on known.name = facet.name
                where facet.organization_id = $1
                    and not exists (
                        select
                        from catalog
                        where catalog.kind = known.kind
                            and catalog.id = facet.value
                            and catalog.organization_id = $1
                            and catalog.synced_at is not null
                    )
            ) as "exists!"
        "#,
        organization_id,
    )
    .fetch_one(db)
    .await
}

/// Notes the ids that webhooks of an organisation mention and Qontak does not list, so that they are not
/// looked for again and again.
pub async fn note_unlisted(db: impl PgExecutor<'_>, organization_id: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into catalog (organization_id, kind, id, synced_at)
            select $1, known.kind, facet.value, now()
            from facet
            join (
                values ('agent', 'agent'), ('template', 'template'),
                    ('channel_integration', 'channel')
            ) as known (name, kind) on known.name = facet.name
            where facet.organization_id = $1
            order by known.kind, facet.value
            on conflict (kind, id, organization_id) do update
            set synced_at = excluded.synced_at
            where catalog.synced_at is null
        "#,
        organization_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lists rows by id. `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    kind: Kind,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<CatalogRow>> {
    macro_rules! page {
        ($cmp:tt, $direction:tt) => {
            sqlx::query_as!(
                CatalogRow,
                r#"
                    select
                        organization_id, id, coalesce(name, state.data ->> 'name') as name,
                        state.data as "data!", synced_at as "synced_at: Timestamp",
                        (
                            select at
                            from catalog_state as newest
                            where newest.kind = catalog.kind
                                and newest.id = catalog.id
                                and newest.organization_id = catalog.organization_id
                            order by at desc
                            limit 1
                        ) as "state_at: Timestamp"
                    from catalog
                    cross join lateral (
                        -- Not inlined, or it would be computed for each mention.
                        select catalog_data(catalog, 'infinity') as data offset 0
                    ) as state
                    where kind = $1
                        and ($2::text[] is null or organization_id = any($2))
                        and state.data <> '{}'
                        and ($6::text[] is null or lower(state.data ->> 'status') = any($6))
                        and ($7::boolean is null or state.data -> 'is_online' = to_jsonb($7))
                        and ($3::text is null or (id, organization_id) "# + $cmp + r#" ($3, $4))
                    order by id "# + $direction + r#", organization_id "# + $direction + r#"
                    limit $5
                "#,
                kind.as_str(),
                organizations,
                walk.from.as_ref().map(|place| place.id.as_str()),
                walk.from.as_ref().map(|place| place.organization_id.as_str()),
                walk.rows,
                filter.status.as_deref(),
                filter.is_online,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!("<", "desc") } else { page!(">", "asc") }
}

/// The organisation of something with this id, if it may be seen.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    kind: Kind,
    id: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"
            select organization_id
            from catalog
            where kind = $1 and id = $2 and ($3::text[] is null or organization_id = any($3))
            -- Prefer a row with a known organisation.
            order by organization_id desc
            limit 1
        "#,
        kind.as_str(),
        id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// Organisation, kind and id of something that may have a name.
pub type Key = (String, Kind, String);

/// Finds the names of these; unknown ones are omitted.
pub async fn names(
    db: impl PgExecutor<'_>,
    keys: &BTreeSet<Key>,
) -> sqlx::Result<HashMap<Key, String>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<&Key> = keys.iter().collect();
    let names = sqlx::query!(
        r#"
            select key.place as "place!", catalog.name as "name!"
            from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                as key (organization_id, kind, id, place)
            join catalog
                on catalog.kind = key.kind
                and catalog.id = key.id
                and catalog.organization_id = key.organization_id
            where catalog.name is not null
        "#,
        &column(&keys, |key| key.0.as_str()) as _,
        &column(&keys, |key| key.1.as_str()) as _,
        &column(&keys, |key| key.2.as_str()) as _,
    )
    .fetch_all(db)
    .await?;
    let named = names.into_iter().filter_map(|row| {
        let place = usize::try_from(row.place - 1).ok()?;
        Some(((*keys.get(place)?).clone(), row.name))
    });
    Ok(named.collect())
}
