-- An update that changes no indexed column touches no index at all (HOT), and of a row it logs only
-- the bytes from the first to the last one that differ. So rooms are found by the minute of their
-- activity, in which most events of a conversation follow each other, and the columns that change
-- with every event stand side by side at the end.
create function activity_slot(at timestamptz)
    returns timestamptz
    language sql immutable parallel safe
    return date_bin('1 minute', at, '2015-01-01T00:00:00Z');

comment on function activity_slot is 'The minute of a time: see room.activity_slot.';

alter table room
    drop column activity_at,
    add column clock_at_end            timestamptz,
    add column session_at_end          timestamptz,
    add column unread_count_end        bigint,
    add column updated_at_end          timestamptz,
    add column last_message_at_end     timestamptz,
    add column last_activity_at_end    timestamptz,
    add column is_unresponded_end      boolean;

update room
set clock_at_end = clock,
    session_at_end = session_at,
    unread_count_end = unread_count,
    updated_at_end = updated_at,
    last_message_at_end = last_message_at,
    last_activity_at_end = last_activity_at,
    is_unresponded_end = is_unresponded;

alter table room
    drop column clock,
    drop column session_at,
    drop column unread_count,
    drop column updated_at,
    drop column last_message_at,
    drop column last_activity_at,
    drop column is_unresponded;

alter table room rename column clock_at_end to clock;
alter table room rename column session_at_end to session_at;
alter table room rename column unread_count_end to unread_count;
alter table room rename column updated_at_end to updated_at;
alter table room rename column last_message_at_end to last_message_at;
alter table room rename column last_activity_at_end to last_activity_at;
alter table room rename column is_unresponded_end to is_unresponded;

-- This writes the table anew, without what was left of the old columns.
alter table room
    add column activity_at timestamptz not null generated always as
        (coalesce(greatest(clock, last_message_at), created_at, received_at)) stored,
    add column activity_slot timestamptz not null generated always as
        (activity_slot(coalesce(greatest(clock, last_message_at), created_at, received_at)))
        stored;

create index room_by_activity on room (activity_slot);

comment on column room.clock is 'Clock of its newest snapshot: the later of updated_at and last_activity_at, for they lag behind each other.';
comment on column room.session_at is 'Last message of the customer: start of the 24-hour window.';
comment on column room.unread_count is 'Messages that no agent has read.';
comment on column room.updated_at is 'Qontak''s updated_at; stays near created_at in some answers.';
comment on column room.last_message_at is 'Time of the last message, by Qontak''s clock.';
comment on column room.last_activity_at is 'Last activity, by Qontak''s clock.';
comment on column room.is_unresponded is 'The last word is the customer''s.';
comment on column room.fields is 'Which fields are known, a bit each: name, description, status, type, tags, channel, channel_account, channel_uniq_id, account_uniq_id, channel_integration_id, session, session_at, unread_count, created_at, updated_at, last_message_at, last_activity_at, avatar, resolved_at, resolved_by_id, resolved_by_type, external_id, division_id, agent_ids, note, extra, email_cc, is_dont_auto_resolve, is_blocked, is_unresponded, is_manual_survey.';
comment on column room.keys is 'Fold key of the snapshot that said a field, for each field that the newest one lacks, in the order of column fields. Null if it lacks none.';
comment on column room.activity_at is 'What lists are sorted by: the latest known sign of life.';
comment on column room.activity_slot is 'Its minute, by which lists find their rooms before they sort them.';
