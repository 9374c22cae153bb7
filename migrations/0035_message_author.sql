-- Whose word is a message? Broadcasts, notices and reactions are nobody's: they neither ask nor
-- answer. So they are counted apart, and with all counts it is also counted which statuses outgoing
-- messages reached.
--
-- A message is counted at its own time, by the statuses that it has reached by now. A change of a
-- status moves counts, so what was a row trigger for rare corrections is one statement per batch:
-- the rows before and after it, summed up. Rows that reached nothing new cancel out.
create function author_of(
    sender_kind text, type text, is_campaign boolean, raw_message jsonb
)
    returns text
    language sql immutable parallel safe
    return case
        when lower(btrim(type)) = 'system' then 'notice'
        when lower(btrim(type)) = 'reaction' then 'reaction'
        when sender_kind = 'customer' then
            case raw_message #>> '{messages,0,type}'
                when 'system' then 'notice'
                when 'reaction' then 'reaction'
                else 'customer'
            end
        when is_campaign then 'campaign'
        when sender_kind in ('agent', 'bot') then sender_kind
        when sender_kind is null then ''
        else 'unknown'
    end;

comment on function author_of is 'Whose word a message is: customer, agent, bot, unknown (outgoing, of another sender); empty if its sender is not known; nobody''s: campaign, notice, reaction.';

-- Stored, because several statements of each batch ask for it. It is a function of what the row says
-- after all events, so their order cannot matter.
alter table message
    add column author text collate "C" not null generated always as
        (author_of(
            sender_kind_of(
                author_by_sender, direction_by_name,
                coalesce(
                    pending_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
                )
            ),
            type, is_campaign, raw_message
        )) stored;

comment on column message.author is 'Whose word it is: see function author_of.';

alter table message_count
    add column sent      bigint not null default 0,
    add column delivered bigint not null default 0,
    add column read      bigint not null default 0,
    add column failed    bigint not null default 0;

comment on column message_count.participant_type is 'Whose word it is: see function author_of.';
comment on column message_count.sent is 'How many of them were sent, delivered or read; 0 for incoming messages, notices and reactions.';
comment on column message_count.delivered is 'How many of them were delivered or read.';
comment on column message_count.read is 'How many of them were read.';
comment on column message_count.failed is 'How many of them failed and were neither delivered nor read.';

create function is_outgoing(author text)
    returns boolean
    language sql immutable parallel safe
    return author in ('agent', 'bot', 'campaign', 'unknown');

comment on function is_outgoing is 'Whether statuses of a message of this author tell of its delivery.';

drop trigger count_updated on message;

create or replace function count_messages() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate message_count;
    elsif tg_op = 'UPDATE' then
        insert into message_count (
            organization_id, hour, channel, participant_type, session, count, sent, delivered, read,
            failed
        )
        select
            organization_id, hour_of(at), coalesce(channel, ''), author, pg_backend_pid(),
            sum(change), sum(change * sent), sum(change * delivered), sum(change * read),
            sum(change * failed)
        from (
            select
                organization_id, at, channel, author, change,
                (is_outgoing(author) and (sent or delivered or read))::integer as sent,
                (is_outgoing(author) and (delivered or read))::integer as delivered,
                (is_outgoing(author) and read)::integer as read,
                (is_outgoing(author) and failed)::integer as failed
            from (
                select
                    organization_id, at, channel, 1 as change,
                    author,
                    sent_seen_at is not null as sent, delivered_seen_at is not null as delivered,
                    read_seen_at is not null as read, coalesce(status = 'failed', false) as failed
                from changed
                union all
                select
                    organization_id, at, channel, -1,
                    author, sent_seen_at is not null, delivered_seen_at is not null,
                    read_seen_at is not null, coalesce(status = 'failed', false)
                from before
            ) as seen
        ) as reached
        group by 1, 2, 3, 4
        having sum(change) <> 0
            or sum(change * sent) <> 0
            or sum(change * delivered) <> 0
            or sum(change * read) <> 0
            or sum(change * failed) <> 0
        on conflict on constraint message_count_pkey do update set
            count = message_count.count + excluded.count,
            sent = message_count.sent + excluded.sent,
            delivered = message_count.delivered + excluded.delivered,
            read = message_count.read + excluded.read,
            failed = message_count.failed + excluded.failed;
    elsif exists (select from changed) then
        insert into message_count (
            organization_id, hour, channel, participant_type, session, count, sent, delivered, read,
            failed
        )
        select
            organization_id, hour_of(at), coalesce(channel, ''), author, pg_backend_pid(),
            change * count(*),
            change * count(*) filter (where is_outgoing(author)
                and coalesce(sent_seen_at, delivered_seen_at, read_seen_at) is not null),
            change * count(*) filter (where is_outgoing(author)
                and coalesce(delivered_seen_at, read_seen_at) is not null),
            change * count(*) filter (where is_outgoing(author) and read_seen_at is not null),
            change * count(*) filter (where is_outgoing(author) and status = 'failed')
        from (
            select
                *, case tg_op when 'INSERT' then 1 else -1 end as change
            from changed
        ) as message
        group by 1, 2, 3, 4, change
        on conflict on constraint message_count_pkey do update set
            count = message_count.count + excluded.count,
            sent = message_count.sent + excluded.sent,
            delivered = message_count.delivered + excluded.delivered,
            read = message_count.read + excluded.read,
            failed = message_count.failed + excluded.failed;
    end if;
    return null;
end
$$;

create trigger count_updated after update on message
    referencing old table as before new table as changed
    for each statement execute function count_messages();

-- Counted anew, with what they reached.
truncate message_count;
insert into message_count (
    organization_id, hour, channel, participant_type, session, count, sent, delivered, read, failed
)
select
    organization_id, hour_of(at), coalesce(channel, ''), author, 0, count(*),
    count(*) filter (where is_outgoing(author)
        and coalesce(sent_seen_at, delivered_seen_at, read_seen_at) is not null),
    count(*) filter (where is_outgoing(author)
        and coalesce(delivered_seen_at, read_seen_at) is not null),
    count(*) filter (where is_outgoing(author) and read_seen_at is not null),
    count(*) filter (where is_outgoing(author) and status = 'failed')
from message
group by 1, 2, 3, 4;

-- Recipients of broadcasts by the hour, as broadcast_count has them by the broadcast.
create table recipient_count (
    organization_id text        collate "C" not null,
    hour            timestamptz not null,
    session         integer     not null,
    count           bigint      not null,
    sent            bigint      not null,
    delivered       bigint      not null,
    read            bigint      not null,
    failed          bigint      not null,
    constraint recipient_count_pkey primary key (organization_id, hour, session)
) with (fillfactor = 50);

create index recipient_count_by_hour on recipient_count (hour);

comment on table recipient_count is 'Recipients of broadcasts by hour: the sum over all sessions.';
comment on column recipient_count.organization_id is 'Organisation of the broadcast.';
comment on column recipient_count.hour is 'The hour of broadcast_log.at.';
comment on column recipient_count.session is 'Process of the server that counted; 0 for what was merged since.';
comment on column recipient_count.count is 'How many there are.';
comment on column recipient_count.sent is 'How many of them were sent, delivered or read.';
comment on column recipient_count.delivered is 'How many of them were delivered or read.';
comment on column recipient_count.read is 'How many of them were read.';
comment on column recipient_count.failed is 'How many of them failed and were neither delivered nor read.';

create function count_recipients_by_hour() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate recipient_count;
    elsif tg_op = 'UPDATE' then
        insert into recipient_count (
            organization_id, hour, session, count, sent, delivered, read, failed
        )
        select
            organization_id, hour_of(at), pg_backend_pid(), sum(change),
            coalesce(sum(change) filter (where statuses & 28 <> 0), 0),
            coalesce(sum(change) filter (where statuses & 24 <> 0), 0),
            coalesce(sum(change) filter (where statuses & 16 <> 0), 0),
            coalesce(sum(change) filter (where status = 'failed'), 0)
        from (
            select organization_id, at, statuses, status, 1 as change from changed
            union all
            select organization_id, at, statuses, status, -1 from before
        ) as change
        group by 1, 2
        having sum(change) <> 0
            or sum(change) filter (where statuses & 28 <> 0) <> 0
            or sum(change) filter (where statuses & 24 <> 0) <> 0
            or sum(change) filter (where statuses & 16 <> 0) <> 0
            or sum(change) filter (where status = 'failed') <> 0
        on conflict on constraint recipient_count_pkey do update set
            count = recipient_count.count + excluded.count,
            sent = recipient_count.sent + excluded.sent,
            delivered = recipient_count.delivered + excluded.delivered,
            read = recipient_count.read + excluded.read,
            failed = recipient_count.failed + excluded.failed;
    elsif exists (select from changed) then
        insert into recipient_count (
            organization_id, hour, session, count, sent, delivered, read, failed
        )
        select
            organization_id, hour_of(at), pg_backend_pid(), change * count(*),
            change * count(*) filter (where statuses & 28 <> 0),
            change * count(*) filter (where statuses & 24 <> 0),
            change * count(*) filter (where statuses & 16 <> 0),
            change * count(*) filter (where status = 'failed')
        from (
            select *, case tg_op when 'INSERT' then 1 else -1 end as change from changed
        ) as log
        group by 1, 2, change
        on conflict on constraint recipient_count_pkey do update set
            count = recipient_count.count + excluded.count,
            sent = recipient_count.sent + excluded.sent,
            delivered = recipient_count.delivered + excluded.delivered,
            read = recipient_count.read + excluded.read,
            failed = recipient_count.failed + excluded.failed;
    end if;
    return null;
end
$$;

comment on function count_recipients_by_hour is 'Keeps recipient_count, as broadcast_log changes.';

create trigger count_inserted_by_hour after insert on broadcast_log
    referencing new table as changed
    for each statement execute function count_recipients_by_hour();
create trigger count_updated_by_hour after update on broadcast_log
    referencing old table as before new table as changed
    for each statement execute function count_recipients_by_hour();
create trigger count_deleted_by_hour after delete on broadcast_log
    referencing old table as changed
    for each statement execute function count_recipients_by_hour();
create trigger count_truncated_by_hour after truncate on broadcast_log
    for each statement execute function count_recipients_by_hour();

insert into recipient_count (
    organization_id, hour, session, count, sent, delivered, read, failed
)
select
    organization_id, hour_of(at), 0, count(*), count(*) filter (where statuses & 28 <> 0),
    count(*) filter (where statuses & 24 <> 0), count(*) filter (where statuses & 16 <> 0),
    count(*) filter (where status = 'failed')
from broadcast_log
group by 1, 2;
