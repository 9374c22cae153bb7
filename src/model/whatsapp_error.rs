//! WhatsApp's error codes: what they mean and what to do, in English and Indonesian.
//!
//! Codes and meanings are Meta's. Codes up to 200 are those of Meta's Graph API; from 300 to 9,999,
//! those of the older on-premises API for the same error.

use serde::Serialize;
use utoipa::ToSchema;

/// Explanation of an error.
#[derive(Debug)]
pub struct Explanation {
    codes: &'static [i64],
    /// Meaning of the error.
    pub meaning: Text,
    /// What the sender can do.
    pub advice: Text,
}

/// A text in two languages.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Text {
    /// English.
    pub en: &'static str,
    /// Bahasa Indonesia.
    pub id: &'static str,
}

/// Explains a WhatsApp error code; `None` if it is unknown.
pub fn explain(error_code: i64) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|explanation| explanation.codes.contains(&error_code))
}

const fn explanation(
    codes: &'static [i64],
    [meaning_en, advice_en]: [&'static str; 2],
    [meaning_id, advice_id]: [&'static str; 2],
) -> Explanation {
    Explanation {
        codes,
        meaning: Text { en: meaning_en, id: meaning_id },
        advice: Text { en: advice_en, id: advice_id },
    }
}

static EXPLANATIONS: [Explanation; 41] = [
    explanation(
        &[131_047, 470],
        ["Over 24 h since the customer's last message.", "Send an approved template."],
        [
            "Lebih dari 24 jam sejak pesan terakhir pelanggan.",
            "Kirim pakai template yang disetujui.",
        ],
    ),
    explanation(
        &[131_026, 1013, 1026],
        [
            "Undeliverable: no WhatsApp, old app, or terms not accepted.",
            "Check the number, use another channel.",
        ],
        [
            "Tidak dapat dikirim: nomor tidak ber-WhatsApp, aplikasi lama, atau syarat belum disetujui.",
            "Cek nomor, hubungi lewat jalur lain.",
        ],
    ),
    explanation(
        &[131_049],
        [
            "Withheld by Meta's marketing limit per person.",
            "Do not resend soon; wait a day or more.",
        ],
        [
            "Ditahan Meta karena batas pesan promosi per orang.",
            "Jangan langsung kirim ulang, tunggu minimal sehari.",
        ],
    ),
    explanation(
        &[131_050],
        ["Person opted out of your marketing.", "Stop marketing to this number."],
        ["Pelanggan berhenti menerima promosi Anda.", "Hentikan promosi ke nomor ini."],
    ),
    explanation(
        &[131_048, 471],
        ["Number limited for spam/quality.", "Pause, improve quality, check WhatsApp Manager."],
        [
            "Nomor dibatasi karena spam/kualitas.",
            "Jeda pengiriman, perbaiki kualitas, cek WhatsApp Manager.",
        ],
    ),
    explanation(
        &[130_472, 472],
        ["Recipient is in a Meta experiment.", "Do not retry; wait for a reply."],
        ["Penerima masuk eksperimen Meta.", "Jangan ulang; tunggu pelanggan membalas."],
    ),
    explanation(
        &[130_429, 429],
        ["Throughput limit hit.", "Slow down and retry later."],
        ["Batas laju pengiriman tercapai.", "Perlambat lalu coba lagi."],
    ),
    explanation(
        &[131_056],
        ["Too many messages to the same person.", "Wait, then retry."],
        ["Terlalu banyak pesan ke orang yang sama.", "Tunggu lalu coba lagi."],
    ),
    explanation(
        &[132_001, 2001],
        ["Template missing in that language or not approved.", "Check name, language, approval."],
        ["Template tidak ada di bahasa itu atau belum disetujui.", "Cek nama, bahasa, dan status."],
    ),
    explanation(
        &[132_000, 2000],
        ["Wrong number of parameters.", "Match the template's variables."],
        ["Jumlah parameter tidak cocok.", "Samakan dengan variabel template."],
    ),
    explanation(
        &[132_005, 2005],
        ["Text too long after filling.", "Shorten the values."],
        ["Teks terlalu panjang setelah diisi.", "Pendekkan isian."],
    ),
    explanation(
        &[132_007, 2007],
        ["Content or characters break template policy.", "Remove newlines, tabs, banned content."],
        [
            "Isi atau karakter melanggar aturan template.",
            "Hapus baris baru, tab, konten terlarang.",
        ],
    ),
    explanation(
        &[132_012, 2012],
        ["Parameter format wrong (media, date, currency).", "Fix the type."],
        ["Format parameter salah (media, tanggal, mata uang).", "Perbaiki jenisnya."],
    ),
    explanation(
        &[132_015],
        ["Template paused for low quality.", "Edit it or wait."],
        ["Template dijeda karena kualitas rendah.", "Ubah atau tunggu."],
    ),
    explanation(
        &[132_016],
        ["Template permanently disabled.", "Create a new one."],
        ["Template dinonaktifkan permanen.", "Buat template baru."],
    ),
    explanation(
        &[132_068, 132_069],
        ["Flow blocked / throttled.", "Fix the flow."],
        ["Flow diblokir / dibatasi.", "Perbaiki flow."],
    ),
    explanation(
        &[131_042, 402],
        ["Payment problem on the business account.", "Fix billing in Meta."],
        ["Masalah pembayaran akun bisnis.", "Perbaiki tagihan di Meta."],
    ),
    explanation(
        &[131_031, 368],
        ["Account locked or restricted by policy.", "Appeal in Meta Business."],
        ["Akun dikunci atau dibatasi kebijakan.", "Ajukan banding di Meta Business."],
    ),
    explanation(
        &[131_045, 430, 432, 433],
        ["Certificate/registration of the number wrong.", "Re-register the number."],
        ["Sertifikat/registrasi nomor salah.", "Daftarkan ulang nomor."],
    ),
    explanation(
        &[131_037],
        ["Display name not approved.", "Finish display-name review."],
        ["Nama tampilan belum disetujui.", "Selesaikan peninjauan nama."],
    ),
    explanation(
        &[133_010],
        ["Sender number not registered.", "Register it again."],
        ["Nomor pengirim belum terdaftar.", "Daftarkan kembali."],
    ),
    explanation(
        &[130_497],
        ["Not allowed to message that country.", "Exclude the country."],
        ["Tidak boleh mengirim ke negara itu.", "Keluarkan dari daftar."],
    ),
    explanation(
        &[131_008, 131_009, 1008, 1009],
        ["Parameter missing / invalid.", "Fix the request."],
        ["Parameter kurang / tidak sah.", "Perbaiki permintaan."],
    ),
    explanation(
        &[131_051],
        ["Message type not supported.", "Use another type."],
        ["Jenis pesan tidak didukung.", "Pakai jenis lain."],
    ),
    explanation(
        &[131_052, 131_053],
        ["Media download / upload failed.", "Check file, size, type, URL."],
        ["Unduh / unggah media gagal.", "Cek berkas, ukuran, jenis, URL."],
    ),
    explanation(
        &[131_021, 131_030],
        ["Sender = recipient / recipient not in test list.", "Correct the number."],
        ["Pengirim = penerima / nomor tidak ada di daftar uji.", "Perbaiki nomor."],
    ),
    explanation(
        &[131_000, 131_016, 131_057, 500, 1014, 1015, 1016],
        ["Temporary fault, overload or maintenance at Meta.", "Retry later."],
        ["Gangguan, beban, atau pemeliharaan di Meta.", "Coba lagi nanti."],
    ),
    explanation(
        &[131_043],
        [
            "Expired: not delivered within its validity period.",
            "Send it again if it still matters.",
        ],
        ["Kedaluwarsa: tidak terkirim selama masa berlakunya.", "Kirim lagi bila masih perlu."],
    ),
    explanation(
        &[131_060],
        [
            "WhatsApp did not hand over this incoming message.",
            "Read it in the app or ask the customer to resend it.",
        ],
        [
            "WhatsApp tidak meneruskan pesan masuk ini.",
            "Buka di aplikasi atau minta pelanggan mengirim ulang.",
        ],
    ),
    explanation(
        &[131_062],
        [
            "This message cannot be addressed by a business-scoped user id.",
            "Send it to the phone number.",
        ],
        ["Pesan ini tidak bisa dikirim ke ID pengguna bisnis (BSUID).", "Kirim ke nomor telepon."],
    ),
    explanation(
        &[131_063],
        [
            "Marketing templates are switched off for Cloud API in this account.",
            "Switch them on, or send through the Marketing Messages API.",
        ],
        [
            "Template promosi lewat Cloud API dinonaktifkan di akun ini.",
            "Aktifkan lagi, atau kirim lewat Marketing Messages API.",
        ],
    ),
    explanation(
        &[10, 200, 131_005],
        ["Permission missing or withdrawn.", "Grant the app's permissions in Meta again."],
        ["Izin belum diberikan atau sudah dicabut.", "Berikan lagi izin aplikasi di Meta."],
    ),
    explanation(
        &[131_055],
        [
            "Not allowed by this API: the Marketing Messages API takes marketing templates only.",
            "Send it through the Cloud API.",
        ],
        [
            "Tidak diizinkan API ini: Marketing Messages API hanya untuk template promosi.",
            "Kirim lewat Cloud API.",
        ],
    ),
    explanation(
        &[131_059],
        [
            "Page cursor of the template list is invalid or expired.",
            "Start again at the first page.",
        ],
        [
            "Kursor halaman daftar template tidak sah atau kedaluwarsa.",
            "Ulangi dari halaman pertama.",
        ],
    ),
    explanation(
        &[132_018],
        [
            "Template parameters rejected.",
            "Remove newlines, tabs and runs of more than four spaces from the values.",
        ],
        [
            "Parameter template ditolak.",
            "Hapus baris baru, tab, dan lebih dari empat spasi berturut-turut dari isian.",
        ],
    ),
    explanation(
        &[134_011],
        [
            "Terms of WhatsApp Payments not accepted.",
            "Accept them through the link in the details.",
        ],
        [
            "Ketentuan WhatsApp Payments belum disetujui.",
            "Setujui lewat tautan di rincian kesalahan.",
        ],
    ),
    explanation(
        &[130_403],
        ["Your business blocked this person.", "Do not retry; unblock the person first."],
        ["Bisnis Anda memblokir orang ini.", "Jangan ulang; buka blokirnya dahulu."],
    ),
    explanation(
        &[190],
        ["Access token expired or revoked.", "Connect the number to Meta again."],
        ["Token akses kedaluwarsa atau dicabut.", "Hubungkan ulang nomor ke Meta."],
    ),
    explanation(
        &[100],
        [
            "Request with an unknown or invalid parameter.",
            "Correct the parameter that the details name.",
        ],
        [
            "Permintaan berisi parameter yang tidak dikenal atau tidak sah.",
            "Perbaiki parameter yang disebut di rincian.",
        ],
    ),
    explanation(
        &[80_007],
        ["Request limit of the WhatsApp account hit.", "Send fewer requests and retry later."],
        ["Batas permintaan akun WhatsApp tercapai.", "Kurangi permintaan, coba lagi nanti."],
    ),
    explanation(
        &[2_388_001],
        [
            "Number still belongs to another WhatsApp account.",
            "Disconnect it there, then register it again.",
        ],
        [
            "Nomor masih terpasang di akun WhatsApp lain.",
            "Lepaskan dari sana, lalu daftarkan lagi.",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_explanation_and_old_codes_share_it() {
        let mut codes: Vec<i64> =
            EXPLANATIONS.iter().flat_map(|explanation| explanation.codes).copied().collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!((all, codes.len()), (71, 71));
        for (new, old) in [(131_047, 470), (131_026, 1013), (131_000, 1015), (131_031, 368)] {
            assert_eq!(explain(new).unwrap().meaning.en, explain(old).unwrap().meaning.en);
        }
        assert!(explain(404).is_none());
    }
}
