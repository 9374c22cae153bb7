-- Counts of recipients: per broadcast for lists and funnels, per hour for charts. They are counted while
-- logs are written, because counting takes 60 ns per recipient: a page of large broadcasts took tens
-- of milliseconds. The way is that of message_count: triggers once per statement, and rows per
-- database session, which upkeep merges later (`store/broadcast_log/count.rs`, `hour_count.rs`).

-- Counted by the set of statuses seen, not by the effective status, which cannot tell how many
-- reached a status and failed later.
create table broadcast_count (
    organization    integer  not null,
    broadcast_id    text     collate "C" not null,
    statuses        smallint not null,
    session         integer  not null,
    count           bigint   not null,
    constraint broadcast_count_pkey
        primary key (broadcast_id, organization, statuses, session)
) with (fillfactor = 50);

comment on table broadcast_count is 'Recipients per broadcast and set of statuses: the sum over all sessions.';
comment on column broadcast_count.organization is 'Number of the organisation of the broadcast.';
comment on column broadcast_count.broadcast_id is 'The broadcast.';
comment on column broadcast_count.statuses is 'broadcast_log.statuses.';
comment on column broadcast_count.session is 'Process id of the database session that counted; 0 after upkeep merged rows.';
comment on column broadcast_count.count is 'Number of recipients that reached these statuses, minus those that have others now: negative if another session counted them first.';

create function count_recipients() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate broadcast_count;
        return null;
    end if;
    if tg_op = 'UPDATE' then
        insert into broadcast_count (organization, broadcast_id, statuses, session, count)
        select organization, broadcast_id, statuses, pg_backend_pid(), sum(change)
        from (
            select organization, broadcast_id, statuses, 1 as change from changed
            union all
            select organization, broadcast_id, statuses, -1 from before
        ) as change
        where broadcast_id is not null
        group by organization, broadcast_id, statuses
        having sum(change) <> 0
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    else
        insert into broadcast_count (organization, broadcast_id, statuses, session, count)
        select
            organization, broadcast_id, statuses, pg_backend_pid(),
            case tg_op when 'INSERT' then count(*) else -count(*) end
        from changed
        where broadcast_id is not null
        group by organization, broadcast_id, statuses
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    end if;
    return null;
end
$$;

comment on function count_recipients is 'Maintains broadcast_count on every change of broadcast_log.';

create trigger count_inserted after insert on broadcast_log
    referencing new table as changed
    for each statement execute function count_recipients();
create trigger count_updated after update on broadcast_log
    referencing old table as before new table as changed
    for each statement execute function count_recipients();
create trigger count_deleted after delete on broadcast_log
    referencing old table as changed
    for each statement execute function count_recipients();
create trigger count_truncated after truncate on broadcast_log
    for each statement execute function count_recipients();

create table recipient_count (
    organization    integer     not null,
    hour            timestamptz not null,
    session         integer     not null,
    count           bigint      not null,
    sent            bigint      not null,
    delivered       bigint      not null,
    read            bigint      not null,
    failed          bigint      not null,
    constraint recipient_count_pkey primary key (organization, hour, session)
) with (fillfactor = 50);

comment on table recipient_count is 'Recipients of broadcasts per hour: the sum over all sessions.';
comment on column recipient_count.organization is 'Number of the organisation of the broadcast.';
comment on column recipient_count.hour is 'Hour of broadcast_log.at.';
comment on column recipient_count.session is 'Process id of the database session that counted; 0 after upkeep merged rows.';
comment on column recipient_count.count is 'Number of recipients.';
comment on column recipient_count.sent is 'Number of them that were sent, delivered or read.';
comment on column recipient_count.delivered is 'Number of them that were delivered or read.';
comment on column recipient_count.read is 'Number of them that were read.';
comment on column recipient_count.failed is 'Number of them that failed and were neither delivered nor read.';

create index recipient_count_by_hour on recipient_count (hour);
comment on index recipient_count_by_hour is 'GET /v1/stats of all organisations.';

create function count_recipients_by_hour() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate recipient_count;
    elsif tg_op = 'UPDATE' then
        insert into recipient_count (
            organization, hour, session, count, sent, delivered, read, failed
        )
        select
            organization, hour_of(at), pg_backend_pid(), sum(change),
            coalesce(sum(change) filter (where statuses & 28 <> 0), 0),
            coalesce(sum(change) filter (where statuses & 24 <> 0), 0),
            coalesce(sum(change) filter (where statuses & 16 <> 0), 0),
            coalesce(sum(change) filter (where status = 'failed'), 0)
        from (
            select organization, at, statuses, status, 1 as change from changed
            union all
            select organization, at, statuses, status, -1 from before
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
            organization, hour, session, count, sent, delivered, read, failed
        )
        select
            organization, hour_of(at), pg_backend_pid(), change * count(*),
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

comment on function count_recipients_by_hour is 'Maintains recipient_count on every change of broadcast_log.';

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
