-- Indexes that are only ever asked for one value need no order: a hash index holds 4 bytes of an
-- id instead of its 36 or 60 characters, and finds a place for them without comparing any.
drop index event_by_subject;
create index event_by_subject on event using hash (subject_id) where subject_id is not null;

drop index message_by_external_id;
create index message_by_external_id on message using hash (external_id)
    where external_id is not null;

-- A page of messages is read from the table anyway; what tells those of one moment apart is found
-- there as well.
drop index message_by_room;
create index message_by_room on message (room_id, at);

comment on column event.dedup_key is 'First half of the SHA-256 of endpoint and body; for kinds without a clock in the body also of the 10-minute window. Older rows have all of it.';
