-- Counts of messages per hour, for charts. Counting rows takes as long as there are many, so they are
-- counted while they are written: by triggers, because only Postgres knows whether a message is new
-- and what it was before a merge.
--
-- A message is counted in the hour of its own time, by the statuses that it has by now. An update counts
-- the rows before and after it, once per statement and so per batch; rows without a change cancel out.
--
-- Writers would contend for the rows of an hour. So each database session counts in rows of its own,
-- which upkeep merges later (`store/message/count.rs`).
create table message_count (
    organization_id  text        collate "C" not null,
    hour             timestamptz not null,
    channel          text        collate "C" not null,
    participant_type text        collate "C" not null,
    session          integer     not null,
    count            bigint      not null,
    sent             bigint      not null default 0,
    delivered        bigint      not null default 0,
    read             bigint      not null default 0,
    failed           bigint      not null default 0,
    constraint message_count_pkey
        primary key (organization_id, hour, channel, participant_type, session)
) with (fillfactor = 50);

comment on table message_count is 'Messages per hour, channel and author: the sum over all sessions.';
comment on column message_count.organization_id is 'Organisation of the messages.';
comment on column message_count.hour is 'Hour of message.at.';
comment on column message_count.channel is 'message.channel; empty if that is null.';
comment on column message_count.participant_type is 'message.author: see function author_of.';
comment on column message_count.session is 'Process id of the database session that counted; 0 after upkeep merged rows.';
comment on column message_count.count is 'Number of messages, minus those that are counted elsewhere now: negative if another session counted them first.';
comment on column message_count.sent is 'Number of them that were sent, delivered or read; 0 for incoming messages, notices and reactions.';
comment on column message_count.delivered is 'Number of them that were delivered or read.';
comment on column message_count.read is 'Number of them that were read.';
comment on column message_count.failed is 'Number of them that failed and were neither delivered nor read.';

-- Only a new row writes to it, not a new count.
create index message_count_by_hour on message_count (hour);
comment on index message_count_by_hour is 'GET /v1/stats of all organisations; first and last hour of a channel in GET /v1/messages?channel=.';

create function is_outgoing(author text)
    returns boolean
    language sql immutable parallel safe
    return author in ('agent', 'bot', 'campaign', 'unknown');

comment on function is_outgoing is 'Whether statuses of a message of this author describe its delivery.';

create function count_messages() returns trigger
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
                    organization_id, at, channel, 1 as change, author,
                    sent_seen_at is not null as sent, delivered_seen_at is not null as delivered,
                    read_seen_at is not null as read, coalesce(status = 'failed', false) as failed
                from changed
                union all
                select
                    organization_id, at, channel, -1, author,
                    sent_seen_at is not null, delivered_seen_at is not null,
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
            select *, case tg_op when 'INSERT' then 1 else -1 end as change from changed
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

comment on function count_messages is 'Maintains message_count on every change of message.';

create trigger count_inserted after insert on message
    referencing new table as changed
    for each statement execute function count_messages();
create trigger count_updated after update on message
    referencing old table as before new table as changed
    for each statement execute function count_messages();
create trigger count_deleted after delete on message
    referencing old table as changed
    for each statement execute function count_messages();
create trigger count_truncated after truncate on message
    for each statement execute function count_messages();
