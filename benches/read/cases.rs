//! Requests to the read API, for the benchmark and for the test of query plans. A new route or filter
//! gets a line here. Fixed ids are those of `benches/fill/`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A request.
pub struct Case {
    /// API key.
    pub key: &'static str,
    /// Path, with placeholders in braces: see [`IDS`] and [`KNOWN_IDS`].
    pub path: &'static str,
    /// Kind of response.
    pub shape: Shape,
}

/// Kind of response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A single resource.
    One,
    /// An aggregate, which may read any number of rows, but by an index.
    Sum,
    /// A list.
    List,
    /// A list of which the benchmark also requests a deep page, which takes seconds to reach.
    LongList,
}

/// Ids by placeholder.
pub type Ids = BTreeMap<&'static str, Vec<String>>;

impl Case {
    /// How many rows of a table a statement may read for a page of `rows`: filters that match 1 of
    /// 100 rows may be applied while scanning, and matches are not evenly distributed.
    pub fn most_rows(&self, rows: usize) -> f64 {
        if self.shape == Shape::Sum { f64::INFINITY } else { 200.0 * rows as f64 }
    }

    /// The path with each of the ids for its placeholder.
    pub fn paths(&self, ids: &Ids) -> Vec<String> {
        let mut path = self.path.to_owned();
        for (name, id) in KNOWN_IDS {
            path = path.replace(name, id);
        }
        let used: Vec<_> = ids.iter().filter(|(name, _)| path.contains(**name)).collect();
        let Some(count) = used.iter().map(|(_, ids)| ids.len()).min() else { return vec![path] };
        // The ids at one place of several lists are those of one row.
        let nth = |n: usize| {
            used.iter().fold(path.clone(), |path, (name, ids)| {
                let is_day = name.ends_with("_day}");
                path.replace(**name, if is_day { &ids[n][..10] } else { &ids[n] })
            })
        };
        (0..count).map(nth).collect()
    }
}

/// API keys, each with its organisations.
pub const KEYS: [(&str, &str); 4] = [
    (ALL, "*"),
    (LARGE, "bca3e86b-2057-918d-f4a9-beea4e8e293d"),
    (SMALL, "0b3fd65b-b847-e993-03e2-65b9fc730c9f"),
    (TINY, "38d52820-6a0f-87d0-0763-00e9091d73b9"),
];

/// Sees all organisations.
pub const ALL: &str = "all";
/// Sees 9 of 10 rows.
const LARGE: &str = "large";
/// Sees 1 of 100 rows.
const SMALL: &str = "small";
/// Sees 1 of 10,000 rooms.
const TINY: &str = "tiny";

/// All requests.
pub const CASES: [Case; 204] = [
    long(ALL, "/v1/rooms"),
    list(LARGE, "/v1/rooms"),
    long(SMALL, "/v1/rooms"),
    list(TINY, "/v1/rooms"),
    list(ALL, "/v1/rooms?status=resolved"),
    list(ALL, "/v1/rooms?status=unassigned"),
    list(ALL, "/v1/rooms?status=deleted"),
    list(ALL, "/v1/rooms?status=assigned,unassigned"),
    list(ALL, "/v1/rooms?channel=wa_cloud"),
    list(LARGE, "/v1/rooms?channel=ig,telegram"),
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
    list(ALL, "/v1/rooms?untagged=true"),
    list(ALL, "/v1/rooms?untagged=false&status=assigned"),
    list(ALL, "/v1/rooms?unread=true"),
    list(SMALL, "/v1/rooms?unread=true&untagged=false"),
    list(ALL, "/v1/rooms?blocked=true"),
    list(LARGE, "/v1/rooms?blocked=true"),
    list(ALL, "/v1/rooms?blocked=false&unread=false"),
    list(ALL, "/v1/rooms?agent=none"),
    list(LARGE, "/v1/rooms?agent=none,{agent}"),
    list(ALL, "/v1/rooms?agent=none&channel=telegram"),
    list(ALL, "/api/open/v1/rooms"),
    list(LARGE, "/api/open/v1/rooms?channels[]=ig&channels[]=telegram&untagged=true"),
    list(ALL, "/api/open/v1/rooms?tags[]=vip&tags[]=hukum"),
    one(ALL, "/api/open/v1/rooms/{room}"),
    list(ALL, "/api/open/v1/rooms/{busiest_room}/messages"),
    list(ALL, "/api/open/v1/broadcasts/{largest_broadcast}/whatsapp/log?status=failed"),
    list(ALL, "/api/open/v1/broadcasts/{largest_broadcast}/whatsapp/log"),
    list(ALL, "/api/open/v1/rooms/{busiest_room}/histories"),
    list(ALL, "/api/open/v1/rooms/list/expired"),
    list(ALL, "/api/open/v1/rooms/{busiest_room}/participants"),
    list(LARGE, "/api/open/v1/users"),
    list(ALL, "/api/open/v1/broadcasts/whatsapp?start_date=2020-01-01"),
    one(ALL, "/api/open/v1/broadcasts/{broadcast}/whatsapp"),
    list(LARGE, "/api/open/v1/integrations"),
    list(ALL, "/api/open/v1/integrations?target_channel=telegram"),
    list(ALL, "/api/open/v1/templates/whatsapp"),
    list(LARGE, "/api/open/v1/divisions"),
    list(ALL, "/api/open/v1/contacts/contact_lists"),
    one(ALL, "/v1/rooms/{room}"),
    list(ALL, "/v1/rooms/{room}/messages"),
    long(ALL, "/v1/rooms/{busiest_room}/messages"),
    list(LARGE, "/v1/rooms/{busiest_room}/messages"),
    list(ALL, "/v1/rooms/{busiest_room}/messages?from_id={message}"),
    list(LARGE, "/v1/rooms/{busiest_room}/messages?from_id={message}"),
    long(ALL, "/v1/messages"),
    list(LARGE, "/v1/messages"),
    long(SMALL, "/v1/messages"),
    list(TINY, "/v1/messages"),
    list(ALL, "/v1/messages?direction=in"),
    list(ALL, "/v1/messages?direction=bot"),
    list(ALL, "/v1/messages?type=image"),
    list(ALL, "/v1/messages?status=sent"),
    list(LARGE, "/v1/messages?status=failed"),
    list(ALL, "/v1/messages?status=sent,delivered,read"),
    list(ALL, "/v1/messages?type=image,document"),
    list(TINY, "/v1/messages?direction=agent&status=read"),
    list(ALL, "/v1/messages?external_id={external}"),
    list(ALL, "/v1/messages?room_id={room}"),
    list(ALL, "/v1/messages?room_id={busiest_room}&direction=out"),
    list(ALL, "/v1/messages?end_date={day}"),
    list(ALL, "/v1/messages?channel=wa_cloud"),
    list(ALL, "/v1/messages?channel=telegram"),
    list(LARGE, "/v1/messages?channel=ig,telegram"),
    list(SMALL, "/v1/messages?channel=ig"),
    list(ALL, "/v1/messages?channel=telegram&status=failed"),
    list(ALL, "/v1/messages?sender_id={sender}"),
    list(ALL, "/v1/messages?sender_id={agent}"),
    list(ALL, "/v1/messages?sender_id={agent}&type=text"),
    list(ALL, "/v1/messages?broadcast_id={broadcast}"),
    list(ALL, "/v1/messages?is_campaign=true"),
    list(SMALL, "/v1/messages?is_campaign=false"),
    list(LARGE, "/v1/messages?q=diskon&is_campaign=true&channel=wa_cloud"),
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
    list(ALL, "/v1/messages?q=%F0%9F%98%8A"),
    list(SMALL, "/v1/messages?q=foto.jpg"),
    list(ALL, "/v1/rooms?q=siti"),
    list(ALL, "/v1/rooms?q=%F0%9F%8C%B8"),
    list(ALL, "/v1/rooms?q=rahmawti"),
    list(ALL, "/v1/rooms?q={account}"),
    one(ALL, "/v1/messages/{message}"),
    list(ALL, "/v1/broadcasts"),
    list(LARGE, "/v1/broadcasts"),
    list(ALL, "/v1/broadcasts?name=gajian"),
    list(ALL, "/v1/broadcasts?template_id={template}"),
    list(LARGE, "/v1/broadcasts?channel_integration_id={integration}&start_date=2020-01-01"),
    sum(ALL, "/v1/broadcasts/{broadcast}"),
    sum(ALL, FUNNEL),
    long(ALL, "/v1/broadcasts/{largest_broadcast}/logs"),
    long(ALL, "/v1/broadcasts/{largest_broadcast}/logs?status=read"),
    list(ALL, "/v1/broadcasts/{largest_broadcast}/logs?status=failed"),
    list(ALL, "/v1/broadcasts/{largest_broadcast}/logs?status=failed,sent"),
    long(ALL, "/v1/events"),
    long(LARGE, "/v1/events"),
    list(SMALL, "/v1/events"),
    list(TINY, "/v1/events"),
    long(ALL, "/v1/events?kind=status_message"),
    list(ALL, "/v1/events?kind=room_resolved"),
    list(ALL, "/v1/events?kind=agent_handover_room"),
    list(ALL, "/v1/events?name=status_message"),
    list(ALL, "/v1/events?name=agent_handover_room"),
    list(ALL, "/v1/events?name=conversation_changed"),
    list(ALL, "/v1/events?outcome=applied"),
    list(ALL, "/v1/events?outcome=recorded"),
    list(ALL, "/v1/events?outcome=quarantined"),
    list(LARGE, "/v1/events?kind=room_resolved&outcome=applied"),
    list(ALL, "/v1/events?subject_id={subject}"),
    list(ALL, "/v1/events?has_reasons=true"),
    list(ALL, "/v1/events?kind=room_resolved,agent_handover_room"),
    list(ALL, "/v1/events?kind=status_message,room_resolved"),
    list(ALL, "/v1/events?name=room_created,agent_handover_room"),
    list(ALL, "/v1/events?outcome=quarantined,malformed"),
    long(ALL, "/v1/events?start_date=2020-01-01&end_date={received}"),
    list(ALL, "/v1/events?end_date={received}&kind=room_resolved"),
    list(SMALL, "/v1/events?start_date=2020-01-01&outcome=applied"),
    sum(ALL, "/v1/events?request_id={request}&start_date={received_day}&end_date={received_day}"),
    list(ALL, "/v1/events?endpoint=qontak"),
    list(ALL, "/v1/events?endpoint=test"),
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
    list(ALL, "/v1/delivery-statuses?error=131047"),
    list(SMALL, "/v1/delivery-statuses?error=131047"),
    list(ALL, "/v1/delivery-statuses?phone={account}"),
    // Of rooms with 15 of 1,000 and with 4 of 10,000 messages.
    list(ALL, "/v1/delivery-statuses?phone=6281261803399"),
    list(ALL, "/v1/delivery-statuses?phone=6281295432214"),
    list(ALL, "/v1/delivery-statuses?end_date={day}"),
    list(ALL, "/v1/delivery-statuses?status=failed,read"),
    list(ALL, "/v1/delivery-statuses?error=131047,131026"),
    list(ALL, "/v1/delivery-statuses?broadcast_id={largest_broadcast}"),
    list(ALL, "/v1/delivery-statuses?broadcast_id={broadcast}&status=failed"),
    list(ALL, "/v1/delivery-statuses?channel=wa_cloud"),
    list(ALL, "/v1/delivery-statuses?channel=telegram"),
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
    list(ALL, "/v1/agents"),
    list(ALL, "/v1/agents?is_online=true"),
    list(ALL, "/v1/agents/{catalog_agent}/availability"),
    list(ALL, "/v1/templates"),
    list(LARGE, "/v1/templates?status=APPROVED"),
    list(ALL, "/v1/templates/{catalog_template}/history"),
    list(ALL, "/v1/channels"),
    list(ALL, "/v1/divisions"),
    list(ALL, "/v1/contact-lists"),
    list(ALL, "/v1/reconciliation?kind=message&start_date=2020-01-01"),
    list(LARGE, "/v1/ledger"),
    list(ALL, "/v1/ledger?outcome=quarantined&start_date=2020-01-01&end_date={received}"),
    list(ALL, "/v1/rooms?organization_id={small}"),
    list(ALL, "/v1/messages?organization_id={small}"),
    list(ALL, "/v1/events?organization_id={small}"),
    list(ALL, "/v1/delivery-statuses?organization_id={small}&status=failed"),
    sum(ALL, "/v1/stats?organization_id={small}"),
    list(ALL, "/v1/organizations"),
    list(LARGE, "/v1/organizations"),
    one(ALL, "/v1/facets"),
    one(LARGE, "/v1/facets"),
    one(ALL, "/v1/me"),
    one(ALL, "/v1/health"),
];

/// The slowest request.
pub const FUNNEL: &str = "/v1/broadcasts/{largest_broadcast}";

/// Placeholders of fixed ids.
const KNOWN_IDS: [(&str, &str); 3] = [
    ("{small}", "0b3fd65b-b847-e993-03e2-65b9fc730c9f"),
    // Has 15 of 1,000 messages.
    ("{busiest_room}", "3ccabb59-915d-2d79-c7f3-77fd9d35f9f4"),
    // Has 1 of 20 logs.
    ("{largest_broadcast}", "505335fe-48ec-83a1-084c-f646ed529239"),
];

/// Other placeholders: the list to take ids from, and the JSON pointer within its rows. Of those that
/// end in `_day` only the day is used.
pub const IDS: [(&str, &str, &str); 20] = [
    ("{catalog_agent}", "/v1/agents?limit=100", "/id"),
    ("{catalog_template}", "/v1/templates?limit=100", "/id"),
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
    ("{request}", "/v1/events?limit=100", "/request_id"),
    ("{received}", "/v1/events?limit=100", "/received_at"),
    ("{received_day}", "/v1/events?limit=100", "/received_at"),
    ("{template}", "/v1/broadcasts?limit=100", "/template_id"),
    ("{integration}", "/v1/broadcasts?limit=100", "/channel_integration_id"),
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

/// Settings of a service with these API keys that does not migrate the database.
pub fn settings(database_url: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = [
        ("DATABASE_URL", database_url),
        ("RECEIVER__DATABASE__MIGRATE", "false"),
        // Right after the fill the disk is busy.
        ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "30s"),
        ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "unused-token-of-the-benchmark"),
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
