-- Keeps `room_word`, `resolution` and `response` up to date with messages and resolutions.
--
-- Two transactions that change the same room follow each other: both lock its row in `room` before they
-- write messages, and each statement here sees what was committed before.

-- Words of a room, in the order of their own time: see table `room_word`.
create type word as (
    organization integer, room_id text, at timestamptz, message_id text, author text,
    sender_id text, channel text
);

-- Follows new messages. A new message nearly always is the last one of its room. Then a word of a
-- customer costs one upsert of a narrow row, and an answer also a read back to the answer before it.
create function follow_words(words word[]) returns void
    language plpgsql
as $$
declare
    rooms text[];
    organizations integer[];
    times timestamptz[];
    -- Those that are before the last resolution of their room.
    resolved_rooms text[];
    resolved_organizations integer[];
    resolved_times timestamptz[];
begin
    with word as materialized (
        select word.*, before.answer_at, before.resolved_at
        from unnest(words) as word
        -- The row as it was before this statement.
        left join room_word as before using (room_id, organization)
    ), last as (
        insert into room_word (room_id, organization, customer_at, answer_at, other_at)
        select
            room_id, organization, max(at) filter (where author = 'customer'),
            max(at) filter (where author in ('agent', 'bot', 'unknown')),
            max(at) filter (where author in ('campaign', 'notice', 'reaction'))
        from word
        group by room_id, organization
        order by organization, room_id
        on conflict on constraint room_word_pkey do update set
            customer_at = greatest(room_word.customer_at, excluded.customer_at),
            answer_at = greatest(room_word.answer_at, excluded.answer_at),
            other_at = greatest(room_word.other_at, excluded.other_at)
    ), response as (
        insert into response (
            room_id, organization, at, message_id, author, sender_id, channel, asked_at, is_first
        )
        select
            word.room_id, word.organization, word.at, word.message_id, word.author,
            word.sender_id, word.channel, asked.at,
            previous.at is null or not exists (
                select
                from message
                where message.room_id = word.room_id
                    and coalesce(message.organization = word.organization, false)
                    and message.at > coalesce(word.resolved_at, '-infinity')
                    and message.at <= previous.at
                    and message.author = 'customer'
                order by message.at
                limit 1
            )
        from word
        left join lateral (
            select message.at
            from message
            where message.room_id = word.room_id
                and coalesce(message.organization = word.organization, false)
                and message.at > coalesce(word.resolved_at, '-infinity')
                and message.at <= word.at
                and (message.at < word.at or message.message_id < word.message_id)
                and case message.author
                    when 'agent' then true
                    when 'bot' then word.author = 'bot'
                    when 'unknown' then word.author = 'bot'
                    else false
                end
            order by message.at desc
            limit 1
        ) as previous on true
        cross join lateral (
            select said.at
            from (
                select message.at, lag(message.at) over (order by message.at) as before
                from message
                where message.room_id = word.room_id
                    and coalesce(message.organization = word.organization, false)
                    and message.at > coalesce(previous.at, word.resolved_at, '-infinity')
                    and message.at <= word.at
                    and message.author = 'customer'
            ) as said
            where is_beginning(said.at, said.before)
            order by said.at desc
            limit 1
        ) as asked
        where word.author in ('agent', 'bot')
            and coalesce(word.at > word.answer_at, true)
            and coalesce(word.at > word.resolved_at, true)
        -- A corrected message of the same batch may have led to it already.
        on conflict on constraint response_pkey do nothing
    )
    select
        array_agg(room_id), array_agg(organization), array_agg(at),
        array_agg(room_id) filter (where at <= resolved_at),
        array_agg(organization) filter (where at <= resolved_at),
        array_agg(at) filter (where at <= resolved_at)
    into
        rooms, organizations, times, resolved_rooms, resolved_organizations, resolved_times
    from word
    where author in ('customer', 'agent', 'bot', 'unknown')
        and (at <= answer_at or at <= resolved_at);
    -- Late messages: answers and resolutions that depend on them are stored already.
    if resolved_rooms is not null then
        perform refresh_resolutions(resolved_rooms, resolved_organizations, resolved_times);
    end if;
    if rooms is not null then
        perform refresh_responses(rooms, organizations, times);
    end if;
end
$$;

comment on function follow_words is 'Keeps room_word, resolution and response, as messages are inserted.';

-- A message that was another's word, in another room, at another time, or is deleted.
create function follow_corrected_message() returns trigger
    language plpgsql
as $$
declare
    corrected message[] := case tg_op when 'UPDATE' then array[old, new] else array[old] end;
    one message;
begin
    -- At its old place it is counted as it was before; merge_messages counts what changed since.
    insert into message_count (
        organization, hour, channel, participant_type, session, count, sent, delivered, read,
        failed
    )
    select
        organization, hour_of(at), coalesce(channel, ''), author, pg_backend_pid(), sum(change),
        sum(change * (bits & 1)), sum(change * (bits >> 1 & 1)), sum(change * (bits >> 2 & 1)),
        sum(change * (bits >> 3 & 1))
    from (
        select
            *, case ordinality when 1 then -1 else 1 end as change,
            case when is_outgoing(author) then old.reached else 0 end as bits
        from unnest(corrected) with ordinality
    ) as message
    group by 1, 2, 3, 4
    on conflict on constraint message_count_pkey do update set
        count = message_count.count + excluded.count,
        sent = message_count.sent + excluded.sent,
        delivered = message_count.delivered + excluded.delivered,
        read = message_count.read + excluded.read,
        failed = message_count.failed + excluded.failed;
    foreach one in array corrected loop
        if one.room_id is not null then
            -- An event that moves a message to another room has locked only that one.
            perform from room
            where room_id = one.room_id and organization = one.organization
            for update;
            insert into room_word (room_id, organization)
            values (one.room_id, one.organization)
            on conflict do nothing;
            perform refresh_words(one.room_id, one.organization);
        end if;
    end loop;
    if tg_op = 'DELETE' or old.external_id <> new.external_id then
        delete from message_channel_id
        where hash = hashtextextended(old.external_id, 0)
            and message_id = old.message_id
            and organization = old.organization;
    end if;
    if tg_op = 'UPDATE' and old.external_id <> new.external_id then
        insert into message_channel_id (hash, organization, message_id)
        values (hashtextextended(new.external_id, 0), new.organization, new.message_id);
    end if;
    delete from response
    where room_id = old.room_id
        and organization = old.organization
        and at = old.at
        and message_id = old.message_id;
    foreach one in array corrected loop
        if one.room_id is not null then
            perform refresh_resolutions(
                array[one.room_id], array[one.organization], array[one.at]
            );
            perform refresh_responses(
                array[one.room_id], array[one.organization], array[one.at]
            );
        end if;
    end loop;
    return null;
end
$$;

comment on function follow_corrected_message is 'Keeps message_count, room_word, resolution and response, as messages are corrected or deleted.';

create trigger message_corrected after update on message
    for each row
    when (
        old.room_id is distinct from new.room_id
        or old.at <> new.at
        or old.author <> new.author
        or old.sender_id is distinct from new.sender_id
        or coalesce(old.channel, '') <> coalesce(new.channel, '')
        or old.external_id <> new.external_id
    )
    execute function follow_corrected_message();
create trigger message_deleted after delete on message
    for each row execute function follow_corrected_message();

-- Resolutions too: a replay derives them again.
create function forget_messages() returns trigger
    language plpgsql
as $$
begin
    truncate message_count, message_channel_id, room_word, resolution, response;
    return null;
end
$$;

comment on function forget_messages is 'Empties the derived tables when message is truncated.';

create trigger message_truncated after truncate on message
    for each statement execute function forget_messages();

create function follow_resolutions() returns trigger
    language plpgsql
as $$
declare
    rooms text[];
    organizations integer[];
    times timestamptz[];
begin
    insert into room_word (room_id, organization, resolved_at)
    select room_id, organization, max(at)
    from changed
    group by room_id, organization
    order by organization, room_id
    on conflict on constraint room_word_pkey
        do update set resolved_at = greatest(room_word.resolved_at, excluded.resolved_at);
    select array_agg(room_id), array_agg(organization), array_agg(at)
    into rooms, organizations, times
    from changed;
    if rooms is not null then
        perform refresh_resolutions(rooms, organizations, times);
        perform refresh_responses(rooms, organizations, times);
    end if;
    return null;
end
$$;

comment on function follow_resolutions is 'Keeps room_word, resolution and response, as resolutions are inserted.';

create trigger resolutions_inserted after insert on resolution
    referencing new table as changed
    for each statement execute function follow_resolutions();
