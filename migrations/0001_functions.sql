-- Functions that several tables share: time units, statuses, errors.
--
-- Text is compared byte by byte everywhere (collate "C"): the result of a merge must not depend on
-- the locale of the database.

-- For values that belong together, such as the code and the title of an error: merged one by one, the
-- title of one error could stay beside the code of another.
create function of_later(old anyelement, old_key uuid, new anyelement, new_key uuid)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new_key > old_key then new
        when new_key < old_key then old
        else greatest(old, new)
    end
$$;

comment on function of_later is 'The value with the greater key, even if it is null; the greater value between equal keys.';

create function hour_of(at timestamptz)
    returns timestamptz
    language sql immutable parallel safe
    return date_bin('1 hour', at, '2015-01-01T00:00:00Z');

comment on function hour_of is 'Start of the hour (UTC) that contains a time.';

create function activity_slot(at timestamptz)
    returns timestamptz
    language sql immutable parallel safe
    return date_bin('1 minute', at, '2015-01-01T00:00:00Z');

comment on function activity_slot is 'Start of the minute that contains a time: see room.activity_slot.';

-- The status is a pure function of the set of statuses seen, each given by the time at which it was
-- seen. So it cannot go backwards, whatever the order of events. Delivered and read prevail over failed,
-- because a recipient with several devices causes both reports; failed prevails over sent.
create function effective_status(
    created timestamptz, pending timestamptz, sent timestamptz, delivered timestamptz,
    read timestamptz, failed timestamptz
)
    returns text
    language sql immutable parallel safe
    return case
        when read      is not null then 'read'
        when delivered is not null then 'delivered'
        when failed    is not null then 'failed'
        when sent      is not null then 'sent'
        when pending   is not null then 'pending'
        when created   is not null then 'created'
    end;

comment on function effective_status is 'The status that follows from the set of statuses seen.';

-- Messages with the same id at the channel are one delivery, shown as the most advanced of them.
create function status_rank(status text) returns integer
    language sql immutable parallel safe
    return coalesce(
        array_position(array['created', 'pending', 'sent', 'failed', 'delivered', 'read'], status), 0
    );

comment on function status_rank is 'Position of an effective status in the order by which one prevails over another; 0 if there is none.';

-- Postgres does not inline functions with a subquery, so callers test for null first.
create function all_statuses(one text[], other text[]) returns text[]
    language sql immutable parallel safe
    return array(select distinct status from unnest(one || other) as status order by status);

comment on function all_statuses is 'The union of two lists of statuses, sorted.';
