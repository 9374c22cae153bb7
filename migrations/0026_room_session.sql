-- Sessions that run out were looked for among all rooms that were active within a day. Now the
-- index itself tells which of them to look at: by the hour, which is a column because Postgres asks
-- only whether a column has changed (HOT), not what an index makes of it.
alter table room
    add column session_hour timestamptz generated always as (hour_of(session_at)) stored;

comment on column room.session_hour is 'The hour of session_at, by which lists pass rooms of other sessions.';

drop index room_by_activity;
create index room_by_activity on room (activity_slot, session_hour);

drop index room_by_organization;
create index room_by_organization on room (organization_id, activity_slot, session_hour);
