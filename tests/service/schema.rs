//! Conventions of the schema: comments and collations.

use sqlx::PgPool;

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
