-- Messages with one id at the channel are one delivery, shown as the most advanced of them.
create function status_rank(status text) returns integer
    language sql immutable parallel safe
    return coalesce(
        array_position(array['created', 'pending', 'sent', 'failed', 'delivered', 'read'], status), 0
    );

comment on function status_rank is 'Place of an effective status among all: a later one prevails.';

-- Messages that no event has named an organisation for. There are hardly any: each waits to be
-- merged into the row of its organisation, and is looked for by every batch.
create index message_without_organization on message (message_id) where organization_id = '';
