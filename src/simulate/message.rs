//! State of a simulated message, and the bodies of its events.

use std::sync::LazyLock;

use super::body::Body;
use super::expected::{Claim, MessageClaim, Status, Statuses};
use super::room::{Room, Shape};
use super::template::Template;
use super::webhook::Webhook;
use super::world::{Subject, World};

static MESSAGE: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/message.json")));
static FILE: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/message-file.json")));
static LEGACY: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/legacy-message.json")));
static INVALID: LazyLock<Template> =
    LazyLock::new(|| Template::parse(include_str!("body/invalid-message.json")));

const CUSTOMER_TEXTS: [&str; 6] = [
    "Halo Kak, kemeja batik ukuran L masih ada?",
    "Kalau dikirim hari ini, sampai Bandung kapan ya? Mau dipakai hari Sabtu untuk acara keluarga.",
    "Baik Kak, saya ambil dua yang warna cokelat. Bisa bayar di tempat? 🙏",
    "ok",
    "Paketnya sudah sampai, tapi satu kancingnya lepas. Bisa ditukar tidak? Ini fotonya.",
    "Terima kasih banyak ya Kak, pelayanannya cepat sekali 😊",
];
const AGENT_TEXTS: [&str; 5] = [
    "Selamat siang Kak, masih ada. Mau warna cokelat atau biru? Kami kirim fotonya ya.",
    "Kalau pesan sebelum jam 15.00, paket dikirim hari ini dan sampai dalam dua hari kerja.",
    "Siap Kak, totalnya Rp370.000 sudah termasuk ongkir. Mohon konfirmasi alamatnya ya.",
    "Mohon maaf atas ketidaknyamanannya Kak. Silakan kirim kembali, ongkirnya kami ganti.",
    "Sama-sama Kak, ditunggu pesanan berikutnya!",
];
const BOT_TEXTS: [&str; 2] = [
    "Halo Kak! Terima kasih sudah menghubungi Toko Maju. Admin kami akan segera membalas ya 🙏",
    "Toko Maju buka setiap hari 09.00 sampai 21.00 WIB. Ketik 1 untuk pesanan, 2 untuk katalog.",
];
const BROADCAST_TEXTS: [&str; 1] =
    ["Halo Kak, diskon 25% untuk semua batik di Toko Maju sampai 30 \
     Juni. Balas STOP untuk berhenti."];

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Customer,
    Agent,
    Bot,
}

/// Current state of a message. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub number: u32,
    pub author: Author,
    pub created_at: i64,
    pub status: Status,
    /// Number of the broadcast that sent it.
    pub broadcast: Option<u32>,
}

impl Message {
    /// Writes a message now.
    pub const fn write(world: &mut World, author: Author) -> Self {
        let created_at = match author {
            // WhatsApp reports whole seconds.
            Author::Customer => world.now - world.now % 1000,
            Author::Agent | Author::Bot => world.now,
        };
        let number = world.new_message();
        Self { number, author, created_at, status: Status::Created, broadcast: None }
    }

    /// What an event of this moment reports.
    pub const fn claim(&self, room: &Room) -> MessageClaim {
        MessageClaim {
            number: self.number,
            room: room.number,
            created_at: self.created_at,
            statuses: Statuses::of(self.status),
        }
    }

    /// The event of a new message or a new status.
    pub fn event(&self, world: &World, room: &Room) -> Webhook {
        let mut body = Body::new(world);
        let template = match room.shape {
            Shape::Current | Shape::Plain => &MESSAGE,
            Shape::Legacy => &LEGACY,
            Shape::Invalid => &INVALID,
        };
        template.write(&mut body, |name, body| self.fill(name, room, body));
        let (message, room) = (self.claim(room), room.claim_in_message(world, self));
        Webhook::new(body, Claim { message: Some(message), room: Some(room), log: None })
    }

    /// Fills a placeholder about the message or its room.
    pub fn fill(&self, name: &'static str, room: &Room, body: &mut Body<'_>) {
        match name {
            "message_id" => body.id(Subject::Message, self.number),
            "type" => body.put(if self.has_file(room, body.world) { "image" } else { "text" }),
            "is_campaign" => body.flag(self.broadcast.is_some()),
            "sender_id" => {
                let (subject, number) = self.sender(room);
                body.id(subject, number);
            }
            "sender_type" => body.put(match self.author {
                Author::Customer => "Models::Contact",
                Author::Agent => "Models::User",
                Author::Bot => "Models::SystemAccount",
            }),
            "participant_type" => body.put(match self.author {
                Author::Customer => "customer",
                Author::Agent => "agent",
                Author::Bot => "bot",
            }),
            // One participant id per room and author.
            "participant_id" => {
                body.id(Subject::Participant, room.number * 3 + self.author as u32);
            }
            "sender_name" => match self.author {
                Author::Customer => body.name(Subject::Room, room.number),
                Author::Agent => body.name(Subject::Agent, room.agent),
                Author::Bot => body.put("Bot Toko Maju"),
            },
            "username" if self.author == Author::Agent => {
                body.format(format_args!("\"agen{:02}\"", room.agent));
            }
            "username" => body.put("null"),
            "avatar" if self.author == Author::Bot => body.put("null"),
            "avatar" => room.fill("room_avatar", body),
            "text" => body.put(self.text(body.world)),
            // WhatsApp's status of a voice message that was played.
            "status" if self.status == Status::Read && room.shape == Shape::Invalid => {
                body.put("played");
            }
            "status" => body.put(self.status.as_str()),
            // Unknown until the channel has accepted the message.
            "external_id" if self.status == Status::Created && self.author != Author::Customer => {
                body.put("null");
            }
            "external_id" => {
                body.put("\"");
                body.wamid(self.number);
                body.put("\"");
            }
            "created_at" => body.time(self.created_at),
            "last_campaign" => match self.broadcast {
                None => body.put("{}"),
                Some(broadcast) => {
                    body.put(r#"{"id":"#);
                    body.quoted_id(Subject::Broadcast, broadcast);
                    body.put(r#","name":"Promo Gajian Juni"}"#);
                }
            },
            "data_event" => body.put(self.data_event()),
            "file" if self.has_file(room, body.world) => {
                FILE.write(body, |_, body| body.id(Subject::File, self.number));
            }
            "file" => {}
            _ => room.fill(name, body),
        }
    }

    const fn data_event(&self) -> &'static str {
        match (self.status, self.author) {
            (Status::Created, Author::Customer) => "receive_message_from_customer",
            (Status::Created, _) => "receive_message_from_agent",
            _ => "status_message",
        }
    }

    const fn sender(&self, room: &Room) -> (Subject, u32) {
        match self.author {
            Author::Customer => (Subject::Contact, room.number),
            Author::Agent => (Subject::Agent, room.agent),
            Author::Bot => (Subject::Bot, 0),
        }
    }

    fn has_file(&self, room: &Room, world: &World) -> bool {
        let is_image = || world.ids.attribute(Subject::File, self.number, 8) == 0;
        match self.author {
            _ if self.broadcast.is_some() => true,
            Author::Customer => room.shape != Shape::Plain && is_image(),
            Author::Agent | Author::Bot => false,
        }
    }

    fn text(&self, world: &World) -> &'static str {
        let texts: &[&str] = match self.author {
            _ if self.broadcast.is_some() => &BROADCAST_TEXTS,
            Author::Customer => &CUSTOMER_TEXTS,
            Author::Agent => &AGENT_TEXTS,
            Author::Bot => &BOT_TEXTS,
        };
        let one = world.ids.attribute(Subject::Message, self.number, texts.len() as u32);
        texts[one as usize]
    }
}
