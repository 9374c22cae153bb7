-- A body is about 2 KB, and most of it is what all bodies have in common. With that in a
-- dictionary it takes a fifth, on disk and in the write-ahead log.
alter table event
    add column dictionary smallint,
    add column body_bytes integer;

comment on column event.body is 'The bytes on the wire (inflated if they came compressed): plain, or a frame of zstd. Not jsonb: that refuses NUL, reorders keys and drops duplicate ones. `qontak-receiver body` prints it.';
comment on column event.dictionary is 'Number of the dictionary with which zstd reads body. Null when it is plain.';
comment on column event.body_bytes is 'Length of the body before it was compressed. Null when it is plain.';

-- What is compressed is not worth another try by Postgres.
do $$
declare
    journal regclass;
begin
    for journal in
        select 'event'::regclass
        union all
        select inhrelid::regclass from pg_inherits where inhparent = 'event'::regclass
    loop
        execute format('alter table %s alter column body set storage external', journal);
    end loop;
end
$$;
