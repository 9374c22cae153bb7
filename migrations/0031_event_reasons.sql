-- Which events were not understood in all their parts? Few should be, so the index costs nothing as
-- long as Qontak's format does not change, and then it is needed.
create index event_with_reasons on event (day, event_id) where cardinality(reasons) > 0;
