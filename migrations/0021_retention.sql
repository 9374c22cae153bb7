-- Deleting rows by age (`store/retention.rs`).

-- Rows are appended in about this order, so a summary of each range of pages is enough: next to no cost
-- when they are written.
create index room_event_by_receipt on room_event using brin (received_at);
comment on index room_event_by_receipt is '`qontak-receiver retention`: room events received before a time.';

-- Messages and recipients that are deleted for their age stay in the counts of their hours, which have an age of their
-- own. Other deletions are counted as before.
create or replace function count_recipients_by_hour() returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'TRUNCATE' then
        truncate recipient_count;
    elsif tg_op = 'DELETE' and current_setting('receiver.keep_hours', true) = 'on' then
        return null;
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

-- The statement that deletes by age deletes what depends on a message too. Without it, each row would lock
-- its room and derive its responses anew.
drop trigger message_deleted on message;
create trigger message_deleted after delete on message
    for each row
    when (coalesce(current_setting('receiver.keep_hours', true), '') <> 'on')
    execute function follow_corrected_message();
