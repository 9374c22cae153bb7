//! Conventions of the schema: comments and collations.

use std::collections::BTreeMap;

use qontak_receiver::event::{Kind, Outcome};
use serde_json::Value;
use sqlx::PgPool;
use strum::VariantNames;

use super::openapi::routes;

#[sqlx::test]
async fn every_table_and_column_has_a_comment(db: PgPool) {
    let without_comment: Vec<String> = sqlx::query_scalar(
        "select relname || coalesce('.' || attname, '')
         from pg_class
         left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
         where relnamespace = 'public'::regnamespace
             and relkind in ('r', 'p')
             and relname <> '_sqlx_migrations'
             and (col_description(pg_class.oid, attnum) is null
                 or obj_description(pg_class.oid) is null)
         order by 1",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    assert_eq!(without_comment, Vec::<String>::new());
}

/// Constraints describe themselves.
#[sqlx::test]
async fn every_function_and_index_has_a_comment(db: PgPool) {
    let without_comment: Vec<String> = sqlx::query_scalar(
        "select oid::regprocedure::text
         from pg_proc
         where pronamespace = 'public'::regnamespace and obj_description(oid, 'pg_proc') is null
         union all
         select oid::regclass::text
         from pg_class
         where relnamespace = 'public'::regnamespace
             and relkind in ('i', 'I')
             and obj_description(oid, 'pg_class') is null
             and not exists (select from pg_constraint where conindid = pg_class.oid)
         order by 1",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    assert_eq!(without_comment, Vec::<String>::new());
}

#[sqlx::test]
async fn types_of_the_journal_have_the_names_of_the_service(db: PgPool) {
    for (name, expected) in [("event_kind", Kind::VARIANTS), ("event_outcome", Outcome::VARIANTS)] {
        let labels: Vec<String> = sqlx::query_scalar(
            "select enumlabel::text from pg_enum where enumtypid = $1::regtype
             order by enumsortorder",
        )
        .bind(name)
        .fetch_all(&db)
        .await
        .unwrap();
        assert_eq!(labels, expected, "{name}");
    }
}

#[sqlx::test]
async fn comments_of_indexes_name_routes_and_parameters_that_exist(db: PgPool) {
    let comments: Vec<(String, String)> = sqlx::query_as(
        "select relname::text, obj_description(oid, 'pg_class')
         from pg_class
         where relnamespace = 'public'::regnamespace
             and relkind in ('i', 'I')
             and obj_description(oid, 'pg_class') is not null",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    let routes: BTreeMap<String, Value> =
        routes("get").into_iter().map(|(path, route)| (without_names(&path), route)).collect();
    let mut named = 0;
    for (index, comment) in &comments {
        for text in comment.split("GET ").skip(1) {
            let url = text.split(' ').next().unwrap().trim_end_matches(['.', ',', ':', ';']);
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            let route = routes.get(&without_names(path));
            let route = route.unwrap_or_else(|| panic!("{index}: no route {path}"));
            let parameter = query.split('=').next().unwrap();
            let mut parameters = route["parameters"].as_array().into_iter().flatten();
            let is_known = parameters.any(|known| known["name"] == parameter);
            assert!(query.is_empty() || is_known, "{index}: {path} has no parameter {parameter}");
            named += 1;
        }
    }
    assert!(named >= comments.len() / 2, "{named} routes in {} comments", comments.len());
}

/// A path with `{}` for each `{name}`.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Merging compares texts; the result must not depend on the locale of the database.
#[sqlx::test]
async fn text_columns_of_projections_use_the_c_collation(db: PgPool) {
    let tables = ["room", "room_event", "message", "sender", "broadcast", "broadcast_log"];
    let by_locale: Vec<String> = sqlx::query_scalar(
        "select attrelid::regclass || '.' || attname
         from pg_attribute
         where attrelid = any($1::regclass[])
             and atttypid = 'text'::regtype
             and attcollation <> '\"C\"'::regcollation
         order by 1",
    )
    .bind(tables)
    .fetch_all(&db)
    .await
    .unwrap();
    assert_eq!(by_locale, Vec::<String>::new());
}
