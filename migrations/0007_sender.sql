-- Senders of messages as their newest message shows them. A field has the value of the newest message
-- that contains it, by fold key. A message has four fields of its sender, so each has a key.
create table sender (
    organization integer not null,
    sender_id    text    collate "C" not null,
    type         text    collate "C",
    name         text    collate "C",
    username     text    collate "C",
    avatar       jsonb,
    key          uuid    not null default '00000000-0000-0000-0000-000000000000',
    fields       bigint  not null default 0,
    keys         uuid[],
    constraint sender_pkey primary key (sender_id, organization)
);

comment on table sender is 'Contacts, agents and bots as their newest message shows them.';
comment on column sender.organization is 'Number of the organisation of the sender; 0 if unknown.';
comment on column sender.sender_id is 'Qontak''s id of the contact or user.';
comment on column sender.type is 'customer, agent or bot.';
comment on column sender.name is 'Display name.';
comment on column sender.username is 'User name; agents only.';
comment on column sender.avatar is 'Picture: {url, large, medium, small, …}, or a URL.';
comment on column sender.key is 'Fold key of its newest message.';
comment on column sender.fields is 'Folded columns that are known, one bit each, in the order of function merged_columns.';
comment on column sender.keys is 'Fold key of the message that set a column, for each folded column that the newest message lacks. Null if it lacks none.';

-- Contains no customers, and its columns never change, so messages of customers do not write to it.
create index sender_agent on sender (organization, sender_id) where type = 'agent';
comment on index sender_agent is 'GET /api/open/v1/users: agents of an organisation.';
