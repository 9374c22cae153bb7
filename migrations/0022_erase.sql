-- Erasing what belongs to a person or an organisation (`store/erase.rs`).

alter table event add column erased_at timestamptz;
comment on column event.erased_at is 'When body and subject_id were erased on request; null if they were not. The dedup key stays, so that a redelivery is recognised.';

create table erasure (
    erasure_id uuid        not null,
    erased_at  timestamptz not null default now(),
    kind       text        collate "C" not null
        constraint erasure_kind_known check (kind in ('phone', 'contact', 'organization')),
    subject    text        collate "C" not null,
    rows       jsonb       not null,
    constraint erasure_pkey primary key (erasure_id)
);

comment on table erasure is 'Record of erasures: that something was erased, not what.';
comment on column erasure.erasure_id is 'UUIDv7.';
comment on column erasure.erased_at is 'When it was complete.';
comment on column erasure.kind is 'By what was erased.';
comment on column erasure.subject is 'The phone number or id, masked; the id of an organisation.';
comment on column erasure.rows is 'Number of rows by table; of table event, those whose body was erased.';
