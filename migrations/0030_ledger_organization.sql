-- Which organisations are there, and when was each last heard of? The ledger has few rows, so their
-- list comes from it: by one look-up of this index for each organisation.
alter table ledger add column last_event_at timestamptz;

comment on column ledger.last_event_at is 'Time of the last event that was counted here, by our clock. Null for hours that were counted before this column existed.';

create index ledger_by_organization on ledger (organization_id, hour);
