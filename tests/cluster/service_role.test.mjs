// The service under a role that owns nothing: everything works, and the audit log cannot be rewritten.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { assertRefused, binDir, cleanEnv, mint, run, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';

let cluster;
let node;
let url;
let session;
before(async () => {
  cluster = await Cluster.start();
  node = cluster.add('a');
  await cluster.database.sql("CREATE ROLE rdev_service LOGIN PASSWORD 'of-this-test'");
  url = cluster.database.url({ user: 'rdev_service', password: 'of-this-test' });
});
after(async () => {
  session?.close();
  await cluster?.close();
});

const migrate = (as) => run(path.join(binDir, 'rdev-api'), ['migrate'], { env: cleanEnv({ ...node.env, DATABASE_URL: as }) });
const denied = (statement) =>
  assert.rejects(session.ask(statement), /permission denied|must be owner/, statement);

test('before the owner has migrated a start says what to do', async () => {
  await assert.rejects(node.start({ env: { DATABASE_URL: url } }), /rdev_service.* may not change it: run `rdev-api migrate` as the owner/);
});

test('the owner migrates and gives the role what it needs', async () => {
  const answer = await migrate(cluster.database.url());
  assert.equal(answer.code, 0, answer.stderr.toString());
  await assert.rejects(cluster.database.sql("SELECT rdev_grant_service('rdev')"), /give the service one of its own/);
  await cluster.database.sql('GRANT CREATE ON SCHEMA public TO rdev_service');
  await assert.rejects(cluster.database.sql("SELECT rdev_grant_service('rdev_service')"), /may create in the schema public/);
  await cluster.database.sql('REVOKE CREATE ON SCHEMA public FROM rdev_service');
  for (let i = 0; i < 2; ++i) await cluster.database.sql("SELECT rdev_grant_service('rdev_service')");
  assert.equal((await migrate(url)).code, 0, 'nothing is to be changed');
});

test('the service does all its work under it', async () => {
  await node.start({ env: { DATABASE_URL: url } });
  const id = await node.submit('echo under the role');
  assert.equal((await node.finished(id)).status, 'completed');
  assert.equal((await node.follow(id)).checkReceipts().stdout.toString(), 'under the role\n');
  const key = await mint(node, { name: 'of the role', scopes: ['projects:read'] });
  assert.equal((await node.api('POST', `/keys/${key.id}/rotate`, { overlap: '1m' })).status, 201);
  assert.equal((await node.api('DELETE', `/keys/${key.id}`)).status, 200);
  const hook = await node.api('POST', '/webhooks', { url: 'https://hooks.example.com/', events: ['command.completed'] });
  assert.equal(hook.status, 201, hook.text);
  assert.equal((await node.api('DELETE', `/webhooks/${hook.data.webhook.id}`)).status, 200);
  await waitFor('all records are sealed', async () =>
    (await cluster.database.sql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't');
  const checked = await node.api('GET', '/audit/verify');
  assert.equal(checked.data.valid, true, checked.text);
  const answer = await run(path.join(binDir, 'rdev-api'), ['audit', 'verify'], { env: cleanEnv({ ...node.env, DATABASE_URL: url }) });
  assert.equal(answer.code, 0, `${answer.stdout}${answer.stderr}`);
  const faults = node.logs().filter(({ error }) => /permission denied/.test(error ?? ''));
  assert.deepEqual(faults, []);
});

test('a right that it lacks is told at once as what it is, and nothing is done', async () => {
  await cluster.database.sql('REVOKE INSERT ON api_keys FROM rdev_service');
  const answer = await node.api('POST', '/keys', { name: 'not made', scopes: ['projects:read'] });
  await cluster.database.sql('GRANT INSERT ON api_keys TO rdev_service');
  assertRefused(answer, 503, 'SERVICE_UNAVAILABLE');
  assert.ok(node.logs().some(({ msg, error }) => msg === 'fault' && /SQLSTATE 42501.*permission denied for table api_keys/.test(error)));
  assert.equal(await cluster.database.sql("SELECT count(*) FROM api_keys WHERE name = 'not made'"), '0');
  await mint(node, { name: 'made again', scopes: ['projects:read'] });
});

test('it cannot rewrite what is on record', async () => {
  session = cluster.database.openAs(url);
  const [part] = (await cluster.database.sql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_log'::regclass")).split('\n');
  for (const table of ['audit_log', 'audit_seals', 'audit_checkpoints', 'audit_keys', part]) {
    await denied(`DELETE FROM ${table}`);
    await denied(`TRUNCATE ${table}`);
    await denied(`DROP TABLE ${table}`);
    await denied(`ALTER TABLE ${table} DISABLE TRIGGER ALL`);
  }
  await denied("UPDATE audit_log SET outcome = 'allowed'");
  await denied('UPDATE audit_seals SET seq = seq + 1');
  await denied("UPDATE audit_checkpoints SET hash = '\\x'");
  await denied("UPDATE audit_keys SET public_key = '\\x'");
  await denied(`SELECT * FROM ${part}`);
  await denied(`INSERT INTO ${part} SELECT * FROM audit_log`);
  await denied("UPDATE audit_policy SET least_kept = '1 day'");
  await denied("SELECT rdev_retire_audit_days('1 second')");
  await denied("SELECT rdev_drop_days('audit_log', '1 second')");
  await denied('CREATE TABLE mine ()');
});

test('nor say when something was done, or seal what does not come next', async () => {
  await denied("INSERT INTO audit_log (at, actor_name, action, target, outcome) VALUES (now(), 'x', 'x', 'x', 'x')");
  await denied("INSERT INTO audit_log (xid, actor_name, action, target, outcome) VALUES ('1', 'x', 'x', 'x', 'x')");
  await denied('INSERT INTO audit_seals SELECT * FROM audit_seals');
  await denied("INSERT INTO audit_keys VALUES ('x', '\\x', '\\x', 'infinity')");
  await denied('DELETE FROM audit_sealer');
  await denied('INSERT INTO audit_sealer DEFAULT VALUES');
  await node.stop(); // it would seal what comes next
  await session.ask("INSERT INTO audit_log (actor_name, action, target, outcome) VALUES ('x', 'x', 'x', 'x'), ('y', 'x', 'x', 'x')");
  const next = async () => {
    const [last] = await cluster.database.rows("SELECT seq, encode(hash, 'hex') AS hash, xid::text, row_id FROM audit_seals ORDER BY seq DESC LIMIT 1");
    const unsealed = await waitFor('they can be sealed', async () => {
      const rows = await cluster.database.rows(`SELECT id FROM rdev_unsealed('${last.xid}', '${last.row_id}', 10)`);
      return rows.length >= 2 && rows.map(({ id }) => id);
    });
    return { last, unsealed };
  };
  const { last, unsealed } = await next();
  const linked = "rdev_link_hash(%SEQ, '%ROW', sha256('x'), '\\x%PREV')";
  const append = ({ seq = last.seq, hash = last.hash, rows = [unsealed[0]], row_hash = "sha256('x')", made } = {}) => session.ask(
    `SELECT rdev_append_links(${seq}, '\\x${hash}', '${last.xid}', '${last.row_id}', ARRAY['${rows.join("','")}']::uuid[], ` +
    `ARRAY[${row_hash}], ARRAY[${made ?? linked.replace('%SEQ', seq + 1).replace('%ROW', rows[0]).replace('%PREV', hash)}])`);
  await assert.rejects(append({ seq: last.seq + 1000 }), /is not the last one of the chain/);
  await assert.rejects(append({ hash: '00'.repeat(32) }), /is not the last one of the chain/);
  await assert.rejects(append({ seq: 0, hash: '00'.repeat(32) }), /is not the last one of the chain/);
  await assert.rejects(append({ rows: [unsealed[1]] }), /not the records that come next/);
  await assert.rejects(append({ rows: [last.row_id] }), /not the records that come next/);
  await assert.rejects(append({ made: "sha256('y')" }), /do not make links/);
  await assert.rejects(append({ row_hash: "'\\x00'::bytea" }), /do not make links/);
  await node.start({ env: { DATABASE_URL: url } });
  await waitFor('all records are sealed', async () =>
    (await cluster.database.sql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't');
  const checked = await node.api('GET', '/audit/verify');
  assert.equal(checked.data.valid, true, checked.text);
});

test('nor have it removed by those who may', async () => {
  await node.stop(); // its sealer would be in the way
  // As if a month had gone by: a day of records and links of then, all sealed.
  const day = (text) => cluster.database.sql(text);
  for (const table of ['audit_log', 'audit_seals', 'audit_checkpoints']) {
    const bounds = table === 'audit_log'
      ? "rdev_uuid7_floor('2026-01-01 00:00+00'), rdev_uuid7_floor('2026-01-02 00:00+00')"
      : "timestamptz '2026-01-01 00:00+00', timestamptz '2026-01-02 00:00+00'";
    await day(`DO $$ DECLARE f text; t text; BEGIN SELECT * INTO f, t FROM (SELECT ${bounds}) AS b;
      EXECUTE format('CREATE TABLE ${table}_20260101 PARTITION OF ${table} FOR VALUES FROM (%L) TO (%L)', f, t); END $$`);
  }
  const there = async () => (await cluster.database.sql("SELECT to_regclass('audit_log_20260101'), to_regclass('audit_seals_20260101')"));
  await session.ask("SELECT rdev_drop_partitions('audit_seals', '1 second')");
  await session.ask("SELECT rdev_drop_partitions('audit_checkpoints', '1 second')");
  await session.ask("SELECT rdev_drop_partitions('audit_log', '1 second')");
  await day("UPDATE audit_policy SET least_kept = '100 years'");
  await session.ask("SELECT rdev_retire_audit('1 second')");
  assert.equal(await there(), 'audit_log_20260101|audit_seals_20260101');
  for (const keep of ["'-1200 mons 36001 days 1 hour'", "'-1 day'", 'NULL']) await session.ask(`SELECT rdev_retire_audit(${keep})`);
  assert.equal(await there(), 'audit_log_20260101|audit_seals_20260101');
  // What it calls is looked up in the owner's schema, whatever it has put in front.
  await session.ask("CREATE TEMP TABLE audit_policy AS SELECT interval '1 second' AS least_kept");
  await session.ask("SELECT rdev_retire_audit('1 second')");
  assert.equal(await there(), 'audit_log_20260101|audit_seals_20260101');
  await day("UPDATE audit_policy SET least_kept = '1 day'");
  const today = "SELECT to_regclass('audit_log_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL";
  await session.ask("SELECT rdev_retire_audit('-1200 mons 36001 days 1 hour')");
  assert.equal(await day(today), 't');
  assert.equal(await there(), '|');
});
