//! Bodies of `tests/fixtures` with the expected kind, subject and outcome of each.

use std::path::Path;

/// File of a body, and the event expected from it.
pub struct Fixture {
    pub file: &'static str,
    pub kind: Option<&'static str>,
    pub subject_id: Option<&'static str>,
    /// `applied`, `recorded`, `handshake`, `quarantined <reason>`, `malformed`.
    pub outcome: &'static str,
}

impl Fixture {
    pub fn body(&self) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(self.file);
        std::fs::read(path).unwrap()
    }
}

/// Body of the fixture whose file name starts with `file`.
pub fn body(file: &str) -> Vec<u8> {
    ALL.iter().find(|fixture| fixture.file.starts_with(file)).unwrap().body()
}

/// Room of the customer Siti Rahmawati.
pub const SITI_ROOM: &str = "24a60fba-3bc1-4694-9f51-66c4b74d1978";
pub const WEB_CHAT_ROOM: &str = "a0ffb23d-a2cb-4fc6-acfa-ddbbb76e918a";
pub const READ_MESSAGE: &str = "bbad9ab7-b270-4339-a60f-aba6c2fac7a7";
/// Message of a broadcast, which also has a broadcast log.
pub const BROADCAST_MESSAGE: &str = "b585d888-404b-4208-911f-257b7cd27c2b";
pub const BROADCAST: &str = "5ea8c3f9-65f3-494a-97f4-1ad64958d1dc";

const fn fixture(
    file: &'static str,
    kind: &'static str,
    subject_id: &'static str,
    outcome: &'static str,
) -> Fixture {
    let kind = if kind.is_empty() { None } else { Some(kind) };
    let subject_id = if subject_id.is_empty() { None } else { Some(subject_id) };
    Fixture { file, kind, subject_id, outcome }
}

/// All fixtures, in chronological order.
pub const ALL: [Fixture; 46] = [
    fixture(
        "01-message-customer-text.json",
        "receive_message_from_customer",
        "1b6321cd-5091-4cd9-bd8b-91220cd20198",
        "applied",
    ),
    fixture(
        "02-room-created-flat.json",
        "room_created",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "03-message-bot-external-id-null.json",
        "receive_message_from_agent",
        "e249ca3b-95f5-4108-a583-33acfc0f5dca",
        "applied",
    ),
    fixture(
        "04-status-bot-sent-external-id-filled.json",
        "status_message",
        "e249ca3b-95f5-4108-a583-33acfc0f5dca",
        "applied",
    ),
    fixture(
        "05-room-updated-developer-center-add-agent.json",
        "room_updated",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "06-agent-assigned-inferred-flat-room.json",
        "agent_assigned_to_room",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "07-message-agent-text.json",
        "receive_message_from_agent",
        "bbad9ab7-b270-4339-a60f-aba6c2fac7a7",
        "applied",
    ),
    fixture(
        "08-status-agent-read.json",
        "status_message",
        "bbad9ab7-b270-4339-a60f-aba6c2fac7a7",
        "applied",
    ),
    fixture(
        "09-status-agent-delivered.json",
        "status_message",
        "bbad9ab7-b270-4339-a60f-aba6c2fac7a7",
        "applied",
    ),
    fixture(
        "10-status-agent-sent.json",
        "status_message",
        "bbad9ab7-b270-4339-a60f-aba6c2fac7a7",
        "applied",
    ),
    fixture(
        "11-message-customer-image-caption.json",
        "receive_message_from_customer",
        "61f93a66-1a2f-4abe-a984-c4be2d245c61",
        "applied",
    ),
    fixture(
        "12-message-customer-reply-object.json",
        "receive_message_from_customer",
        "1ebd2a3d-6f16-4730-8fc5-ae6cbd29293d",
        "applied",
    ),
    fixture(
        "13-message-customer-document-text-null.json",
        "receive_message_from_customer",
        "9e912f58-6bf4-463f-877e-7c6f693fd8b8",
        "applied",
    ),
    fixture(
        "14-message-customer-location-raw-message.json",
        "receive_message_from_customer",
        "189b108d-a4ed-41a4-beed-0167fd687ae0",
        "applied",
    ),
    fixture(
        "15-message-customer-sticker-raw-message.json",
        "receive_message_from_customer",
        "edbcf095-951b-4f3f-bc57-531255caf603",
        "applied",
    ),
    fixture(
        "16-status-agent-failed.json",
        "status_message",
        "e674cac5-f2d7-4066-8a5d-615e55f52d29",
        "applied",
    ),
    fixture(
        "17-agent-handover-inferred-participant.json",
        "agent_handover_room",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "18-agent-unassigned-inferred-nested-room.json",
        "agent_unassigned_from_room",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "19-room-resolved-flat-inferred.json",
        "room_resolved",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "applied",
    ),
    fixture(
        "30-broadcast-log-1-sent.json",
        "broadcast_log_status",
        "fe115858-845d-4fd4-9e90-4129207696b4",
        "applied",
    ),
    fixture(
        "31-broadcast-log-1-delivered.json",
        "broadcast_log_status",
        "fe115858-845d-4fd4-9e90-4129207696b4",
        "applied",
    ),
    fixture(
        "32-broadcast-log-1-read-accumulated.json",
        "broadcast_log_status",
        "fe115858-845d-4fd4-9e90-4129207696b4",
        "applied",
    ),
    fixture(
        "33-broadcast-log-2-delivered-int-timestamps.json",
        "broadcast_log_status",
        "361b2c6a-ae11-491e-ae24-3c193f94f213",
        "applied",
    ),
    fixture(
        "34-broadcast-log-3-failed-not-accepted.json",
        "broadcast_log_status",
        "b7e04aae-9006-4cbe-af44-fad162f7ae03",
        "applied",
    ),
    fixture(
        "35-broadcast-log-4-pending-pacing.json",
        "broadcast_log_status",
        "670bb95d-4b63-4e6b-afd9-3c8c90fddce6",
        "applied",
    ),
    fixture(
        "36-broadcast-log-5-sent.json",
        "broadcast_log_status",
        "a900da7e-75f4-44f2-b4c7-45fedda7bd7e",
        "applied",
    ),
    fixture(
        "37-broadcast-log-5-failed-after-sent-inferred.json",
        "broadcast_log_status",
        "a900da7e-75f4-44f2-b4c7-45fedda7bd7e",
        "applied",
    ),
    fixture(
        "38-status-broadcast-twin-delivered.json",
        "status_message",
        "b585d888-404b-4208-911f-257b7cd27c2b",
        "applied",
    ),
    fixture(
        "40-legacy-2021-message-customer.json",
        "receive_message_from_customer",
        "b7c58bfe-2023-4bb1-b44d-c5c817fb4e37",
        "applied",
    ),
    fixture(
        "41-legacy-2021-status-read.json",
        "status_message",
        "26083386-f020-4dcc-b6ee-a756b540136a",
        "applied",
    ),
    fixture(
        "42-legacy-2021-broadcast-log-parameters-empty.json",
        "broadcast_log_status",
        "78ff7d33-373c-40d6-bd21-2f940c6d7f5f",
        "applied",
    ),
    fixture(
        "50-message-web-chat-account-looks-like-email.json",
        "receive_message_from_customer",
        "27fe42e9-941d-4522-aba2-2337d73aabf5",
        "applied",
    ),
    fixture(
        "51-custom-agent-allocation-inferred.json",
        "custom_agent_allocation",
        "a0ffb23d-a2cb-4fc6-acfa-ddbbb76e918a",
        "applied",
    ),
    fixture(
        "52-room-resolved-service-name-shape.json",
        "room_resolved",
        "a0ffb23d-a2cb-4fc6-acfa-ddbbb76e918a",
        "applied",
    ),
    fixture(
        "53-room-resolved-documented-event-type-shape.json",
        "room_resolved",
        "room_tm0007",
        "applied",
    ),
    fixture(
        "54-message-instagram.json",
        "receive_message_from_customer",
        "96477383-731b-4477-b8c6-495899e70806",
        "applied",
    ),
    fixture(
        "60-status-template-inferred.json",
        "status_template",
        "8e1685e7-7b9f-4391-b000-6254329b6274",
        "applied",
    ),
    fixture(
        "61-available-user-status-inferred.json",
        "available_user_status",
        "deb8a35a-d051-4b10-aad8-079297722314",
        "applied",
    ),
    fixture("70-verify-info.json", "", "", "handshake"),
    fixture("71-unknown-event.json", "unknown", "", "recorded"),
    fixture(
        "72-message-text-nul-emoji-astral.json",
        "receive_message_from_customer",
        "63c8ad84-9a1b-404e-bba1-d30038595139",
        "applied",
    ),
    fixture(
        "73-message-missing-id.json",
        "receive_message_from_customer",
        "",
        "quarantined missing_subject_id",
    ),
    fixture(
        "74-message-wrong-typed-optional-fields.json",
        "receive_message_from_customer",
        "856c3ea9-7361-4920-8c4c-c3434e062283",
        "applied",
    ),
    fixture("75-json-array-not-object.json", "", "", "quarantined not_an_object"),
    fixture("76-object-unclassifiable.json", "", "", "quarantined unclassifiable"),
    fixture("77-truncated.txt", "", "", "malformed"),
];
