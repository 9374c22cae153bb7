-- The fold in SQL: how a batch's rows and the stored ones become one row. The rule is that of
-- src/model/fold.rs. It is the same for all tables, so the text of the statements is made from the
-- names of the folded columns, and a new column is named once.

-- Which columns of a table merge by which rule:
--
-- fold: the value of the newest event that contains it, in the order of the bits of `fields` and of the
--   elements of `keys`; `folded!` in src/model has the same order.
-- least, greatest: the earlier or later time, the greater value.
-- derived: a function of other columns of the merged row, in braces. Not a generated column: Postgres
--   reads and plans the expressions of those anew for each statement, which takes 0.1 ms.
create function merged_columns(relation text, rule text) returns text[]
    language sql immutable
    return case relation || ' ' || rule
        when 'room fold' then array[
            'name', 'description', 'status', 'type', 'tags', 'channel', 'channel_account',
            'channel_uniq_id', 'account_uniq_id', 'account_normalized', 'channel_integration_id',
            'session', 'session_at', 'unread_count', 'created_at', 'updated_at', 'last_message_at',
            'last_activity_at', 'avatar', 'resolved_at', 'resolved_by_id', 'resolved_by_type',
            'resolved_by_at', 'resolved_at_by', 'external_id', 'division_id', 'agent_ids', 'note', 'extra',
            'email_cc', 'is_dont_auto_resolve', 'is_blocked', 'is_unresponded', 'is_manual_survey'
        ]
        when 'room least' then array['received_at']
        when 'room greatest' then array['clock']
        when 'room derived' then array[
            'session_hour = hour_of({session_at})',
            'activity_at = coalesce({clock}, {created_at}, {received_at})',
            'activity_slot = activity_slot(coalesce({clock}, {created_at}, {received_at}))',
            'is_untagged = coalesce(cardinality({tags}), 0) = 0',
            'is_without_agent = coalesce(cardinality({agent_ids}), 0) = 0
                and coalesce({status} <> ''assigned'', true)'
        ]
        when 'message fold' then array[
            'room_id', 'type', 'participant_type', 'participant_id', 'sender_type', 'sender_id',
            'author_by_sender', 'external_id', 'channel', 'channel_integration_id',
            'broadcast_id', 'file_uniq_id', 'is_campaign', 'review_star', 'file', 'reply',
            'buttons', 'raw_message'
        ]
        when 'message least' then array[
            'received_at', 'created_at', 'channel_at', 'failed_at', 'created_seen_at',
            'pending_seen_at', 'sent_seen_at', 'delivered_seen_at', 'read_seen_at',
            'failed_seen_at'
        ]
        when 'message greatest' then array[
            'direction_by_name', 'is_edited', 'text_rank', 'error_code'
        ]
        when 'message derived' then array[
            'at = message_at({created_at}, {channel_at}, {received_at})',
            'status = effective_status({created_seen_at}, {pending_seen_at}, {sent_seen_at},
                {delivered_seen_at}, {read_seen_at}, {failed_seen_at})',
            'sender_kind = sender_kind_of({author_by_sender}, {direction_by_name}, coalesce(
                {pending_seen_at}, {sent_seen_at}, {delivered_seen_at}, {read_seen_at},
                {failed_seen_at}))',
            'reached = reached({sent_seen_at}, {delivered_seen_at}, {read_seen_at},
                {failed_seen_at}, {external_id})'
        ]
        when 'sender fold' then array['type', 'name', 'username', 'avatar']
        when 'broadcast fold' then array['name', 'template_id', 'channel_integration_id']
        when 'broadcast least' then array['received_at', 'created_at']
        when 'broadcast_log fold' then array[
            'broadcast_id', 'template_id', 'channel_integration_id', 'contact_phone_number',
            'contact_phone_digits', 'contact_id', 'contact_full_name', 'whatsapp_message_id',
            'billable', 'pricing_category', 'pricing_model', 'conversation_id',
            'conversation_origin', 'is_pacing', 'messages'
        ]
        when 'broadcast_log least' then array[
            'received_at', 'created_at', 'pending_at', 'sent_at', 'delivered_at', 'read_at',
            'failed_at', 'created_seen_at', 'pending_seen_at', 'sent_seen_at',
            'delivered_seen_at', 'read_seen_at', 'failed_seen_at'
        ]
        when 'broadcast_log greatest' then array['last_error_key']
        else '{}'
    end;

-- Keys of the fields that are older than the row, after a merge; null if there are none. PL/pgSQL,
-- because a function in SQL with a subquery is planned anew for each row.
create function older_keys(
    old_key uuid, old_fields bigint, old_keys uuid[],
    new_key uuid, new_fields bigint, new_keys uuid[]
)
    returns uuid[]
    language plpgsql immutable parallel safe
as $$
declare
    newest uuid := greatest(old_key, new_key);
    merged uuid[];
    place integer := 0;
    key uuid;
    is_older boolean := false;
begin
    while (old_fields | new_fields) >> place <> 0 loop
        key := greatest(
            case when old_fields >> place & 1 = 1 then coalesce(old_keys[place + 1], old_key) end,
            case when new_fields >> place & 1 = 1 then coalesce(new_keys[place + 1], new_key) end
        );
        is_older := is_older or coalesce(key <> newest, false);
        merged := merged || nullif(key, newest);
        place := place + 1;
    end loop;
    return case when is_older then merged end;
end
$$;

comment on function merged_columns is 'Columns of a table that merge by a rule: fold, least, greatest or derived.';
comment on function older_keys is 'Keys of the fields of a row that are older than the row, after a merge of two rows.';

-- Creates type `<relation>_1`, a row as the service sends it: the columns of the table without those
-- that only the database writes, in the order of the table, and then the folded ones in theirs. Its
-- organization is no number but a place in the array of numbers that the functions get with the rows.
create procedure create_row_type(relation text, internal text[] default '{}')
    language plpgsql
as $$
declare
    derived text[] := array(
        select split_part(rule, ' = ', 1) from unnest(merged_columns(relation, 'derived')) as rule
    );
begin
    execute format(
        'create type %I as (%s)',
        relation || '_1',
        (
            select string_agg(
                format(
                    '%I %s', attname,
                    case
                        when atttypid in (select oid from pg_type where typtype = 'e') then 'text'
                        else format_type(atttypid, atttypmod)
                    end
                ), ', '
                order by
                    coalesce(
                        array_position(
                            array['key', 'fields', 'keys'] || merged_columns(relation, 'fold'),
                            attname::text
                        ),
                        0
                    ),
                    attnum
            )
            from pg_attribute
            where attrelid = relation::regclass and attnum > 0 and not attisdropped
                and attgenerated = '' and attname <> all(internal || derived)
        )
    );
end
$$;

-- Executes a statement that names the columns of a table and how they merge:
-- `{columns}` are the columns of its row type and the derived ones,
-- `{values}` are their values in a row as sent,
-- `{merge}` are the assignments of an `on conflict do update`, and its condition if the rows that it
--   merges are all newer than the stored ones.
create procedure create_merge(relation text, statement text, is_newer boolean default false)
    language plpgsql
as $$
declare
    columns text;
    sent text;
    merged jsonb;
    assignments text;
    derived text;
    name text;
    expression text;
begin
    select
        string_agg(quote_ident(attname), ', ' order by attnum),
        string_agg(
            case attname when 'organization' then 'numbers[organization]' else quote_ident(attname) end,
            ', ' order by attnum
        )
    into columns, sent
    from pg_attribute
    where attrelid = (relation || '_1')::regclass and attnum > 0;

    -- The value of each column in the merged row.
    select jsonb_object_agg(column_name, value)
    into merged
    from (
        select
            column_name,
            format(
                case when is_newer
                    then 'coalesce(excluded.%1$I, %2$I.%1$I)'
                    else 'case
                        when excluded.%1$I is null then %2$I.%1$I
                        when %2$I.%1$I is null
                            or coalesce(excluded.keys[%3$s], excluded.key)
                                >= coalesce(%2$I.keys[%3$s], %2$I.key)
                        then excluded.%1$I
                        else %2$I.%1$I
                    end'
                end,
                column_name, relation, place
            ) as value
        from unnest(merged_columns(relation, 'fold')) with ordinality as own (column_name, place)
        union all
        select column_name, format('%s(%I.%I, excluded.%3$I)', rule, relation, column_name)
        from unnest(array['least', 'greatest']) as rule
        cross join unnest(merged_columns(relation, rule)) as column_name
    ) as rule;

    select string_agg(format('%I = %s', column_name, value), ', ')
    into assignments
    from jsonb_each_text(merged) as own (column_name, value);

    assignments := assignments || format(
        ', key = greatest(%1$I.key, excluded.key)
        , fields = %1$I.fields | excluded.fields
        , keys = case
            when excluded.keys is null and case
                when excluded.key >= %1$I.key then %1$I.fields & ~excluded.fields = 0
                else %1$I.keys is null and excluded.fields & ~%1$I.fields = 0
            end
            then null
            else older_keys(
                %1$I.key, %1$I.fields, %1$I.keys, excluded.key, excluded.fields, excluded.keys
            )
        end',
        relation
    );

    foreach derived in array merged_columns(relation, 'derived') loop
        columns := columns || ', ' || split_part(derived, ' = ', 1);
        sent := sent || ', ' || translate(substr(derived, position(' = ' in derived) + 3), '{}', '');
        for name, expression in select * from jsonb_each_text(merged) loop
            derived := replace(derived, '{' || name || '}', expression);
        end loop;
        assignments := assignments || ', ' || derived;
    end loop;
    if is_newer then
        assignments := assignments || format(
            ' where excluded.keys is null and excluded.key >= %I.key', relation
        );
    end if;

    execute replace(
        replace(replace(statement, '{columns}', columns), '{values}', sent), '{merge}', assignments
    );
end
$$;

-- Creates function `merge_<relation>s_1` from the text of a function `{function}` that merges rows and
-- returns how many. Nearly all rows are newer than the stored ones, and win in each field that they
-- contain. A merge by the key of each field takes five times as many expressions, which Postgres prepares
-- for each statement: a quarter of the time of a lone event. So in small batches only older rows are
-- merged that way; in large ones it would take longer to find them.
create procedure create_merges(relation text, id text, function text)
    language plpgsql
as $$
begin
    call create_merge(
        relation, replace(function, '{function}', format('merge_newer_%ss_1', relation)), true
    );
    call create_merge(
        relation, replace(function, '{function}', format('merge_any_%ss_1', relation))
    );
    execute format(
        'create function merge_%1$ss_1(rows %1$s_1[], numbers integer[]) returns bigint
            language plpgsql
        as $merge$
        declare
            merged bigint;
            older %1$s_1[];
        begin
            if cardinality(rows) >= 32 then
                merged := merge_any_%1$ss_1(rows, numbers);
            else
                merged := merge_newer_%1$ss_1(rows, numbers);
                if merged < cardinality(rows) then
                    -- Those that were just inserted with keys are merged with themselves, without effect.
                    select
                        count(*),
                        array_agg(new) filter (where new.keys is not null or new.key < known.key)
                    into merged, older
                    from unnest(rows) as new
                    cross join lateral (
                        select key
                        from %1$s
                        where %1$s.%2$s = new.%2$s
                            -- Hides the column from other indexes, so that the primary key is used.
                            and coalesce(%1$s.organization = numbers[new.organization], false)
                            -- One without keys that is neither older nor merged was discarded.
                            and (new.keys is not null or %1$s.key >= new.key)
                    ) as known;
                    if merge_any_%1$ss_1(older, numbers) < cardinality(older) then
                        merged := 0;
                    end if;
                end if;
            end if;
            if merged < cardinality(rows) then
                raise ''table %1$s discards rows, by a trigger or rule'' using errcode = ''QR001'';
            end if;
            return cardinality(rows);
        end
        $merge$',
        relation, id
    );
    execute format(
        'comment on function merge_newer_%1$ss_1 is ''Merges rows that are new or newer than those stored. Returns their number.'';
        comment on function merge_any_%1$ss_1 is ''Merges rows that may be older than those stored. Returns their number.'';
        comment on function merge_%1$ss_1 is ''Merges rows into table %1$s. Returns their number.'';',
        relation
    );
end
$$;

-- For rows that were not written by a merge: after repairs by hand. What follows from messages is
-- computed by rebuild_responses and rebuild_message_counts.
create procedure rebuild_derived_columns(relation text)
    language plpgsql
as $$
begin
    execute format('alter table %I disable trigger user', relation);
    execute format(
        'update %I set %s',
        relation,
        translate(array_to_string(merged_columns(relation, 'derived'), ', '), '{}', '')
    );
    if relation = 'message' then
        update message set author = author_of(sender_kind, type, is_campaign, raw_message);
    end if;
    execute format('alter table %I enable trigger user', relation);
end
$$;

comment on procedure create_row_type is 'Creates the type of a row as the service sends it.';
comment on procedure create_merge is 'Creates a function that merges rows into a table.';
comment on procedure create_merges is 'Creates the functions that merge rows into a table, newer and older ones.';
comment on procedure rebuild_derived_columns is 'Computes the derived columns of all rows of a table.';
