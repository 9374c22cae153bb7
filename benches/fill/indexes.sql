-- Recreates the indexes that start.sql dropped. With the setting `fill.part` = `words` only the
-- search index of messages, which takes longest, with `rest` only the others; two sessions can
-- share the work.

begin;
set local maintenance_work_mem = '1GB';
set local client_min_messages = warning;

do $$
declare
    part constant text = coalesce(current_setting('fill.part', true), '');
    made record;
begin
    for made in
        select *
        from fill.index_to_make
        where part in ('', case when name = 'message_by_word' then 'words' else 'rest' end)
    loop
        -- Constraints adopt an existing index, except on partitioned tables.
        if made.key is null or not made.is_partitioned then
            execute made.definition;
        end if;
    end loop;
    for made in
        select *
        from fill.index_to_make
        where key is not null and part in ('', 'rest')
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
