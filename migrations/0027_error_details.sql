-- Meta recommends to rely on the code and the details of an error and will drop the titles: only the
-- details say which parameter or which media was wrong. Messages outside of broadcasts have no log
-- that could say why they failed, so they keep their own error.
alter table broadcast_log
    add column error_details text collate "C";

comment on column broadcast_log.error_details is 'Meta''s details of the error: which parameter, media or recipient was wrong.';

alter table message
    add column error_code    bigint,
    add column error_title   text collate "C",
    add column error_details text collate "C",
    add column failed_at     timestamptz;

comment on column message.error_code is 'WhatsApp error code, if an event about the message had one; see also its broadcast_log.';
comment on column message.error_title is 'Meta''s title of the error, or else its message.';
comment on column message.error_details is 'Meta''s details of the error: which parameter, media or recipient was wrong.';
comment on column message.failed_at is 'When it failed, by WhatsApp''s clock.';
