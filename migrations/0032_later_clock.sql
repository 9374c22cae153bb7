-- The clock of a room is the latest time of its snapshots and messages, and one that is ahead of its
-- receipt counts as its receipt. Fields of messages have the value of the newest event that contains
-- them, as those of rooms; before, contradicting values were decided by the alphabet.
--
-- Rows that were written before keep their values until a later event or a replay.

-- Fold keys had 52 bits for the clock, 52 for the earlier time, 3 for the rank of the status and 21
-- for the hash, and no place for agents, tags, session and unread messages. The first 43 bits are the
-- same now. Clocks of the future are those of senders that label local time as UTC.
create function pg_temp.converted(key uuid)
    returns uuid
    language sql immutable
as $$
    select (lpad(to_hex(substring(bits from 1 for 64)::bigint), 16, '0')
        || lpad(to_hex(substring(bits from 65)::bigint), 16, '0'))::uuid
    from (
        select
            (least(clock, latest) >> 9)::bit(43)
                || (4294967295 - least((clock - earlier) >> 9, 4294967295))::bit(32)
                || rank || repeat('0', 50)::bit(50) as bits
        from (
            select
                substring(bits from 1 for 52)::bigint as clock,
                substring(bits from 53 for 52)::bigint as earlier,
                substring(bits from 105 for 3)::bit(3) as rank,
                (extract(epoch from now()) * 1000000)::bigint - 1420070400000000 as latest
            from (
                select ('x' || replace(key::text, '-', ''))::bit(128) as bits
            ) as old
        ) as parts
    ) as new
    where key <> '00000000-0000-0000-0000-000000000000'
    union all
    select key
    where key = '00000000-0000-0000-0000-000000000000'
$$;

update room
set key = pg_temp.converted(key),
    keys = (
        select array_agg(pg_temp.converted(lagging) order by place)
        from unnest(keys) with ordinality as t (lagging, place)
    ),
    session_at = least(session_at, date_trunc('second', now())),
    clock = least(
        greatest(
            clock, last_message_at, session_at,
            (select max(at) from message
                where message.room_id = room.room_id
                    and message.organization_id = room.organization_id)
        ),
        now()
    );

update sender
set keys = (
    select array_agg(pg_temp.converted(key) order by place)
    from unnest(keys) with ordinality as t (key, place)
);

alter table room
    drop column activity_at,
    drop column activity_slot;
alter table room
    add column activity_at timestamptz not null generated always as
        (coalesce(clock, created_at, received_at)) stored,
    add column activity_slot timestamptz not null generated always as
        (activity_slot(coalesce(clock, created_at, received_at))) stored;

create index room_by_activity on room (activity_slot, session_hour);
create index room_by_organization on room (organization_id, activity_slot, session_hour);

comment on column room.clock is 'Latest time of its snapshots and messages, each at most five minutes after its receipt.';
comment on column room.session_at is 'Last message of the customer: start of the 24-hour window. At most five minutes after its receipt.';
comment on column room.resolved_at is 'When it was last resolved; 1970 if the newest snapshot that tells says that it is open. Meaningful while status is resolved.';
comment on column room.resolved_by_id is 'Who resolved it; empty if the newest snapshot that tells says nobody. Meaningful while status is resolved.';
comment on column room.resolved_by_type is 'Kind of resolved_by_id; empty as resolved_by_id is. Meaningful while status is resolved.';
comment on column room.key is 'Fold key of the newest snapshot. A key sorts by clock, earlier time, rank of the status, number of agents, number of tags, session_at, unread_count, SHA-256 of the body.';
comment on column room.activity_at is 'What lists are sorted by: the latest known activity.';
comment on column room.activity_slot is 'Its minute, by which lists find their rooms before they sort them.';
comment on column sender.keys is 'Fold key (clock of the message, SHA-256 of the body) of the message that said each field, in the order of the columns type to avatar.';

create function later(
    old anyelement, old_clock timestamptz, new anyelement, new_clock timestamptz
)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new is null then old
        when old is null or old_clock < new_clock then new
        when old_clock = new_clock then greatest(old, new)
        else old
    end
$$;

comment on function later(anyelement, timestamptz, anyelement, timestamptz) is 'The value with the later clock; a null loses to any value.';

create function lagging(
    old anyelement, old_clock timestamptz, new anyelement, new_clock timestamptz,
    clock timestamptz
)
    returns timestamptz
    language sql immutable parallel safe
as $$
    select nullif(
        greatest(
            case when old is not null then old_clock end,
            case when new is not null then new_clock end
        ),
        clock
    )
$$;

comment on function lagging(anyelement, timestamptz, anyelement, timestamptz, timestamptz) is 'The clock of a field after a merge, if it is not the one of its row.';

alter table broadcast_log
    add column clock  timestamptz not null default 'epoch',
    add column fields integer     not null default 0,
    add column clocks timestamptz[];

comment on column broadcast_log.clock is 'Latest time of WhatsApp in its newest event, or else created_at. 1970 if it had neither.';
comment on column broadcast_log.fields is 'Which fields are known, a bit each: broadcast_id, template_id, channel_integration_id, contact_phone_number, contact_full_name, billable, pricing_category, pricing_model, conversation_id, conversation_origin, is_pacing, messages.';
comment on column broadcast_log.clocks is 'Clock of the event that said a field, for each field that the newest one lacks, in the order of column fields. Null if it lacks none.';

update broadcast_log
set fields =
    (broadcast_id is not null)::int
    | ((template_id is not null)::int << 1)
    | ((channel_integration_id is not null)::int << 2)
    | ((contact_phone_number is not null)::int << 3)
    | ((contact_full_name is not null)::int << 4)
    | ((billable is not null)::int << 5)
    | ((pricing_category is not null)::int << 6)
    | ((pricing_model is not null)::int << 7)
    | ((conversation_id is not null)::int << 8)
    | ((conversation_origin is not null)::int << 9)
    | ((is_pacing is not null)::int << 10)
    | ((messages is not null)::int << 11);

drop trigger count_updated on message;
alter table message
    drop column at;
alter table message
    add column clock  timestamptz not null default 'epoch',
    add column fields integer     not null default 0,
    add column clocks timestamptz[],
    add column at     timestamptz not null generated always as (
        case
            when created_at - received_at > interval '5 minutes' then received_at
            else coalesce(created_at, channel_at, received_at)
        end
    ) stored;

create index message_by_room on message (room_id, at);
create index message_by_time on message (hashtext(organization_id), at);
create index message_failed on message (hashtext(organization_id), at)
    where failed_seen_at is not null;

comment on column message.clock is 'Clock of its newest event: that of the room in the same body, or else created_at. 1970 if only rooms contained it.';
comment on column message.fields is 'Which fields are known, a bit each: room_id, type, participant_type, participant_id, sender_type, sender_id, external_id, channel, channel_integration_id, broadcast_id, file_uniq_id, is_campaign, review_star, file, reply, buttons, raw_message.';
comment on column message.clocks is 'Clock of the event that said a field, for each field that the newest one lacks, in the order of column fields. Null if it lacks none.';
comment on column message.at is 'What conversations are sorted by: created_at, or the receipt if it is more than five minutes earlier.';
comment on column message.text_rank is 'Orders texts, and the greatest wins: embedded in a room, sent, edited, each by clock.';

update message
set fields =
    (room_id is not null)::int
    | ((type is not null)::int << 1)
    | ((participant_type is not null)::int << 2)
    | ((participant_id is not null)::int << 3)
    | ((sender_type is not null)::int << 4)
    | ((sender_id is not null)::int << 5)
    | ((external_id is not null)::int << 6)
    | ((channel is not null)::int << 7)
    | ((channel_integration_id is not null)::int << 8)
    | ((broadcast_id is not null)::int << 9)
    | ((file_uniq_id is not null)::int << 10)
    | ((is_campaign is not null)::int << 11)
    | ((review_star is not null)::int << 12)
    | ((file is not null)::int << 13)
    | ((reply is not null)::int << 14)
    | ((buttons is not null)::int << 15)
    | ((raw_message is not null)::int << 16),
    -- Edited texts were ordered by the id of their event; any later one wins over them.
    text_rank = case
        when text_rank > '00000000-0000-0000-0000-000000000001'
            then '02000000-0000-0000-0000-000000000000'
        else text_rank
    end;

truncate message_count;
insert into message_count (organization_id, hour, channel, participant_type, session, count)
select
    organization_id, hour_of(at), coalesce(channel, ''), coalesce(participant_type, ''), 0, count(*)
from message
group by 1, 2, 3, 4;
create trigger count_updated after update on message
    for each row
    when (
        coalesce(old.channel, '') <> coalesce(new.channel, '')
        or coalesce(old.participant_type, '') <> coalesce(new.participant_type, '')
        or old.at <> new.at and hour_of(old.at) <> hour_of(new.at)
    )
    execute function count_messages();
