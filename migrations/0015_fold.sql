-- The fold in SQL: how a batch's rows and the stored ones become one row. The rule is that of
-- src/model/fold.rs. It is the same for all tables, so the text of the statements is made from the
-- names of the folded columns, and a new column is named once.

-- Columns with the value of the newest event that contains them, in the order of the bits of
-- `fields` and of the elements of `keys`; `folded!` in src/model has the same order.
create function folded_columns(relation text) returns text[]
    language sql immutable
    return case relation
        when 'room' then array[
            'name', 'description', 'status', 'type', 'tags', 'channel', 'channel_account',
            'channel_uniq_id', 'account_uniq_id', 'account_normalized', 'channel_integration_id',
            'session', 'session_at', 'unread_count', 'created_at', 'updated_at', 'last_message_at',
            'last_activity_at', 'avatar', 'resolved_at', 'resolved_by_id', 'resolved_by_type',
            'external_id', 'division_id', 'agent_ids', 'note', 'extra', 'email_cc',
            'is_dont_auto_resolve', 'is_blocked', 'is_unresponded', 'is_manual_survey'
        ]
        when 'message' then array[
            'room_id', 'type', 'participant_type', 'participant_id', 'sender_type', 'sender_id',
            'author_by_sender', 'external_id', 'channel', 'channel_integration_id',
            'broadcast_id', 'file_uniq_id', 'is_campaign', 'review_star', 'file', 'reply',
            'buttons', 'raw_message'
        ]
        when 'sender' then array['type', 'name', 'username', 'avatar']
        when 'broadcast' then array['name', 'template_id', 'channel_integration_id']
        when 'broadcast_log' then array[
            'broadcast_id', 'template_id', 'channel_integration_id', 'contact_phone_number',
            'contact_phone_digits', 'contact_id', 'contact_full_name', 'whatsapp_message_id',
            'billable', 'pricing_category', 'pricing_model', 'conversation_id',
            'conversation_origin', 'is_pacing', 'messages'
        ]
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

comment on function folded_columns is 'Columns of a table that have the value of the newest event that contains them.';
comment on function older_keys is 'Keys of the fields of a row that are older than the row, after a merge of two rows.';

-- Creates type `<relation>_1`, a row as the service sends it: the columns of the table without those
-- that only the database writes, in the order of the table, and then the folded ones in theirs.
create procedure create_row_type(relation text, internal text[] default '{}')
    language plpgsql
as $$
begin
    execute format(
        'create type %I as (%s)',
        relation || '_1',
        (
            select string_agg(
                format('%I %s', attname, format_type(atttypid, atttypmod)), ', '
                order by
                    coalesce(
                        array_position(
                            array['key', 'fields', 'keys'] || folded_columns(relation), attname::text
                        ),
                        0
                    ),
                    attnum
            )
            from pg_attribute
            where attrelid = relation::regclass and attnum > 0 and not attisdropped
                and attgenerated = '' and attname <> all(internal)
        )
    );
end
$$;

-- Executes a statement that names a table's columns and their fold:
-- `{columns}` are the columns of its row type,
-- `{fold}` are the assignments of an `on conflict do update`.
create procedure create_merge(relation text, statement text)
    language plpgsql
as $$
declare
    columns text;
    fold text;
begin
    select string_agg(quote_ident(attname), ', ' order by attnum)
    into columns
    from pg_attribute
    where attrelid = (relation || '_1')::regclass and attnum > 0;

    select string_agg(
        format(
            '%1$I = case
                when excluded.%1$I is null then %2$I.%1$I
                when %2$I.%1$I is null
                    or coalesce(excluded.keys[%3$s], excluded.key) >= coalesce(%2$I.keys[%3$s], %2$I.key)
                then excluded.%1$I
                else %2$I.%1$I
            end',
            name, relation, place
        ),
        ', ' order by place
    ) || format(
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
    )
    into fold
    from unnest(folded_columns(relation)) with ordinality as field (name, place);

    execute replace(replace(statement, '{columns}', columns), '{fold}', fold);
end
$$;

comment on procedure create_row_type is 'Creates the type of a row as the service sends it.';
comment on procedure create_merge is 'Creates a function that merges rows into a table.';
