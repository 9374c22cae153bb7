"""Additional schemathesis check: valid parameters are never rejected with 422."""

import re

import schemathesis

# What a schema cannot express: valid cursors and positions, names of time zones, dependencies between parameters,
# words that folding takes away, a list of one, and that no text has a NUL or only blanks.
NOT_IN_SCHEMA = re.compile(
    "cursor: must be one that this list gave"
    "|last_event_id: must be an id that this stream gave"
    "|start_date: or end_date, kind or outcome is needed"
    "|time_zone: must be a name"
    "|offset: must not lead past row"
    "|end_date: must be after start_date"
    "|request_id: needs start_date"
    "|(q|query): must have 1 to 8 words"
    r"|start_date: must be at most \d+ days before"
    "|sessions: must be given once"
    "|[^:]*: must not contain NUL"
    "|[^:]*: must not be blank"
)


@schemathesis.check
def valid_parameters_are_not_rejected(ctx, response, case):
    if response.status_code == 422 and case.meta and case.meta.generation.mode.is_positive:
        messages = response.json()["error"]["messages"]
        rejected = [message for message in messages if not NOT_IN_SCHEMA.match(message)]
        assert not rejected, f"rejected although the document allows it: {rejected}"
