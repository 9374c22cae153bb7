-- Fills a database with months of traffic, for benches and for tests of plans. This is the first
-- step; `scripts/bench-data.sh` takes all, two at a time where it can:
--
--   start.sql     whose traffic it is; indexes are gone until the end
--   messages.sql  in as many parts as one likes, with the numbers `part`, from 0 on, and `parts`
--   rooms.sql     and senders and broadcasts, which follow from messages
--   journal.sql
--   indexes.sql
--
-- The database has all migrations and no rows. Each step is told the numbers `messages` (a multiple
-- of `logs`), `rooms`, `logs` and `broadcasts` (two or more). Nothing is left to chance: the same
-- numbers give the same rows, only their times follow the clock. What the steps share is in the
-- schema `fill`. There are no commands of psql here, so a test can send it too.
--
-- Who is there: an organisation with 9 of 10 rooms and all broadcasts, eight with about 1 of 100
-- each, and one with 1 room in 10,000. Room 1 has 16 of 1,000 messages (10,000 pages of 16), about
-- 1 of 1,000 rooms have thousands each, and the others live for some six of the sixty days. The
-- first broadcast has 1 of 20 logs. The journal holds a tenth as many events as there are
-- messages, of the last seven days.

begin;
set local timezone = 'UTC';
set local client_min_messages = warning;

create schema fill;

-- A number below `below`, the same each time for the `n`th of `what`.
create function fill.chance(what integer, n bigint, below bigint) returns bigint
    language sql immutable
    return (hashint8extended(n, what) & 9223372036854775807) % below;

create function fill.id(what text, n bigint) returns text
    language sql immutable
    return md5(what || n::text)::uuid::text;

-- Another one for each `n` below 100 million, as if their digits were a matter of chance.
create function fill.phone(n bigint) returns text
    language sql immutable
    return '62812' || lpad((n * 61803399 % 100000000)::text, 8, '0');

-- A fold key of a snapshot taken at that time: see `FoldKey`.
create function fill.fold_key(at timestamptz, tie text) returns uuid
    language sql immutable
    return (
        repeat(lpad(to_hex((extract(epoch from at) * 1000000)::bigint - 1420070400000000 + 1), 13, '0'), 2)
        || substr(md5(tie), 1, 6)
    )::uuid;

-- Indexes are made at the end, as the catalog describes them: to sort once is a fraction of the
-- work of ten million searches.
create table fill.index_to_make as
select
    index.indrelid::regclass as indexed,
    index.indexrelid::regclass::text as name,
    own_constraint.conname as key,
    pg_get_constraintdef(own_constraint.oid) as key_definition,
    -- Of a partitioned table it would be made for the parent alone.
    replace(pg_get_indexdef(index.indexrelid), ' ON ONLY ', ' ON ') as definition,
    indexed.relkind = 'p' as is_partitioned
from pg_index as index
join pg_class as indexed on indexed.oid = index.indrelid
left join pg_constraint as own_constraint
    on own_constraint.conindid = index.indexrelid and own_constraint.conrelid = index.indrelid
where indexed.relnamespace = 'public'::regnamespace
    and not indexed.relispartition
    and indexed.relname <> '_sqlx_migrations';

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
    -- Every so many messages one is a broadcast's.
    :messages / :logs as campaign_every;

create table fill.numbered_room as
select
    number,
    organization,
    fill.id('organization', organization) as organization_id,
    fill.id('room', number) as room_id,
    fill.id('contact', number) as contact_id,
    fill.id('participant', number) as participant_id,
    fill.id('agent', organization * 1000
        + fill.chance(1, number, case organization when 0 then 200 else 5 end)) as agent_id,
    fill.id('bot', organization) as bot_id,
    fill.id('integration', organization * 10 + fill.chance(2, number, 3)) as integration_id,
    (array['Siti Rahmawati', 'Budi Santoso', 'Dewi Lestari', 'Agus Setiawan', 'Putri Wulandari',
        'Rizky Pratama', 'Nur Aini', 'Joko Susilo'])[1 + number % 8] as name,
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
        end as organization
    from generate_series(0, :rooms - 1) as number
) as room;

commit;
analyze fill.numbered_room;
