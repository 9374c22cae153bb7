-- What happened of a kind, or with an outcome, that is rare? The frequent ones are found soon on
-- the way through the journal, so they are left out, and the indexes cost next to nothing.
create index event_by_kind on event (kind, day, event_id)
    where kind not in (
        'receive_message_from_customer', 'receive_message_from_agent', 'status_message',
        'broadcast_log_status'
    );

create index event_by_outcome on event (outcome, day, event_id) where outcome <> 'applied';
drop index event_not_understood;
