// The audit log is sealed while the server works, and `rdev-api audit verify` finds what was done to it behind its back.
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import canonicalize from 'canonicalize';

import { Server, assertRefused, binDir, fieldsOf, mint, waitFor } from './support.mjs';

let server;
let keptFile;
before(async () => {
  keptFile = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-kept-')), 'checkpoints');
  server = await Server.start({ env: { RDEV_AUDIT_CHECKPOINT_FILE: keptFile, RDEV_AUDIT_CHECKPOINT_LOG: '1s', RDEV_AUDIT_REFUSALS_PER_MINUTE: '1000000' } });
});
after(async () => {
  await server?.close();
  fs.rmSync(path.dirname(keptFile), { recursive: true, force: true });
});

const run = (...args) =>
  new Promise((resolve) => {
    const env = { ...server.env, PATH: process.env.PATH };
    execFile(path.join(binDir, 'rdev-api'), [...args, '--data-dir', server.dataDir], { env }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
// `aud_` and 26 digits of Crockford's base32.
const idBytes = (id) => {
  let n = 0n;
  for (const c of id.slice(4)) n = n * 32n + BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(c));
  return Buffer.from(n.toString(16).padStart(32, '0'), 'hex');
};
const sql = (text) => server.psql(text);
const allSealed = () =>
  waitFor('all records are sealed', async () => (await sql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't');
const checkpoints = () => server.logs().filter(({ msg }) => msg === 'audit checkpoint');

test('what happens is sealed and found to be good', async () => {
  const { id } = await mint(server, { name: 'sealed', scopes: ['projects:execute'] });
  await server.finished(await server.submit('echo sealed'));
  assert.equal((await server.api('DELETE', `/keys/${id}`)).status, 200);
  assert.equal((await server.api('GET', '/projects', undefined, { 'X-API-Key': 'rdev_nonsense' })).status, 401);
  await allSealed();
  const seen = await run('audit', 'verify');
  assert.equal(seen.code, 0, seen.stdout + seen.stderr);
  const count = Number(await sql('SELECT count(*) FROM audit_log'));
  assert.ok(count >= 4);
  assert.match(seen.stdout, new RegExp(`records checked: ${count}\nsealed through: ${count}\n`));
});

test('a checkpoint in the log is signed, by the words of the documentation alone', async () => {
  const line = await waitFor('a checkpoint is logged', () => checkpoints().at(-1));
  const text = JSON.stringify({ at: line.at, first_seq: line.first_seq, hash: line.hash, kept_from: line.kept_from || null, key: line.key, seq: line.seq, version: 1 });
  const raw = Buffer.from(await sql(`SELECT encode(public_key, 'base64') FROM audit_keys WHERE id = '${line.key}'`), 'base64');
  assert.equal(createHash('sha256').update(raw).digest('hex').slice(0, 16), line.key);
  const key = createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]), format: 'der', type: 'spki' });
  assert.ok(verifySignature(null, Buffer.from(text), key, Buffer.from(line.signature, 'base64')));
  assert.ok(!verifySignature(null, Buffer.from(text.replace('"seq":', '"seq":1')), key, Buffer.from(line.signature, 'base64')));
});

test('the log can be read page by page, in the order of the chain, and every record and link verified by other means', async () => {
  const all = [];
  for (let cursor = ''; cursor !== null; ) {
    const answer = await server.api('GET', `/audit?limit=3${cursor && `&cursor=${cursor}`}`);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.data.length <= 3);
    all.push(...answer.data);
    cursor = answer.meta.next_cursor;
  }
  assert.ok(all.length >= 6, `${all.length} records`);
  let before = '0'.repeat(64);
  all.forEach(({ seal, ...record }, i) => {
    assert.equal(seal.seq, i + 1);
    assert.equal(seal.row_hash, createHash('sha256').update(canonicalize(record)).digest('hex'), JSON.stringify(record));
    assert.equal(seal.prev_hash, before);
    const seq = Buffer.alloc(8);
    seq.writeBigUInt64BE(BigInt(seal.seq));
    const link = [Buffer.from('rdev-seal-1'), seq, idBytes(record.id), Buffer.from(seal.row_hash, 'hex'), Buffer.from(seal.prev_hash, 'hex')];
    assert.equal(seal.hash, createHash('sha256').update(Buffer.concat(link)).digest('hex'));
    before = seal.hash;
  });
  const submit = all.find(({ action }) => action === 'command.submit');
  assert.match(submit.target, /^cmd_[0-9a-z]{26}$/);
  assert.equal(submit.project, 'demo');
});

test('a filter that nothing can fit is refused with its field', async () => {
  for (const [field, text] of [['action', '%00'], ['action', '%ff'], ['action', 'key.%25'], ['action', '*'], ['from', '0000-01-01T00:00:00Z'], ['to', '0000-01-01T00:00:00Z']]) {
    const { status, error } = await server.api('GET', `/audit?${field}=${text}`);
    assert.equal(status, 400, text);
    assert.equal(error.details[0].field, field);
  }
});

test('the log can be filtered', async () => {
  const { id, secret } = await mint(server, { name: 'filtered', scopes: ['keys:read'] });
  assert.equal((await server.api('GET', '/queue', undefined, { 'X-API-Key': secret })).status, 403);
  await allSealed();
  const read = async (query) => {
    const answer = await server.api('GET', `/audit?limit=200&${query}`);
    assert.equal(answer.status, 200, answer.text);
    return answer.data;
  };
  const refused = await read(`actor=${id}`);
  assert.deepEqual(refused.map(({ action, outcome, reason }) => [action, outcome, reason]), [['request.refused', 'refused', 'FORBIDDEN']]);
  assert.ok((await read('action=key.create')).every(({ action }) => action === 'key.create'));
  assert.ok((await read('action=key.*')).some(({ target }) => target === id));
  assert.ok((await read('project=demo')).every(({ project }) => project === 'demo'));
  assert.deepEqual(await read('project=another'), []);
  assert.deepEqual(await read('from=2100-01-01T00:00:00Z'), []);
  assert.deepEqual(await read('to=2000-01-01T00:00:00Z'), []);
});

test('bad filters are refused, all at once', async () => {
  const answer = await server.api('GET', '/audit?actor=x&project=-&from=x&to=x&limit=0&cursor=x');
  assertRefused(answer, 400, 'BAD_REQUEST');
  assert.deepEqual(fieldsOf(answer).sort(), ['actor', 'cursor', 'from', 'limit', 'project', 'to']);
});

test('whoever reads is on record, and who may not read does not', async () => {
  const reader = await mint(server, { name: 'reader', scopes: ['audit:read'] });
  const other = await mint(server, { name: 'other', scopes: ['projects:read', 'keys:write'] });
  const as = ({ secret }) => ({ 'X-API-Key': secret });
  for (const target of ['/audit', '/audit/verify', '/audit/keys'])
    assertRefused(await server.api('GET', target, undefined, as(other)), 403, 'FORBIDDEN');
  assert.equal((await server.api('GET', '/audit?action=key.*', undefined, as(reader))).status, 200);
  assert.equal((await server.api('GET', '/audit/verify', undefined, as(reader))).status, 200);
  await allSealed();
  const seen = (await server.api('GET', `/audit?actor=${reader.id}`)).data;
  assert.deepEqual(seen.map(({ action }) => action), ['audit.read', 'audit.verify']);
  assert.equal(seen[0].detail.action, 'key.*');
});

test('a key that is bound to projects reads of these alone, and verifies nothing', async () => {
  const bound = await mint(server, { name: 'bound', scopes: ['audit:read'], project_ids: ['demo'] });
  const as = { 'X-API-Key': bound.secret };
  const seen = await server.api('GET', '/audit?limit=200', undefined, as);
  assert.equal(seen.status, 200, seen.text);
  assert.ok(seen.data.length > 0);
  assert.ok(seen.data.every(({ project }) => project === 'demo'));
  assertRefused(await server.api('GET', '/audit/verify', undefined, as), 403, 'FORBIDDEN');
});

test('the log is verified over HTTP, and the keys are shown', async () => {
  await allSealed();
  const good = (await server.api('GET', '/audit/verify')).data;
  assert.equal(good.valid, true);
  assert.equal(good.first_bad, null);
  assert.ok(good.checked >= 10 && good.sealed_through >= good.checked);
  const keys = (await server.api('GET', '/audit/keys')).data;
  assert.equal(keys.length, 1);
  assert.equal(keys[0].algorithm, 'Ed25519');
  assert.equal(createHash('sha256').update(Buffer.from(keys[0].public_key, 'base64')).digest('hex').slice(0, 16), keys[0].id);
  const none = (await server.api('GET', '/audit/verify?from=2100-01-01T00:00:00Z')).data;
  assert.equal(none.checked, 0);
});

test('what was kept outside shows a tail that was cut off with all its traces', async () => {
  await server.finished(await server.submit('true'));
  await allSealed();
  const last = Number(await sql('SELECT max(seq) FROM audit_seals'));
  await waitFor('the log knows of the end', () => checkpoints().some(({ seq }) => seq === last));
  const kept = path.join(server.dataDir, 'kept.log');
  fs.writeFileSync(kept, server.rawLog());
  const keys = path.join(server.dataDir, 'kept.keys');
  fs.writeFileSync(keys, `# kept outside\n${await sql("SELECT encode(public_key, 'base64') FROM audit_keys")}\n`);
  assert.equal((await run('audit', 'verify', '--checkpoint', kept, '--public-key', keys)).code, 0);
  await waitFor('the file knows of it too', () => fs.readFileSync(keptFile, 'utf8').includes(`{"seq":${last},`));
  assert.equal((await run('audit', 'verify', '--checkpoint', keptFile, '--public-key', keys)).code, 0);

  const end = Number(await sql(`SELECT max(seq) FROM audit_checkpoints WHERE seq < ${last}`));
  await sql(`BEGIN; DELETE FROM audit_log WHERE id IN (SELECT row_id FROM audit_seals WHERE seq > ${end});
    DELETE FROM audit_seals WHERE seq > ${end}; DELETE FROM audit_checkpoints WHERE seq > ${end}; COMMIT`);
  const seen = await run('audit', 'verify', '--checkpoint', kept, '--public-key', keys);
  assert.equal(seen.code, 4, seen.stdout + seen.stderr);
  assert.match(seen.stdout, new RegExp(`NOT GOOD: tail_cut at ${end + 1}\n`));
  assert.equal((await run('audit', 'verify', '--checkpoint', keptFile, '--public-key', keys)).code, 4);
});

test('what cannot be put on record is not done; a refusal stays what it is, and is on record later', async () => {
  const unwritable = async () => Number((await server.api('GET', '/metrics')).text.match(/^rdev_faults_total\{where="audit_unwritable"\} (\d+)/m)?.[1] ?? 0);
  const rows = () => sql('SELECT (SELECT count(*) FROM command), (SELECT count(*) FROM api_keys), (SELECT count(*) FROM webhook), (SELECT count(*) FROM audit_log)');
  const key = await mint(server, { name: 'unwritable', scopes: ['projects:read'] });
  const before = (await rows()).split('|').map(Number);
  const last = await sql('SELECT max(id::text) FROM audit_log');
  const faults = await unwritable();
  await sql('ALTER TABLE audit_log RENAME TO audit_log_away');
  try {
    for (const [method, path, body] of [
      ['POST', '/projects/demo/shell', { command: 'touch never' }], ['POST', '/keys', { name: 'never', scopes: ['projects:read'] }],
      ['PATCH', `/keys/${key.id}`, { name: 'never' }], ['DELETE', `/keys/${key.id}`], ['POST', '/projects', { id: 'never' }],
      ['POST', '/webhooks', { url: 'https://example.com/never', events: ['*'] }], ['GET', '/audit'], ['GET', '/audit/verify'],
    ]) {
      const answer = await server.api(method, path, body);
      assertRefused(answer, 503, 'SERVICE_UNAVAILABLE');
      assert.ok(Number(answer.headers['retry-after']) >= 1, `${method} ${path}`);
    }
    assertRefused(await server.api('GET', '/projects', undefined, { 'X-API-Key': 'rdev_unwritable' }), 401, 'UNAUTHORIZED');
    assert.ok((await unwritable()) >= faults + 6);
  } finally {
    await sql('ALTER TABLE audit_log_away RENAME TO audit_log');
  }
  assert.equal((await server.api('GET', '/projects/never')).status, 404);
  const refused = () => sql(`SELECT count(*) FROM audit_log WHERE action = 'request.refused' AND reason = 'UNAUTHORIZED' AND id > '${last}'`);
  await waitFor('the refusal is on record', async () => Number(await refused()) === 1);
  const now = (await rows()).split('|').map(Number);
  assert.deepEqual(now.slice(0, 3), before.slice(0, 3), 'nothing was done');
  assert.ok(now[3] > before[3]);
  assert.equal((await server.patiently(() => server.api('PATCH', `/keys/${key.id}`, { name: 'again' }))).data.name, 'again');
  await allSealed();
});

test('what is on record when the last node ends is sealed and told by then', async () => {
  await server.stop();
  const told = JSON.parse(fs.readFileSync(keptFile, 'utf8').trim().split('\n').at(-1));
  await server.start();
  assert.equal(await sql(`SELECT l.action FROM audit_seals s JOIN audit_log l ON l.id = s.row_id WHERE s.seq = ${told.seq}`), 'node.stop');
  assert.equal(await sql(`SELECT (SELECT at FROM audit_seals WHERE seq = ${told.seq}) < (SELECT max(at) FROM audit_log WHERE action = 'node.start')`), 't');
});

test('what a key and a command were asked to be is on record', async () => {
  const wish = { name: 'detailed', scopes: ['projects:execute'], expires_at: '2031-05-06T07:08:09Z', rate_limit: 50, concurrency_limit: 3, allowed_ips: ['127.0.0.0/8'] };
  const { id } = await mint(server, wish);
  const command = await server.submit('true', { priority: 'high', timeout_seconds: 77 });
  await server.finished(command);
  await allSealed();
  const detailOf = async (action, target) => {
    const { data } = await server.api('GET', `/audit?limit=200&action=${action}`);
    return data.find((record) => record.target === target).detail;
  };
  const key = await detailOf('key.create', id);
  assert.deepEqual([key.expires_at, key.rate_limit, key.concurrency_limit, key.allowed_ips, key.scopes],
    ['2031-05-06T07:08:09.000000Z', 50, 3, ['127.0.0.0/8'], ['projects:execute']]);
  const submit = await detailOf('command.submit', command);
  assert.deepEqual([submit.type, submit.priority, submit.timeout_s], ['shell', 'high', 77]);
});

test('starts and ends of a node are on record, with the digest of its settings', async () => {
  const since = await sql("SELECT max(id::text) FROM audit_log WHERE action = 'node.start'");
  const rows = async () => JSON.parse(await sql(`SELECT json_agg(json_build_object('action', action, 'sum', detail->>'configuration_sha256', 'version', detail->>'version') ORDER BY id) FROM audit_log WHERE action LIKE 'node.%' AND id >= '${since}'`));
  await server.stop();
  await server.start();
  await server.stop();
  await server.start({ env: { ...server.env, RDEV_COMMANDS_MAX_RUNNING: '7' } });
  const all = await rows();
  assert.deepEqual(all.map(({ action }) => action), ['node.start', 'node.stop', 'node.start', 'node.stop', 'node.start']);
  assert.match(all[0].sum, /^[0-9a-f]{64}$/);
  assert.equal(new Set(all.slice(0, 4).map(({ sum }) => sum)).size, 1, 'the same settings have the same digest');
  assert.notEqual(all[4].sum, all[0].sum);
  await allSealed();
  assert.equal((await run('audit', 'verify')).code, 0, 'the chain goes on over restarts');
});

test('a record that was changed is named', async () => {
  const id = await sql("UPDATE audit_log SET outcome = 'allowed' WHERE action = 'request.refused' RETURNING id");
  const seen = await run('audit', 'verify');
  assert.equal(seen.code, 4, seen.stdout + seen.stderr);
  assert.match(seen.stdout, /NOT GOOD: changed at \d+, record aud_[0-9a-z]{26}\n/);
  assert.ok(id.length >= 36);
  const bad = (await server.api('GET', '/audit/verify')).data;
  assert.equal(bad.valid, false);
  assert.equal(bad.first_bad.problem, 'changed');
  assert.match(seen.stdout, new RegExp(`at ${bad.first_bad.seq}, record ${bad.first_bad.id}`));
});

for (const [what, file, problem] of [
  ['checkpoints', '{"seq":0}\n', /line 1: has no seq/], ['checkpoints', 'nonsense\n', /line 1: is not a JSON object/],
  ['checkpoints', '', /holds no checkpoint/], ['keys', 'nonsense\n', /line 1: is not a public key/],
])
  test(`evidence that cannot be read is refused: ${JSON.stringify(file)} for ${what}`, async () => {
    const name = path.join(server.dataDir, 'evidence');
    fs.writeFileSync(name, file);
    const seen = await run('audit', 'verify', what === 'keys' ? '--public-key' : '--checkpoint', name);
    assert.equal(seen.code, 2, seen.stdout + seen.stderr);
    assert.match(seen.stderr, problem);
  });
