-- What failed lately? Of messages in conversations hardly any does, so the way to them is long.
--
-- Only what failed is in it. An update that leaves failed_seen_at as it is touches no index for
-- this one's sake (HOT), so other messages pay nothing.
create index message_failed on message (hashtext(organization_id), at)
    where failed_seen_at is not null;
