-- Backfill: what Qontak's own API has and the webhooks did not bring.

-- A walk through Qontak's lists goes on after an interruption where its last complete page ended.
create table qontak_backfill (
    name       text        collate "C" not null,
    kind       text        collate "C" not null,
    from_at    timestamptz not null,
    to_at      timestamptz not null,
    cursor     text,
    is_done    boolean     not null default false,
    updated_at timestamptz not null default now(),
    constraint qontak_backfill_pkey primary key (name, kind, from_at)
);

comment on table qontak_backfill is 'Backfills that are not complete; one row per organisation, list and period.';
comment on column qontak_backfill.name is 'Name of the organisation in the settings.';
comment on column qontak_backfill.kind is 'List that is walked: room or broadcast.';
comment on column qontak_backfill.from_at is 'Start of the period.';
comment on column qontak_backfill.to_at is 'End of the period.';
comment on column qontak_backfill.cursor is 'Qontak''s cursor of the next page; null for the first one.';
comment on column qontak_backfill.is_done is 'Whether the list is complete, and only others are not.';
comment on column qontak_backfill.updated_at is 'When the last page was complete.';

create table qontak_coverage (
    name       text        collate "C" not null,
    covered_at timestamptz not null,
    constraint qontak_coverage_pkey primary key (name)
);

comment on table qontak_coverage is 'Until when webhooks arrived without a gap, or were backfilled.';
comment on column qontak_coverage.name is 'Name of the organisation in the settings.';
comment on column qontak_coverage.covered_at is 'Nothing before this time has to be asked for.';

-- A row is noted here before its event is stored, and counted in `reconciliation` afterwards, in the
-- transaction that deletes it. So it is counted once, whenever the process is killed.
create table qontak_finding (
    organization_id text    collate "C" not null,
    kind            text    collate "C" not null,
    id              text    collate "C" not null,
    day             date    not null,
    is_missing      boolean not null,
    constraint qontak_finding_pkey primary key (organization_id, kind, id)
);

comment on table qontak_finding is 'Rows of the page being backfilled that were missing or outdated.';
comment on column qontak_finding.organization_id is 'Organisation of the row.';
comment on column qontak_finding.kind is 'room, message, broadcast_log or broadcast.';
comment on column qontak_finding.id is 'Qontak''s id of the row.';
comment on column qontak_finding.day is 'UTC day of the row, as in table reconciliation.';
comment on column qontak_finding.is_missing is 'Whether the row was missing; else a value of it was.';

create table reconciliation (
    day             date        not null,
    kind            text        collate "C" not null,
    organization_id text        collate "C" not null,
    fetched         bigint      not null,
    missing         bigint      not null,
    changed         bigint      not null,
    checked_at      timestamptz not null,
    constraint reconciliation_pkey primary key (day, kind, organization_id)
);

comment on table reconciliation is 'What Qontak had and this service lacked, as backfills found it.';
comment on column reconciliation.day is 'UTC day: of a message''s creation, a room''s last activity, a broadcast log''s or broadcast''s creation.';
comment on column reconciliation.kind is 'room, message, broadcast_log or broadcast.';
comment on column reconciliation.organization_id is 'Organisation of the rows.';
comment on column reconciliation.fetched is 'Rows that were compared; one that was compared twice counts twice.';
comment on column reconciliation.missing is 'Rows that were missing. Each counts once, since the backfill stored it.';
comment on column reconciliation.changed is 'Rows of which a value or status was missing; for broadcasts, those whose counts of recipients differed.';
comment on column reconciliation.checked_at is 'When rows of this day were last compared.';
