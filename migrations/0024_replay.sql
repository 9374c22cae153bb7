-- Replays of many events, asked for over the API (`store/replay.rs`).

create table replay (
    replay_id     uuid        not null,
    created_at    timestamptz not null default now(),
    key_name      text        collate "C" not null,
    organizations text[],
    from_at       timestamptz,
    to_at         timestamptz not null,
    kind          event_kind,
    outcome       event_outcome,
    state         text        collate "C" not null default 'running'
        constraint replay_state_known
        check (state in ('running', 'done', 'canceled', 'failed')),
    after_id      uuid,
    events        bigint      not null default 0,
    changed       bigint      not null default 0,
    error         text,
    updated_at    timestamptz not null default now(),
    worked_at     timestamptz,
    constraint replay_pkey primary key (replay_id)
);

comment on table replay is 'Replays of many events; kept for 30 days after their end.';
comment on column replay.replay_id is 'UUIDv7.';
comment on column replay.created_at is 'When it was asked for.';
comment on column replay.key_name is 'Name of the API key.';
comment on column replay.organizations is 'Organisations whose events are replayed; null for all.';
comment on column replay.from_at is 'Events received at this time or later; null for any.';
comment on column replay.to_at is 'Events received before this time.';
comment on column replay.kind is 'Events of this kind; null for any.';
comment on column replay.outcome is 'Events with this outcome; null for any.';
comment on column replay.state is 'running, done, canceled or failed.';
comment on column replay.after_id is 'Last event of the last complete page, after which it goes on.';
comment on column replay.events is 'Events replayed in complete pages.';
comment on column replay.changed is 'Those of them that got another outcome.';
comment on column replay.error is 'Why it failed; else null.';
comment on column replay.updated_at is 'Last change of the row.';
comment on column replay.worked_at is 'When a replica last began or completed a page; another one takes over a minute later. Null if none has begun.';
