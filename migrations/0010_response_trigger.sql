-- Keeps `room_word`, `resolution` and `response` up to date with messages and resolutions.
--
-- Two transactions that change the same room follow each other: both lock its row in `room` before they
-- write messages, and each statement here sees what was committed before.

-- Words of a room, in the order of their own time: see table `room_word`.
create type word as (
    organization_id text, room_id text, at timestamptz, message_id text, author text,
    sender_id text, channel text
);

-- Follows new messages. Nearly always a message is the last one of its room, and what it changes
-- follows from the row of the room. Others are late: what depends on them is computed anew.
create function follow_words(words word[]) returns void
    language plpgsql
as $$
declare
    late word[];
    more word[];
    found_words bigint;
    round bigint := 1;
begin
    -- A statement cannot touch a row twice, so each round takes the next word of each room.
    loop
        with next as (
            select *
            from (
                select
                    *,
                    row_number() over (
                        partition by organization_id, room_id
                        order by at, author <> 'customer', message_id
                    ) as place
                from unnest(words)
            ) as word
            where place = round
        ), followed as (
            insert into room_word as room (
                organization_id, room_id, customer_at, answer_at, other_at, agent_wait_at,
                bot_wait_at, answer_author
            )
            select
                organization_id, room_id,
                case author when 'customer' then at end,
                case when author in ('agent', 'bot', 'unknown') then at end,
                case when author in ('campaign', 'notice', 'reaction') then at end,
                case author when 'customer' then at end,
                case author when 'customer' then at end,
                case when author in ('agent', 'bot', 'unknown') then author end
            from next
            order by organization_id, room_id
            on conflict (room_id, organization_id) do update set
                customer_at = greatest(room.customer_at, excluded.customer_at),
                answer_at = greatest(room.answer_at, excluded.answer_at),
                other_at = greatest(room.other_at, excluded.other_at),
                answer_author = excluded.answer_author,
                agent_wait_at = case
                    when excluded.answer_author = 'agent' then null
                    when room.agent_wait_at is null
                        or is_beginning(excluded.customer_at, room.customer_at)
                    then coalesce(excluded.customer_at, room.agent_wait_at)
                    else room.agent_wait_at
                end,
                bot_wait_at = case
                    when excluded.answer_author is not null then null
                    when room.bot_wait_at is null
                        or is_beginning(excluded.customer_at, room.customer_at)
                    then coalesce(excluded.customer_at, room.bot_wait_at)
                    else room.bot_wait_at
                end,
                is_agent_answered = room.is_agent_answered
                    or coalesce(excluded.answer_author = 'agent', false)
                        and room.agent_wait_at is not null,
                is_bot_answered = room.is_bot_answered
                    or excluded.answer_author is not null and room.bot_wait_at is not null,
                response_asked_at = case excluded.answer_author
                    when 'agent' then room.agent_wait_at
                    when 'bot' then room.bot_wait_at
                end,
                response_is_first = case excluded.answer_author
                    when 'agent' then not room.is_agent_answered
                    when 'bot' then not room.is_bot_answered
                end
            where excluded.other_at is not null
                or coalesce(
                    coalesce(excluded.customer_at, excluded.answer_at)
                        > greatest(room.customer_at, room.answer_at, room.resolved_at),
                    true
                )
            returning organization_id, room_id, response_asked_at, response_is_first
        ), responded as (
            insert into response (
                room_id, organization_id, at, message_id, author, sender_id, channel, asked_at,
                is_first
            )
            select
                room_id, organization_id, at, message_id, author, sender_id, channel,
                response_asked_at, response_is_first
            from next
            join followed using (organization_id, room_id)
            where response_asked_at is not null
            order by organization_id, room_id
        )
        select
            count(*),
            array_agg(
                (
                    organization_id, room_id, at, message_id, author, sender_id, channel
                )::word
            ) filter (where followed.room_id is null)
        into found_words, more
        from next
        left join followed using (organization_id, room_id);
        exit when found_words = 0;
        late := late || more;
        round := round + 1;
    end loop;
    if late is not null then
        perform follow_late_words(late);
    end if;
end
$$;

comment on function follow_words is 'Keeps room_word, resolution and response, as messages are inserted.';

-- Words that are not the last of their room.
create function follow_late_words(words word[]) returns void
    language plpgsql
as $$
declare
    rooms text[];
    organizations text[];
    times timestamptz[];
begin
    update room_word
    set
        customer_at = greatest(room_word.customer_at, late.customer_at),
        answer_at = greatest(room_word.answer_at, late.answer_at)
    from (
        select
            organization_id, room_id, max(at) filter (where author = 'customer') as customer_at,
            max(at) filter (where author <> 'customer') as answer_at
        from unnest(words)
        group by organization_id, room_id
    ) as late
    where room_word.room_id = late.room_id and room_word.organization_id = late.organization_id;
    select array_agg(room_id), array_agg(organization_id), array_agg(at)
    into rooms, organizations, times
    from unnest(words);
    perform refresh_room(rooms, organizations, times);
end
$$;

comment on function follow_late_words is 'Keeps room_word, resolution and response, as older messages are inserted.';

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
        organization_id, hour, channel, participant_type, session, count, sent, delivered, read,
        failed
    )
    select
        organization_id, hour_of(at), coalesce(channel, ''), author, pg_backend_pid(), sum(change),
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
            where room_id = one.room_id and organization_id = one.organization_id
            for update;
            insert into room_word (room_id, organization_id)
            values (one.room_id, one.organization_id)
            on conflict do nothing;
            perform refresh_words(one.room_id, one.organization_id);
        end if;
    end loop;
    if tg_op = 'DELETE' or old.external_id <> new.external_id then
        delete from message_channel_id
        where hash = hashtextextended(old.external_id, 0)
            and message_id = old.message_id
            and organization_id = old.organization_id;
    end if;
    if tg_op = 'UPDATE' and old.external_id <> new.external_id then
        insert into message_channel_id (hash, organization_id, message_id)
        values (hashtextextended(new.external_id, 0), new.organization_id, new.message_id);
    end if;
    delete from response
    where room_id = old.room_id
        and organization_id = old.organization_id
        and at = old.at
        and message_id = old.message_id;
    foreach one in array corrected loop
        if one.room_id is not null then
            perform refresh_room(
                array[one.room_id], array[one.organization_id], array[one.at]
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
    organizations text[];
    times timestamptz[];
begin
    insert into room_word (room_id, organization_id, resolved_at)
    select room_id, organization_id, max(at)
    from changed
    group by room_id, organization_id
    order by organization_id, room_id
    on conflict on constraint room_word_pkey
        do update set resolved_at = greatest(room_word.resolved_at, excluded.resolved_at);
    select array_agg(room_id), array_agg(organization_id), array_agg(at)
    into rooms, organizations, times
    from changed;
    if rooms is not null then
        perform refresh_room(rooms, organizations, times);
    end if;
    return null;
end
$$;

comment on function follow_resolutions is 'Keeps room_word, resolution and response, as resolutions are inserted.';

create trigger resolutions_inserted after insert on resolution
    referencing new table as changed
    for each statement execute function follow_resolutions();
