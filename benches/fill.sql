-- Fills a database with months of traffic, for benches and for tests of plans:
--
--   psql -v messages=10000000 -v rooms=200000 -v logs=2000000 -v broadcasts=200 -f benches/fill.sql
--
-- The database has all migrations and no rows. `messages` is a multiple of `logs`, and there are two
-- broadcasts or more. Nothing is left to chance: the same numbers give the same rows, only their
-- times follow the clock. There are no commands of psql in it, so a test can send it too. The
-- indexes are to follow, by `fill-indexes.sql`.
--
-- Who is there: an organisation with 9 of 10 rooms and all broadcasts, eight with about 1 of 100
-- each, and one with 1 room in 10,000. Room 1 has 16 of 1,000 messages (10,000 pages of 16), about
-- 1 of 1,000 rooms have thousands each, and the others live for some six of the sixty days. The
-- first broadcast has 1 of 20 logs. The journal holds a tenth as many events as there are
-- messages, of the last seven days.

begin;
-- Nobody else is here: what is made may be large, and a plan may take its time.
set local maintenance_work_mem = '1GB';
set local work_mem = '256MB';
set local timezone = 'UTC';
set local client_min_messages = warning;
-- What triggers would count is counted below, at once.
set local session_replication_role = replica;

-- A number below `below`, the same each time for the `n`th of `what`.
create function pg_temp.chance(what integer, n bigint, below bigint) returns bigint
    language sql immutable
    return (hashint8extended(n, what) & 9223372036854775807) % below;

create function pg_temp.id(what text, n bigint) returns text
    language sql immutable
    return md5(what || n::text)::uuid::text;

-- Another one for each `n` below 100 million, as if their digits were a matter of chance.
create function pg_temp.phone(n bigint) returns text
    language sql immutable
    return '62812' || lpad((n * 61803399 % 100000000)::text, 8, '0');

-- A fold key of a snapshot taken at that time: see `FoldKey`.
create function pg_temp.fold_key(at timestamptz, tie text) returns uuid
    language sql immutable
    return (
        repeat(lpad(to_hex((extract(epoch from at) * 1000000)::bigint - 1420070400000000 + 1), 13, '0'), 2)
        || substr(md5(tie), 1, 6)
    )::uuid;

-- Indexes are made at the end, as the catalog describes them: to sort once is a fraction of the
-- work of ten million searches. `fill-indexes.sql` does it.
create table index_to_make as
select
    index.indrelid::regclass as indexed,
    index.indexrelid::regclass::text as name,
    own_constraint.conname as key,
    pg_get_constraintdef(own_constraint.oid) as key_definition,
    -- Of a partitioned table it would be made for the parent alone.
    replace(pg_get_indexdef(index.indexrelid), ' ON ONLY ', ' ON ') as definition,
    indexed.relkind = 'p' as is_partitioned,
    method.amname as method
from pg_index as index
join pg_class as indexed on indexed.oid = index.indrelid
join pg_class as own on own.oid = index.indexrelid
join pg_am as method on method.oid = own.relam
left join pg_constraint as own_constraint
    on own_constraint.conindid = index.indexrelid and own_constraint.conrelid = index.indrelid
where indexed.relnamespace = 'public'::regnamespace
    and not indexed.relispartition
    and indexed.relname <> '_sqlx_migrations';

do $$
declare
    made record;
begin
    for made in select * from index_to_make loop
        if made.key is null then
            execute format('drop index %s', made.name);
        else
            execute format('alter table %s drop constraint %I', made.indexed, made.key);
        end if;
    end loop;
end
$$;

-- What is written into a table that was emptied by the same transaction needs no WAL where
-- wal_level is minimal.
truncate
    event, batch, ledger, room, room_event, message, message_count, sender, broadcast, broadcast_log,
    broadcast_count;

-- --- who there is ----------------------------------------------------------------

create temp table span on commit drop as
select
    date_trunc('hour', now()) - interval '60 days' as since,
    interval '60 days' / :messages as step,
    -- Every so many messages one is a broadcast's.
    :messages / :logs as campaign_every;

create temp table numbered_room on commit drop as
select
    number,
    organization,
    pg_temp.id('organization', organization) as organization_id,
    pg_temp.id('room', number) as room_id,
    pg_temp.id('contact', number) as contact_id,
    pg_temp.id('participant', number) as participant_id,
    pg_temp.id('agent', organization * 1000
        + pg_temp.chance(1, number, case organization when 0 then 200 else 5 end)) as agent_id,
    pg_temp.id('bot', organization) as bot_id,
    pg_temp.id('integration', organization * 10 + pg_temp.chance(2, number, 3)) as integration_id,
    (array['Siti Rahmawati', 'Budi Santoso', 'Dewi Lestari', 'Agus Setiawan', 'Putri Wulandari',
        'Rizky Pratama', 'Nur Aini', 'Joko Susilo'])[1 + number % 8] as name,
    case
        when pg_temp.chance(3, number, 100) < 88 then 'wa_cloud'
        when pg_temp.chance(3, number, 100) < 95 then 'ig'
        when pg_temp.chance(4, number, 100) < 95 then 'web_chat'
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

-- --- messages, in the order of time ------------------------------------------------

insert into message (
    organization_id, message_id, room_id, received_at, created_at, type, participant_type,
    participant_id, sender_type, sender_id, text, text_rank, external_id, channel,
    channel_integration_id, broadcast_id, is_campaign, is_edited, file, created_seen_at,
    sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
)
select
    organization_id,
    pg_temp.id('message', n),
    room_id,
    at + interval '0.4 s',
    at,
    case when has_file then 'image' else 'text' end,
    (array['customer', 'agent', 'bot'])[author],
    case when author < 3 then participant_id end,
    (array['Models::Contact', 'Models::User', 'Models::SystemAccount'])[author],
    case author when 1 then contact_id when 2 then agent_id else bot_id end,
    case case when n % 20011 = 7 then 0 else author end
        -- Something to search for.
        when 0 then 'Ini nomor resinya Kak: CGK' || n
        when 1 then (array[
            'Halo Kak, kemeja batik ukuran L masih ada?',
            'Kalau dikirim hari ini, sampai Bandung kapan ya?',
            'Baik Kak, saya ambil dua yang warna cokelat.',
            'ok',
            'Paketnya sudah sampai, tapi satu kancingnya lepas. Bisa ditukar tidak?',
            'Terima kasih banyak ya Kak 😊'
        ])[1 + pg_temp.chance(5, n, 6)]
        when 2 then (array[
            'Selamat siang Kak, masih ada. Mau warna cokelat atau biru?',
            'Kalau pesan sebelum jam 15.00, paket dikirim hari ini juga.',
            'Siap Kak, totalnya Rp370.000 sudah termasuk ongkir.',
            'Mohon maaf atas ketidaknyamanannya Kak. Silakan kirim kembali, ongkirnya kami ganti.',
            'Sama-sama Kak, ditunggu pesanan berikutnya!'
        ])[1 + pg_temp.chance(5, n, 5)]
        else (array[
            'Halo Kak! Diskon 25% untuk semua batik sampai akhir bulan. Balas STOP untuk berhenti.',
            'Terima kasih sudah menghubungi Toko Maju. Admin kami segera membalas.'
        ])[case when is_campaign then 1 else 2 end]
    end,
    '00000000-0000-0000-0000-000000000001',
    'wamid.HBgNNjI4MTIw' || md5('wamid' || n),
    channel,
    integration_id,
    case when is_campaign then pg_temp.id('broadcast', broadcast) end,
    is_campaign,
    false,
    case when has_file then
        '{"filename": "foto.jpg", "url": "https://cdn.example.com/uploads/foto.jpg", "size": 184231}'::jsonb
    end,
    at + interval '0.4 s',
    case when author > 1 then at + interval '1.2 s' end,
    case when author > 1 and fate < 93 then at + interval '1 s' * (2 + pg_temp.chance(6, n, 90)) end,
    case when author > 1 and fate < 68 then at + interval '1 s' * (92 + pg_temp.chance(7, n, 9000)) end,
    case when author > 1 and fate >= 98 then at + interval '3 s' end
from (
    select
        n,
        since + n * step as at,
        n % campaign_every = 0 as is_campaign,
        case
            when n % campaign_every = 0 then 3
            when pg_temp.chance(8, n, 100) < 50 then 1
            when pg_temp.chance(8, n, 100) < 85 then 2
            else 3
        end as author,
        pg_temp.chance(9, n, 100) as fate,
        n % campaign_every <> 0 and pg_temp.chance(10, n, 40) = 0 as has_file,
        -- The first has a twentieth of them, the others share the rest.
        case
            when n / campaign_every < :logs / 20 then 0
            else 1 + (n / campaign_every - :logs / 20) % (:broadcasts - 1)
        end as broadcast,
        case
            -- To contacts of the large organisation only, which have no 0 at their end.
            when n % campaign_every = 0
                then pg_temp.chance(11, n, :rooms / 10) * 10 + 1 + pg_temp.chance(12, n, 9)
            when pg_temp.chance(13, n, 1000) < 20 then 1
            when pg_temp.chance(13, n, 1000) < 120 then pg_temp.chance(11, n, :rooms / 1000 + 2)
            else (n * :rooms / :messages + pg_temp.chance(11, n, :rooms / 10)) % :rooms
        end as number
    from (select generate_series(0::bigint, :messages - 1) as n) as message
    cross join span
) as message
join numbered_room using (number);

insert into message_count (organization_id, hour, channel, participant_type, session, count)
select organization_id, hour_of(at), channel, participant_type, 0, count(*)
from message
group by 1, 2, 3, 4;

-- --- broadcasts --------------------------------------------------------------------

insert into broadcast_log (
    organization_id, log_id, broadcast_id, received_at, created_at, template_id,
    channel_integration_id, contact_phone_number, contact_full_name, whatsapp_message_id,
    error_code, error_title, error_message, billable, pricing_category, pricing_model,
    conversation_origin, is_pacing, messages, sent_at, delivered_at, read_at, failed_at,
    created_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
)
select
    message.organization_id,
    md5('log' || message_id)::uuid::text,
    broadcast_id,
    message.received_at,
    message.created_at,
    md5('template' || broadcast_id)::uuid::text,
    channel_integration_id,
    pg_temp.phone(number),
    room.name,
    external_id,
    (array[131026, 131026, 131049, 131049, 130472])[failed],
    (array['Message undeliverable', 'Message undeliverable',
        'This message was not delivered to maintain healthy ecosystem engagement.',
        'This message was not delivered to maintain healthy ecosystem engagement.',
        'User''s number is part of an experiment'])[failed],
    case when failed is null then 'n/a' else 'failed' end,
    failed is null,
    case when number % 10 < 9 then 'marketing' else 'utility' end,
    'PMP',
    case when number % 10 < 9 then 'marketing' else 'utility' end,
    false,
    '{"body": {"type": "body", "template": "Halo {{1}}, diskon {{2}} untuk semua batik.", "parameters": {"1": "Budi", "2": "25%"}}}'::jsonb,
    date_trunc('second', sent_seen_at),
    date_trunc('second', delivered_seen_at),
    date_trunc('second', read_seen_at),
    date_trunc('second', failed_seen_at),
    created_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
from (
    select *, case when failed_seen_at is not null then 1 + abs(hashtext(message_id)) % 5 end as failed
    from message
    where is_campaign
) as message
join numbered_room as room using (room_id);

insert into broadcast (
    organization_id, broadcast_id, received_at, created_at, name, template_id,
    channel_integration_id
)
select
    organization_id, broadcast_id, min(received_at), min(created_at), 'Promo Gajian',
    max(template_id), max(channel_integration_id)
from broadcast_log
group by organization_id, broadcast_id;

insert into broadcast_count (organization_id, broadcast_id, status, session, count)
select organization_id, broadcast_id, status, 0, count(*)
from broadcast_log
group by organization_id, broadcast_id, status;

-- --- rooms -------------------------------------------------------------------------

create temp table activity on commit drop as
select room_id, min(created_at) as since, max(created_at) as until
from message
group by room_id;

insert into room (
    organization_id, room_id, received_at, clock, name, description, status, type, tags, channel,
    channel_account, account_uniq_id, channel_integration_id, session_at, unread_count, created_at,
    updated_at, last_message_at, last_activity_at, avatar, resolved_at, resolved_by_id,
    resolved_by_type, external_id, agent_ids, extra, is_dont_auto_resolve, is_blocked,
    is_unresponded, key, fields, key_fields
)
select
    organization_id, room_id, since, until, name, '', status, 'Models::CustomerServiceRoom', tags,
    channel, ' Toko Maju', pg_temp.phone(number), integration_id, until,
    case when status = 'unassigned' then 1 + number % 5 else 0 end, since, until, until, until,
    jsonb_build_object('url', 'https://cdn.example.com/avatars/' || contact_id || '.png'),
    resolved_at, case when resolved_at is not null then agent_id end,
    case when resolved_at is not null then 'Models::User' end,
    '', agent_ids, '{"is_participant_online": false}', false, false, status = 'unassigned',
    pg_temp.fold_key(until, room_id), fields, fields
from (
    select
        *,
        case when status = 'resolved' then until end as resolved_at,
        case when status in ('resolved', 'assigned') then array[agent_id] end as agent_ids,
        -- A bit for each field that is known, `name` the lowest: see `Room::fields`.
        b'0111010001000111111101101111111'::integer
            | case when status = 'resolved' then 7 << 18 else 0 end
            | case when status in ('resolved', 'assigned') then 1 << 23 else 0 end as fields
    from (
        select
            room.*, since, until,
            case
                when pg_temp.chance(20, number, 10000) = 0 then 'deleted'
                when until < now() - interval '4 days' and pg_temp.chance(21, number, 100) < 95
                    then 'resolved'
                when pg_temp.chance(22, number, 100) < 20 then 'resolved'
                when pg_temp.chance(22, number, 100) < 60 then 'assigned'
                when pg_temp.chance(22, number, 100) < 85 then 'unassigned'
                else 'campaign'
            end as status,
            case
                when pg_temp.chance(23, number, 500) = 0 then array['hukum']
                when pg_temp.chance(24, number, 100) < 3 then array['vip', 'komplain']
                when pg_temp.chance(24, number, 100) < 20 then array['pelanggan lama']
                else '{}'
            end as tags
        from numbered_room as room
        join activity using (room_id)
    ) as room
) as room;

insert into sender (organization_id, sender_id, type, name, username, avatar, keys)
select
    organization_id, sender_id, type, name, username,
    case when type <> 'bot' then
        jsonb_build_object('url', 'https://cdn.example.com/avatars/' || sender_id || '.png')
    end,
    array[
        key, key, case when username is not null then key end, case when type <> 'bot' then key end
    ]
from (
    select organization_id, contact_id as sender_id, 'customer' as type, name, null as username
    from numbered_room
    union all
    select organization_id, agent_id, 'agent', 'Agen ' || left(agent_id, 4), 'agen' || left(agent_id, 4)
    from numbered_room
    group by organization_id, agent_id
    union all
    select distinct organization_id, bot_id, 'bot', 'Bot Toko Maju', null
    from numbered_room
) as sender
cross join (select pg_temp.fold_key(now(), 'sender') as key) as newest;

insert into room_event (
    organization_id, room_id, type, mark, at, actor_id, actor_name, event_id, received_at
)
select
    organization_id, room_id, type, at || ' ' || agent_id, at,
    case when type <> 'created' then agent_id end,
    case when type <> 'created' then 'Agen ' || left(agent_id, 4) end,
    md5(type || room_id)::uuid, at
from (
    select numbered_room.*, type,
        case type when 'created' then since when 'assigned' then since + interval '5 s' else until end as at
    from numbered_room
    join activity using (room_id)
    cross join unnest(array['created', 'assigned', 'resolved']) as type
) as happened;

-- --- the journal -------------------------------------------------------------------

do $$
begin
    for ago in 0..6 loop
        execute format(
            'create table if not exists %I partition of event for values from (%L) to (%L)',
            to_char(current_date - ago, '"event_"YYYYMMDD'), current_date - ago, current_date - ago + 1
        );
    end loop;
end
$$;

insert into event (
    day, event_id, received_at, endpoint, kind, name, organization_id, subject_id, outcome, reasons,
    dedup_key, deliveries, body, parser_version, request_id
)
select
    received_at::date,
    (lpad(to_hex((extract(epoch from received_at) * 1000)::bigint), 12, '0') || '7'
        || substr(tie, 1, 3) || '8' || substr(tie, 4, 15))::uuid,
    received_at,
    'qontak',
    kind,
    nullif(kind, 'room_updated'),
    case when outcome in ('applied', 'recorded') then organization_id else '' end,
    case
        when outcome not in ('applied', 'recorded') then null
        when kind ~ '^room|^agent' then room_id
        else pg_temp.id('message', message)
    end,
    outcome,
    case outcome
        when 'quarantined' then array['missing_subject_id: id: expected the message''s id, text']
        when 'malformed' then array['unparsable: EOF while parsing a string at line 12 column 31']
        else '{}'
    end,
    sha256(convert_to(tie, 'UTF8')),
    1 + (pg_temp.chance(31, n, 20) = 0)::integer,
    convert_to(
        '{"id": "' || pg_temp.id('message', message) || '", "room_id": "' || room_id
            || '", "data_event": "' || kind || '", "text": "Halo Kak, masih ada?"}',
        'UTF8'
    ),
    2,
    md5('request' || n)::uuid::text
from (
    select
        n,
        first + n * (until - first) / events as received_at,
        md5('event' || n) as tie,
        -- The message that was there at that time.
        (
            extract(epoch from first + n * (until - first) / events - since)
            / extract(epoch from step)
        )::bigint as message,
        (n * :rooms / events + pg_temp.chance(32, n, :rooms / 10)) % :rooms as number,
        case
            when pg_temp.chance(33, n, 10000) < 4500 then 'status_message'
            when pg_temp.chance(33, n, 10000) < 6500 then 'receive_message_from_customer'
            when pg_temp.chance(33, n, 10000) < 8000 then 'receive_message_from_agent'
            when pg_temp.chance(33, n, 10000) < 9200 then 'broadcast_log_status'
            when pg_temp.chance(33, n, 10000) < 9600 then 'room_updated'
            when pg_temp.chance(33, n, 10000) < 9800 then 'agent_assigned_to_room'
            when pg_temp.chance(33, n, 10000) < 9890 then 'room_resolved'
            when pg_temp.chance(33, n, 10000) < 9980 then 'room_created'
            when pg_temp.chance(33, n, 10000) < 9998 then 'available_user_status'
            else 'agent_handover_room'
        end as kind,
        case
            when pg_temp.chance(34, n, 10000) = 0 then 'malformed'
            when pg_temp.chance(34, n, 10000) < 10 then 'quarantined'
            when pg_temp.chance(33, n, 10000) between 9980 and 9997 then 'recorded'
            else 'applied'
        end as outcome
    from generate_series(0::bigint, :messages / 10 - 1) as n
    cross join (
        select
            since, step, :messages / 10 as events,
            date_trunc('day', now()) - interval '6 days' as first,
            date_trunc('hour', now()) as until
        from span
    ) as week
) as event
join numbered_room using (number)
order by n;

-- By transactions that are over: any cluster has had more than these.
insert into batch (xid, at, event_ids)
select (3 + place)::text::xid8, max(received_at), array_agg(event_id order by day, event_id)
from (
    select *, ntile(500) over (order by day, event_id) as place
    from event
    where outcome = 'applied'
) as told
group by place;

-- As it is once the lines of all writers were merged.
insert into ledger (
    hour, organization_id, writer_id, received, applied, recorded, quarantined, malformed, duplicate
)
select hour, organization_id, '00000000-0000-0000-0000-000000000000', 1111, 1000, 50, 9, 2, 50
from span
cross join generate_series(since, date_trunc('hour', now()), interval '1 hour') as hour
cross join (select distinct organization_id from numbered_room) as organization;

commit;
