-- Nearly always a room's newest snapshot has all the fields that are known of it. So a row
-- keeps one fold key, and single ones only of fields that lag behind it: that is half of the
-- row's bytes, and most of the time that merging takes.
alter table room
    add column key        uuid,
    add column fields     integer,
    add column key_fields integer,
    alter column keys drop not null;

update room
set key = coalesce(
        (select k from unnest(keys) as k where k is not null order by k desc limit 1),
        '00000000-0000-0000-0000-000000000000'
    ),
    fields = (
        select coalesce(sum(1 << (i - 1)::integer), 0)::integer
        from unnest(keys) with ordinality as t (k, i)
        where k is not null
    );

update room
set key_fields = (
        select coalesce(sum(1 << (i - 1)::integer), 0)::integer
        from unnest(keys) with ordinality as t (k, i)
        where k = key
    ),
    keys = (
        select case when count(*) filter (where k <> key) > 0
            then array_agg(nullif(k, key) order by i) end
        from unnest(keys) with ordinality as t (k, i)
    );

alter table room
    alter column key set not null,
    alter column fields set not null,
    alter column key_fields set not null;

create function lagging(old anyelement, old_lag uuid, old_key uuid, new anyelement, new_key uuid)
    returns uuid
    language sql immutable parallel safe
as $$
    select nullif(
        greatest(
            case when old is not null then coalesce(old_lag, old_key) end,
            case when new is not null then new_key end
        ),
        greatest(old_key, new_key)
    )
$$;

comment on function lagging is 'The fold key of a field after a merge, if it is not the greatest one of its row.';

comment on column room.key is 'Fold key of the newest snapshot. A key sorts by clock, smaller time, status rank, SHA-256 of the body.';
comment on column room.fields is 'Which fields are known: a bit each, in the order of the columns name to is_manual_survey.';
comment on column room.key_fields is 'Which of them the newest snapshot has.';
comment on column room.keys is 'Fold key of the snapshot that said a field, for each field that the newest one lacks, in the same order. Null if it lacks none.';
