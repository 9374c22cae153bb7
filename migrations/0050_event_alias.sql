-- Ids of deliveries that were answered `spooled` with an id of their own, and later found to be
-- duplicates of an event with another id. Written only in this case, so that a usual event costs
-- nothing.
create table event_alias (
    event_id        uuid not null,
    stored_event_id uuid not null,
    constraint event_alias_pkey primary key (event_id)
);

comment on table event_alias is 'Ids that were answered for spooled duplicates; kept as long as the journal.';
comment on column event_alias.event_id is 'Id in the response to the duplicate.';
comment on column event_alias.stored_event_id is 'Id of the event in the journal.';
