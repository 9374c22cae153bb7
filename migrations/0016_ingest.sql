-- The write path: one call of `ingest_1` commits a batch.
--
-- The service folds the events of a batch to one row per key, sorts the rows by key so that writers
-- do not deadlock, and sends them as arrays. The number in the names of the function and of the
-- types is a version: replicas of two releases work on one database, each with its own.

call create_row_type('event');
call create_row_type('ledger');
call create_row_type('room');
call create_row_type('room_event');
call create_row_type('message', array['author', 'reached_before']);
call create_row_type('resolution', array['word_at', 'begun_at', 'is_counted']);
call create_row_type('sender');
call create_row_type('broadcast');
call create_row_type('broadcast_log');
call create_row_type('facet');

call create_merges('room', 'room_id', $merge$
create function {function}(rows room_1[], numbers integer[]) returns bigint
    language plpgsql
as $$
declare
    merged bigint;
begin
    insert into room ({columns})
    select {values} from unnest(rows)
    on conflict (organization, room_id) do update set {merge};
    get diagnostics merged = row_count;
    return merged;
end
$$
$merge$);

call create_merge('sender', $merge$
create function merge_senders_1(rows sender_1[], numbers integer[]) returns bigint
    language plpgsql
as $$
declare
    merged bigint;
begin
    insert into sender ({columns})
    select {values} from unnest(rows)
    on conflict (organization, sender_id) do update set {merge};
    get diagnostics merged = row_count;
    if merged < cardinality(rows) then
        raise 'table sender discards rows, by a trigger or rule' using errcode = 'QR001';
    end if;
    return merged;
end
$$
$merge$);

comment on function merge_senders_1 is 'Merges senders into the table. Returns their number.';

-- Every log of a broadcast repeats the same fields, and writers would contend for its one row. So the
-- service sends keys of which the oldest event has the greatest, and rows that add nothing are left
-- out before the insert. This may read an outdated row; that only costs a merge without effect.
call create_merge('broadcast', $merge$
create function merge_broadcasts_1(rows broadcast_1[], numbers integer[]) returns bigint
    language plpgsql
as $$
begin
    insert into broadcast ({columns})
    select {values}
    from unnest(rows) as new
    where not exists (
        select
        from broadcast as known
        where known.organization = numbers[new.organization]
            and known.broadcast_id = new.broadcast_id
            and known.received_at <= new.received_at
            and (new.created_at is null or known.created_at <= new.created_at)
            and new.fields & ~known.fields = 0
            and new.key <= coalesce(
                (select key from unnest(known.keys) as key where key is not null order by key limit 1),
                known.key
            )
    )
    on conflict (organization, broadcast_id) do update set {merge};
    return cardinality(rows);
end
$$
$merge$);

comment on function merge_broadcasts_1 is 'Merges broadcasts into the table. Returns their number.';

call create_merges('broadcast_log', 'log_id', $merge$
create function {function}(rows broadcast_log_1[], numbers integer[]) returns bigint
    language plpgsql
as $$
declare
    merged bigint;
begin
    insert into broadcast_log ({columns})
    select {values} from unnest(rows)
    on conflict (organization, log_id) do update set
        -- The key contains the code, so that no text belongs to another code.
        last_error_code = of_later(
            broadcast_log.last_error_code, broadcast_log.last_error_key,
            excluded.last_error_code, excluded.last_error_key
        ),
        last_error_title = of_later(
            broadcast_log.last_error_title, broadcast_log.last_error_key,
            excluded.last_error_title, excluded.last_error_key
        ),
        last_error_details = of_later(
            broadcast_log.last_error_details, broadcast_log.last_error_key,
            excluded.last_error_details, excluded.last_error_key
        ),
        last_error_message = of_later(
            broadcast_log.last_error_message, broadcast_log.last_error_key,
            excluded.last_error_message, excluded.last_error_key
        ),
        last_error_message_id = of_later(
            broadcast_log.last_error_message_id, broadcast_log.last_error_key,
            excluded.last_error_message_id, excluded.last_error_key
        ),
        other_statuses = case
            when excluded.other_statuses is null then broadcast_log.other_statuses
            else all_statuses(broadcast_log.other_statuses, excluded.other_statuses)
        end,
        {merge};
    get diagnostics merged = row_count;
    return merged;
end
$$
$merge$);

-- New messages, statuses reached and words are followed here and not by triggers: a trigger would
-- see copies of all rows of the statement, old and new.
--
-- The author is the only derived column that an update leaves as it was: Postgres computes it cheaply
-- from columns only, not from the expressions of a merge. Few messages get another one; their rows are
-- updated again.
call create_merges('message', 'message_id', $merge$
create function {function}(rows message_1[], numbers integer[]) returns bigint
    language plpgsql
as $$
declare
    total bigint;
    words word[];
    misattributed text[];
begin
    with merged as (
        insert into message ({columns}, author)
        select *, author_of(sender_kind, type, is_campaign, raw_message)
        -- Not joined with the outer query, for the same reason.
        from (select {values} from unnest(rows) offset 0) as new ({columns})
        on conflict (organization, message_id) do update set
            text = case
                when excluded.text is null
                    or message.text is not null and message.text_rank > excluded.text_rank
                then message.text
                else excluded.text
            end,
            -- Merged with their code, so that title and details never belong to another code.
            error_title = case
                when coalesce(excluded.error_code, -1) > coalesce(message.error_code, -1)
                    then excluded.error_title
                when coalesce(excluded.error_code, -1) < coalesce(message.error_code, -1)
                    then message.error_title
                else greatest(message.error_title, excluded.error_title)
            end,
            error_details = case
                when coalesce(excluded.error_code, -1) > coalesce(message.error_code, -1)
                    then excluded.error_details
                when coalesce(excluded.error_code, -1) < coalesce(message.error_code, -1)
                    then message.error_details
                else greatest(message.error_details, excluded.error_details)
            end,
            other_statuses = case
                when excluded.other_statuses is null then message.other_statuses
                else all_statuses(message.other_statuses, excluded.other_statuses)
            end,
            reached_before = message.reached,
            {merge}
        returning
            organization, room_id, at, message_id, author, sender_id, channel, external_id,
            reached, reached_before,
            author <> author_of(sender_kind, type, is_campaign, raw_message) as is_misattributed
    ), linked as (
        insert into message_channel_id (hash, organization, message_id)
        select hashtextextended(external_id, 0), organization, message_id
        from merged
        where reached & 16 > coalesce(reached_before, 0) & 16
    ), counted as (
        insert into message_count (
            organization, hour, channel, participant_type, session,
            count, sent, delivered, read, failed
        )
        select
            organization, hour_of(at), coalesce(channel, ''), author, pg_backend_pid(),
            sum((reached_before is null)::int), sum((new & 1) - (old & 1)),
            sum((new >> 1 & 1) - (old >> 1 & 1)), sum((new >> 2 & 1) - (old >> 2 & 1)),
            sum((new >> 3 & 1) - (old >> 3 & 1))
        from (
            select
                merged.*, case when is_outgoing(author) then reached else 0 end as new,
                case when is_outgoing(author) then coalesce(reached_before, 0) else 0 end as old
            from merged
            where reached_before is null or reached & 15 <> reached_before & 15
        ) as changed
        group by 1, 2, 3, 4
        on conflict on constraint message_count_pkey do update set
            count = message_count.count + excluded.count,
            sent = message_count.sent + excluded.sent,
            delivered = message_count.delivered + excluded.delivered,
            read = message_count.read + excluded.read,
            failed = message_count.failed + excluded.failed
    )
    select
        count(*),
        array_agg((organization, room_id, at, message_id, author, sender_id, channel)::word)
            filter (where reached_before is null and author <> '' and room_id is not null),
        array_agg(message_id) filter (where is_misattributed)
    into total, words, misattributed
    from merged;
    if words is not null then
        perform follow_words(words);
    end if;
    if misattributed is not null then
        update message
        set author = author_of(sender_kind, type, is_campaign, raw_message)
        where message_id = any(misattributed)
            and author <> author_of(sender_kind, type, is_campaign, raw_message);
    end if;
    return total;
end
$$
$merge$);

-- An event may name no organisation. Its message is a row of its own, until there is exactly one
-- organisation with that message: then the row is merged into the other one. If several organisations
-- have it, nobody can tell whose it is, and it stays apart.
create function claim_messages_1(message_ids text[]) returns void
    language plpgsql
as $$
declare
    claimed message_1[];
    owners integer[];
begin
    with known as (
        select given.message_id, min(owner.organization) as organization
        from (
            select distinct message_id
            from message
            where organization = 0 and message_id = any(message_ids)
        ) as given
        cross join lateral (
            select message.organization
            from message
            where message.message_id = given.message_id
                and coalesce(message.organization <> 0, false)
            limit 2
        ) as owner
        group by given.message_id
        having count(*) = 1
    ), unknown as (
        delete from message
        using known
        where message.message_id = known.message_id and message.organization = 0
        returning known.organization, message.message_id, to_jsonb(message) as value
    ), occurring as (
        -- Filters look for messages only where these values are known to occur.
        insert into facet (organization_id, name, value, last_on)
        select
            organization_id(unknown.organization) collate "C", facet.name, facet.value,
            max(facet.last_on)
        from unknown
        cross join jsonb_populate_record(null::message, unknown.value) as own
        cross join lateral (
            values
                ('channel', own.channel, null::date),
                ('message_type', own.type, null),
                ('message_status', own.status, null),
                ('agent', case own.author_by_sender when 'agent' then own.sender_id end, null),
                (
                    'sender',
                    case when own.participant_type is distinct from 'customer'
                        then own.sender_id end,
                    (own.at at time zone 'UTC')::date
                )
        ) as facet (name, value, last_on)
        where octet_length(facet.value) between 1 and 512
        group by 1, 2, 3
        order by 1, facet.name collate "C", 3
        on conflict (organization_id, name, value) do update
            set last_on = greatest(facet.last_on, excluded.last_on)
            where excluded.last_on > coalesce(facet.last_on, '-infinity')
    )
    select
        array_agg(own order by placed.organization, placed.message_id),
        array_agg(distinct placed.organization)
    into claimed, owners
    from (
        select *, dense_rank() over (order by organization) as place from unknown
    ) as placed
    cross join jsonb_populate_record(
        null::message_1, value || jsonb_build_object('organization', place)
    ) as own;
    if claimed is not null then
        perform merge_messages_1(claimed, owners);
    end if;
end
$$;

comment on function claim_messages_1 is 'Merges messages of an unknown organisation into those of the only organisation that has them.';

create type repeat_1 as (day date, event_id uuid, deliveries integer);

-- Commits a batch. `organizations` are those of the rows, which name them by their places; a new one gets
-- its number here. `events` are first deliveries, each once; `repeats` are further deliveries of
-- stored events. If an event is stored already, a unique index of the journal refuses it and nothing is
-- written; the service finds out which, moves it to `repeats` and leaves out its changes. (With `on
-- conflict do nothing` every event would be looked up before it is inserted.)
create function ingest_1(
    organizations text[], events event_1[], repeats repeat_1[], counts ledger_1[], applied_ids uuid[],
    rooms room_1[], room_events room_event_1[], messages message_1[], resolutions resolution_1[],
    senders sender_1[], broadcasts broadcast_1[], broadcast_logs broadcast_log_1[],
    facets facet_1[]
)
    returns void
    language plpgsql
as $$
#variable_conflict use_column
declare
    numbers integer[] := number_organizations(organizations);
    inserted bigint;
    -- Assigned, because `perform` would start a query for each of these calls.
    merged bigint;
begin
    if events is not null then
        insert into event (
            day, organization, event_id, received_at, endpoint, kind, name, subject_id, outcome,
            reasons, dedup_key, deliveries, body, dictionary, body_bytes, parser_version, request_id
        )
        select
            day, numbers[organization], event_id, received_at, endpoint, kind::event_kind, name,
            subject_id, outcome::event_outcome, reasons, dedup_key, deliveries, body, dictionary,
            body_bytes, parser_version, request_id
        from unnest(events);
        get diagnostics inserted = row_count;
        if inserted < cardinality(events) then
            raise 'table event discards rows, by a trigger or rule' using errcode = 'QR001';
        end if;
    end if;
    if repeats is not null then
        update event
        set deliveries = event.deliveries + repeat.deliveries
        from unnest(repeats) as repeat
        where event.day = repeat.day and event.event_id = repeat.event_id;
        get diagnostics inserted = row_count;
        if inserted < cardinality(repeats) then
            raise 'table event discards rows, by a trigger or rule' using errcode = 'QR001';
        end if;
    end if;
    if rooms is not null then
        merged := merge_rooms_1(rooms, numbers);
    end if;
    if room_events is not null then
        insert into room_event (
            organization, room_id, type, mark, at, actor_id, actor_name, event_id, received_at
        )
        select
            numbers[organization], room_id, type, mark, at, actor_id, actor_name, event_id, received_at
        from unnest(room_events)
        on conflict (organization, room_id, type, mark) do update set
            actor_id = greatest(room_event.actor_id, excluded.actor_id),
            actor_name = greatest(room_event.actor_name, excluded.actor_name),
            event_id = least(room_event.event_id, excluded.event_id),
            received_at = least(room_event.received_at, excluded.received_at);
        get diagnostics inserted = row_count;
        if inserted < cardinality(room_events) then
            raise 'table room_event discards rows, by a trigger or rule' using errcode = 'QR001';
        end if;
    end if;
    if messages is not null then
        merged := merge_messages_1(messages, numbers);
        -- An empty index, as a rule.
        if exists (select from message where organization = 0) then
            perform claim_messages_1(array(select message_id from unnest(messages)));
        end if;
    end if;
    if resolutions is not null then
        insert into resolution (organization, room_id, at, is_reported, agent_id, channel)
        select numbers[organization], room_id, at, is_reported, agent_id, channel
        from unnest(resolutions)
        on conflict do nothing;
    end if;
    if senders is not null then
        merged := merge_senders_1(senders, numbers);
    end if;
    if broadcasts is not null then
        merged := merge_broadcasts_1(broadcasts, numbers);
    end if;
    if broadcast_logs is not null then
        merged := merge_broadcast_logs_1(broadcast_logs, numbers);
    end if;
    if facets is not null then
        insert into facet
        select * from unnest(facets)
        on conflict (organization_id, name, value) do update set
            channel = greatest(facet.channel, excluded.channel),
            last_on = greatest(facet.last_on, excluded.last_on)
        where excluded.channel > coalesce(facet.channel, '')
            or excluded.last_on > coalesce(facet.last_on, '-infinity');
    end if;
    if applied_ids is not null then
        insert into batch (event_ids) values (applied_ids);
        if not found then
            raise 'table batch discards rows, by a trigger or rule' using errcode = 'QR001';
        end if;
    end if;
    if counts is not null then
        insert into ledger
        select * from unnest(counts)
        on conflict (hour, organization_id, writer_id) do update set
            received    = ledger.received    + excluded.received,
            applied     = ledger.applied     + excluded.applied,
            recorded    = ledger.recorded    + excluded.recorded,
            quarantined = ledger.quarantined + excluded.quarantined,
            malformed   = ledger.malformed   + excluded.malformed,
            duplicate   = ledger.duplicate   + excluded.duplicate,
            last_event_at = greatest(ledger.last_event_at, excluded.last_event_at);
        get diagnostics inserted = row_count;
        if inserted < cardinality(counts) then
            raise 'table ledger discards rows, by a trigger or rule' using errcode = 'QR001';
        end if;
    end if;
end
$$;

comment on function ingest_1 is 'Commits a batch of events.';
