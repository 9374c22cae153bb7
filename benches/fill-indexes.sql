-- Makes the indexes of a database that `fill.sql` has filled. Two may share the work: `fill.part` is
-- `gin` for one, `rest` for the other, which then also makes the keys. Without it all is done here.

begin;
set local maintenance_work_mem = '1GB';
set local client_min_messages = warning;

do $$
declare
    made record;
begin
    for made in
        select *
        from index_to_make
        where coalesce(current_setting('fill.part', true), '')
            in ('', case method when 'gin' then 'gin' else 'rest' end)
    loop
        -- An index that is there already becomes a key at once, but not that of partitions.
        if made.key is null or not made.is_partitioned then
            execute made.definition;
        end if;
    end loop;
    for made in
        select *
        from index_to_make
        where key is not null and coalesce(current_setting('fill.part', true), '') in ('', 'rest')
    loop
        execute format('alter table %s add constraint %I %s', made.indexed, made.key,
            case
                when made.is_partitioned then made.key_definition
                when made.key_definition like 'PRIMARY KEY%' then 'primary key using index ' || made.name
                else 'unique using index ' || made.name
            end);
    end loop;
end
$$;

commit;
