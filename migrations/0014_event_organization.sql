-- What came in for an organisation that has few of many events? Without an index its list would
-- walk through those of all others. Postgres keeps an organisation once for many rows, so this
-- takes 8 bytes an event, and 90 of WAL. Where there is one organisation it is of no use.
create index event_by_organization on event (organization_id);
