-- The rooms of one organisation, in the order of their activity: a key that sees a small one of
-- many walked past the rooms of all others, or sorted all of its own. It is written when the index
-- of all rooms is, once for each minute in which a room is active.
create index room_by_organization on room (organization_id, activity_slot);

-- So the other filters need not know the organisation.
drop index room_by_label;
create index room_by_label on room using gin (
    agent_ids, tags, (array[status]), (array[channel])
) with (gin_pending_list_limit = 512);
