-- The journal, with the batches of the stream and the ledger.

begin;
set local work_mem = '256MB';
set local timezone = 'UTC';
set local client_min_messages = warning;

-- Avoids WAL: see rooms.sql.
truncate event, batch, ledger, facet;

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
    day, event_id, received_at, endpoint, kind, name, organization, subject_id, outcome, reasons,
    dedup_key, deliveries, body, parser_version, request_id
)
select
    received_at::date,
    (lpad(to_hex((extract(epoch from received_at) * 1000)::bigint), 12, '0') || '7'
        || substr(tie, 1, 3) || '8' || substr(tie, 4, 15))::uuid,
    received_at, case when fill.chance(35, n, 2000) = 0 then 'test' else 'qontak' end, kind::event_kind,
    case
        when kind <> 'room_updated' then null
        when fill.chance(36, n, 100) = 0 then 'conversation_changed'
        else ''
    end,
    case when outcome in ('applied', 'recorded') then organization else 0 end,
    case
        when outcome not in ('applied', 'recorded') then null
        when kind ~ '^room|^agent' then room_id
        else fill.id('message', message)
    end,
    outcome::event_outcome,
    case outcome
        when 'quarantined' then array['missing_subject_id: id: expected the message''s id, text']
        when 'malformed' then array['unparsable: EOF while parsing a string at line 12 column 31']
    end,
    sha256(convert_to(tie, 'UTF8')),
    1 + (fill.chance(31, n, 20) = 0)::integer,
    convert_to(
        '{"id": "' || fill.id('message', message) || '", "room_id": "' || room_id
            || '", "data_event": "' || kind || '", "text": "Halo Kak, masih ada?"}',
        'UTF8'
    ),
    2, md5('request' || n)::uuid::text
from (
    select
        n, first + n * (until - first) / events as received_at, md5('event' || n) as tie,
        -- The message of that time.
        (
            extract(epoch from first + n * (until - first) / events - since)
            / extract(epoch from step)
        )::bigint as message,
        (n * :rooms / events + fill.chance(32, n, :rooms / 10)) % :rooms as number,
        (array[
            'status_message', 'receive_message_from_customer', 'receive_message_from_agent',
            'broadcast_log_status', 'room_updated', 'agent_assigned_to_room', 'room_resolved',
            'room_created', 'available_user_status', 'agent_handover_room'
        ])[1 + width_bucket(
            fill.chance(33, n, 10000),
            array[4500, 6500, 8000, 9200, 9600, 9800, 9890, 9980, 9998]::bigint[]
        )] as kind,
        case
            when fill.chance(34, n, 10000) = 0 then 'malformed'
            when fill.chance(34, n, 10000) < 10 then 'quarantined'
            when fill.chance(33, n, 10000) between 9980 and 9997 then 'recorded'
            else 'applied'
        end as outcome
    from generate_series(0::bigint, :messages / 10 - 1) as n
    cross join (
        select
            since, step, :messages / 10 as events,
            date_trunc('day', now()) - interval '6 days' as first,
            date_trunc('hour', now()) as until
        from fill.span
    ) as week
) as event
join fill.numbered_room using (number)
order by n;

-- Ids of transactions that are over in any cluster.
insert into batch (xid, at, event_ids)
select (3 + place)::text::xid8, max(received_at), array_agg(event_id order by day, event_id)
from (
    select *, ntile(500) over (order by day, event_id) as place
    from event
    where outcome = 'applied'
) as event
group by place;

insert into facet (organization_id, name, value)
select organization_id, name, value
from (
    select distinct organization_id, 'agent' as name, agent_id as value from fill.numbered_room
    union
    select organization_id, 'channel', channel from fill.numbered_room
    union
    select organization_id, 'channel_integration', integration_id from fill.numbered_room
    union
    select organization_id, 'tag', tag
    from fill.numbered_room
    cross join unnest(array['hukum', 'komplain', 'pelanggan lama', 'vip']) as tag
    union
    select organization_id(organization), 'event_kind', kind::text from event where kind is not null
    union
    select organization_id(organization), 'event_name', name_sent(name, kind)
    from event
    where name_sent(name, kind) is not null
) as occurring;

insert into facet (organization_id, name, value, last_on)
select distinct organization_id, 'sender', sender_id, current_date
from fill.numbered_room
cross join lateral (values (agent_id), (bot_id)) as own (sender_id);

update facet
set channel = 'wa_cloud'
where name = 'channel_integration';

-- As after the rows of all writers are merged.
insert into ledger (
    hour, organization_id, writer_id, received, applied, recorded, quarantined, malformed, duplicate
)
select hour, organization_id, '00000000-0000-0000-0000-000000000000', 1111, 1000, 50, 9, 2, 50
from fill.span
cross join generate_series(since, date_trunc('hour', now()), interval '1 hour') as hour
cross join (select distinct organization_id from fill.numbered_room) as organization;

insert into reconciliation (
    day, kind, organization_id, fetched, missing, changed, checked_at
)
select day, kind, organization_id, 1000, 2, 3, now()
from fill.span
cross join generate_series(since::date, now()::date, interval '1 day') as day
cross join unnest(array['room', 'message', 'broadcast_log', 'broadcast']) as kind
cross join (select distinct organization_id from fill.numbered_room) as organization;

insert into catalog (organization_id, kind, id, name, data, synced_at)
select
    organization_id, kind, md5(kind || organization_id || number), kind || ' ' || number,
    '{"role": "agent"}', now()
from (select distinct organization_id from fill.numbered_room) as organization
cross join unnest(array['agent', 'template', 'channel', 'division', 'contact_list']) as kind
cross join generate_series(1, 20) as number;

-- Each agent goes on and off twenty times; each template was approved.
insert into catalog_state (organization_id, kind, id, event_id, at, data)
select
    organization_id, kind, id, gen_random_uuid(), now() - number * interval '1 hour',
    case kind
        when 'agent' then jsonb_build_object('is_online', number % 2 = 1)
        else '{"status": "APPROVED"}'
    end
from catalog
cross join generate_series(1, 40) as number
where kind in ('agent', 'template');

commit;
