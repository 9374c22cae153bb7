-- Fills a migrated, empty database with 60 days of traffic, for the benchmark and the test of query
-- plans. Steps: start, messages (in `parts` parts, `part` from 0), rooms, journal, indexes.
--
-- Parameters: `messages` (a multiple of `logs`), `rooms`, `logs`, `broadcasts` (at least two). The
-- same values give the same rows, with times relative to now. There are no psql commands, so that a
-- test can run the files. Shared objects are in the schema `fill`.
--
-- One organisation has 9 of 10 rooms and all broadcasts, eight have about 1 of 100 rooms each, one
-- has 1 of 10,000. Room 1 has 16 of 1,000 messages, about 1 of 1,000 rooms have thousands each, the
-- others are active for about six days. The first broadcast has 1 of 20 logs. The journal has a
-- tenth as many events as there are messages, from the last seven days.

begin;
set local timezone = 'UTC';
set local client_min_messages = warning;

create schema fill;

-- A pseudo-random number below `below`.
create function fill.chance(what integer, n bigint, below bigint) returns bigint
    language sql immutable
    return (hashint8extended(n, what) & 9223372036854775807) % below;

create function fill.id(what text, n bigint) returns text
    language sql immutable
    return md5(what || n::text)::uuid::text;

-- Unique for each `n` below 100 million.
create function fill.phone(n bigint) returns text
    language sql immutable
    return '62812' || lpad((n * 61803399 % 100000000)::text, 8, '0');

-- The key of an event of that time: see `FoldKey::at`.
create function fill.fold_key(at timestamptz, tie text) returns uuid
    language sql immutable
    return (
        lpad(to_hex((((extract(epoch from at) * 1000000)::bigint - 1420070400000000 + 1) / 512) << 21), 16, '0')
        || left(md5(tie), 16)
    )::uuid;

-- Indexes are recreated at the end from their definitions, which is much faster than inserting
-- into them.
create table fill.index_to_make as
select
    index.indrelid::regclass as indexed,
    index.indexrelid::regclass::text as name,
    own_constraint.conname as key,
    pg_get_constraintdef(own_constraint.oid) as key_definition,
    -- Else the index would not be created on partitions.
    replace(pg_get_indexdef(index.indexrelid), ' ON ONLY ', ' ON ') as definition,
    indexed.relkind = 'p' as is_partitioned
from pg_index as index
join pg_class as indexed on indexed.oid = index.indrelid
left join pg_constraint as own_constraint
    on own_constraint.conindid = index.indexrelid and own_constraint.conrelid = index.indrelid
where indexed.relnamespace = 'public'::regnamespace
    and not indexed.relispartition
    and indexed.relname not in ('_sqlx_migrations', 'organization');

do $$
declare
    made record;
begin
    for made in select * from fill.index_to_make loop
        if made.key is null then
            execute format('drop index %s', made.name);
        else
            execute format('alter table %s drop constraint %I', made.indexed, made.key);
        end if;
    end loop;
end
$$;

truncate message;

create table fill.span as
select
    date_trunc('hour', now()) - interval '60 days' as since,
    interval '60 days' / :messages as step,
    -- One of so many messages is part of a broadcast.
    :messages / :logs as campaign_every;

create table fill.organization as
select place, organization_id, (number_organizations(array[organization_id]))[1] as organization
from (
    select place, fill.id('organization', place) as organization_id
    from generate_series(0, 9) as place
) as own;

create table fill.numbered_room as
select
    number,
    own.organization,
    own.organization_id,
    fill.id('room', number) as room_id,
    fill.id('contact', number) as contact_id,
    fill.id('participant', number) as participant_id,
    fill.id('agent', place * 1000
        + fill.chance(1, number, case place when 0 then 200 else 5 end)) as agent_id,
    fill.id('bot', place) as bot_id,
    fill.id('integration', place * 10 + fill.chance(2, number, 3)) as integration_id,
    (array['Siti Rahmawati', 'Budi Santoso', 'Dewi Lestari', 'Agus Setiawan', 'Putri Wulandari',
        'Rizky Pratama', 'Nur Aini', 'Joko Susilo'])[1 + number % 8]
        || case when number % 5003 = 7 then ' 🌸' else '' end as name,
    case
        when fill.chance(3, number, 100) < 88 then 'wa_cloud'
        when fill.chance(3, number, 100) < 95 then 'ig'
        when fill.chance(4, number, 100) < 95 then 'web_chat'
        else 'telegram'
    end as channel
from (
    select
        number,
        case
            when number % 10 <> 0 then 0
            when number % 10000 = 500 then 9
            else 1 + number / 10 % 8
        end as place
    from generate_series(0, :rooms - 1) as number
) as room
join fill.organization as own using (place);

commit;
analyze fill.numbered_room;
