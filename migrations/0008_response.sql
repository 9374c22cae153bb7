-- Waits and responses: who waits for an answer, and how long did answered customers wait? Computing that
-- from messages takes as long as there are many, so it is kept while messages are written.
--
-- The history of a room is its words and resolutions in the order of their own time. At the same instant
-- customers come before answers, and answers before resolutions. The tables of this file are functions of
-- that history, whatever the order of arrival:
--
-- - `room_word`: the last words of each room. The room is unanswered while the customer's is later.
-- - `resolution`: when rooms were resolved.
-- - `response`: answers that ended a wait. The wait for an agent begins with the customer's first word
--   after the last word of an agent or the last resolution, the wait for a bot with the first word after
--   the last answer of anyone. A wait begins anew if the customer writes after a week of silence.
--
-- Function `rebuild_responses` below computes all of it. The next two files keep it up to date with each
-- change; the tests compare both.
create table room_word (
    organization    integer     not null,
    room_id         text        collate "C" not null,
    customer_at     timestamptz,
    answer_at       timestamptz,
    other_at        timestamptz,
    resolved_at     timestamptz,
    constraint room_word_pkey primary key (room_id, organization)
) with (fillfactor = 70);

comment on table room_word is 'Times of the last words of rooms, by message.at.';
comment on column room_word.room_id is 'The room.';
comment on column room_word.organization is 'Number of the organisation of its messages.';
comment on column room_word.customer_at is 'Last word of the customer.';
comment on column room_word.answer_at is 'Last word of an agent, a bot, or another sender of outgoing messages.';
comment on column room_word.other_at is 'Last message that is nobody''s word: of a broadcast, a notice, a reaction.';
comment on column room_word.resolved_at is 'Last resolution.';

create table resolution (
    organization    integer     not null,
    room_id         text        collate "C" not null,
    at              timestamptz not null,
    is_reported     boolean     not null,
    agent_id        text        collate "C" not null,
    channel         text        collate "C",
    word_at         timestamptz,
    begun_at        timestamptz,
    is_counted      boolean     not null default false,
    constraint resolution_pkey primary key (room_id, organization, at, is_reported, agent_id)
);

comment on table resolution is 'Times at which rooms were resolved, as far as events contain them.';
comment on column resolution.room_id is 'The room.';
comment on column resolution.organization is 'Number of the organisation of the room.';
comment on column resolution.at is 'Time of the resolution; the clock of the snapshot if it has none.';
comment on column resolution.is_reported is 'Whether an event contained the time. Other rows are from snapshots of a resolved room.';
comment on column resolution.agent_id is 'User that resolved it; empty if the event names none.';
comment on column resolution.channel is 'Channel of the room, if the event names it.';
comment on column resolution.word_at is 'Last word of the customer before it; the same in all rows until the customer writes again.';
comment on column resolution.begun_at is 'First word of the customer since the resolution before, or since a week of silence. Null if there is none, or if another resolution after the same word counts first.';
comment on column resolution.is_counted is 'Whether it counts as a resolution. Until the customer writes again, all reported times count; if there are none, the first snapshot counts.';

create index resolution_by_time on resolution (at) where is_counted;
comment on index resolution_by_time is 'GET /v1/stats of all organisations: resolutions of a period.';

create index resolution_by_organization on resolution (organization, at) where is_counted;
comment on index resolution_by_organization is 'GET /v1/stats of one organisation: resolutions of a period.';

create table response (
    organization    integer     not null,
    room_id         text        collate "C" not null,
    at              timestamptz not null,
    message_id      text        collate "C" not null,
    author          text        collate "C" not null,
    sender_id       text        collate "C",
    channel         text        collate "C",
    asked_at        timestamptz not null,
    is_first        boolean     not null,
    constraint response_pkey primary key (room_id, organization, at, message_id)
);

comment on table response is 'Answers that ended a wait of the customer.';
comment on column response.room_id is 'The room.';
comment on column response.organization is 'Number of the organisation of the message.';
comment on column response.at is 'message.at of the answer: end of the wait, and the time by which it is counted.';
comment on column response.message_id is 'The answer.';
comment on column response.author is 'Author of the answer: agent or bot. They are measured apart.';
comment on column response.sender_id is 'User that answered.';
comment on column response.channel is 'message.channel of the answer.';
comment on column response.asked_at is 'Start of the wait: the first word of the customer in it.';
comment on column response.is_first is 'Whether it is the first one since the room began or was last resolved.';

create index response_by_time on response (at);
comment on index response_by_time is 'GET /v1/stats of all organisations: response times of a period.';

create index response_by_organization on response (organization, at);
comment on index response_by_organization is 'GET /v1/stats of one organisation: response times of a period.';

-- A customer who returns after a week without an answer begins a new wait, so old messages that are
-- imported later do not make today's answers slow. In hours, because the length of a day depends on
-- the time zone. Stable like the addition of an interval: else Postgres would not inline it.
create function is_beginning(at timestamptz, before timestamptz)
    returns boolean
    language sql stable parallel safe
    return before is null or at > before + interval '168 hours';

comment on function is_beginning is 'Whether a word of the customer begins a wait, given the time of the word before it.';

-- Qontak's own fields decide only if no message of the room is known, or if the session began later than all
-- known messages: then a message of the customer was never reported. If all known ones are nobody's word and
-- there is no session, is_unresponded decides if it is reported. Qontak's is_unresponded is often
-- absent. Then the last message is the customer's if it came when the session began, and snapshots
-- without that time (of 2021) at least have the number of unread messages.
--
-- The times of a message and of its session may differ by seconds. A room whose events contain no
-- snapshot has no status. Stable, so that Postgres inlines it, see is_beginning.
create function is_unanswered(
    status text, customer_at timestamptz, answer_at timestamptz, other_at timestamptz,
    is_unresponded boolean, session_at timestamptz, last_message_at timestamptz,
    unread_count bigint
)
    returns boolean
    language sql stable parallel safe
    return case
        when coalesce(
            session_at > greatest(customer_at, answer_at, other_at) + interval '5 s',
            customer_at is null and answer_at is null and (other_at is null or is_unresponded)
        )
        then coalesce(
            status in ('unassigned', 'assigned')
                and coalesce(is_unresponded, session_at >= last_message_at, unread_count > 0),
            false
        )
        else coalesce(status in ('unassigned', 'assigned'), true)
            and coalesce(customer_at > coalesce(answer_at, '-infinity'), false)
    end;

comment on function is_unanswered is 'Whether a room is open and the last word in it is the customer''s.';

create function rebuild_responses() returns void
    language plpgsql
as $$
begin
    delete from response;
    delete from room_word;
    with history as (
        select
            room_id, organization, at, message_id, sender_id, channel, author
        from message
        where room_id is not null
        union all
        select distinct room_id, organization, at, '', null, null, 'resolution'
        from resolution
    ), placed as (
        select
            *,
            -- Number of resolutions, answers of agents, and answers of anyone before it.
            count(*) filter (where author = 'resolution') over earlier as resolutions,
            count(*) filter (where author = 'agent') over earlier as agents,
            count(*) filter (where author in ('agent', 'bot', 'unknown')) over earlier as answers
        from history
        window earlier as (
            partition by organization, room_id
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
                partition by organization, room_id, resolutions, agents, author order by at
            )) as begins_agent,
            author = 'customer' and is_beginning(at, lag(at) over (
                partition by organization, room_id, resolutions, answers, author order by at
            )) as begins_bot
        from placed
    ), asked as (
        select
            *,
            min(at) filter (where author = 'customer')
                over (partition by organization, room_id, resolutions) as first_at,
            min(at) filter (where author = 'customer') over agent as first_agent_at,
            max(at) filter (where begins_agent) over agent as agent_at,
            min(at) filter (where author = 'customer') over bot as first_bot_at,
            max(at) filter (where begins_bot) over bot as bot_at
        from begun
        window
            agent as (partition by organization, room_id, resolutions, agents),
            bot as (partition by organization, room_id, resolutions, answers)
    )
    insert into response (
        room_id, organization, at, message_id, author, sender_id, channel, asked_at, is_first
    )
    select
        room_id, organization, at, message_id, author, sender_id, channel,
        case author when 'agent' then agent_at else bot_at end,
        case author when 'agent' then first_agent_at else first_bot_at end = first_at
    from asked
    where author = 'agent' and agent_at is not null or author = 'bot' and bot_at is not null;

    insert into room_word (
        room_id, organization, customer_at, answer_at, other_at, resolved_at
    )
    select
        room_id, organization, max(at) filter (where author = 'customer'),
        max(at) filter (where author in ('agent', 'bot', 'unknown')),
        max(at) filter (where author in ('campaign', 'notice', 'reaction')),
        max(at) filter (where author = 'resolution')
    from (
        select
            room_id, organization, at, author
        from message
        where room_id is not null
        union all
        select room_id, organization, at, 'resolution' from resolution
    ) as history
    where author <> ''
    group by room_id, organization;

    with history as (
        select
            *,
            count(*) filter (where is_mark) over (
                so_far rows between unbounded preceding and 1 preceding
            ) as marks
        from (
            select room_id, organization, at, false as is_mark
            from message
            where room_id is not null and author = 'customer'
            union all
            select distinct room_id, organization, at, true from resolution
        ) as history
        window so_far as (partition by organization, room_id order by at, is_mark)
    ), placed as (
        select
            *,
            max(at) filter (where not is_mark) over so_far as word_at,
            -- Number of resolutions before the last word.
            max(marks) filter (where not is_mark) over so_far as conversation
        from history
        window so_far as (
            partition by organization, room_id
            order by at, is_mark
            rows unbounded preceding
        )
    ), begun as (
        select
            *,
            max(at) filter (where begins)
                over (partition by organization, room_id, conversation) as begun_at
        from (
            select
                *,
                not is_mark and is_beginning(at, lag(at) over (
                    partition by organization, room_id, conversation, is_mark order by at
                )) as begins
            from placed
        ) as placed
    ), mark as (
        select
            resolution.room_id, resolution.organization, resolution.at, is_reported, agent_id,
            begun.word_at, begun.begun_at,
            bool_or(is_reported)
                over (partition by organization, room_id, begun.word_at) as has_report
        from resolution
        join (select * from begun where is_mark) as begun using (room_id, organization, at)
    ), counted as (
        select
            *,
            min(at) filter (where is_reported or not has_report) over whole as first_at,
            row_number() over (
                partition by organization, room_id, word_at, at
                order by is_reported desc, agent_id desc
            ) = 1
                and (is_reported or not has_report and at = min(at) over whole) as does_count
        from mark
        window whole as (partition by organization, room_id, word_at)
    )
    update resolution
    set
        word_at = told.word_at,
        begun_at = case when does_count and told.at = first_at then told.begun_at end,
        is_counted = does_count
    from counted as told
    where resolution.room_id = told.room_id
        and resolution.organization = told.organization
        and resolution.at = told.at
        and resolution.is_reported = told.is_reported
        and resolution.agent_id = told.agent_id;
end
$$;

comment on function rebuild_responses is 'Computes room_word, resolution and response from all messages and resolutions.';
