-- Functions of search. `store/search.rs` creates the indexes over them, `message_by_word` and
-- `room_by_word`, or drops them if `search.enabled` is off. A migration that changes one of the
-- functions must drop these indexes; the service then creates them again.
--
-- Search compares texts regardless of case, composition and style: É finds é, however either is
-- composed, and plain letters find styled or full-width ones.
--
-- An index over an expression is cheap to maintain only if Postgres can inline the functions. So all but
-- one consist of a single expression, and a parameter that is used twice is a column or cheap to compute.

-- Columns have collation "C", which knows the lower case of ASCII only. ICU knows all letters in every
-- database; a server built without ICU uses the locale of the database.
do $do$
begin
    execute format(
        $sql$
            create function search_lower(text text) returns text
                language sql immutable parallel safe
                return translate(
                    replace(replace(
                        lower(
                            -- Invisible characters, variation selectors and skin tones.
                            regexp_replace(
                                text,
                                '[\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff]+',
                                '', 'g'
                            ) %s
                        ) collate "C",
                        U&'i\0307', 'i'), U&'\00df', 'ss'),
                    U&'\0131\03c2', U&'i\03c3'
                )
        $sql$,
        (select 'collate pg_catalog."und-x-icu"' from pg_collation where collname = 'und-x-icu')
    );
end
$do$;

comment on function search_lower is 'A text in lower case, without invisible characters.';

create function search_fold(text text) returns text
    language sql immutable parallel safe
    return search_lower(normalize(text, nfkc));

comment on function search_fold is 'A text as search compares it: without case, styles and invisible characters.';

-- Like `search_fold`, with shorter ways for most texts. Postgres refuses words of more than 2 KB in an
-- index, and folding makes a word up to six times as long, so words are cut.
create function short_fold(text text) returns text
    language sql immutable parallel safe
    return case
        when octet_length(text) <= 2000 and octet_length(text) = length(text)
        then lower(text collate "C")
        -- With emoji: testing for the form takes a third of the time of converting to it.
        when octet_length(text) <= 300 and text is nfkc normalized
        then search_lower(text)
        else search_fold(regexp_replace(left(text, 10000), '(\S{100})\S+', '\1', 'g'))
    end;

comment on function short_fold is 'The first 10,000 characters of a text, folded, with words of a limited length.';

-- Uses functions of pg_catalog only: Postgres creates indexes with no other schema in the path.
create function shown_texts(parts jsonb) returns text
    language plpgsql immutable parallel safe
as $$
begin
    return (
        select string_agg(part #>> '{}', ' ')
        from unnest(array[
            '$[*]',
            -- Errors have titles too, beside a code.
            '$.** ? (!exists(@.code)).title',
            '$.**.description',
            '$.**.text',
            '$.**.label',
            '$.**.caption',
            '$.**.filename',
            '$.**.formatted_name',
            '$.**.phones[*].phone',
            '$.**.phones[*].wa_id',
            '$.**.location.name',
            '$.**.location.address'
        ]::jsonpath[]) as path
        cross join jsonb_path_query(parts, path) as part
        where jsonb_typeof(part) = 'string'
    );
end
$$;

comment on function shown_texts is 'Texts of buttons and raw_message that a chat shows: titles, descriptions, captions, names of files and places, names and numbers of contacts.';

create function message_text(text text, file jsonb, buttons jsonb, raw_message jsonb) returns text
    language sql immutable parallel safe
    return case
        when file is null and buttons is null and raw_message is null
        then short_fold(text)
        when buttons is null and raw_message is null
        then short_fold(coalesce(text, '') || ' ' || coalesce(file ->> 'filename', ''))
        else search_fold(regexp_replace(
            left(
                coalesce(text, '') || ' ' || coalesce(file ->> 'filename', '') || ' '
                    || coalesce(shown_texts(coalesce(buttons, '[]') || coalesce(raw_message, '[]')), ''),
                10000
            ),
            '(\S{100})\S+', '\1', 'g'
        ))
    end;

comment on function message_text is 'The searched text of a message, folded: its text and what else a chat shows.';

create function message_day(at timestamptz) returns text
    language sql immutable parallel safe
    return to_hex(floor(extract(epoch from at - '1970-01-01T00:00:00Z'::timestamptz) / 86400)::int);

comment on function message_day is 'Days since 1970 (UTC), in hex.';

-- Each word of a message is indexed behind the day of the message. So a search reads only the days
-- that it needs, newest first, however frequent a word is in all years; and new messages are written
-- to a part of the index that is in memory.
--
-- Each emoji or other symbol is a word, and so is a flag, which consists of two characters. "Rp"
-- separates words if it stands before digits, so that an amount is found with or without it.
-- `store/search/word.rs` splits queries the same way, and leaves out a "Rp " before digits.
create function message_words(
    organization integer, at timestamptz, text text, file jsonb, buttons jsonb, raw_message jsonb
)
    returns tsvector
    language sql immutable parallel safe
    return array_to_tsvector(string_to_array(
        message_day(at) || '~' || to_hex(organization)
            || regexp_replace(
                regexp_replace(
                    ' ' || message_text(text, file, buttons, raw_message),
                    '[\U0001f1e6-\U0001f1ff]{2}|[\u2190-\u245f\u2500-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001faff]',
                    ' \& ', 'g'
                ),
                '[\u0001-/:-@\[-`{-\u00a9\u00ab-\u00b1\u00b6\u00b7\u00bb\u00bf\u2000-\u206f\u20a0-\u20ff\u2e00-\u2e7f\u3000-\u3004\u3008-\u303f\ufe00-\ufe6f\ufeff-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffdd-\uffff]+(rp(?=[0-9]))?',
                ' ' || message_day(at), 'g'
            ),
        ' '
    ));

comment on function message_words is 'Words of a message, and ~ with the number of its organisation, each behind its day.';

-- Postgres takes trigrams from letters and digits of the database's locale, so from no emoji, and
-- with locale C from ASCII only. A text without trigrams would be compared with the whole index.
create function search_ascii(text text) returns text
    language sql immutable parallel safe
    return translate(encode(decode(translate(text, '\', ' '), 'escape'), 'escape'), '\', 'x');

comment on function search_ascii is 'A text with each byte other than ASCII as x and three octal digits.';

-- It begins with a space, so that there is one before each word.
create function room_words(name text, account_uniq_id text, channel_uniq_id text) returns text
    language sql immutable parallel safe
    return case
        when octet_length(name) = length(name)
            and coalesce(octet_length(account_uniq_id) = length(account_uniq_id), true)
            and coalesce(octet_length(channel_uniq_id) = length(channel_uniq_id), true)
        then lower(
            ' ' || name || ' ' || coalesce(account_uniq_id, '') || ' ' || coalesce(channel_uniq_id, '')
            collate "C"
        )
        else search_ascii(search_fold(
            ' ' || coalesce(name, '') || ' ' || coalesce(account_uniq_id, '') || ' '
            || coalesce(channel_uniq_id, '')
        ))
    end;

comment on function room_words is 'The searched text of a room, folded: name, account and channel number.';

-- Needs the extension pg_trgm, which not every server has. `store/search.rs` replaces the body with
-- `q <% words` where it creates the indexes; until then no query tolerates typing errors.
create function resembles(q text, words text) returns boolean
    language sql stable parallel safe
as 'select false';

comment on function resembles is 'Whether a part of these words equals q except for one or two typing errors.';
