-- A page of broadcasts shows how far the recipients of each are. To count them takes 60 ns each,
-- so pages of large broadcasts took tens of milliseconds; here they are counted as they change.
-- By a trigger, since only Postgres knows for sure what a row was before a merge; once per
-- statement, so a batch of logs costs little more.
--
-- Writers would queue up for the one row of a broadcast. So each session of the server counts for
-- itself, and what was counted is merged later (`broadcast_log/count.rs`).
create table broadcast_count (
    organization_id text    collate "C" not null,
    broadcast_id    text    collate "C" not null,
    status          text    collate "C" not null,
    session         integer not null,
    count           bigint  not null,
    constraint broadcast_count_pkey primary key (broadcast_id, organization_id, status, session)
) with (fillfactor = 50);

comment on table broadcast_count is 'Recipients of broadcasts by effective status: the sum over all sessions.';
comment on column broadcast_count.organization_id is 'Organisation of the broadcast.';
comment on column broadcast_count.broadcast_id is 'The broadcast.';
comment on column broadcast_count.status is 'broadcast_log.status; empty where that is null.';
comment on column broadcast_count.session is 'Process of the server that counted; 0 for what was merged since.';
comment on column broadcast_count.count is 'How many came to this status, less those that left it: below 0 where another session counted them first.';

create function count_recipients() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate broadcast_count;
        return null;
    end if;
    if tg_op = 'UPDATE' then
        insert into broadcast_count (organization_id, broadcast_id, status, session, count)
        select organization_id, broadcast_id, coalesce(status, ''), pg_backend_pid(), sum(change)
        from (
            select organization_id, broadcast_id, status, 1 as change from changed
            union all
            select organization_id, broadcast_id, status, -1 from before
        ) as change
        where broadcast_id is not null
        group by organization_id, broadcast_id, status
        having sum(change) <> 0
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    else
        insert into broadcast_count (organization_id, broadcast_id, status, session, count)
        select
            organization_id, broadcast_id, coalesce(status, ''), pg_backend_pid(),
            case tg_op when 'INSERT' then count(*) else -count(*) end
        from changed
        where broadcast_id is not null
        group by organization_id, broadcast_id, status
        on conflict on constraint broadcast_count_pkey
            do update set count = broadcast_count.count + excluded.count;
    end if;
    return null;
end
$$;

comment on function count_recipients is 'Keeps broadcast_count, as broadcast_log changes.';

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

insert into broadcast_count (organization_id, broadcast_id, status, session, count)
select organization_id, broadcast_id, coalesce(status, ''), 0, count(*)
from broadcast_log
where broadcast_id is not null
group by organization_id, broadcast_id, status;
