-- Counts of messages per hour, for charts. Counting rows takes as long as there are many, so they are
-- counted while they are written (`merge_messages_1`), because only Postgres knows whether a message is
-- new and what it reached before.
--
-- A message is counted in the hour of its own time, by the statuses that it has by now.
--
-- Writers would contend for the rows of an hour. So each database session counts in rows of its own,
-- which upkeep merges later (`store/message/count.rs`).
create table message_count (
    organization     integer     not null,
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
        primary key (organization, hour, channel, participant_type, session)
) with (fillfactor = 50);

comment on table message_count is 'Messages per hour, channel and author: the sum over all sessions.';
comment on column message_count.organization is 'Number of the organisation of the messages.';
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

-- Counts all messages anew, for rows that were not written by `merge_messages_1`.
create function rebuild_message_counts() returns void
    language plpgsql
as $$
begin
    delete from message_count;
    insert into message_count (
        organization, hour, channel, participant_type, session, count, sent, delivered, read,
        failed
    )
    select
        organization, hour_of(at), coalesce(channel, ''), author, 0, count(*),
        sum(bits & 1), sum(bits >> 1 & 1), sum(bits >> 2 & 1), sum(bits >> 3 & 1)
    from (
        select *, case when is_outgoing(author) then reached else 0 end as bits from message
    ) as message
    group by 1, 2, 3, 4;
end
$$;

comment on function rebuild_message_counts is 'Counts all messages anew.';
