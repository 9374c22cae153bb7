-- What came in under this name, above all a new one? The frequent names are found soon on the way
-- through the journal, so they are left out, as in event_by_kind. A hash, as in event_by_subject: a
-- name can be of any length.
create index event_by_name on event using hash (name)
    where name not in (
        'receive_message_from_customer', 'receive_message_from_agent', 'status_message',
        'broadcast_log_status'
    );
