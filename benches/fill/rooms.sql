-- Derived from messages: counts, broadcasts, rooms, senders.

begin;
set local work_mem = '256MB';
set local timezone = 'UTC';
-- No triggers: counts are computed here at once.
set local session_replication_role = replica;

-- With wal_level = minimal, rows of a table truncated in the same transaction need no WAL.
truncate message_count, message_channel_id, broadcast, broadcast_log, broadcast_count, recipient_count, room, room_event,
    sender, room_word, resolution, response;

select rebuild_message_counts();

insert into message_channel_id (hash, organization, message_id)
select hashtextextended(external_id, 0), organization, message_id
from message
where external_id is not null;

insert into broadcast_log (
    organization, log_id, broadcast_id, received_at, created_at, template_id,
    channel_integration_id, contact_phone_number, contact_full_name, whatsapp_message_id,
    last_error_code, last_error_title, last_error_message, billable, pricing_category, pricing_model,
    conversation_origin, is_pacing, messages, sent_at, delivered_at, read_at, failed_at,
    created_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at,
    contact_phone_digits
)
select
    message.organization, md5('log' || message_id)::uuid::text, broadcast_id,
    message.received_at, message.created_at, md5('template' || broadcast_id)::uuid::text,
    channel_integration_id, fill.phone(number), room.name, external_id,
    (array[131026, 131026, 131049, 131049, 130472])[failed],
    (array['Message undeliverable', 'Message undeliverable',
        'This message was not delivered to maintain healthy ecosystem engagement.',
        'This message was not delivered to maintain healthy ecosystem engagement.',
        'User''s number is part of an experiment'])[failed],
    case when failed is null then 'n/a' else 'failed' end, failed is null,
    category, 'PMP', category, false,
    '{"body": {"type": "body", "template": "Halo {{1}}, diskon {{2}} untuk semua batik.", "parameters": {"1": "Budi", "2": "25%"}}}'::jsonb,
    date_trunc('second', sent_seen_at), date_trunc('second', delivered_seen_at),
    date_trunc('second', read_seen_at), date_trunc('second', failed_seen_at),
    created_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at,
    fill.phone(number)
from (
    select *, case when failed_seen_at is not null then 1 + abs(hashtext(message_id)) % 5 end as failed
    from message
    where is_campaign
) as message
join fill.numbered_room as room using (room_id)
cross join lateral (
    select case when number % 10 < 9 then 'marketing' else 'utility' end as category
) as pricing;

insert into broadcast (
    organization, broadcast_id, received_at, created_at, name, template_id,
    channel_integration_id
)
select
    organization, broadcast_id, min(received_at), min(created_at), 'Promo Gajian',
    max(template_id), max(channel_integration_id)
from broadcast_log
group by organization, broadcast_id;

insert into broadcast_count (organization, broadcast_id, statuses, session, count)
select organization, broadcast_id, statuses, 0, count(*)
from broadcast_log
group by organization, broadcast_id, statuses;

insert into recipient_count (
    organization, hour, session, count, sent, delivered, read, failed
)
select
    organization, hour_of(at), 0, count(*), count(sent_seen_at), count(delivered_seen_at),
    count(read_seen_at), count(*) filter (where status = 'failed')
from broadcast_log
group by 1, 2;

create temp table activity on commit drop as
select room_id, min(created_at) as since, max(created_at) as until
from message
group by room_id;

insert into room (
    organization, room_id, received_at, clock, name, description, status, type, tags, channel,
    channel_account, account_uniq_id, channel_integration_id, session_at, unread_count, created_at,
    updated_at, last_message_at, last_activity_at, avatar, resolved_at, resolved_by_id,
    resolved_by_type, external_id, agent_ids, extra, is_dont_auto_resolve, is_blocked,
    is_unresponded, key, fields, account_normalized, activity_at, activity_slot, session_hour,
    is_untagged, is_without_agent
)
select
    organization, room_id, since, until, name, '', status, 'Models::CustomerServiceRoom', tags,
    channel, ' Toko Maju', fill.phone(number), integration_id, until,
    case when status = 'unassigned' then 1 + number % 5 else 0 end, since, until, until, until,
    jsonb_build_object('url', 'https://cdn.example.com/avatars/' || contact_id || '.png'),
    resolved_at, case when resolved_at is not null then agent_id end,
    case when resolved_at is not null then 'Models::User' end,
    '', agent_ids, '{"is_participant_online": false}', false,
    fill.chance(25, number, 2000) = 0, status = 'unassigned',
    fill.fold_key(until, room_id), fields, fill.phone(number), until, activity_slot(until),
    hour_of(until), tags = '{}',
    agent_ids is null and status <> 'assigned'
from (
    select
        *,
        case when status = 'resolved' then until end as resolved_at,
        case when status in ('resolved', 'assigned') then array[agent_id] end as agent_ids,
        -- A bit per known column: see function `merged_columns`.
        b'01110100010001111111011101111111'::bigint
            | case when status = 'resolved' then 7 << 19 else 0 end
            | case when status in ('resolved', 'assigned') then 1 << 24 else 0 end as fields
    from (
        select
            room.*, since, until,
            case
                when fill.chance(20, number, 10000) = 0 then 'deleted'
                when until < now() - interval '4 days' and fill.chance(21, number, 100) < 95
                    then 'resolved'
                when fill.chance(22, number, 100) < 20 then 'resolved'
                when fill.chance(22, number, 100) < 60 then 'assigned'
                when fill.chance(22, number, 100) < 85 then 'unassigned'
                else 'campaign'
            end as status,
            case
                when fill.chance(23, number, 500) = 0 then array['hukum']
                when fill.chance(24, number, 100) < 3 then array['vip', 'komplain']
                when fill.chance(24, number, 100) < 20 then array['pelanggan lama']
                else '{}'
            end as tags
        from fill.numbered_room as room
        join activity using (room_id)
    ) as room
) as room;

insert into sender (organization, sender_id, type, name, username, avatar, key, fields)
select
    organization, sender_id, type, name, username,
    case when type <> 'bot' then
        jsonb_build_object('url', 'https://cdn.example.com/avatars/' || sender_id || '.png')
    end,
    fill.fold_key(now(), sender_id), case type when 'agent' then 15 when 'customer' then 11 else 3 end
from (
    select organization, contact_id as sender_id, 'customer' as type, name, null as username
    from fill.numbered_room
    union all
    select organization, agent_id, 'agent', 'Agen ' || left(agent_id, 4), 'agen' || left(agent_id, 4)
    from fill.numbered_room
    group by organization, agent_id
    union all
    select distinct organization, bot_id, 'bot', 'Bot Toko Maju', null
    from fill.numbered_room
) as sender;

insert into room_event (
    organization, room_id, type, mark, at, actor_id, actor_name, event_id, received_at
)
select
    organization, room_id, type, at || ' ' || agent_id, at,
    case when type <> 'created' then agent_id end,
    case when type <> 'created' then 'Agen ' || left(agent_id, 4) end,
    md5(type || room_id)::uuid, at
from (
    select numbered_room.*, type,
        case type when 'created' then since when 'assigned' then since + interval '5 s' else until end as at
    from fill.numbered_room
    join activity using (room_id)
    cross join unnest(array['created', 'assigned', 'resolved']) as type
) as event;

insert into resolution (room_id, organization, at, is_reported, agent_id, channel)
select room_id, organization, resolved_at, true, resolved_by_id, channel
from room
where status = 'resolved';

select rebuild_responses();

-- In service they are inserted as they happen, so rows of one hour are side by side.
create temporary table happened on commit drop as select * from response;
truncate response;
insert into response select * from happened order by at;
create temporary table resolved on commit drop as select * from resolution;
truncate resolution;
insert into resolution select * from resolved order by at;

commit;
