-- Which rooms wait for an answer is asked in several places, and each must mean the same.
--
-- `is_unresponded` is Qontak's own word, and its snapshots often lack it. Then the last message is
-- the customer's if it came when the session began; and snapshots without that time (of 2021) tell
-- at least how many messages nobody has read.
create function is_unanswered(
    status text, is_unresponded boolean, session_at timestamptz, last_message_at timestamptz,
    unread_count bigint
)
    returns boolean
    language sql immutable parallel safe
    return coalesce(
        status in ('unassigned', 'assigned')
            and coalesce(is_unresponded, session_at >= last_message_at, unread_count > 0),
        false
    );

comment on function is_unanswered is 'Whether a room is open and the last word in it is the customer''s, as far as its snapshots tell.';
