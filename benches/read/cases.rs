//! What the read API is asked, one line each; for the bench and for the test of plans.
//!
//! A new route or filter gets a line here. The ids are those of `benches/fill/`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// One question.
pub struct Case {
    /// The key that asks.
    pub key: &'static str,
    /// A path below the service. What stands in braces is an id: see [`IDS`] and [`KNOWN_IDS`].
    pub path: &'static str,
    /// What is answered.
    pub shape: Shape,
}

/// What is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One thing.
    One,
    /// What many rows say together. They are read, but by an index.
    Sum,
    /// A list.
    List,
    /// A list of which a page far behind is asked for as well; to get there takes seconds.
    LongList,
}

/// Ids by the name that stands for them in a path.
pub type Ids = BTreeMap<&'static str, Vec<String>>;

impl Case {
    /// How many rows a statement may read of a table, if a page has `rows`: a filter that lets 1 of
    /// 100 through may be applied on the way, and not all ways are even.
    pub fn most_rows(&self, rows: usize) -> f64 {
        match self.shape {
            Shape::One | Shape::List | Shape::LongList => 200.0 * rows as f64,
            Shape::Sum => f64::INFINITY,
        }
    }

    /// The path, with each of the ids that it may be asked with.
    pub fn paths(&self, ids: &Ids) -> Vec<String> {
        let mut path = self.path.to_owned();
        for (name, id) in KNOWN_IDS {
            path = path.replace(name, id);
        }
        let with = |(name, ids): (&&str, &Vec<String>)| {
            path.contains(*name).then(|| ids.iter().map(|id| path.replace(*name, id)).collect())
        };
        ids.iter().find_map(with).unwrap_or_else(|| vec![path.clone()])
    }
}

/// Keys, each with the organisations that it may see.
pub const KEYS: [(&str, &str); 4] = [
    (ALL, "*"),
    (LARGE, "bca3e86b-2057-918d-f4a9-beea4e8e293d"),
    (SMALL, "0b3fd65b-b847-e993-03e2-65b9fc730c9f"),
    (TINY, "38d52820-6a0f-87d0-0763-00e9091d73b9"),
];

/// Of all organisations.
pub const ALL: &str = "all";
/// Of 9 of 10 rows.
const LARGE: &str = "large";
/// Of 1 of 100 rows.
const SMALL: &str = "small";
/// Of 1 of 10,000 rooms.
const TINY: &str = "tiny";

/// What is asked.
pub const CASES: [Case; 111] = [
    long(ALL, "/v1/rooms"),
    list(LARGE, "/v1/rooms"),
    long(SMALL, "/v1/rooms"),
    list(TINY, "/v1/rooms"),
    list(ALL, "/v1/rooms?status=resolved"),
    list(ALL, "/v1/rooms?status=unassigned"),
    list(ALL, "/v1/rooms?status=deleted"),
    list(ALL, "/v1/rooms?channel=wa_cloud"),
    list(ALL, "/v1/rooms?channel=telegram"),
    list(ALL, "/v1/rooms?agent={agent}"),
    list(ALL, "/v1/rooms?agent={agent}&status=assigned"),
    list(ALL, "/v1/rooms?tag=vip"),
    list(ALL, "/v1/rooms?tag=hukum"),
    list(ALL, "/v1/rooms?account_uniq_id={account}"),
    list(LARGE, "/v1/rooms?status=unassigned&channel=ig"),
    list(SMALL, "/v1/rooms?status=assigned"),
    list(ALL, "/v1/rooms?account_uniq_id=081232623793"),
    list(LARGE, "/v1/rooms?channel_integration_id=77b840fb-573c-a4f2-e529-d429eefbd421"),
    list(SMALL, "/v1/rooms?channel_integration_id=e37dbf69-a1db-41d9-08f0-779a3753b1a8"),
    list(ALL, "/v1/rooms?response=unanswered"),
    list(SMALL, "/v1/rooms?response=unanswered"),
    list(ALL, "/v1/rooms?response=answered"),
    list(ALL, "/v1/rooms?session=open"),
    list(SMALL, "/v1/rooms?session=open"),
    list(ALL, "/v1/rooms?session=expiring"),
    list(LARGE, "/v1/rooms?session=expiring&status=assigned"),
    list(ALL, "/v1/rooms?session=expired"),
    list(LARGE, "/v1/rooms?session=expired"),
    list(ALL, "/v1/rooms?end_date={while_ago}"),
    list(LARGE, "/v1/rooms?start_date=2020-01-01&end_date={while_ago}&tag=hukum"),
    list(ALL, "/api/open/v1/rooms"),
    list(LARGE, "/api/open/v1/rooms?channels[]=ig&channels[]=telegram&untagged=true"),
    list(ALL, "/api/open/v1/rooms?tags[]=vip&tags[]=hukum"),
    one(ALL, "/api/open/v1/rooms/{room}"),
    list(ALL, "/api/open/v1/rooms/{busiest_room}/messages"),
    list(ALL, "/api/open/v1/broadcasts/{largest_broadcast}/whatsapp/log?status=failed"),
    one(ALL, "/v1/rooms/{room}"),
    list(ALL, "/v1/rooms/{room}/messages"),
    long(ALL, "/v1/rooms/{busiest_room}/messages"),
    list(LARGE, "/v1/rooms/{busiest_room}/messages"),
    long(ALL, "/v1/messages"),
    list(LARGE, "/v1/messages"),
    long(SMALL, "/v1/messages"),
    list(TINY, "/v1/messages"),
    list(ALL, "/v1/messages?direction=in"),
    list(ALL, "/v1/messages?direction=bot"),
    list(ALL, "/v1/messages?type=image"),
    list(ALL, "/v1/messages?status=sent"),
    list(LARGE, "/v1/messages?status=failed"),
    list(TINY, "/v1/messages?direction=agent&status=read"),
    list(ALL, "/v1/messages?external_id={external}"),
    list(ALL, "/v1/messages?room_id={room}"),
    list(ALL, "/v1/messages?room_id={busiest_room}&direction=out"),
    list(ALL, "/v1/messages?end_date={day}"),
    list(ALL, "/v1/rooms/{room}/events"),
    one(ALL, "/v1/senders/{sender}"),
    list(ALL, "/v1/messages?q=kak"),
    list(ALL, "/v1/messages?q=ok"),
    list(LARGE, "/v1/messages?q=nomor+resi"),
    list(ALL, "/v1/messages?q=paketnya&direction=in"),
    list(SMALL, "/v1/messages?q=ongkir"),
    list(ALL, "/v1/messages?q=terima&room_id={room}"),
    list(ALL, "/v1/messages?q=terima&room_id={busiest_room}"),
    list(ALL, "/v1/messages?q=diskon&external_id={wamid}"),
    list(ALL, "/v1/rooms?q=siti"),
    list(ALL, "/v1/rooms?q=rahmawti"),
    list(ALL, "/v1/rooms?q={account}"),
    one(ALL, "/v1/messages/{message}"),
    list(ALL, "/v1/broadcasts"),
    list(LARGE, "/v1/broadcasts"),
    sum(ALL, "/v1/broadcasts/{broadcast}"),
    sum(ALL, FUNNEL),
    long(ALL, "/v1/broadcasts/{largest_broadcast}/logs"),
    long(ALL, "/v1/broadcasts/{largest_broadcast}/logs?status=read"),
    list(ALL, "/v1/broadcasts/{largest_broadcast}/logs?status=failed"),
    long(ALL, "/v1/events"),
    long(LARGE, "/v1/events"),
    list(SMALL, "/v1/events"),
    list(TINY, "/v1/events"),
    long(ALL, "/v1/events?kind=status_message"),
    list(ALL, "/v1/events?kind=room_resolved"),
    list(ALL, "/v1/events?kind=agent_handover_room"),
    list(ALL, "/v1/events?outcome=applied"),
    list(ALL, "/v1/events?outcome=recorded"),
    list(ALL, "/v1/events?outcome=quarantined"),
    list(LARGE, "/v1/events?kind=room_resolved&outcome=applied"),
    list(ALL, "/v1/events?subject_id={subject}"),
    one(ALL, "/v1/events/{event}"),
    one(ALL, "/v1/events/{event}/body"),
    long(ALL, "/v1/delivery-statuses"),
    list(LARGE, "/v1/delivery-statuses"),
    list(SMALL, "/v1/delivery-statuses"),
    list(TINY, "/v1/delivery-statuses"),
    list(ALL, "/v1/delivery-statuses?status=read"),
    list(ALL, "/v1/delivery-statuses?status=failed"),
    list(SMALL, "/v1/delivery-statuses?status=failed"),
    list(ALL, "/v1/delivery-statuses?error=131049"),
    list(ALL, "/v1/delivery-statuses?phone={account}"),
    list(ALL, "/v1/delivery-statuses?end_date={day}"),
    one(ALL, "/v1/trace/{message}"),
    one(ALL, "/v1/trace/{room}"),
    one(ALL, "/v1/trace/{broadcast}"),
    one(ALL, "/v1/trace/{event}"),
    one(ALL, "/v1/trace/{account}"),
    one(ALL, "/v1/trace/{log}"),
    one(ALL, "/v1/trace/{wamid}"),
    one(ALL, "/v1/trace/{busiest_room}"),
    sum(ALL, "/v1/stats"),
    sum(SMALL, "/v1/stats?interval=hour&time_zone=Asia/Jakarta"),
    long(ALL, "/v1/ledger"),
    list(LARGE, "/v1/ledger"),
];

/// What takes longest.
pub const FUNNEL: &str = "/v1/broadcasts/{largest_broadcast}";

/// Ids that are always the same.
const KNOWN_IDS: [(&str, &str); 2] = [
    // It has 15 of 1,000 messages.
    ("{busiest_room}", "3ccabb59-915d-2d79-c7f3-77fd9d35f9f4"),
    // It has 1 of 20 logs.
    ("{largest_broadcast}", "505335fe-48ec-83a1-084c-f646ed529239"),
];

/// Where other ids are found: in the rows of this list, at this place.
pub const IDS: [(&str, &str, &str); 13] = [
    ("{room}", "/v1/rooms?limit=100", "/id"),
    ("{account}", "/v1/rooms?limit=100&channel=wa_cloud", "/account_uniq_id"),
    ("{agent}", "/v1/rooms?limit=100&status=assigned", "/agent_ids/0"),
    ("{while_ago}", "/v1/rooms?limit=100&tag=hukum", "/last_message_at"),
    ("{sender}", "/v1/rooms?limit=100", "/last_message/sender_id"),
    ("{message}", "/v1/rooms/3ccabb59-915d-2d79-c7f3-77fd9d35f9f4/messages?limit=100", "/id"),
    ("{external}", "/v1/messages?limit=100", "/external_id"),
    ("{day}", "/v1/messages?limit=100", "/created_at"),
    ("{broadcast}", "/v1/broadcasts?limit=100", "/id"),
    ("{log}", "/v1/broadcasts/505335fe-48ec-83a1-084c-f646ed529239/logs?limit=100", "/id"),
    (
        "{wamid}",
        "/v1/broadcasts/505335fe-48ec-83a1-084c-f646ed529239/logs?limit=100",
        "/whatsapp_message_id",
    ),
    ("{event}", "/v1/events?limit=100", "/event_id"),
    ("{subject}", "/v1/events?limit=100&kind=status_message", "/subject_id"),
];

const fn one(key: &'static str, path: &'static str) -> Case {
    Case { key, path, shape: Shape::One }
}

const fn sum(key: &'static str, path: &'static str) -> Case {
    Case { key, path, shape: Shape::Sum }
}

const fn list(key: &'static str, path: &'static str) -> Case {
    Case { key, path, shape: Shape::List }
}

const fn long(key: &'static str, path: &'static str) -> Case {
    Case { key, path, shape: Shape::LongList }
}

/// Settings of a service that knows these keys and leaves the database as it is.
pub fn settings(database_url: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = [
        ("DATABASE_URL", database_url),
        ("RECEIVER__DATABASE__MIGRATE", "false"),
        // The first answers wait for a disk that has other things to do after the filling.
        ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "30s"),
        ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "nobody-posts-anything"),
        ("RECEIVER__RETENTION__EVENT_DAYS", "3650"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (key, organizations) in KEYS {
        let hash: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("RECEIVER__KEY__{}", key.to_uppercase());
        settings.insert(format!("{name}__SHA256"), hash);
        settings.insert(format!("{name}__SCOPES"), "read".to_owned());
        settings.insert(format!("{name}__ORGANIZATIONS"), organizations.to_owned());
    }
    settings
}
