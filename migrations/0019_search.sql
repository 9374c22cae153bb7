-- What search looks at. The indexes over it are made or dropped as `search.enabled` says, by
-- store/search.rs, so here are functions only.
--
-- Each word of a message goes into its index behind the day of the message, in hex. So a search
-- looks at the days that it needs, newest first, however frequent a word is in all the years; and
-- new messages are written to a part of the index that is in memory.
create function message_day(at timestamptz) returns text
    language sql immutable parallel safe
    return to_hex(floor(extract(epoch from at - '1970-01-01T00:00:00Z'::timestamptz) / 86400)::int);

comment on function message_day is 'Days since 1970 in UTC, in hex.';

create function message_words(organization_id text, at timestamptz, text text) returns tsvector
    language sql immutable parallel safe
    return case
        when text is null then null
        -- This form refuses words of more than 2 KB, the other one leaves them out but takes three
        -- times as long.
        when octet_length(text) <= 2000 then array_to_tsvector(
            string_to_array(
                message_day(at) || '~' || to_hex(hashtext(organization_id)) || ' '
                    || message_day(at)
                    || regexp_replace(
                        lower(text collate "C"), '[^a-z0-9\u00c0-\u1fff\u3040-\ud7ff]+',
                        ' ' || message_day(at), 'g'
                    ),
                ' '
            )
        )
        else array_to_tsvector(array[message_day(at) || '~' || to_hex(hashtext(organization_id))])
            || to_tsvector(
                'pg_catalog.simple',
                message_day(at)
                    || regexp_replace(
                        lower(left(text, 10000) collate "C"),
                        '[^a-z0-9\u00c0-\u1fff\u3040-\ud7ff]+', ' ' || message_day(at), 'g'
                    )
            )
    end;

comment on function message_words is 'Words of a message, and ~ with the hash of its organisation, each behind its day.';

-- Names and numbers of a room. It begins with a space, so that each word of it does.
create function room_words(name text, account_uniq_id text, channel_uniq_id text) returns text
    language sql immutable parallel safe
    return lower(
        ' ' || coalesce(name, '') || ' ' || coalesce(account_uniq_id, '') || ' '
        || coalesce(channel_uniq_id, '')
    );

comment on function room_words is 'What a room is found by.';

-- Without the extension pg_trgm nothing is forgiven; store/search.rs puts `q <% words` in its place.
create function resembles(q text, words text) returns boolean
    language sql stable parallel safe
as 'select false';

comment on function resembles is 'Whether a part of these words is q, but for a typing mistake or two.';
