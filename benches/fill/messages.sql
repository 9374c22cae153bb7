-- Messages in chronological order: part `part` of `parts`, which may run concurrently.

begin;
set local work_mem = '256MB';
set local timezone = 'UTC';
-- No triggers: rooms.sql counts all at once.
set local session_replication_role = replica;

insert into message (
    organization, message_id, room_id, received_at, created_at, type, participant_type,
    participant_id, sender_type, sender_id, text, text_rank, external_id, channel,
    channel_integration_id, broadcast_id, is_campaign, is_edited, file, created_seen_at,
    sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at, author_by_sender, error_code,
    key, fields, at, status, sender_kind, author, reached
)
select
    *, created_at,
    effective_status(
        created_seen_at, null, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
    ),
    author_by_sender, author_of(author_by_sender, type, is_campaign, null),
    reached(sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at, external_id)
from (
    select
        organization, fill.id('message', n), room_id, at + interval '0.4 s', at,
        case when has_file then 'image' else 'text' end,
        (array['customer', 'agent', 'bot'])[author],
        case when author < 3 then participant_id end,
        (array['Models::Contact', 'Models::User', 'Models::SystemAccount'])[author],
        case author when 1 then contact_id when 2 then agent_id else bot_id end,
        case case when n % 20011 = 7 then 0 else author end
            -- For searches.
            when 0 then 'Ini nomor resinya Kak: CGK' || n
            when 1 then (array[
                'Halo Kak, kemeja batik ukuran L masih ada?',
                'Kalau dikirim hari ini, sampai Bandung kapan ya?',
                'Baik Kak, saya ambil dua yang warna cokelat.',
                'ok',
                'Paketnya sudah sampai, tapi satu kancingnya lepas. Bisa ditukar tidak?',
                'Terima kasih banyak ya Kak 😊'
            ])[1 + fill.chance(5, n, 6)]
            when 2 then (array[
                'Selamat siang Kak, masih ada. Mau warna cokelat atau biru?',
                'Kalau pesan sebelum jam 15.00, paket dikirim hari ini juga.',
                'Siap Kak, totalnya Rp370.000 sudah termasuk ongkir.',
                'Mohon maaf atas ketidaknyamanannya Kak. Silakan kirim kembali, ongkirnya kami ganti.',
                'Sama-sama Kak, ditunggu pesanan berikutnya!'
            ])[1 + fill.chance(5, n, 5)]
            else (array[
                'Halo Kak! Diskon 25% untuk semua batik sampai akhir bulan. Balas STOP untuk berhenti.',
                'Terima kasih sudah menghubungi Toko Maju. Admin kami segera membalas.'
            ])[case when is_campaign then 1 else 2 end]
        end,
        '00000000-0000-0000-0000-000000000001'::uuid,
        'wamid.HBgNNjI4MTIw' || md5('wamid' || n),
        channel, integration_id,
        case when is_campaign then fill.id('broadcast', broadcast) end, is_campaign, false,
        case when has_file then
            '{"filename": "foto.jpg", "url": "https://cdn.example.com/uploads/foto.jpg", "size": 184231}'::jsonb
        end,
        at + interval '0.4 s',
        case when author > 1 then at + interval '1.2 s' end,
        case when author > 1 and fate < 93 then at + interval '1 s' * (2 + fill.chance(6, n, 90)) end,
        case when author > 1 and fate < 68 then at + interval '1 s' * (92 + fill.chance(7, n, 9000)) end,
        case when author > 1 and fate >= 98 then at + interval '3 s' end,
        (array['customer', 'agent', 'bot'])[author],
        case when author > 1 and not is_campaign and fate >= 98 then 131047 end,
        fill.fold_key(at, n::text),
        -- A bit per known column: see function `merged_columns`.
        b'000001000111110111'::bigint
    from (
        select
            n, since + n * step as at, n % campaign_every = 0 as is_campaign,
            case
                when n % campaign_every = 0 then 3
                when fill.chance(8, n, 100) < 50 then 1
                when fill.chance(8, n, 100) < 85 then 2
                else 3
            end as author,
            fill.chance(9, n, 100) as fate,
            n % campaign_every <> 0 and fill.chance(10, n, 40) = 0 as has_file,
            -- The first broadcast has 1 of 20 logs, the others share the rest.
            case
                when n / campaign_every < :logs / 20 then 0
                else 1 + (n / campaign_every - :logs / 20) % (:broadcasts - 1)
            end as broadcast,
            case
                -- Rooms of the large organisation only, whose numbers do not end in 0.
                when n % campaign_every = 0
                    then fill.chance(11, n, :rooms / 10) * 10 + 1 + fill.chance(12, n, 9)
                when fill.chance(13, n, 1000) < 20 then 1
                when fill.chance(13, n, 1000) < 120 then fill.chance(11, n, :rooms / 1000 + 2)
                else (n * :rooms / :messages + fill.chance(11, n, :rooms / 10)) % :rooms
            end as number
        from (
            select generate_series(
                :messages::bigint * :part / :parts, :messages::bigint * (:part + 1) / :parts - 1
            ) as n
        ) as message
        cross join fill.span
    ) as message
    join fill.numbered_room using (number)
) as new (
    organization, message_id, room_id, received_at, created_at, type, participant_type,
    participant_id, sender_type, sender_id, text, text_rank, external_id, channel,
    channel_integration_id, broadcast_id, is_campaign, is_edited, file, created_seen_at,
    sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at, author_by_sender, error_code,
    key, fields
);

commit;
