-- What was applied, in the order of commits: what a live stream is read from. A row for each
-- transaction that applied something, because a column of the journal with an index would cost
-- each event 74 bytes of WAL, and this 16 and its share of the row's 180.
--
-- The order is that of transaction ids, which are given when a transaction begins to write. All
-- below `pg_snapshot_xmin` are over, so up to there nothing can appear any more.
create table batch (
    xid       xid8        not null default pg_current_xact_id(),
    at        timestamptz not null default now(),
    event_ids uuid[]      not null
);

-- Not unique: a backup may be restored where transactions begin again from 1, and they must go on.
create index batch_by_xid on batch (xid);

comment on table batch is 'What was applied, in the order of commits; kept for stream.keep.';
comment on column batch.xid is 'The transaction.';
comment on column batch.at is 'When it began.';
comment on column batch.event_ids is 'Events that it applied: first deliveries, and replays of what was not applied before.';

-- Where this order begins: see `is_known` in src/store/batch.rs.
insert into batch (event_ids) values ('{}');
