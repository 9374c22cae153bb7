//! Words of the API in the language of the visitor. The lists are open: unknown words stay as they are.

use std::borrow::Cow;

use crate::console::format::text::cut;
use crate::console::preferences::Language;

/// Word of the API, English, Indonesian.
const TERMS: &[(&str, &str, &str)] = &[
    // Statuses of messages.
    ("created", "created", "dibuat"),
    ("pending", "held back", "ditahan"),
    ("sent", "sent", "terkirim"),
    ("delivered", "delivered", "tersampaikan"),
    ("read", "read", "dibaca"),
    ("failed", "failed", "gagal"),
    // Statuses of rooms, and their life.
    ("campaign", "campaign", "kampanye"),
    ("unassigned", "unassigned", "belum ditugaskan"),
    ("assigned", "assigned", "ditugaskan"),
    ("handed_over", "handed over", "dialihkan"),
    ("resolved", "resolved", "selesai"),
    ("deleted", "deleted", "dihapus"),
    // Outcomes of events.
    ("applied", "applied", "diterapkan"),
    ("recorded", "recorded", "dicatat"),
    ("quarantined", "quarantined", "dikarantina"),
    ("malformed", "malformed", "rusak"),
    ("duplicate", "duplicate", "duplikat"),
    // States of replays.
    ("running", "running", "berjalan"),
    ("done", "done", "selesai"),
    ("canceled", "canceled", "dibatalkan"),
    // Sessions.
    ("open", "open", "terbuka"),
    ("expiring", "expires soon", "segera berakhir"),
    ("expired", "expired", "berakhir"),
    // Types of messages that have no text.
    ("unsupported", "not supported by WhatsApp", "tidak didukung WhatsApp"),
    ("order", "order", "pesanan"),
    ("interactive", "interactive message", "pesan interaktif"),
    ("template", "template", "template"),
    ("reaction", "reaction", "reaksi"),
    ("system", "notice", "pemberitahuan"),
    // Senders.
    ("customer", "customer", "pelanggan"),
    ("agent", "agent", "agen"),
    ("bot", "bot", "bot"),
    // Channels.
    ("wa", "WhatsApp", "WhatsApp"),
    ("wa_cloud", "WhatsApp", "WhatsApp"),
    ("ig", "Instagram", "Instagram"),
    ("ig_comment", "Instagram comment", "Komentar Instagram"),
    ("fb", "Facebook", "Facebook"),
    ("web_chat", "Web chat", "Web chat"),
    ("app_chat", "App chat", "App chat"),
    ("telegram", "Telegram", "Telegram"),
    ("line", "LINE", "LINE"),
    ("email", "E-mail", "Email"),
    ("twitter", "Twitter", "Twitter"),
    ("tokopedia_chat", "Tokopedia", "Tokopedia"),
    ("shopee", "Shopee", "Shopee"),
];

/// The word in this language.
pub fn term(language: Language, word: &str) -> Cow<'_, str> {
    let found = TERMS.iter().find(|(one, _, _)| *one == word);
    match (found, language) {
        (Some((_, english, _)), Language::En) => Cow::Borrowed(*english),
        (Some((_, _, indonesian)), Language::Id) => Cow::Borrowed(*indonesian),
        // Of somebody else, so of any length and content.
        (None, _) => Cow::Owned(cut(word, 80)),
    }
}
