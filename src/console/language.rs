//! Texts of the console in English and Indonesian.
//!
//! One line per text with both languages, so a text without a translation does not compile. `{}` is
//! replaced by [`fill`].

pub mod term;

macro_rules! words {
    ($($name:ident: $english:literal, $indonesian:literal;)*) => {
        /// Texts in one language.
        pub struct Words {
            $(pub $name: &'static str,)*
        }

        /// English.
        pub static ENGLISH: Words = Words { $($name: $english,)* };

        /// Indonesian.
        pub static INDONESIAN: Words = Words { $($name: $indonesian,)* };
    };
}

words! {
    // Frame.
    overview: "Overview", "Ringkasan";
    conversations: "Conversations", "Percakapan";
    broadcasts: "Broadcasts", "Broadcast";
    deliveries: "Deliveries", "Pengiriman";
    events: "Events", "Event";
    ledger: "Accounting", "Pembukuan";
    agents: "Agents", "Agen";
    templates: "Templates", "Template";
    trace: "Trace", "Lacak";
    navigation: "Main navigation", "Navigasi utama";
    skip_to_content: "Skip to content", "Langsung ke isi";
    loading: "Loading", "Memuat";
    live: "Live", "Langsung";
    not_live: "Connecting…", "Menghubungkan…";
    reconnecting: "Reconnecting…", "Menghubungkan lagi…";
    every_minute: "Updates every minute", "Diperbarui setiap menit";
    offline: "You are offline. This page shows what was loaded last and updates when the connection is back.", "Anda sedang luring. Halaman ini menampilkan data terakhir dan diperbarui saat koneksi kembali.";
    refresh_failed: "This page could not be updated. It shows what was loaded last.", "Halaman ini tidak dapat diperbarui. Yang tampil adalah data terakhir.";
    organization: "Organisation", "Organisasi";
    all_organizations: "All organisations", "Semua organisasi";
    all: "All", "Semua";
    choose: "Choose", "Pilih";
    language: "Language", "Bahasa";
    time_zone: "Time zone", "Zona waktu";
    theme: "Theme", "Tema";
    theme_auto: "As the system", "Ikuti sistem";
    theme_light: "Light", "Terang";
    theme_dark: "Dark", "Gelap";
    save: "Save", "Simpan";
    api_documentation: "API documentation", "Dokumentasi API";
    sign_out: "Sign out", "Keluar";
    as_table: "Show as table", "Tampilkan sebagai tabel";
    time: "Time", "Waktu";
    yes: "yes", "ya";
    no: "no", "tidak";
    unknown: "unknown", "tidak diketahui";
    export_csv: "Export CSV", "Ekspor CSV";
    export_messages: "Export messages", "Ekspor pesan";
    export_recipients: "Export recipients", "Ekspor penerima";
    apply: "Apply", "Terapkan";
    reset: "Reset filters", "Hapus filter";
    filters: "Filters", "Filter";
    from: "From", "Dari";
    until: "Until", "Sampai";
    newer: "Newer", "Lebih baru";
    older: "Older", "Lebih lama";
    pages: "Pages", "Halaman";
    any: "Any", "Semua";
    none: "none", "tidak ada";
    copy: "Copy", "Salin";
    copied: "Copied", "Tersalin";
    details: "Details", "Rincian";

    // Errors.
    nothing_found: "Not found", "Tidak ditemukan";
    problem: "Something is wrong", "Ada masalah";
    not_found: "Nothing has this id, or your key may not see it.", "Tidak ada yang memiliki ID ini, atau kunci Anda tidak boleh melihatnya.";
    forbidden: "Your key does not allow this.", "Kunci Anda tidak mengizinkan ini.";
    invalid_filter: "A filter is not valid.", "Ada filter yang tidak valid.";
    too_many_requests: "Too many requests; try again in a moment.", "Terlalu banyak permintaan; coba lagi sebentar lagi.";
    query_cut: "This took too long and was cut off.", "Ini terlalu lama dan dihentikan.";
    query_cut_hint: "What is shown is not complete. Choose a shorter period, or another filter.", "Yang tampil tidak lengkap. Pilih periode yang lebih pendek, atau filter lain.";
    query_cut_page_hint: "Try again in a moment, or choose a shorter period.", "Coba lagi sebentar lagi, atau pilih periode yang lebih pendek.";
    unavailable: "The data is not available now. Try again in a moment.", "Data belum tersedia. Coba lagi sebentar lagi.";
    failed_to_load: "This could not be loaded.", "Ini tidak dapat dimuat.";
    request_id: "Request", "Permintaan";

    // Sign-in.
    sign_in: "Sign in", "Masuk";
    sign_in_hint: "Conversations, broadcasts and deliveries of your Qontak webhooks.", "Percakapan, broadcast, dan pengiriman dari webhook Qontak Anda.";
    api_key: "API key", "Kunci API";
    key_hint: "Keys are created with", "Kunci dibuat dengan";
    unknown_key: "This key is unknown, expired or revoked.", "Kunci ini tidak dikenal, kedaluwarsa, atau dicabut.";
    key_without_read: "This key lacks the scope `read`.", "Kunci ini tidak memiliki izin `read`.";
    other_origin: "The form was sent from another site.", "Formulir dikirim dari situs lain.";

    // Conversations.
    choose_conversation: "Choose a conversation", "Pilih percakapan";
    keyboard_hint: "Keys: / to search, j and k to go through the list, Enter to open, Esc to go back.", "Tombol: / untuk mencari, j dan k untuk berpindah, Enter untuk membuka, Esc untuk kembali.";
    no_conversations: "No conversation matches.", "Tidak ada percakapan yang cocok.";
    no_conversations_hint: "Change or reset the filters. Conversations appear with their first webhook.", "Ubah atau hapus filter. Percakapan muncul bersama webhook pertamanya.";
    search_conversations: "Search names, numbers and messages", "Cari nama, nomor, dan pesan";
    messages: "Messages", "Pesan";
    status: "Status", "Status";
    channel: "Channel", "Saluran";
    agent: "Agent", "Agen";
    without_agent: "without agent", "tanpa agen";
    tag: "Tag", "Label";
    session: "Session", "Sesi";
    session_long: "open, 2 h or more left", "terbuka, sisa 2 jam atau lebih";
    session_expiring: "less than 2 h left", "sisa kurang dari 2 jam";
    session_over: "session over", "sesi berakhir";
    session_left: "{} left", "sisa {}";
    hour: "h", "jam";
    minute: "min", "mnt";
    answer: "Answer", "Status balasan";
    unanswered: "unanswered", "belum dijawab";
    answered: "answered", "sudah dijawab";
    unread: "Unread", "Belum dibaca";
    you: "You:", "Anda:";
    blocked: "blocked", "diblokir";
    no_messages: "No messages yet.", "Belum ada pesan.";
    no_messages_hint: "They appear here as they arrive.", "Pesan muncul di sini saat masuk.";
    older_messages: "Older messages", "Pesan lebih lama";
    newest_hits: "the newest {}", "{} terbaru";
    no_message_found: "No message has these words.", "Tidak ada pesan dengan kata-kata ini.";
    newer_messages: "Newer messages", "Pesan lebih baru";
    newest_messages: "Newest messages", "Pesan terbaru";
    message_is_gone: "The message of this link is not in this conversation. These are the newest ones.", "Pesan dari tautan ini tidak ada di percakapan ini. Ini adalah pesan terbaru.";
    back: "Back", "Kembali";
    account: "Account", "Akun";
    division: "Division", "Divisi";
    created: "Created", "Dibuat";
    resolved: "Resolved", "Selesai";
    trace_room: "Trace everything about it", "Lacak semua tentang ini";
    show_events: "Events", "Event";
    unassigned_from: "unassigned from", "dilepas dari";
    event: "event", "event";
    broadcast: "Broadcast", "Broadcast";
    show_broadcast: "broadcast", "broadcast";
    bot: "Bot", "Bot";
    customer: "Customer", "Pelanggan";
    edited: "edited", "diedit";
    deleted: "deleted", "dihapus";
    long_text: "This is the beginning of a long text. The event has all of it.", "Ini awal dari teks panjang. Event memuat seluruhnya.";
    upper_bound: "at this time or before: the time this service received it", "pada waktu ini atau sebelumnya: waktu layanan ini menerimanya";
    no_report: "not reported, follows from a later status", "tidak dilaporkan, tersirat dari status berikutnya";
    no_reason: "No reason was reported.", "Tidak ada alasan yang dilaporkan.";
    reply: "reply to an earlier message", "balasan atas pesan sebelumnya";
    image: "Image", "Gambar";
    sticker: "Sticker", "Stiker";
    video: "Video", "Video";
    voice: "Voice message", "Pesan suara";
    location: "Location", "Lokasi";
    contact: "Contact", "Kontak";
    document: "Document", "Dokumen";
    empty_message: "no text", "tanpa teks";

    conversation: "Conversation", "Percakapan";
    message: "Message", "Pesan";

    // Broadcasts and deliveries.
    search_broadcasts: "Search by name", "Cari menurut nama";
    recipients: "Recipients", "Penerima";
    recipient: "Recipient", "Penerima";
    failed: "Failed", "Gagal";
    sent: "Sent", "Terkirim";
    waiting_to_send: "Not sent yet", "Belum dikirim";
    no_broadcasts: "No broadcast matches.", "Tidak ada broadcast yang cocok.";
    no_broadcasts_hint: "A broadcast appears with the first webhook about one of its recipients.", "Broadcast muncul bersama webhook pertama tentang salah satu penerimanya.";
    funnel: "Funnel", "Corong";
    held_back: "{} held back by Meta's pacing", "{} ditahan oleh pengaturan laju Meta";
    over_time: "Over time", "Dari waktu ke waktu";
    over_time_hint: "Recipients who had reached each status by the end of each hour since sending.", "Penerima yang telah mencapai setiap status pada akhir setiap jam sejak pengiriman.";
    hours_since_sending: "Since sending", "Sejak pengiriman";
    later: "later", "kemudian";
    nothing_sent: "Nothing was sent yet.", "Belum ada yang dikirim.";
    median: "Median", "Median";
    sent_at: "Sent at", "Dikirim pada";
    status_at: "Status since", "Status sejak";
    most_within: "{}% within", "{}% dalam";
    until_delivered: "Time from sent to delivered", "Waktu dari terkirim hingga tersampaikan";
    until_read: "Time from sent to read", "Waktu dari terkirim hingga dibaca";
    no_durations: "No recipient has both times yet.", "Belum ada penerima dengan kedua waktu.";
    cost: "Cost", "Biaya";
    category: "Category", "Kategori";
    billable: "Billable", "Ditagih";
    nothing_billable: "Nothing billable was reported as delivered.", "Belum ada pesan berbayar yang dilaporkan tersampaikan.";
    no_prices: "Set the prices of your rate card in console.price to see the cost.", "Isi harga dari daftar tarif di console.price untuk melihat biayanya.";
    no_recipients: "No recipient has this status.", "Tidak ada penerima dengan status ini.";
    reason: "Reason", "Alasan";
    source: "Source", "Asal";
    search_phone: "Phone number", "Nomor telepon";
    error_code: "Error code", "Kode error";
    broadcast_id: "Broadcast ID", "ID broadcast";
    no_deliveries: "No delivery matches.", "Tidak ada pengiriman yang cocok.";
    no_deliveries_hint: "At first this list shows what failed. Choose another status to see more.", "Awalnya daftar ini menampilkan yang gagal. Pilih status lain untuk melihat lebih banyak.";

    // Events.
    search_events: "ID of a message, room or recipient", "ID pesan, percakapan, atau penerima";
    outcome: "Outcome", "Hasil";
    kind: "Kind", "Jenis";
    name: "Name", "Nama";
    reasons: "Reasons", "Alasan";
    endpoint: "Endpoint", "Endpoint";
    deliveries_of_event: "Deliveries", "Pengiriman";
    no_events: "No events.", "Tidak ada event.";
    no_events_match: "Change or reset the filters.", "Ubah atau hapus filter.";
    choose_all: "Choose all of this page", "Pilih semua di halaman ini";
    dry_run: "Dry run", "Uji coba";
    dry_run_selected: "Dry run of selection", "Uji coba pilihan";
    replay: "Replay", "Putar ulang";
    replay_selected: "Replay selection", "Putar ulang pilihan";
    replay_count: "Events to parse again and write: {}.", "Event yang diurai ulang dan ditulis: {}.";
    replay_consequence: "Rows change where the current parser reads them in another way; newer events still win.", "Baris berubah bila pengurai saat ini membacanya secara berbeda; event yang lebih baru tetap menang.";
    replay_many_hint: "It runs in the background and can be canceled. For a dry run, choose some of them in the list first.", "Ini berjalan di latar belakang dan dapat dibatalkan. Untuk uji coba, pilih dahulu sebagian di daftar.";
    choose_events: "Choose events for a dry run", "Pilih event untuk uji coba";
    replay_now: "Replay now", "Putar ulang sekarang";
    dry_run_hint: "Nothing was changed. With the current parser:", "Belum ada yang diubah. Dengan pengurai saat ini:";
    outcomes_change: "outcomes change.", "hasil berubah.";
    replay_matching: "Replay all that match", "Putar ulang semua yang cocok";
    replay_of_many: "Replay of many events", "Putar ulang banyak event";
    replay_progress: "{} events replayed, {} with another outcome", "{} event diputar ulang, {} dengan hasil lain";
    cancel: "Cancel", "Batalkan";
    before: "Before", "Sebelum";
    after: "After", "Sesudah";
    would_be: "Would be", "Akan menjadi";
    column: "Column", "Kolom";
    new_row: "new row", "baris baru";
    changed_row: "changes", "berubah";
    one_event: "Event", "Event";
    rows_that_change: "Rows that change", "Baris yang berubah";
    rows_change: "rows change.", "baris berubah.";
    more_rows: "and {} more rows", "dan {} baris lagi";
    nothing_chosen: "No event is chosen.", "Tidak ada event yang dipilih.";
    nothing_chosen_hint: "Choose events in the list first.", "Pilih event di daftar dahulu.";
    raw_body: "Raw body", "Isi mentah";
    body: "Body", "Isi";
    was_read: "read", "dibaca";
    was_ignored: "ignored", "diabaikan";
    not_usable: "not usable", "tidak dapat dipakai";
    body_is_cut: "Only the beginning is shown; the raw body has all of it.", "Hanya bagian awal yang ditampilkan; isi mentah memuat semuanya.";
    subject: "About", "Tentang";
    size: "Size", "Ukuran";
    parser_version: "Parser version", "Versi pengurai";

    // Accounting.
    quarantine: "Quarantine", "Karantina";
    nothing_quarantined: "Every webhook was understood.", "Semua webhook terbaca.";
    newest: "Newest", "Terbaru";
    newest_only: "of the newest {} events", "dari {} event terbaru";
    per_hour: "Webhooks per hour", "Webhook per jam";
    adds_up: "Every webhook has one outcome: in each hour they add up to what was received.", "Setiap webhook memiliki satu hasil: di setiap jam jumlahnya sama dengan yang diterima.";
    hour_of_day: "Hour", "Jam";
    received: "Received", "Diterima";
    reconciliation: "Compared with Qontak", "Dibandingkan dengan Qontak";
    reconciliation_hint: "What Qontak's API had and webhooks did not bring. It was fetched since.", "Yang ada di API Qontak tetapi tidak dibawa webhook. Sejak itu sudah diambil.";
    never_compared: "Nothing was compared yet. This command does it:", "Belum pernah dibandingkan. Perintah ini melakukannya:";
    day: "Day", "Hari";
    fetched: "Fetched", "Diambil";
    missing: "Missing", "Hilang";
    changed: "Changed", "Berubah";
    checked: "Checked", "Diperiksa";

    // Agents, templates, trace.
    open_now: "Open now", "Sedang terbuka";
    waiting_now: "Waiting now", "Sedang menunggu";
    handled: "Handled", "Ditangani";
    next_response: "Next responses", "Respons berikutnya";
    resolution_time: "Resolution time", "Waktu penyelesaian";
    online: "online", "daring";
    not_online: "offline", "luring";
    last_report: "Last report of this state", "Laporan terakhir tentang keadaan ini";
    no_agents: "No agent answered in this period.", "Tidak ada agen yang menjawab dalam periode ini.";
    no_agents_hint: "Agents appear with their first answer.", "Agen muncul bersama jawaban pertamanya.";
    template: "Template", "Template";
    quality: "Quality", "Kualitas";
    synced: "Synced", "Diselaraskan";
    no_templates: "No templates.", "Tidak ada template.";
    no_templates_hint: "They are read from Qontak's API once its credentials are set.", "Template dibaca dari API Qontak setelah kredensialnya diisi.";
    trace_what: "ID of anything, wamid or phone number", "ID apa pun, wamid, atau nomor telepon";
    trace_hint: "Paste the ID of a message, conversation, broadcast, recipient or event, a wamid, or a phone number in any spelling.", "Tempel ID pesan, percakapan, broadcast, penerima, atau event, sebuah wamid, atau nomor telepon dalam penulisan apa pun.";
    timeline: "Timeline", "Lini masa";
    newest_rows: "Only the newest 50 of each kind are shown.", "Hanya 50 terbaru dari setiap jenis yang ditampilkan.";

    // Overview.
    last_24_hours: "24 hours", "24 jam";
    last_7_days: "7 days", "7 hari";
    period: "Period", "Periode";
    open_conversations: "Open conversations", "Percakapan terbuka";
    unanswered_now: "{} wait for an answer", "{} menunggu jawaban";
    nobody_waits: "nobody waits", "tidak ada yang menunggu";
    sessions_expiring: "Sessions that expire soon", "Sesi yang segera berakhir";
    sessions_expiring_hint: "less than 2 hours left to reply", "sisa kurang dari 2 jam untuk membalas";
    first_response: "First response", "Respons pertama";
    first_response_hint: "median of agents; 95% within {}", "median agen; 95% dalam {}";
    delivery_rate: "Delivered", "Tersampaikan";
    delivery_rate_hint: "{} of {} messages, {} failed", "{} dari {} pesan, {} gagal";
    webhooks: "Webhooks received", "Webhook diterima";
    webhooks_hint: "{} quarantined or malformed", "{} dikarantina atau rusak";
    webhooks_fine: "all understood", "semua terbaca";
    messages_over_time: "Messages", "Pesan";
    from_customers: "Customers", "Pelanggan";
    from_agents: "Agents", "Agen";
    from_bots: "Bots", "Bot";
    from_broadcasts: "Broadcasts", "Broadcast";
    webhooks_over_time: "Webhooks by outcome", "Webhook menurut hasil";
    applied: "Applied", "Diterapkan";
    recorded: "Recorded", "Dicatat";
    duplicates: "Duplicates", "Duplikat";
    quarantined: "Quarantined", "Dikarantina";
    malformed: "Malformed", "Rusak";
    webhooks_by_kind: "Webhooks by kind", "Webhook menurut jenis";
    other_kinds: "Others", "Lainnya";
    not_counted: "Nothing was counted yet. Counts follow within a minute, while alarms of silence are on.", "Belum ada yang dihitung. Hitungan menyusul dalam semenit, selama alarm keheningan aktif.";
    rate_over_time: "Delivery and read rate", "Tingkat tersampaikan dan dibaca";
    delivered_share: "Delivered", "Tersampaikan";
    read_share: "Read", "Dibaca";
    failures_by_reason: "Why messages failed", "Mengapa pesan gagal";
    failures_sample: "of the latest {} failures", "dari {} kegagalan terakhir";
    no_failures: "Nothing failed in this period.", "Tidak ada kegagalan dalam periode ini.";
    waiting: "Waiting for an answer", "Menunggu jawaban";
    nobody_waits_long: "Every customer has an answer.", "Semua pelanggan sudah dijawab.";
    show_all: "Show all", "Tampilkan semua";
    waiting_sample: "of the {} active last", "dari {} yang aktif terakhir";
    no_session_expires: "No session ends within 2 hours.", "Tidak ada sesi yang berakhir dalam 2 jam.";
    last_events: "Last event of each channel", "Event terakhir setiap saluran";
    last_event: "Last event", "Event terakhir";
    health: "Health", "Kesehatan";
    all_well: "Nothing is wrong.", "Tidak ada masalah.";
    since: "since", "sejak";
    problem_silence: "Far fewer events than usual", "Event jauh lebih sedikit dari biasanya";
    problem_hook: "Webhook setting at Qontak", "Pengaturan webhook di Qontak";
    problem_check: "Qontak cannot be checked", "Qontak tidak dapat diperiksa";
    problem_quarantine: "Events that cannot be understood", "Event yang tidak terbaca";
    problem_spool: "Spool", "Spool";
    problem_partitions: "Partitions of the journal are missing", "Partisi jurnal tidak ada";
    problem_unknown_event: "New name of an event", "Nama event baru";
    spool_waits: "{} webhooks wait in the spool for the database", "{} webhook menunggu basis data di spool";
    play_demo: "Play a day of made-up traffic", "Putar lalu lintas rekaan selama sehari";
    play_demo_hint: "It ends now and is stored like real webhooks. Only this local service offers it.", "Berakhir sekarang dan disimpan seperti webhook asli. Hanya layanan lokal ini yang menawarkannya.";
    no_events_yet: "No webhook was received in this period.", "Belum ada webhook yang diterima dalam periode ini.";
    no_events_hint: "Post one, for example a fixture of the repository, or register the URL at Qontak:", "Kirim satu, misalnya contoh dari repositori, atau daftarkan URL di Qontak:";
}

/// Replaces each `{}` by one of the values.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (i, part) in parts.enumerate() {
        filled.push_str(values.get(i).copied().unwrap_or_default());
        filled.push_str(part);
    }
    filled
}
