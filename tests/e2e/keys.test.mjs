// The life of a key, from its making to its end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, assertRefused, mint, waitFor } from './support.mjs';

let server;
before(async () => { server = await Server.start({ env: { RDEV_LIMITS_RPS: '0' } }); });
after(() => server.close());

const day = 86_400_000;
const near = (text, expected, message) => assert.ok(Math.abs(Date.parse(text) - expected) < 600_000, `${message}: ${text}`);
const as = (secret) => ({ 'X-API-Key': secret });
const projects = (secret) => server.api('GET', '/projects', undefined, as(secret));

test('a new key is shown once, works both ways, and appears in list and detail without its secret', async () => {
  const answer = await server.api('POST', '/keys', { name: 'first', scopes: ['projects:execute', 'keys:read'] });
  assert.equal(answer.status, 201, answer.text);
  const { key, secret } = answer.data;
  assert.equal(answer.headers.location, `/keys/${key.id}`);
  assert.match(key.id, /^key_[0-9a-hjkmnp-tv-z]{26}$/);
  assert.match(secret, /^rdev_[0-9A-Za-z]{8}_[0-9A-Za-z]{33,}$/);
  assert.equal(key.key_prefix, secret.slice(0, 13));
  assert.deepEqual(Object.keys(key).filter((name) => !['rate_limit', 'concurrency_limit', 'revoked_by', 'last_used_ip'].includes(name)).sort(), ['active', 'allowed_ips', 'created_at', 'created_by', 'expires_at', 'id', 'key_prefix', 'last_used_at', 'name', 'project_ids', 'revoked_at', 'rotated_from', 'scopes']);
  assert.deepEqual([...key.scopes].sort(), ['keys:read', 'projects:execute']);
  for (const name of ['project_ids', 'allowed_ips', 'last_used_at', 'revoked_at', 'rotated_from']) assert.equal(key[name], null, name);
  assert.equal(key.active, true);
  near(key.created_at, Date.now(), 'created_at');
  near(key.expires_at, Date.now() + 90 * day, 'a key without a wish lives 90 days');

  assert.equal((await projects(secret)).status, 200, 'execute implies read');
  assert.equal((await server.api('GET', '/projects', undefined, { 'X-API-Key': undefined, Authorization: `Bearer ${secret}` })).status, 200);
  assert.equal((await server.api('GET', '/projects', undefined, { 'X-API-Key': secret, Authorization: `Bearer ${secret}` })).status, 200, 'the same in both');
  const list = await server.api('GET', '/keys', undefined, as(secret));
  assert.deepEqual(list.data.map(({ name }) => name), ['first', 'admin'], 'newest first');
  const one = await server.api('GET', `/keys/${key.id}`, undefined, as(secret));
  assert.equal(one.data.id, key.id);
  for (const text of [list.text, one.text]) assert.ok(!text.includes(secret) && !/hash/.test(text));
  await waitFor('the use is noted', async () => (await server.api('GET', `/keys/${key.id}`)).data.last_used_at !== null);
});

test('expiry is as asked for', async () => {
  for (const [expires_in, days] of [['30d', 30], ['60d', 60], ['90d', 90], ['1y', 365]]) {
    const { key } = await mint(server, { name: expires_in, scopes: ['projects:read'], expires_in });
    near(key.expires_at, Date.now() + days * day, expires_in);
  }
  assert.equal((await mint(server, { name: 'for ever', scopes: ['projects:read'], expires_in: 'never' })).key.expires_at, null);
  const at = new Date(Date.now() + 5 * day).toISOString();
  assert.equal(Date.parse((await mint(server, { name: 'at', scopes: ['projects:read'], expires_at: at })).key.expires_at), Date.parse(at));
});

test('an expired key is refused and no longer active', async () => {
  const { id, secret } = await mint(server, { name: 'short', scopes: ['projects:read'], expires_at: new Date(Date.now() + 2000).toISOString() });
  assert.equal((await projects(secret)).status, 200);
  const refused = await waitFor('it expires', async () => {
    const answer = await projects(secret);
    return answer.status !== 200 && answer;
  });
  assertRefused(refused, 401, 'KEY_EXPIRED');
  assert.equal((await server.api('GET', `/keys/${id}`)).data.active, false);
});

test('a revoked key is refused at once, says who revoked it, and stays revoked', async () => {
  const { id, secret } = await mint(server, { name: 'to be revoked', scopes: ['projects:read'] });
  assert.equal((await projects(secret)).status, 200);
  const revoked = await server.api('DELETE', `/keys/${id}`);
  assert.equal(revoked.status, 200);
  assertRefused(await projects(secret), 401, 'KEY_REVOKED');
  assert.equal(revoked.data.active, false);
  near(revoked.data.revoked_at, Date.now(), 'revoked_at');
  const again = await server.api('DELETE', `/keys/${id}`);
  assert.equal(again.status, 200);
  assert.equal(again.data.revoked_at, revoked.data.revoked_at);
  const rows = await server.psql("SELECT k.revoked_by IS NOT NULL AND k.revoked_by::text IN (SELECT id::text FROM api_keys WHERE key_prefix = 'admin' OR name = 'admin') FROM api_keys k WHERE k.name = 'to be revoked'");
  assert.equal(rows, 't', 'revoked_by is the administrator');
  assertRefused(await server.api('POST', `/keys/${id}/rotate`, {}), 409, 'CONFLICT');
});

test('the streams of a revoked key end with an error that says so', async () => {
  const { id, secret } = await mint(server, { name: 'reader', scopes: ['projects:read'] });
  const command = await server.submit(['sh', '-c', 'echo up; while [ ! -e revoked ]; do sleep 0.1; done']);
  const seen = await server.follow(command, {
    headers: as(secret),
    until: (frame) => { if (frame.event === 'output') server.api('DELETE', `/keys/${id}`).catch(() => {}); },
  });
  const last = seen.frames.filter((f) => f.event && f.event !== 'heartbeat').at(-1);
  assert.equal(last.event, 'error');
  assert.equal(last.data.code, 'KEY_REVOKED');
  server.put('revoked', '');
  assert.equal((await server.finished(command)).status, 'completed', 'the command is unharmed');
});

test('what a revoked key has in the queue is run, or cancelled where that is asked for', async () => {
  const narrow = await Server.start({ env: { RDEV_COMMANDS_MAX_RUNNING: '1' } });
  try {
    const one = await mint(narrow, { name: 'kept', scopes: ['projects:execute'] });
    const other = await mint(narrow, { name: 'cancelled', scopes: ['projects:execute'] });
    const hold = await narrow.submit(['sh', '-c', 'while [ ! -e free ]; do sleep 0.1; done'], { headers: as(other.secret) });
    await narrow.reaches(hold, 'running');
    const kept = await narrow.submit('echo kept', { headers: as(one.secret) });
    const queued = [];
    for (let i = 0; i < 5; i += 1) queued.push(await narrow.submit('touch never', { headers: as(other.secret) }));
    const reader = narrow.follow(queued[0]);
    const refused = await narrow.api('DELETE', `/keys/${other.id}?commands=all`);
    assertRefused(refused, 400, 'BAD_REQUEST');
    assert.equal(refused.error.details[0].field, 'commands');
    assert.equal((await narrow.api('GET', '/projects', undefined, as(other.secret))).status, 200, 'nothing was done');
    assert.equal((await narrow.api('DELETE', `/keys/${one.id}`)).status, 200);
    assert.equal((await narrow.api('DELETE', `/keys/${other.id}?commands=cancel`)).data.active, false);
    for (const id of queued) {
      const view = await narrow.view(id);
      assert.equal(view.status, 'cancelled');
      assert.equal(view.reason, 'its key was revoked before it was started');
    }
    assert.equal((await reader).frames.filter(({ event }) => event === 'complete').at(-1).data.status, 'cancelled', 'its readers hear of it');
    assert.equal((await narrow.api('DELETE', `/keys/${other.id}?commands=cancel`)).status, 200, 'a repeat');
    narrow.put('free', '');
    for (const id of [kept, hold]) assert.equal((await narrow.finished(id)).status, 'completed');
    assert.equal(await narrow.psql("SELECT count(*) FROM audit_log WHERE action = 'command.cancel' AND reason = 'key_revoked' AND actor_name = 'admin'"), '5');
  } finally {
    await narrow.close();
  }
});

test('rotation gives a new key, and the old one lives on for the overlap', async () => {
  const old = await mint(server, { name: 'rotating', scopes: ['projects:read'], project_ids: ['demo'], allowed_ips: ['127.0.0.0/8'] });
  const answer = await server.api('POST', `/keys/${old.id}/rotate`, {});
  assert.equal(answer.status, 201, answer.text);
  const { key, secret } = answer.data;
  assert.equal(answer.headers.location, `/keys/${key.id}`);
  assert.notEqual(key.id, old.id);
  assert.notEqual(secret, old.secret);
  assert.equal(key.rotated_from, old.id);
  for (const name of ['name', 'scopes', 'project_ids', 'allowed_ips']) assert.deepEqual(key[name], old.key[name], name);
  assert.equal((await projects(secret)).status, 200);
  assert.equal((await projects(old.secret)).status, 200);
  near((await server.api('GET', `/keys/${old.id}`)).data.expires_at, Date.now() + day, 'the overlap is a day');

  const hard = await server.api('POST', `/keys/${key.id}/rotate`, { overlap: '0s' });
  assert.equal(hard.status, 201, hard.text);
  const ended = await projects(secret);
  assert.equal(ended.status, 401, 'without an overlap the old key ends at once');
  assert.ok(['KEY_EXPIRED', 'KEY_REVOKED'].includes(ended.error.code));
  assert.equal((await projects(hard.data.secret)).status, 200);
});

test('a repeated Idempotency-Key makes no second key and shows no secret again, also after a rotation', async () => {
  const maker = await mint(server, { name: 'maker', scopes: ['keys:write', 'projects:read'] });
  const body = { name: 'made once', scopes: ['projects:read'] };
  const headers = { ...as(maker.secret), 'Idempotency-Key': 'make-one' };
  const first = await server.api('POST', '/keys', body, headers);
  assert.equal(first.status, 201, first.text);
  const second = await server.api('POST', '/keys', body, headers);
  assert.equal(second.status, 201);
  assert.equal(second.headers['idempotency-replayed'], 'true');
  assert.equal(second.data.secret, null);
  assert.deepEqual(second.data.key, first.data.key);
  assertRefused(await server.api('POST', '/keys', { ...body, name: 'other' }, headers), 409, 'CONFLICT');
  const rotated = await server.api('POST', `/keys/${maker.id}/rotate`, {});
  assert.equal(rotated.status, 201, rotated.text);
  const third = await server.api('POST', '/keys', body, { ...headers, ...as(rotated.data.secret) });
  assert.equal(third.headers['idempotency-replayed'], 'true', 'a rotation is of the same family');
  assert.equal(third.data.key.id, first.data.key.id);
  assert.equal(await server.psql("SELECT count(*) FROM api_keys WHERE name = 'made once'"), '1');
});

test('a key bound to projects sees and touches only them', async () => {
  assert.equal((await server.api('POST', '/projects', { id: 'other' })).status, 201);
  const bound = await mint(server, { name: 'bound', scopes: ['projects:execute', 'keys:read'], project_ids: ['demo'] });
  const ask = (method, target, body) => server.api(method, target, body, as(bound.secret));
  assert.deepEqual((await projects(bound.secret)).data.map(({ id }) => id), ['demo']);
  assertRefused(await ask('GET', '/projects/other'), 403, 'FORBIDDEN');
  assertRefused(await ask('GET', '/projects/not-there'), 403, 'FORBIDDEN');
  assertRefused(await ask('POST', '/projects/other/shell', { command: 'true' }), 403, 'FORBIDDEN');
  const foreign = await server.submit('echo foreign', { project: 'other' });
  const own = await server.submit('echo own');
  assertRefused(await ask('GET', `/commands/${foreign}`), 404, 'NOT_FOUND');
  assertRefused(await ask('GET', `/commands/${foreign}/output`), 404, 'NOT_FOUND');
  assertRefused(await ask('POST', `/commands/${foreign}/cancel`), 404, 'NOT_FOUND');
  assert.equal((await ask('GET', `/commands/${own}`)).status, 200);
  const smuggled = await ask('GET', server.eventsOf(foreign, { project: 'demo' }));
  assert.ok([400, 404].includes(smuggled.status), `a foreign stream through an own project: ${smuggled.status}`);
  const listed = (await ask('GET', '/commands')).data.map(({ project }) => project);
  assert.ok(listed.length > 0 && listed.every((project) => project === 'demo'));
  const queue = (await ask('GET', '/queue')).data;
  assert.ok(queue.by_project.every(({ project }) => project === 'demo'));
  const seen = (await ask('GET', '/keys')).data;
  assert.ok(seen.every(({ project_ids }) => project_ids?.every((id) => id === 'demo')), 'only keys of its projects');
  assertRefused(await server.api('POST', '/keys', { name: 'x', scopes: ['admin'], project_ids: ['demo'] }), 400, 'BAD_REQUEST');
});

test('addresses: a key works from where it may and from nowhere else', async () => {
  for (const [allowed_ips, status] of [[['127.0.0.1'], 200], [['127.0.0.0/8', '::1'], 200], [['::/0'], 403], [['127.0.0.2'], 403], [['0.0.0.0/0'], 200]]) {
    const { secret } = await mint(server, { name: 'addressed', scopes: ['projects:read'], allowed_ips });
    assert.equal((await projects(secret)).status, status, String(allowed_ips));
  }
});

test('a key that changes itself many times at once, and works meanwhile, is refused nothing', async () => {
  const { id, secret } = await mint(server, { name: 'restless', scopes: ['keys:write', 'projects:execute'] });
  const own = as(secret);
  const answers = await Promise.all([
    ...Array.from({ length: 20 }, (_, i) => server.api('PATCH', `/keys/${id}`, { name: `restless ${i}` }, own)),
    ...Array.from({ length: 20 }, () => server.api('POST', '/projects/demo/shell', { command: 'true' }, own)),
  ]);
  for (const { status, text } of answers) assert.ok([200, 202].includes(status), text);
});

test('the administrator’s key is changed by its setting only', async () => {
  const admin = (await server.api('GET', '/keys?limit=200')).data.find(({ name }) => name === 'admin');
  assert.equal(admin.key_prefix, 'admin');
  assert.deepEqual(admin.scopes, ['admin']);
  assertRefused(await server.api('DELETE', `/keys/${admin.id}`), 409, 'CONFLICT');
  assertRefused(await server.api('POST', `/keys/${admin.id}/rotate`, {}), 409, 'CONFLICT');
  const former = server.key;
  const chosen = 'any printable text of at least thirty-two characters';
  await server.stop();
  await server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_ADMIN_KEY: chosen } });
  assert.equal((await projects(chosen)).status, 200);
  assertRefused(await projects(former), 401, 'UNAUTHORIZED');
  assert.equal((await server.api('GET', '/keys?limit=200')).data.filter(({ name }) => name === 'admin').length, 1);
});

test('lists come in pages, newest first, each key once', async () => {
  const seen = [];
  let cursor = '';
  do {
    const page = await server.api('GET', `/keys?limit=3${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    assert.ok(page.data.length <= 3);
    seen.push(...page.data.map(({ id }) => id));
    cursor = page.meta.next_cursor;
  } while (cursor);
  const all = (await server.api('GET', '/keys?limit=200')).data.map(({ id }) => id);
  assert.deepEqual(seen, all);
  assert.equal(new Set(seen).size, seen.length);
});
