-- Who waits, and how long did those wait that were answered? To find out from messages takes as long
-- as there are many, so it is kept while they are written.
--
-- The words of a room and its resolutions, in the order of their own time, are its history. At one
-- instant customers come before answers, and answers before resolutions. All tables here are
-- functions of that history, however it arrived:
--
-- - `room_word`: the last words of each room. The room is unanswered while the customer's is later.
-- - `resolution`: when rooms were resolved.
-- - `response`: answers that ended a wait. The wait of an agent begins with the first word of the
--   customer after the last word of an agent or the last resolution; that of a bot after the last
--   answer of anyone. It begins anew if the customer writes after a week of silence.
--
-- A new message is the last one of its room nearly always. Then a customer's word costs one upsert of
-- a narrow row, and an answer in addition a walk back to the answer before it. A late message, an
-- earlier time or another author changes at most the next answers, so only these are computed anew.
-- Other events of a message cost a comparison of its columns.
--
-- The statements here are planned when the tables are small, and kept while they grow. So sessions that
-- write must not use sequential scans (`store/writer_connection.rs`).
--
-- Two transactions that change one room follow each other: both have locked its row in `room` before
-- they write messages, and each statement here sees what was committed before.
create table room_word (
    room_id         text        collate "C" not null,
    organization_id text        collate "C" not null,
    customer_at     timestamptz,
    answer_at       timestamptz,
    other_at        timestamptz,
    resolved_at     timestamptz,
    constraint room_word_pkey primary key (room_id, organization_id)
) with (fillfactor = 70);

comment on table room_word is 'The last words of rooms, by message.at.';
comment on column room_word.room_id is 'The room.';
comment on column room_word.organization_id is 'Organisation of its messages.';
comment on column room_word.customer_at is 'Last word of the customer.';
comment on column room_word.answer_at is 'Last word of an agent, a bot, or another sender of outgoing messages.';
comment on column room_word.other_at is 'Last message that is nobody''s word: a broadcast''s, a notice, a reaction.';
comment on column room_word.resolved_at is 'Last resolution.';

create table resolution (
    room_id         text        collate "C" not null,
    organization_id text        collate "C" not null,
    at              timestamptz not null,
    is_reported     boolean     not null,
    agent_id        text        collate "C" not null,
    channel         text        collate "C",
    word_at         timestamptz,
    begun_at        timestamptz,
    is_counted      boolean     not null default false,
    constraint resolution_pkey primary key (room_id, organization_id, at, is_reported, agent_id)
);

create index resolution_by_time on resolution (at) where is_counted;
create index resolution_by_organization on resolution (organization_id, at) where is_counted;

comment on table resolution is 'When rooms were resolved, as far as events tell.';
comment on column resolution.room_id is 'The room.';
comment on column resolution.organization_id is 'Organisation of the room.';
comment on column resolution.at is 'When it was resolved; the clock of the snapshot where it does not say.';
comment on column resolution.is_reported is 'Whether an event said when it was resolved. Other rows are of snapshots of a resolved room.';
comment on column resolution.agent_id is 'User that resolved it; empty where the event names none.';
comment on column resolution.channel is 'Channel of the room, where the event names it.';
comment on column resolution.word_at is 'Last word of the customer before it: equal in all rows until the customer writes again.';
comment on column resolution.begun_at is 'First word of the customer since the room was resolved before, or since a week of silence; null without one, and if it was resolved again since.';
comment on column resolution.is_counted is 'Whether it counts as a resolution. Until the customer writes again, all times that were reported do; if there are none, the first snapshot.';

create table response (
    room_id         text        collate "C" not null,
    organization_id text        collate "C" not null,
    at              timestamptz not null,
    message_id      text        collate "C" not null,
    author          text        collate "C" not null,
    sender_id       text        collate "C",
    channel         text        collate "C",
    asked_at        timestamptz not null,
    is_first        boolean     not null,
    constraint response_pkey primary key (room_id, organization_id, at, message_id)
);

create index response_by_time on response (at);
create index response_by_organization on response (organization_id, at);

comment on table response is 'Answers that ended a wait of the customer.';
comment on column response.room_id is 'The room.';
comment on column response.organization_id is 'Organisation of the message.';
comment on column response.at is 'message.at of the answer: when the wait ended, and where it counts.';
comment on column response.message_id is 'The answer.';
comment on column response.author is 'Whose answer: agent or bot. They are measured apart.';
comment on column response.sender_id is 'User that answered.';
comment on column response.channel is 'message.channel of the answer.';
comment on column response.asked_at is 'When the wait began: the customer''s first word in it.';
comment on column response.is_first is 'Whether it is the first since the room began or was last resolved.';

-- A customer who returns after a week without an answer begins a new wait, so old messages that are
-- imported later do not make today's answers slow. Hours, because a day depends on the time zone.
create function is_beginning(at timestamptz, before timestamptz)
    returns boolean
    language sql immutable parallel safe
    return before is null or at > before + interval '168 hours';

comment on function is_beginning is 'Whether a word of the customer begins a wait, after the word before it.';

-- Which of these rooms' resolutions count, from the last word of the customer before these times on.
create function refresh_resolutions(rooms text[], organizations text[], times timestamptz[])
    returns void
    language plpgsql
as $$
begin
    with mark as materialized (
        select distinct resolution.*, word.at as last_word_at
        from unnest(rooms, organizations, times) as change (room_id, organization_id, at)
        left join lateral (
            select message.at
            from message
            where message.room_id = change.room_id
                and coalesce(message.organization_id = change.organization_id, false)
                and message.at < change.at
                and message.author = 'customer'
            order by message.at desc
            limit 1
        ) as since on true
        join resolution
            on resolution.room_id = change.room_id
            and resolution.organization_id = change.organization_id
            and resolution.at >= coalesce(since.at, '-infinity')
        left join lateral (
            select message.at
            from message
            where message.room_id = resolution.room_id
                and coalesce(message.organization_id = resolution.organization_id, false)
                and message.at <= resolution.at
                and message.author = 'customer'
            order by message.at desc
            limit 1
        ) as word on true
    ), counted as (
        select
            mark.*,
            row_number() over told = 1
                and (is_reported or not bool_or(is_reported) over whole
                    and at = min(at) over whole) as does_count,
            at = min(at) filter (where is_reported or not has_report) over whole as is_first
        from (
            select
                *,
                bool_or(is_reported) over (partition by organization_id, room_id, last_word_at)
                    as has_report
            from mark
        ) as mark
        window
            whole as (partition by organization_id, room_id, last_word_at),
            told as (
                partition by organization_id, room_id, last_word_at, at
                order by is_reported desc, agent_id desc
            )
    )
    update resolution
    set word_at = told.last_word_at, begun_at = told.first_word_at, is_counted = told.does_count
    from (
        select counted.*, first.at as first_word_at
        from counted
        left join lateral (
            select said.at
            from (
                select message.at, lag(message.at) over (order by message.at) as before
                from message
                where does_count
                    and is_first
                    and message.room_id = counted.room_id
                    and coalesce(message.organization_id = counted.organization_id, false)
                    and message.at > coalesce((
                        select previous.at
                        from resolution as previous
                        where previous.room_id = counted.room_id
                            and previous.organization_id = counted.organization_id
                            and previous.at < counted.last_word_at
                        order by previous.at desc
                        limit 1
                    ), '-infinity')
                    and message.at <= counted.last_word_at
                    and message.author = 'customer'
            ) as said
            where is_beginning(said.at, said.before)
            order by said.at desc
            limit 1
        ) as first on true
    ) as told
    where resolution.room_id = told.room_id
        and resolution.organization_id = told.organization_id
        and resolution.at = told.at
        and resolution.is_reported = told.is_reported
        and resolution.agent_id = told.agent_id
        and (resolution.word_at, resolution.begun_at, resolution.is_counted)
            is distinct from (told.last_word_at, told.first_word_at, told.does_count);
end
$$;

comment on function refresh_resolutions is 'Finds out which resolutions of these rooms count, and when they began.';

-- Answers that depend on what happened in these rooms at these times.
create function refresh_responses(rooms text[], organizations text[], times timestamptz[])
    returns void
    language plpgsql
as $$
begin
    with answer as materialized (
        select distinct answer.*
        from unnest(rooms, organizations, times) as change (room_id, organization_id, at)
        left join lateral (
            select resolution.at
            from resolution
            where resolution.room_id = change.room_id
                and resolution.organization_id = change.organization_id
                and resolution.at > change.at
            order by resolution.at
            limit 1
        ) as resolved on true
        cross join lateral (
            -- At this time.
            select message.message_id, message.organization_id
            from message
            where message.room_id = change.room_id
                and coalesce(message.organization_id = change.organization_id, false)
                and message.at = change.at
            union all
            -- The next ones. Those after the next resolution do not depend on what was before it.
            (
                select message.message_id, message.organization_id
                from message
                where message.room_id = change.room_id
                    and coalesce(message.organization_id = change.organization_id, false)
                    and message.at > change.at
                    and message.at <= coalesce(resolved.at, 'infinity')
                    and message.author = 'agent'
                order by message.at, message.message_id
                limit 1
            )
            union all
            (
                select message.message_id, message.organization_id
                from message
                where message.room_id = change.room_id
                    and coalesce(message.organization_id = change.organization_id, false)
                    and message.at > change.at
                    and message.at <= coalesce(resolved.at, 'infinity')
                    and message.author = 'bot'
                order by message.at, message.message_id
                limit 1
            )
            union all
            -- The next of each kind may no longer be the first since the last resolution; the one
            -- after it may be, if it is none any more.
            (
                select response.message_id, response.organization_id
                from response
                where response.room_id = change.room_id
                    and response.organization_id = change.organization_id
                    and response.at > change.at
                    and response.at <= coalesce(resolved.at, 'infinity')
                    and response.author = 'agent'
                order by response.at, response.message_id
                limit 2
            )
            union all
            (
                select response.message_id, response.organization_id
                from response
                where response.room_id = change.room_id
                    and response.organization_id = change.organization_id
                    and response.at > change.at
                    and response.at <= coalesce(resolved.at, 'infinity')
                    and response.author = 'bot'
                order by response.at, response.message_id
                limit 2
            )
        ) as answer
    ), told as materialized (
        select
            answer.*, asked.at as asked_at,
            previous.at is null or not exists (
                select
                from message
                where message.room_id = answer.room_id
                    and coalesce(message.organization_id = answer.organization_id, false)
                    and message.at > answer.since
                    and message.at <= previous.at
                    and message.author = 'customer'
                order by message.at
                limit 1
            ) as is_first
        from (
            select
                message.room_id, message.organization_id, message.at, message.message_id,
                author,
                message.sender_id, message.channel,
                coalesce((
                    select resolution.at
                    from resolution
                    where resolution.room_id = message.room_id
                        and resolution.organization_id = message.organization_id
                        and resolution.at < message.at
                    order by resolution.at desc
                    limit 1
                ), '-infinity') as since
            from answer
            join message using (message_id, organization_id)
        ) as answer
        left join lateral (
            select message.at
            from message
            where message.room_id = answer.room_id
                and coalesce(message.organization_id = answer.organization_id, false)
                and message.at > answer.since
                and message.at <= answer.at
                and (message.at < answer.at or message.message_id < answer.message_id)
                and case answer.author
                    when 'agent' then
                        message.author = 'agent'
                    else
                        message.author
                            in ('agent', 'bot', 'unknown')
                end
            order by message.at desc
            limit 1
        ) as previous on true
        left join lateral (
            select said.at
            from (
                select message.at, lag(message.at) over (order by message.at) as before
                from message
                where message.room_id = answer.room_id
                    and coalesce(message.organization_id = answer.organization_id, false)
                    and message.at > coalesce(previous.at, answer.since)
                    and message.at <= answer.at
                    and message.author = 'customer'
            ) as said
            where is_beginning(said.at, said.before)
            order by said.at desc
            limit 1
        ) as asked on true
        where answer.author in ('agent', 'bot')
    ), gone as (
        delete from response
        using told
        where told.asked_at is null
            and response.room_id = told.room_id
            and response.organization_id = told.organization_id
            and response.at = told.at
            and response.message_id = told.message_id
    )
    insert into response (
        room_id, organization_id, at, message_id, author, sender_id, channel, asked_at, is_first
    )
    select
        room_id, organization_id, at, message_id, author, sender_id, channel, asked_at, is_first
    from told
    where asked_at is not null
    order by organization_id, room_id, at, message_id
    on conflict on constraint response_pkey do update set
        author = excluded.author,
        sender_id = excluded.sender_id,
        channel = excluded.channel,
        asked_at = excluded.asked_at,
        is_first = excluded.is_first
    where (
        response.author, response.sender_id, response.channel, response.asked_at, response.is_first
    ) is distinct from (
        excluded.author, excluded.sender_id, excluded.channel, excluded.asked_at, excluded.is_first
    );
end
$$;

comment on function refresh_responses is 'Computes responses anew that depend on what happened in these rooms at these times.';

create function follow_new_messages() returns trigger
    language plpgsql
as $$
declare
    rooms text[];
    organizations text[];
    times timestamptz[];
begin
    if not exists (select from changed) then
        return null;
    end if;
    with word as materialized (
        select word.*, before.answer_at, before.resolved_at
        from (
            select
                room_id, organization_id, at, message_id, sender_id, channel,
                author
            from changed
            where room_id is not null
        ) as word
        -- As it was before this statement.
        left join room_word as before using (room_id, organization_id)
        where author <> ''
    ), last as (
        insert into room_word (room_id, organization_id, customer_at, answer_at, other_at)
        select
            room_id, organization_id, max(at) filter (where author = 'customer'),
            max(at) filter (where author in ('agent', 'bot', 'unknown')),
            max(at) filter (where author in ('campaign', 'notice', 'reaction'))
        from word
        group by room_id, organization_id
        order by organization_id, room_id
        on conflict on constraint room_word_pkey do update set
            customer_at = greatest(room_word.customer_at, excluded.customer_at),
            answer_at = greatest(room_word.answer_at, excluded.answer_at),
            other_at = greatest(room_word.other_at, excluded.other_at)
    ), response as (
        insert into response (
            room_id, organization_id, at, message_id, author, sender_id, channel, asked_at, is_first
        )
        select
            word.room_id, word.organization_id, word.at, word.message_id, word.author,
            word.sender_id, word.channel, asked.at,
            previous.at is null or not exists (
                select
                from message
                where message.room_id = word.room_id
                    and coalesce(message.organization_id = word.organization_id, false)
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
                and coalesce(message.organization_id = word.organization_id, false)
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
                    and coalesce(message.organization_id = word.organization_id, false)
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
    )
    select array_agg(room_id), array_agg(organization_id), array_agg(at)
    into rooms, organizations, times
    from word
    where author in ('customer', 'agent', 'bot', 'unknown')
        and (at <= answer_at or at <= resolved_at);
    -- Answers or resolutions that depend on these words were there before them.
    if rooms is not null then
        perform refresh_resolutions(rooms, organizations, times);
        perform refresh_responses(rooms, organizations, times);
    end if;
    return null;
end
$$;

comment on function follow_new_messages is 'Keeps room_word, resolution and response, as messages are inserted.';

-- The last words of a room, from all of its messages.
create function refresh_words(room text, organization text) returns void
    language plpgsql
as $$
begin
    update room_word
    set (customer_at, answer_at, other_at) = (
        select
            max(at) filter (where authors = '{customer}'),
            max(at) filter (where authors = '{agent,bot,unknown}'),
            max(at) filter (where authors = '{campaign,notice,reaction}')
        from (
            values ('{customer}'::text[]), ('{agent,bot,unknown}'), ('{campaign,notice,reaction}')
        ) as kind (authors)
        cross join lateral (
            select at
            from message
            where room_id = room
                and coalesce(organization_id = organization, false)
                and author = any(authors)
            order by at desc
            limit 1
        ) as last
    )
    where room_id = room and organization_id = organization;
end
$$;

comment on function refresh_words is 'Finds the last words of a room among its messages.';

-- A message that was another's word, in another room or at another time, or is deleted.
create function follow_corrected_message() returns trigger
    language plpgsql
as $$
declare
    corrected message[] := case tg_op when 'UPDATE' then array[old, new] else array[old] end;
    one message;
begin
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
    delete from response
    where room_id = old.room_id
        and organization_id = old.organization_id
        and at = old.at
        and message_id = old.message_id;
    foreach one in array corrected loop
        if one.room_id is not null then
            perform refresh_resolutions(
                array[one.room_id], array[one.organization_id], array[one.at]
            );
            perform refresh_responses(
                array[one.room_id], array[one.organization_id], array[one.at]
            );
        end if;
    end loop;
    return null;
end
$$;

comment on function follow_corrected_message is 'Keeps room_word, resolution and response, as messages are corrected or deleted.';

create trigger words_inserted after insert on message
    referencing new table as changed
    for each statement execute function follow_new_messages();
create trigger words_updated after update on message
    for each row
    when (
        old.room_id is distinct from new.room_id
        or old.at <> new.at
        or old.author <> new.author
        or old.sender_id is distinct from new.sender_id
    )
    execute function follow_corrected_message();
create trigger words_deleted after delete on message
    for each row execute function follow_corrected_message();

-- What is left of a table that is emptied is derived again by a replay.
create function forget_words() returns trigger
    language plpgsql
as $$
begin
    truncate room_word, resolution, response;
    return null;
end
$$;

comment on function forget_words is 'Empties what was derived, as message is emptied.';

create trigger words_truncated after truncate on message
    for each statement execute function forget_words();

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

-- Derives all from messages and resolutions.
create function rebuild_responses() returns void
    language plpgsql
as $$
begin
    delete from response;
    delete from room_word;
    with history as (
        select
            room_id, organization_id, at, message_id, sender_id, channel,
            author
        from message
        where room_id is not null
        union all
        select distinct room_id, organization_id, at, '', null, null, 'resolution'
        from resolution
    ), placed as (
        select
            *,
            -- Resolutions, answers of agents, and answers of anyone before it.
            count(*) filter (where author = 'resolution') over earlier as resolutions,
            count(*) filter (where author = 'agent') over earlier as agents,
            count(*) filter (where author in ('agent', 'bot', 'unknown')) over earlier as answers
        from history
        window earlier as (
            partition by organization_id, room_id
            order by
                at,
                case author when 'customer' then 0 when 'resolution' then 2 else 1 end,
                message_id
            rows between unbounded preceding and 1 preceding
        )
    ), begun as (
        select
            *,
            author = 'customer' and is_beginning(at, lag(at) over (
                partition by organization_id, room_id, resolutions, agents, author order by at
            )) as begins_agent,
            author = 'customer' and is_beginning(at, lag(at) over (
                partition by organization_id, room_id, resolutions, answers, author order by at
            )) as begins_bot
        from placed
    ), asked as (
        select
            *,
            min(at) filter (where author = 'customer')
                over (partition by organization_id, room_id, resolutions) as first_at,
            min(at) filter (where author = 'customer') over agent as first_agent_at,
            max(at) filter (where begins_agent) over agent as agent_at,
            min(at) filter (where author = 'customer') over bot as first_bot_at,
            max(at) filter (where begins_bot) over bot as bot_at
        from begun
        window
            agent as (partition by organization_id, room_id, resolutions, agents),
            bot as (partition by organization_id, room_id, resolutions, answers)
    )
    insert into response (
        room_id, organization_id, at, message_id, author, sender_id, channel, asked_at, is_first
    )
    select
        room_id, organization_id, at, message_id, author, sender_id, channel,
        case author when 'agent' then agent_at else bot_at end,
        case author when 'agent' then first_agent_at else first_bot_at end = first_at
    from asked
    where author = 'agent' and agent_at is not null or author = 'bot' and bot_at is not null;

    insert into room_word (
        room_id, organization_id, customer_at, answer_at, other_at, resolved_at
    )
    select
        room_id, organization_id, max(at) filter (where author = 'customer'),
        max(at) filter (where author in ('agent', 'bot', 'unknown')),
        max(at) filter (where author in ('campaign', 'notice', 'reaction')),
        max(at) filter (where author = 'resolution')
    from (
        select
            room_id, organization_id, at,
            author
        from message
        where room_id is not null
        union all
        select room_id, organization_id, at, 'resolution' from resolution
    ) as history
    where author <> ''
    group by room_id, organization_id;

    with history as (
        select
            *,
            count(*) filter (where is_mark) over (
                so_far rows between unbounded preceding and 1 preceding
            ) as marks
        from (
            select room_id, organization_id, at, false as is_mark
            from message
            where room_id is not null
                and message.author = 'customer'
            union all
            select distinct room_id, organization_id, at, true from resolution
        ) as history
        window so_far as (partition by organization_id, room_id order by at, is_mark)
    ), placed as (
        select
            *,
            max(at) filter (where not is_mark) over so_far as word_at,
            -- Resolutions before the last word.
            max(marks) filter (where not is_mark) over so_far as conversation
        from history
        window so_far as (
            partition by organization_id, room_id
            order by at, is_mark
            rows unbounded preceding
        )
    ), begun as (
        select
            *,
            max(at) filter (where begins)
                over (partition by organization_id, room_id, conversation) as begun_at
        from (
            select
                *,
                not is_mark and is_beginning(at, lag(at) over (
                    partition by organization_id, room_id, conversation, is_mark order by at
                )) as begins
            from placed
        ) as placed
    ), mark as (
        select
            resolution.room_id, resolution.organization_id, resolution.at, is_reported, agent_id,
            begun.word_at, begun.begun_at,
            bool_or(is_reported)
                over (partition by organization_id, room_id, begun.word_at) as has_report
        from resolution
        join (select * from begun where is_mark) as begun using (room_id, organization_id, at)
    ), counted as (
        select
            *,
            min(at) filter (where is_reported or not has_report) over whole as first_at,
            row_number() over (
                partition by organization_id, room_id, word_at, at
                order by is_reported desc, agent_id desc
            ) = 1
                and (is_reported or not has_report and at = min(at) over whole) as does_count
        from mark
        window whole as (partition by organization_id, room_id, word_at)
    )
    update resolution
    set
        word_at = told.word_at,
        begun_at = case when does_count and told.at = first_at then told.begun_at end,
        is_counted = does_count
    from counted as told
    where resolution.room_id = told.room_id
        and resolution.organization_id = told.organization_id
        and resolution.at = told.at
        and resolution.is_reported = told.is_reported
        and resolution.agent_id = told.agent_id;
end
$$;

comment on function rebuild_responses is 'Derives room_word, resolution and response from all messages and resolutions.';

-- Resolutions that were stored before.
alter table resolution disable trigger resolutions_inserted;
insert into resolution (room_id, organization_id, at, is_reported, agent_id)
select distinct room_id, organization_id, at, is_reported, coalesce(agent_id, '')
from (
    select room_id, organization_id, at, true as is_reported, actor_id as agent_id
    from room_event
    where type = 'resolved' and at is not null
    union all
    select
        room_id, organization_id, coalesce(resolved_at, clock), resolved_at is not null,
        resolved_by_id
    from room
    where status = 'resolved'
) as resolution
where at is not null;
alter table resolution enable trigger resolutions_inserted;

update resolution
set channel = room.channel
from room
where room.room_id = resolution.room_id and room.organization_id = resolution.organization_id;

select rebuild_responses();

-- Qontak's own words decide only where no message of the room is known, or where the session began
-- later than all that is known: then a message of the customer was never reported. Its own time and
-- that of the session may differ by seconds. A room whose events have no copy of it has no status.
create function is_unanswered(
    status text, customer_at timestamptz, answer_at timestamptz, other_at timestamptz,
    is_unresponded boolean, session_at timestamptz, last_message_at timestamptz,
    unread_count bigint
)
    returns boolean
    language sql immutable parallel safe
    return case
        when customer_at is null and answer_at is null
            or session_at > greatest(customer_at, answer_at, other_at) + interval '5 s'
        then coalesce(
            status in ('unassigned', 'assigned')
                and coalesce(is_unresponded, session_at >= last_message_at, unread_count > 0),
            false
        )
        else coalesce(status in ('unassigned', 'assigned'), true)
            and coalesce(customer_at > coalesce(answer_at, '-infinity'), false)
    end;

comment on function is_unanswered(
    text, timestamptz, timestamptz, timestamptz, boolean, timestamptz, timestamptz, bigint
) is 'Whether a room is open and the last word in it is the customer''s.';

-- Only rooms without a status are in it, so others pay nothing.
create index room_without_status on room (activity_slot) where status is null;
