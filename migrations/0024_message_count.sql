-- How many messages went in and out, by the hour? To count them takes as long as there are many, so
-- they are counted as they come: by triggers, since only Postgres knows for sure whether a message
-- is new, and what it was before a merge.
--
-- What a message is counted by hardly ever changes once it is there (a later event knows its channel,
-- or an earlier time). A row trigger sees that, and its condition is all that other updates cost;
-- what is new is counted once per statement.
--
-- Writers would queue up for the rows of the hour. So each session of the server counts for itself,
-- and what was counted is merged later (`message/count.rs`), as in broadcast_count.
create table message_count (
    organization_id  text        collate "C" not null,
    hour             timestamptz not null,
    channel          text        collate "C" not null,
    participant_type text        collate "C" not null,
    session          integer     not null,
    count            bigint      not null,
    constraint message_count_pkey
        primary key (organization_id, hour, channel, participant_type, session)
) with (fillfactor = 50);

-- For who sees every organisation. Only a new row touches it, not a new count.
create index message_count_by_hour on message_count (hour);

comment on table message_count is 'Messages by hour, channel and who wrote them: the sum over all sessions.';
comment on column message_count.organization_id is 'Organisation of the messages.';
comment on column message_count.hour is 'The hour of message.at.';
comment on column message_count.channel is 'message.channel; empty where that is null.';
comment on column message_count.participant_type is 'message.participant_type; empty where that is null.';
comment on column message_count.session is 'Process of the server that counted; 0 for what was merged since.';
comment on column message_count.count is 'How many messages there are, less those that are counted elsewhere now: below 0 where another session counted them first.';

create function hour_of(at timestamptz)
    returns timestamptz
    language sql immutable parallel safe
    return date_bin('1 hour', at, '2015-01-01T00:00:00Z');

comment on function hour_of is 'The hour, by UTC, that a time is in.';

create function count_messages() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate message_count;
    elsif tg_op = 'UPDATE' then
        insert into message_count (
            organization_id, hour, channel, participant_type, session, count
        )
        values
            (old.organization_id, hour_of(old.at), coalesce(old.channel, ''),
                coalesce(old.participant_type, ''), pg_backend_pid(), -1),
            (new.organization_id, hour_of(new.at), coalesce(new.channel, ''),
                coalesce(new.participant_type, ''), pg_backend_pid(), 1)
        on conflict on constraint message_count_pkey
            do update set count = message_count.count + excluded.count;
    else
        insert into message_count (
            organization_id, hour, channel, participant_type, session, count
        )
        select
            organization_id, hour_of(at), coalesce(channel, ''), coalesce(participant_type, ''),
            pg_backend_pid(), case tg_op when 'INSERT' then count(*) else -count(*) end
        from changed
        group by 1, 2, 3, 4
        on conflict on constraint message_count_pkey
            do update set count = message_count.count + excluded.count;
    end if;
    return null;
end
$$;

comment on function count_messages is 'Keeps message_count, as message changes.';

create trigger count_inserted after insert on message
    referencing new table as changed
    for each statement execute function count_messages();
create trigger count_updated after update on message
    for each row
    when (
        coalesce(old.channel, '') <> coalesce(new.channel, '')
        or coalesce(old.participant_type, '') <> coalesce(new.participant_type, '')
        or old.at <> new.at and hour_of(old.at) <> hour_of(new.at)
    )
    execute function count_messages();
create trigger count_deleted after delete on message
    referencing old table as changed
    for each statement execute function count_messages();
create trigger count_truncated after truncate on message
    for each statement execute function count_messages();

insert into message_count (organization_id, hour, channel, participant_type, session, count)
select
    organization_id, hour_of(at), coalesce(channel, ''), coalesce(participant_type, ''), 0, count(*)
from message
group by 1, 2, 3, 4;
