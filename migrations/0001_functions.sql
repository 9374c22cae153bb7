-- Functions that several tables share: merge rules, time units, the order of statuses.
--
-- Text is compared byte by byte everywhere (collate "C"): the result of a merge must not depend on
-- the locale of the database.

-- Merge rules. Events arrive in any order and more than once, so each rule is commutative, associative
-- and idempotent. A field has the value of the newest event that contains it: absent or null never
-- overwrites a known value. Between equal keys the greater value wins, so that order does not matter
-- there either.
--
-- Rooms and senders have fold keys (uuid), messages and broadcast logs have clocks (timestamptz).
create function later(old anyelement, old_key uuid, new anyelement, new_key uuid)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new is null then old
        when old is null or old_key < new_key then new
        when old_key = new_key then greatest(old, new)
        else old
    end
$$;

comment on function later(anyelement, uuid, anyelement, uuid) is 'The value with the greater fold key; null loses to any value.';

create function later(
    old anyelement, old_clock timestamptz, new anyelement, new_clock timestamptz
)
    returns anyelement
    language sql immutable parallel safe
as $$
    select case
        when new is null then old
        when old is null or old_clock < new_clock then new
        when old_clock = new_clock then greatest(old, new)
        else old
    end
$$;

comment on function later(anyelement, timestamptz, anyelement, timestamptz) is 'The value with the later clock; null loses to any value.';

-- The newest event of a row nearly always has all known fields. So a row has one key, and keys of
-- single fields only where they are older than that. This saves half of the bytes of a room and most
-- of the time of a merge. Both rows of a merge may have such fields, because the snapshots of one
-- batch are folded before they are written.
create function lagging(old anyelement, old_key uuid, new anyelement, new_key uuid, key uuid)
    returns uuid
    language sql immutable parallel safe
as $$
    select nullif(
        greatest(
            case when old is not null then old_key end,
            case when new is not null then new_key end
        ),
        key
    )
$$;

comment on function lagging(anyelement, uuid, anyelement, uuid, uuid) is 'The fold key of a field after a merge; null if it is the key of its row.';

create function lagging(
    old anyelement, old_clock timestamptz, new anyelement, new_clock timestamptz,
    clock timestamptz
)
    returns timestamptz
    language sql immutable parallel safe
as $$
    select nullif(
        greatest(
            case when old is not null then old_clock end,
            case when new is not null then new_clock end
        ),
        clock
    )
$$;

comment on function lagging(anyelement, timestamptz, anyelement, timestamptz, timestamptz) is 'The clock of a field after a merge; null if it is the clock of its row.';

-- For values that belong together, such as the code and the title of an error: with `later`, the title
-- of one error could stay beside the code of another.
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
