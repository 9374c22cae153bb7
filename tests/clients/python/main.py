"""Reads the service with a client of openapi-python-client: types as generated, no casts."""

import datetime
import os
from typing import TypeVar

from receiver import AuthenticatedClient
from receiver.api.broadcasts import get_broadcast, list_broadcasts
from receiver.api.events import list_events
from receiver.api.exports import export_events, export_rooms
from receiver.api.me import get_me
from receiver.api.messages import list_messages
from receiver.api.qontak import qontak_list_rooms
from receiver.api.rooms import get_room, list_rooms
from receiver.api.stats import get_stats
from receiver.models import (
    AvatarObject,
    ErrorResponse,
    ExportEventsFormat,
    ListEventsKindItem,
    ListRoomsResponseState,
    RepliedMessage,
    Room,
    Scope,
    Status,
)
from receiver.types import UNSET

client = AuthenticatedClient(base_url=os.environ["ADDRESS"], token=os.environ["KEY"])

T = TypeVar("T")


def ok(data: T | ErrorResponse | None) -> T:
    """Data of a successful response; an error ends the program with its messages."""
    if isinstance(data, ErrorResponse):
        raise SystemExit(f"{data.error.code}: {'; '.join(data.error.messages)}")
    assert data is not None
    return data


def all_rooms() -> list[Room]:
    """All rooms with a filter, page by page."""
    rooms: list[Room] = []
    cursor: str | None = None
    while True:
        page = ok(list_rooms.sync(client=client, channel=["wa_cloud", "wa"], limit=2, cursor=cursor or UNSET))
        rooms += page.data
        cursor = page.meta.pagination.cursor.next_
        if cursor is None:
            return rooms


# A list with filters, page by page.
rooms = all_rooms()
assert len(rooms) > 2
assert len({room.id for room in rooms}) == len(rooms)
counted = ok(list_rooms.sync(client=client, channel=["wa_cloud", "wa"], is_counted=True, limit=1))
assert counted.meta.pagination.total == len(rooms)
waiting = ok(list_rooms.sync(client=client, response_state=ListRoomsResponseState.UNANSWERED))
assert all(room.unread_count is None or room.unread_count >= 0 for room in waiting.data)

# One item.
room = ok(get_room.sync(rooms[0].id, client=client)).data
assert room == rooms[0]
avatar = room.avatar.url if isinstance(room.avatar, AvatarObject) else room.avatar
assert isinstance(avatar, str) and avatar.startswith("https://")
assert room.created_at is not None and room.created_at.tzinfo is not None

# Objects of Qontak and WhatsApp, closed and open lists of words.
messages = ok(list_messages.sync(client=client, limit=500)).data
names = [message.file.filename for message in messages if message.file is not None]
assert any(isinstance(name, str) and name.endswith(".pdf") for name in names)
replies = [message.reply.text for message in messages if isinstance(message.reply, RepliedMessage)]
assert any(isinstance(text, str) and "motif parang" in text for text in replies)
raw = [message.raw_message for message in messages if message.raw_message is not None]
contents = [content for one in raw if one.messages for content in one.messages]
assert any(content.type_ == "location" and "location" in content for content in contents)
assert any(message.status is Status.READ for message in messages)
assert Scope.EXPORT in ok(get_me.sync(client=client)).data.scopes

# Counts.
broadcast = ok(list_broadcasts.sync(client=client)).data[0]
funnel = ok(get_broadcast.sync(broadcast.id, client=client)).data
total: int = funnel.total
assert total == broadcast.total == sum(
    [funnel.created, funnel.pending, funnel.sent, funnel.delivered, funnel.read, funnel.failed, funnel.other]
)

# Errors.
missing = get_room.sync_detailed("none", client=client)
assert missing.status_code == 404
assert isinstance(missing.parsed, ErrorResponse) and missing.parsed.error.messages == ["not found"]
invalid = list_events.sync(client=client, kind=[ListEventsKindItem.STATUS_MESSAGE], limit=1000)
assert isinstance(invalid, ErrorResponse) and invalid.error.code == 422
assert invalid.error.messages[0].startswith("limit: must be between")

# Exports.
csv = ok(export_rooms.sync(client=client))
assert csv.startswith("id,organization_id,name,")
assert len(csv.splitlines()) > len(rooms)
ndjson = ok(export_events.sync(client=client, format_=ExportEventsFormat.NDJSON))
assert len(ndjson.splitlines()) > 10

# Statistics.
day = datetime.date(2025, 6, 12)
stats = ok(get_stats.sync(client=client, start_date=day, end_date=day, time_zone="Asia/Jakarta")).data
received: int = sum(row.in_ for row in stats.messages)
assert received > 0
assert stats.start == "2025-06-12T00:00:00+07:00"

# Qontak's own routes.
own = ok(qontak_list_rooms.sync(client=client, limit=2))
assert len(own.data) == 2
