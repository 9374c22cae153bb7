-- Rooms are listed by their activity, and a filter that lets many of them through is best applied
-- on that way. For one that lets few through (an agent, a tag, a rare status, a small organisation
-- among large ones) this index finds the rooms, which are then sorted. Postgres chooses by its
-- statistics; where both cost most, with some hundredth of the rooms, they read a few thousand.
--
-- One index for all filters, because it intersects them, and because each index of its own costs
-- more: written anew with each update of a room that moves its activity, this one adds some 5 us
-- and 200 bytes of WAL to 20 us and 900 bytes, four B-trees add 35 us and 400 bytes. An update
-- that touches no indexed column touches no index at all. New entries wait in a list that every
-- search reads, so that is kept short.
--
-- What stands in an array of its own is one value, since GIN knows arrays only.
create index room_by_label on room using gin (
    agent_ids, tags, (array[organization_id]), (array[status]), (array[channel])
) with (gin_pending_list_limit = 512);
