-- What several tables share: numbers of organisations, time units, statuses, errors.
--
-- Text is compared byte by byte everywhere (collate "C"): the result of a merge must not depend on
-- the locale of the database.

-- Tables that every event writes to name an organisation by a number: 4 bytes instead of the 36
-- characters of its id in each row and key.
--
-- A number is never changed nor given again, and the rows stay when an organisation is erased, because
-- the journal refers to them. So nothing has to be locked, and there are no foreign keys.
create table organization (
    number          integer generated always as identity,
    organization_id text    collate "C" not null,
    constraint organization_pkey primary key (number),
    constraint organization_id_key unique (organization_id)
);

comment on table organization is 'Numbers of organisations.';
comment on column organization.number is 'Column organization of other tables; 0 for an unknown organisation.';
comment on column organization.organization_id is 'Qontak''s id of the organisation; empty if unknown.';

-- Sorts before all others, so `order by organization desc` prefers known organisations.
insert into organization (number, organization_id) overriding system value values (0, '');

-- These three read a table and are immutable nevertheless, because a number never changes. So the planner
-- computes them once per statement, uses indexes, and knows how many rows an organisation has. Call them with
-- parameters, not with constants: a plan that is kept would remember that an organisation was unknown. In
-- PL/pgSQL, whose plans are kept: functions in SQL would be planned anew for each statement. Sessions that
-- read plan anew all the same, which takes organization_id some 15 us per call: lists use a subquery (1 us), or the
-- ids of the keys that they got. It is called for single rows, and in the background.
create function organization_number(id text) returns integer
    language plpgsql immutable strict parallel safe
as $$
begin
    return (select number from organization where organization_id = id);
end
$$;

create function organization_numbers(ids text[]) returns integer[]
    language plpgsql immutable strict parallel safe
as $$
begin
    return array(
        select (select number from organization where organization_id = id)
        from unnest(ids) with ordinality as given (id, place)
        order by place
    );
end
$$;

create function organization_id(given integer) returns text
    language plpgsql immutable strict parallel safe
as $$
begin
    return (select organization_id from organization where number = given);
end
$$;

comment on function organization_number is 'Number of an organisation; null if it has none.';
comment on function organization_numbers is 'Numbers of organisations, in the same order; null for those that have none.';
comment on function organization_id is 'Qontak''s id of the organisation with this number; empty if unknown.';

-- Organisations are inserted in one order, so that writers do not deadlock. The insert waits for another
-- writer that inserts the same organisation; then the query sees what it committed. It does not call
-- organization_numbers: as an immutable function that would see what the calling statement sees.
create function number_organizations(ids text[]) returns integer[]
    language plpgsql
as $$
declare
    numbers integer[];
begin
    loop
        numbers := array(
            select (select number from organization where organization_id = id)
            from unnest(ids) with ordinality as given (id, place)
            order by place
        );
        exit when array_position(numbers, null) is null;
        insert into organization (organization_id)
        select distinct id collate "C"
        from unnest(ids) as id
        where not exists (select from organization where organization_id = id)
        order by 1
        on conflict do nothing;
    end loop;
    return numbers;
end
$$;

comment on function number_organizations is 'Like organization_numbers, but gives numbers to those that have none.';

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
