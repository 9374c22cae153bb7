-- Recomputes parts of `response`, `resolution` and `room_word` after changes in the history of rooms that
-- are not at its end: a late message, another time or author. Such a change affects at most the next
-- answers, so only these are computed.
--
-- Each query reads a bounded part of a room by index `message_by_room`; `coalesce(…, false)` hides the
-- comparison of organisations from the planner. The statements are planned while the tables are small,
-- and the plans are kept while they grow, so sessions that write must not read whole tables
-- (`store/writer_connection.rs`).

-- From the last word of the customer before each of these times on.
create function refresh_resolutions(rooms text[], organizations integer[], times timestamptz[])
    returns void
    language plpgsql
as $$
begin
    with mark as materialized (
        select distinct resolution.*, word.at as last_word_at
        from unnest(rooms, organizations, times) as change (room_id, organization, at)
        left join lateral (
            select message.at
            from message
            where message.room_id = change.room_id
                and coalesce(message.organization = change.organization, false)
                and message.at < change.at
                and message.author = 'customer'
            order by message.at desc
            limit 1
        ) as since on true
        join resolution
            on resolution.room_id = change.room_id
            and resolution.organization = change.organization
            and resolution.at >= coalesce(since.at, '-infinity')
        left join lateral (
            select message.at
            from message
            where message.room_id = resolution.room_id
                and coalesce(message.organization = resolution.organization, false)
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
                bool_or(is_reported) over (partition by organization, room_id, last_word_at)
                    as has_report
            from mark
        ) as mark
        window
            whole as (partition by organization, room_id, last_word_at),
            told as (
                partition by organization, room_id, last_word_at, at
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
                    and coalesce(message.organization = counted.organization, false)
                    and message.at > coalesce((
                        select previous.at
                        from resolution as previous
                        where previous.room_id = counted.room_id
                            and previous.organization = counted.organization
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
        and resolution.organization = told.organization
        and resolution.at = told.at
        and resolution.is_reported = told.is_reported
        and resolution.agent_id = told.agent_id
        and (resolution.word_at, resolution.begun_at, resolution.is_counted)
            is distinct from (told.last_word_at, told.first_word_at, told.does_count);
end
$$;

comment on function refresh_resolutions is 'Computes which resolutions of these rooms count, and word_at and begun_at, from these times on.';

create function refresh_responses(rooms text[], organizations integer[], times timestamptz[])
    returns void
    language plpgsql
as $$
begin
    with answer as materialized (
        select distinct on (organization, room_id, at, message_id) answer.*
        from unnest(rooms, organizations, times) as change (room_id, organization, at)
        left join lateral (
            select resolution.at
            from resolution
            where resolution.room_id = change.room_id
                and resolution.organization = change.organization
                and resolution.at > change.at
            order by resolution.at
            limit 1
        ) as resolved on true
        cross join unnest(array['agent', 'bot']) as author
        cross join lateral (
            -- Answers at this time.
            select room_id, organization, at, message_id, author, sender_id, channel
            from message
            where message.room_id = change.room_id
                and coalesce(message.organization = change.organization, false)
                and message.at = change.at
                and message.author = author.author
            union all
            -- The next answer. Those after the next resolution do not depend on what was before it.
            (
                select room_id, organization, at, message_id, author, sender_id, channel
                from message
                where message.room_id = change.room_id
                    and coalesce(message.organization = change.organization, false)
                    and message.at > change.at
                    and message.at <= coalesce(resolved.at, 'infinity')
                    and message.author = author.author
                order by message.at, message.message_id
                limit 1
            )
            union all
            -- The next response may no longer be the first since the last resolution. If it is no
            -- response any more, the one after it may be the first.
            (
                select room_id, organization, at, message_id, author, sender_id, channel
                from response
                where response.room_id = change.room_id
                    and response.organization = change.organization
                    and response.at > change.at
                    and response.at <= coalesce(resolved.at, 'infinity')
                    and response.author = author.author
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
                    and coalesce(message.organization = answer.organization, false)
                    and message.at > answer.since
                    and message.at <= previous.at
                    and message.author = 'customer'
                order by message.at
                limit 1
            ) as is_first
        from (
            select
                *,
                coalesce((
                    select resolution.at
                    from resolution
                    where resolution.room_id = answer.room_id
                        and resolution.organization = answer.organization
                        and resolution.at < answer.at
                    order by resolution.at desc
                    limit 1
                ), '-infinity') as since
            from answer
        ) as answer
        left join lateral (
            select message.at
            from message
            where message.room_id = answer.room_id
                and coalesce(message.organization = answer.organization, false)
                and message.at > answer.since
                and message.at <= answer.at
                and (message.at < answer.at or message.message_id < answer.message_id)
                and case answer.author
                    when 'agent' then message.author = 'agent'
                    else message.author in ('agent', 'bot', 'unknown')
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
                    and coalesce(message.organization = answer.organization, false)
                    and message.at > coalesce(previous.at, answer.since)
                    and message.at <= answer.at
                    and message.author = 'customer'
            ) as said
            where is_beginning(said.at, said.before)
            order by said.at desc
            limit 1
        ) as asked on true
    ), gone as (
        delete from response
        using told
        where told.asked_at is null
            and response.room_id = told.room_id
            and response.organization = told.organization
            and response.at = told.at
            and response.message_id = told.message_id
    )
    insert into response (
        room_id, organization, at, message_id, author, sender_id, channel, asked_at, is_first
    )
    select
        room_id, organization, at, message_id, author, sender_id, channel, asked_at, is_first
    from told
    where asked_at is not null
    order by organization, room_id, at, message_id
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

comment on function refresh_responses is 'Computes the responses that depend on the history of these rooms at these times.';

create function refresh_words(room text, owner integer) returns void
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
                and coalesce(organization = owner, false)
                and author = any(authors)
            order by at desc
            limit 1
        ) as last
    )
    where room_id = room and organization = owner;
end
$$;

comment on function refresh_words is 'Computes room_word of a room from its messages.';
