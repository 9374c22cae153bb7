-- Phone numbers arrive in all spellings of a spreadsheet, and not all that stands in their place is
-- one. So logs and rooms are found by the form that `model/phone.rs` makes of them, and what is no
-- number has a column of its own. The indexes replace those over the texts as sent, and the columns
-- do not change with later events: an event costs what it did.
--
-- This function is for the rows that are there already, and for them only. It reads numbers as the
-- program does.
create function phone_digits(text text) returns text
    language sql immutable parallel safe
as $$
    select case
        when length(digits) between 8 and 15 and length(number) <= 15 then number
    end
    from (
        select
            digits,
            regexp_replace(
                case
                    when digits ~ '^0628[0-9]{8,}$' then ltrim(digits, '0')
                    when digits ~ '^0' then '62' || substr(digits, 2)
                    when digits ~ '^8[0-9]{7,11}$' and not is_international then '62' || digits
                    else digits
                end,
                '^620', '62'
            ) as number
        from (
            select
                regexp_replace(regexp_replace(written, '[^0-9]', '', 'g'), '^00', '') as digits,
                written ~ '^[^0-9]*[+]|^[^0-9]*0[^0-9]*0' as is_international
            from (
                select (regexp_match(
                    lower(regexp_replace(
                        translate(text, '０１２３４５６７８９＋－（）．／', '0123456789+-()./'),
                        '[\u0001-\u0008\u000e-\u001f\u007f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]',
                        '', 'g'
                    )),
                    '^[\s\u00a0\u2000-\u200a\u202f\u205f\u3000''"`‘’“”=]*(?:tel:|whatsapp:)?'
                        || '((?:[\s\u00a0\u2000-\u200a\u202f\u205f\u3000\u2010-\u2015\u2043\u2212\ufe58\ufe63.()\[\]/-]|[+](?=[^+]*$)|[0-9])+?)'
                        || '(?:[.,]00?)?(?::[0-9]+(?=@))?(?:@c[.]us|@s[.]whatsapp[.]net)?'
                        || '[\s\u00a0\u2000-\u200a\u202f\u205f\u3000''"`‘’“”=]*$'
                ))[1] as written
            ) as text
            where written !~ '[0-9][^0-9]*[+]' and written !~ '([-./()\[\]])\1\1'
        ) as digits
    ) as number
$$;

alter table broadcast_log
    add column contact_phone_digits text collate "C",
    add column contact_id           text collate "C";

comment on column broadcast_log.contact_phone_number is 'Phone number of the recipient, as sent. Null if what was sent is no phone number.';
comment on column broadcast_log.contact_phone_digits is 'Digits of contact_phone_number with the country code, by which it is found.';
comment on column broadcast_log.fields is 'Which fields are known, a bit each: broadcast_id, template_id, channel_integration_id, contact_phone_number, contact_full_name, billable, pricing_category, pricing_model, conversation_id, conversation_origin, is_pacing, messages, contact_id.';
comment on column broadcast_log.contact_id is 'What was sent in place of a phone number: an id of WhatsApp that hides the number (ID.…, …@lid), a masked number, an e-mail address.';

update broadcast_log
set contact_phone_digits = digits,
    contact_phone_number = case when digits is not null then contact_phone_number end,
    contact_id = case when digits is null then contact_phone_number end,
    fields = case when digits is null then (fields & ~8) | (1 << 12) else fields end,
    clocks = case
        when digits is null
        then clocks[:3] || null::timestamptz || clocks[5:] || clocks[4]
        else clocks
    end
from (
    select organization_id, log_id, phone_digits(contact_phone_number) as digits
    from broadcast_log
    where contact_phone_number is not null
) as sent
where broadcast_log.organization_id = sent.organization_id
    and broadcast_log.log_id = sent.log_id;

drop index broadcast_log_by_phone;
create index broadcast_log_by_phone on broadcast_log using hash (contact_phone_digits)
    where contact_phone_digits is not null;

-- Only what is no phone number is in it.
create index broadcast_log_by_contact on broadcast_log using hash (contact_id)
    where contact_id is not null;

alter table room
    add column account_normalized text collate "C";

comment on column room.account_normalized is 'account_uniq_id as it is compared: the digits of a phone number with the country code, or else the visible text.';

update room
set account_normalized = coalesce(phone_digits(account_uniq_id), account_uniq_id)
where account_uniq_id is not null;

drop index room_by_account;
create index room_by_account on room (account_normalized) where account_normalized is not null;

drop function phone_digits(text);

-- Rooms are searched by it as well. `store/search.rs` creates the index again.
drop index if exists room_by_word;

-- Who wrote a message is not always said, or in words that nobody has documented. Such a message still
-- has a direction: by the name of its event, or because only what is sent gets a status beyond
-- `created`. It must not fall out of lists and counts.
--
-- An event that knows beats one that does not, whichever comes first. So what the sender's fields and
-- what the event's name say is kept apart, and the author follows from both and from the statuses.
alter table message
    add column author_by_sender  text collate "C",
    add column direction_by_name text collate "C";

update message
set fields = fields | (1 << 17),
    author_by_sender = case
        when participant_type in ('customer', 'agent', 'bot') then participant_type
        when sender_type = 'Models::Contact' then 'customer'
        when sender_type = 'Models::User' then 'agent'
        when sender_type = 'Models::SystemAccount' then 'bot'
    end
where participant_type in ('customer', 'agent', 'bot')
    or sender_type in ('Models::Contact', 'Models::User', 'Models::SystemAccount');

create function sender_kind_of(
    author_by_sender text, direction_by_name text, seen_at timestamptz
)
    returns text
    language sql immutable parallel safe
    return case
        when author_by_sender is not null then author_by_sender
        when direction_by_name = 'in' then 'customer'
        when direction_by_name = 'out' or seen_at is not null then 'other'
    end;

comment on function sender_kind_of is 'Who wrote a message; seen_at is when a status beyond created was seen.';

-- This writes the table anew, without what was left of the old rows.
alter table message
    add column sender_kind text collate "C" generated always as (
        sender_kind_of(
            author_by_sender, direction_by_name,
            coalesce(
                pending_seen_at, sent_seen_at, delivered_seen_at, read_seen_at, failed_seen_at
            )
        )
    ) stored;

comment on column message.participant_type is 'Kind of sender as sent: customer, agent, bot; open list. Derived where Qontak left it out.';
comment on column message.fields is 'Which fields are known, a bit each: room_id, type, participant_type, participant_id, sender_type, sender_id, external_id, channel, channel_integration_id, broadcast_id, file_uniq_id, is_campaign, review_star, file, reply, buttons, raw_message, author_by_sender.';
comment on column message.author_by_sender is 'customer, agent or bot, as the fields of the sender say; null if no event did.';
comment on column message.direction_by_name is 'in or out, as the name of an event says; null if none did.';
comment on column message.sender_kind is 'Who wrote it: customer, agent, bot, or other, which is outgoing. By the sender, else by the name of an event, else by a status beyond created. Null while nothing tells.';
