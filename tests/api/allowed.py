"""What schemathesis checks for us besides: that nothing is refused which the document allows."""

import re

import schemathesis

# What no schema can say: which texts are cursors of the same list, names of time zones, and how
# parameters hang together.
UNSAID = re.compile(
    "cursor: must be one that this list gave"
    "|time_zone: must be a name"
    "|offset: must not lead past row"
    "|end_date: must be after start_date"
    r"|start_date: must be at most \d+ days before"
)


@schemathesis.check
def what_is_allowed_is_not_refused(ctx, response, case):
    if response.status_code == 422 and case.meta and case.meta.generation.mode.is_positive:
        messages = response.json()["error"]["messages"]
        refused = [message for message in messages if not UNSAID.match(message)]
        assert not refused, f"the document allows what is refused: {refused}"
