// What most integrations do with a webhook: insert its body into a table, without parsing it, removing
// duplicates or counting anything. A peer in the benchmark of writing.
import express from "express";
import pg from "pg";

const url = new URL(process.env.DATABASE_URL);
// The driver reads `prefer`, the default of others, as `verify-full`.
url.searchParams.delete("sslmode");
const pool = new pg.Pool({ connectionString: url.href, max: 10 });
await pool.query(
  `create table webhook (
    id bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    body jsonb not null
  )`,
);

const app = express();
app.use(express.json({ limit: "1mb" }));
app.post("/webhooks/qontak/:token", async (request, response) => {
  await pool.query("insert into webhook (body) values ($1)", [request.body]);
  response.json({ status: "success", data: { outcome: "applied", duplicate: false } });
});

const [host, port] = process.env.RECEIVER__HTTP__LISTEN.split(":");
app.listen(Number(port), host);
