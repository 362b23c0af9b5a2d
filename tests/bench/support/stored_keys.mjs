// Keys by the thousand in the database of a server, and how often they are looked up there.
import { hashOf, prefixOf } from './keys.mjs';

const insert = (server, values) =>
  server.psql(`INSERT INTO api_keys (id, name, key_prefix, key_hash, scopes, expires_at, family)
    SELECT id, name, prefix, hash, '{projects:read}', clock_timestamp() + interval '90 days', id FROM (${values}) AS k(id, name, prefix, hash)`);

export async function insertKnown(server, texts) {
  const portion = 500; // what one argument of a program holds
  for (let first = 0; first < texts.length; first += portion) {
    const rows = texts.slice(first, first + portion).map((text) => `(gen_random_uuid(), 'known', '${prefixOf(text)}', '\\x${hashOf(text)}'::bytea)`);
    await insert(server, `VALUES ${rows.join(', ')}`);
  }
}

// Keys that nobody has. An odd factor takes numbers below 2^32 to others, each to one of its own: prefixes come in no order,
// as real ones do.
export async function insertUnknown(server, count) {
  const portion = 50_000; // a statement may take 5 s
  for (let first = 0; first < count; first += portion)
    await insert(server, `SELECT gen_random_uuid(), 'key ' || i, 'rdev_' || lpad(to_hex(i * 2654435761 % 4294967296), 8, '0'), sha256(i::text::bytea)
      FROM generate_series(${first + 1}::bigint, ${Math.min(first + portion, count)}::bigint) AS i`);
}

// Starts the server again with a PostgreSQL that counts statements.
export async function countStatements(server) {
  await server.psql(`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'`);
  await server.stop();
  await server.start();
  await server.psql('CREATE EXTENSION pg_stat_statements');
}

// Counts from now on: gives a function that tells how many look-ups there were, rows that they found, and of one of them the
// microseconds in PostgreSQL and the blocks that it touched.
export async function lookUps(server) {
  await server.psql('SELECT pg_stat_statements_reset()');
  return async () => {
    const row = await server.psql(`SELECT coalesce(sum(calls), 0), coalesce(sum(rows), 0),
        coalesce(1000 * sum(total_exec_time) / sum(calls), 0), coalesce(sum(shared_blks_hit + shared_blks_read) / sum(calls), 0)
      FROM pg_stat_statements WHERE query LIKE 'SELECT k.id,%WHERE k.key_prefix = ANY%'`);
    const [calls, rows, us, blocks] = row.split('|').map(Number);
    return { calls, rows, us, blocks };
  };
}
