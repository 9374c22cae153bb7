-- The snapshots of a room that one batch brings are folded before they are written, so a new row
-- may have lagging fields of its own.
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

comment on function lagging(anyelement, uuid, anyelement, uuid, uuid) is 'The fold key of a field after a merge, if it is not the one of its row.';
