//! Kinds of events.

use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

/// Kind of an event. Names are Qontak's, except for `room_updated` and `unknown`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    EnumString,
    IntoStaticStr,
    VariantNames,
    sqlx::Type,
    ToSchema,
)]
#[schema(rename_all = "snake_case")]
#[sqlx(type_name = "event_kind", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", ascii_case_insensitive)]
#[expect(missing_docs, reason = "Qontak's names")]
pub enum Kind {
    ReceiveMessageFromCustomer,
    ReceiveMessageFromAgent,
    StatusMessage,
    BroadcastLogStatus,
    RoomCreated,
    RoomResolved,
    /// Any other event whose body is or contains a room (developer-center events such as
    /// `add_agent`).
    RoomUpdated,
    AgentAssignedToRoom,
    AgentUnassignedFromRoom,
    AgentHandoverRoom,
    CustomAgentAllocation,
    StatusTemplate,
    AvailableUserStatus,
    /// An event name that this version does not know, on a body whose shape it does not know either.
    Unknown,
}

impl Kind {
    /// Name in the journal and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Kind of Qontak's event `name`; case and surrounding white space are ignored. `None` if
    /// Qontak has no such event.
    pub fn from_name(name: &str) -> Option<Self> {
        let kind = name.trim().parse().ok();
        kind.filter(|kind| !matches!(kind, Self::RoomUpdated | Self::Unknown))
    }

    /// Whether Qontak has published no body of it, so that it is read as others like it.
    pub const fn is_of_inferred_shape(self) -> bool {
        matches!(
            self,
            Self::CustomAgentAllocation | Self::StatusTemplate | Self::AvailableUserStatus
        )
    }

    /// Whether equal bodies can be different events because they contain no time: an agent who
    /// goes online, offline and online again causes the same body twice.
    pub(super) const fn may_repeat(self) -> bool {
        matches!(
            self,
            Self::AgentAssignedToRoom
                | Self::AgentUnassignedFromRoom
                | Self::AgentHandoverRoom
                | Self::CustomAgentAllocation
                | Self::StatusTemplate
                | Self::AvailableUserStatus
                | Self::Unknown
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_white_space_and_exclude_our_own() {
        assert_eq!(Kind::from_name(" Status_Message "), Some(Kind::StatusMessage));
        assert_eq!(Kind::from_name("room_updated"), None);
        assert_eq!(Kind::from_name("unknown"), None);
        assert_eq!(Kind::from_name("StatusMessage"), None);
    }
}
