// What keys are held to beside their rights (commands at once, lifetime, pepper), and what is noticed about their use.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Cluster } from '../cluster/cluster.mjs';
import { Server, assertRefused, assertTimes, fieldsOf, mint, waitFor, wrongSecretOf } from './support.mjs';

const day = 86_400_000;
const env = { RDEV_LIMITS_RPS: '0', RDEV_LIMITS_UNAUTHENTICATED_RPS: '0', RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1' };
let server;
before(async () => { server = await Server.start({ env }); });
after(() => server.close());

const as = (secret) => ({ 'X-API-Key': secret });
const waiting = 'while [ ! -e go ]; do sleep 0.1; done';
const submit = (on, secret, command = waiting, headers = {}, project = 'demo') => on.api('POST', `/projects/${project}/shell`, { command }, { ...as(secret), ...headers });
const inDays = (days) => new Date(Date.now() + days * day).toISOString();
const metric = async (on, name) => Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.*)$`, 'm').exec((await on.api('GET', '/metrics')).text)?.[1]);

function assertOver(answer) {
  assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
  assert.deepEqual(fieldsOf(answer), ['key']);
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
}

// ---- concurrency_limit

test('a key has no more commands unfinished than its limit, however many it submits at once on two nodes', async () => {
  const cluster = await Cluster.start({ env: { ...env, RDEV_COMMANDS_MAX_RUNNING: '2' } });
  try {
    const [a, b] = [cluster.add('a'), cluster.add('b')];
    await Promise.all([a.start(), b.start()]);
    const { secret } = await mint(a, { name: 'five', scopes: ['projects:execute'], concurrency_limit: 5 });
    const unfinished = () => cluster.database.count('command c WHERE NOT EXISTS (SELECT 1 FROM command_result r WHERE r.command_id = c.id)');
    const volley = async (times, command) => {
      const answers = await Promise.all(Array.from({ length: times }, (_, i) => submit(i % 2 ? a : b, secret, command)));
      const ids = answers.filter(({ status }) => status === 202).map(({ data }) => data.id);
      for (const answer of answers) if (answer.status !== 202) assertOver(answer);
      return ids;
    };
    let ids = await volley(50);
    assert.equal(ids.length, 5);
    assert.equal(await unfinished(), 5);
    assert.deepEqual(await volley(20), [], 'all are taken');

    // Two run, three wait: one of either kind is cancelled.
    await waitFor('some run', async () => (await cluster.database.count('lease')) > 0);
    const of = async (status) => (await a.api('GET', `/commands?status=${status}`)).data.map(({ id }) => id);
    for (const status of ['queued', 'running']) {
      const id = (await of(status))[0];
      assert.ok(id, `one is ${status}`);
      assert.equal((await b.api('POST', `/commands/${id}/cancel`)).status, 202);
      await a.finished(id);
      const more = await volley(10);
      assert.equal(more.length, 1, `a place is free when one that was ${status} is cancelled`);
      ids = [...ids.filter((one) => one !== id), ...more];
      assert.equal(await unfinished(), 5);
    }
    // A node dies with what it ran.
    await b.kill9();
    a.put('go', '');
    for (const id of ids) await a.finished(id);
    await b.start();
    assert.equal((await volley(50, 'true')).length >= 5, true, 'all places are free again');
    await waitFor('all end', async () => (await unfinished()) === 0);

    // Under way for a while, it never has more than it may.
    const load = { ends: false };
    const clients = [a, b, a, b].map(async (node) => { while (!load.ends) await submit(node, secret, 'true'); });
    for (let i = 0; i < 40; ++i) assert.ok((await unfinished()) <= 5);
    load.ends = true;
    await Promise.all(clients);
    await waitFor('all end', async () => (await unfinished()) === 0);
    assert.equal(await cluster.database.count('key_slot'), 0, 'no place is lost');
  } finally {
    await cluster.close();
  }
});

test('other keys have nothing to do with it, and a repeat takes no place', async () => {
  const one = await mint(server, { name: 'one', scopes: ['projects:execute'], concurrency_limit: 1 });
  const other = await mint(server, { name: 'other', scopes: ['projects:execute'], concurrency_limit: 1 });
  const first = await submit(server, one.secret, waiting, { 'Idempotency-Key': 'same' });
  assert.equal(first.status, 202);
  const again = await submit(server, one.secret, waiting, { 'Idempotency-Key': 'same' });
  assert.deepEqual([again.status, again.data?.id, again.headers['idempotency-replayed']], [202, first.data.id, 'true']);
  assertOver(await submit(server, one.secret));
  assertOver(await submit(server, one.secret, waiting, { 'Idempotency-Key': 'fresh' }));
  const second = await submit(server, other.secret);
  assert.equal(second.status, 202);
  for (const { data } of [first, second]) {
    assert.equal((await server.api('POST', `/commands/${data.id}/cancel`)).status, 202);
    await server.finished(data.id);
  }
  const freed = await submit(server, one.secret, 'true', { 'Idempotency-Key': 'fresh' });
  assert.equal(freed.status, 202, 'a refusal is not remembered');
  await server.finished(freed.data.id);
});

test('a place is free again however a command ends', async () => {
  const { secret } = await mint(server, { name: 'endings', scopes: ['projects:execute'], concurrency_limit: 1 });
  for (const [command, rest] of [['exit 3'], ['kill -9 $$'], ['sleep 100', { timeout_seconds: 1 }], [['/not/there']]]) {
    const answer = await server.api('POST', '/projects/demo/shell', { command, ...rest }, as(secret));
    assert.equal(answer.status, 202, `${command}: ${answer.text}`);
    assert.notEqual((await server.finished(answer.data.id)).status, 'completed');
  }
  assert.equal((await server.api('POST', '/projects', { id: 'doomed' })).status, 201);
  const last = await submit(server, secret, 'sleep 1000', {}, 'doomed');
  assert.equal(last.status, 202, last.text);
  await server.reaches(last.data.id, 'running');
  assert.equal((await server.api('DELETE', '/projects/doomed?force=true')).status, 200);
  // What had not started by then ends by itself, as its folder is gone; what had runs on.
  assert.ok([202, 409].includes((await server.api('POST', `/commands/${last.data.id}/cancel`)).status));
  await waitFor('its place is free', async () => (await submit(server, secret, 'true')).status === 202);
  await waitFor('all end', async () => (await server.psql('SELECT count(*) FROM key_slot')) === '0');
});

test('a limit counts from when it is set, for what is under way as well, and until it is lifted', async () => {
  const { id, secret } = await mint(server, { name: 'later', scopes: ['projects:execute'] });
  const three = [];
  for (let i = 0; i < 3; ++i) three.push((await submit(server, secret)).data.id);
  assert.equal((await server.api('PATCH', `/keys/${id}`, { concurrency_limit: 3 })).status, 200);
  const over = await submit(server, secret);
  if (over.status === 202) three.push(over.data.id);
  assert.equal((await server.api('PATCH', `/keys/${id}`, { concurrency_limit: null })).status, 200);
  const lifted = await submit(server, secret);
  three.push(lifted.data?.id);
  for (const command of three) if (command) await server.api('POST', `/commands/${command}/cancel`);
  for (const command of three) if (command) await server.finished(command);
  assert.equal(lifted.status, 202);
  assertOver(over);
});

// ---- lifetime

test('no key lives longer than keys.max_lifetime', async () => {
  const eternal = await mint(server, { name: 'eternal', scopes: ['projects:read'], expires_in: 'never' });
  await server.stop();
  await server.start({ env: { ...env, RDEV_KEYS_MAX_LIFETIME: '30d' } });
  try {
    for (const wish of [{ expires_in: '60d' }, { expires_in: '1y' }, { expires_in: 'never' }, { expires_at: inDays(31) }]) {
      const [field] = Object.keys(wish);
      assert.deepEqual(fieldsOf(assertRefused(await server.api('POST', '/keys', { name: 'x', scopes: ['projects:read'], ...wish }), 400, 'BAD_REQUEST')), [field]);
    }
    const all = await server.api('POST', '/keys', { name: 'x', scopes: ['projects:read'], expires_in: 'never', allowed_ips: ['nowhere'], rate_limit: -1 });
    assert.deepEqual(fieldsOf(assertRefused(all, 400, 'BAD_REQUEST')).sort(), ['allowed_ips[0]', 'expires_in', 'rate_limit']);
    for (const wish of [{}, { expires_in: '30d' }, { expires_at: inDays(29) }]) {
      const { id, key } = await mint(server, { name: 'x', scopes: ['projects:read'], ...wish });
      assert.ok(Date.parse(key.expires_at) <= Date.now() + 30 * day, JSON.stringify(wish));
      for (const expires_at of [null, inDays(31)])
        assert.deepEqual(fieldsOf(assertRefused(await server.api('PATCH', `/keys/${id}`, { expires_at }), 400, 'BAD_REQUEST')), ['expires_at']);
      assert.equal((await server.api('PATCH', `/keys/${id}`, { expires_at: inDays(10) })).status, 200);
      assert.equal((await server.api('PATCH', `/keys/${id}`, { name: 'y' })).status, 200);
    }
    assert.equal((await server.api('GET', '/projects', undefined, as(eternal.secret))).status, 200, 'what was made before is left alone');
    const rotated = await server.api('POST', `/keys/${eternal.id}/rotate`, {});
    assert.equal(rotated.status, 201);
    assert.ok(Date.parse(rotated.data.key.expires_at) <= Date.now() + 30 * day);
    const admin = (await server.api('GET', '/keys?limit=200')).data.find(({ key_prefix: prefix }) => prefix === 'admin');
    assert.equal(admin.expires_at, null);
  } finally {
    await server.stop();
    await server.start({ env });
  }
});

// ---- pepper

test('with a pepper new keys are stored under it and older ones stay good; without it the server does not start', async () => {
  const server = await Server.start({ env });
  const pepper = () => randomBytes(32).toString('base64');
  const [first, second] = [pepper(), pepper()];
  const schemes = () => server.psql("SELECT string_agg(name || hash_scheme, ',' ORDER BY name, hash_scheme) FROM api_keys WHERE name IN ('plain', 'salted', 'successor')");
  const plain = await mint(server, { name: 'plain', scopes: ['projects:read'] });
  const restart = async (more) => { await server.stop(); await server.start({ env: { ...env, ...more } }); };
  const ask = (secret, from) => server.api('GET', '/projects', undefined, as(secret), { from });
  await restart({ RDEV_KEY_PEPPER: first });
  const salted = await mint(server, { name: 'salted', scopes: ['projects:read'] });
  assert.equal(await schemes(), 'plain1,salted2');
  for (const { secret } of [plain, salted, { secret: server.key }]) assert.equal((await ask(secret)).status, 200);
  assert.equal((await server.api('PATCH', `/keys/${plain.id}`, { name: 'successor' })).status, 200);
  const rotated = await server.api('POST', `/keys/${plain.id}/rotate`, {});
  assert.equal(rotated.status, 201);
  assert.equal((await ask(rotated.data.secret)).status, 200);
  assert.equal(await schemes(), 'salted2,successor1,successor2');
  for (const text of [server.rawLog(), server.errors()]) assert.ok(!text.includes(first), 'the pepper is told to nobody');
  const seen = await server.follow(await server.submit('env'));
  assert.ok(!seen.stdout.includes(first));
  await server.stop();
  for (const more of [{ RDEV_KEY_PEPPER: second }, {}]) {
    await assert.rejects(server.start({ env: { ...env, ...more } }));
    assert.equal(server.exited.code, 2, 'its good keys would be taken for guesses');
    assert.match(server.errors(), /RDEV_KEY_PEPPER is missing or another one/);
  }
  await server.start({ env: { ...env, RDEV_KEY_PEPPER: first } });
  assert.equal((await ask(salted.secret)).status, 200);
  await server.close();
});

for (const bad of ['short', 'a'.repeat(40), randomBytes(16).toString('base64'), ' ' + randomBytes(32).toString('base64')])
  test(`a pepper that is none ends the start: ${JSON.stringify(bad).slice(0, 12)}…`, async () => {
    const none = new Server({ env: { ...env, RDEV_KEY_PEPPER: bad } });
    try {
      await assert.rejects(none.start());
      assert.equal(none.exited.code, 2);
      assert.match(none.errors(), /RDEV_KEY_PEPPER/);
      assert.ok(!none.errors().includes(bad.trim()) || bad === 'short');
    } finally {
      none.destroy();
    }
  });

// ---- what is noticed

test('the last use of a key is noted, with its address', async () => {
  const { id, secret } = await mint(server, { name: 'used', scopes: ['projects:read'] });
  const view = async () => (await server.api('GET', `/keys/${id}`)).data;
  assert.deepEqual([(await view()).last_used_at, (await view()).last_used_ip], [null, null]);
  for (const ip of ['192.0.2.10', '2001:db8::10']) {
    const began = Date.now();
    assert.equal((await server.api('GET', '/projects', undefined, { ...as(secret), 'X-Forwarded-For': ip })).status, 200);
    const now = await waitFor('the use is noted', async () => { const key = await view(); return key.last_used_ip === ip && key; });
    assert.ok(Date.parse(now.last_used_at) >= began - 1 && Date.parse(now.last_used_at) <= Date.now());
  }
  const { last_used_at: before } = await view();
  assertRefused(await server.api('GET', '/projects', undefined, as(`${secret}x`)), 401, 'UNAUTHORIZED');
  assert.equal((await view()).last_used_at, before, 'who is refused has not used it');
});

test('keys that nobody uses are found', async () => {
  const made = {};
  for (const name of ['never', 'old', 'recent', 'young', 'revoked', 'expired']) made[name] = await mint(server, { name: `unused ${name}`, scopes: ['projects:read'] });
  const set = (name, what) => server.psql(`UPDATE api_keys SET ${what} WHERE name = 'unused ${name}'`);
  const ago = (days) => `clock_timestamp() - interval '${days} days'`;
  await set('never', `created_at = ${ago(40)}`);
  await set('old', `created_at = ${ago(50)}, last_used_at = ${ago(35)}`);
  await set('recent', `created_at = ${ago(50)}, last_used_at = ${ago(5)}`);
  await set('revoked', `created_at = ${ago(40)}, revoked_at = ${ago(1)}`);
  await set('expired', `created_at = ${ago(40)}, expires_at = ${ago(1)}`);
  const unused = async (text) => (await server.api('GET', `/keys?limit=200&unused_for=${text}`)).data.map(({ name }) => name).filter((name) => /^unused/.test(name)).sort();
  assert.deepEqual(await unused('30d'), ['unused never', 'unused old']);
  assert.deepEqual(await unused('38d'), ['unused never']);
  assert.deepEqual(await unused('1h'), ['unused never', 'unused old', 'unused recent']);
  assert.deepEqual(await unused('100d'), []);
  for (const bad of ['', 'x', '-1d', '30', '1.5d']) assertRefused(await server.api('GET', `/keys?unused_for=${bad}`), 400, 'BAD_REQUEST');
});

test('the end of a key is announced 14, 7 and 1 days ahead, each once', async () => {
  const { id } = await mint(server, { name: 'ending', scopes: ['projects:read'] });
  const revoked = await mint(server, { name: 'ended', scopes: ['projects:read'] });
  assert.equal((await server.api('DELETE', `/keys/${revoked.id}`)).status, 200);
  const rotated = await mint(server, { name: 'replaced', scopes: ['projects:read'] });
  assert.equal((await server.api('POST', `/keys/${rotated.id}/rotate`, {})).status, 201);
  const short = await mint(server, { name: 'brief', scopes: ['projects:read'], expires_at: inDays(3) });
  assert.ok(short);
  const told = async () => (await server.psql("SELECT string_agg(data->>'name' || ' ' || (data->>'days'), ',' ORDER BY id) FROM event WHERE event = 'key.expiring' AND data->>'name' IN ('ending', 'ended', 'replaced', 'brief')"));
  const expect = async (set, list) => {
    await server.psql(`UPDATE api_keys SET created_at = clock_timestamp() - interval '60 days', expires_at = clock_timestamp() + interval '${set}' WHERE name IN ('ending', 'ended')`);
    await server.stop();
    await server.start();
    await waitFor(`${list} are told`, async () => (await told()) === list).catch(async (error) => { throw new Error(`${error.message}; told: ${await told()}`); });
  };
  await expect('15 days', '');
  await expect('13 days 23 hours', 'ending 14');
  await expect('8 days', 'ending 14');
  await expect('6 days 23 hours', 'ending 14,ending 7');
  await expect('2 days', 'ending 14,ending 7');
  await expect('23 hours', 'ending 14,ending 7,ending 1');
  await expect('22 hours', 'ending 14,ending 7,ending 1');
  // A key that gets more time is announced anew.
  assert.equal((await server.api('PATCH', `/keys/${id}`, { expires_at: inDays(13) })).status, 200);
  await server.stop();
  await server.start();
  await waitFor('it is told again', async () => (await told()) === 'ending 14,ending 7,ending 1,ending 14');
  await assertTimes(server, ['key.expiring.expires_at', 'key.create.expires_at', 'key.change.expires_at']);
});

test('a key that turns up in another network is worth an event, an audit row and a count, and is let in', async () => {
  const { id, secret } = await mint(server, { name: 'wanderer', scopes: ['projects:read'] });
  const use = async (ip) => {
    assert.equal((await server.api('GET', '/projects', undefined, { ...as(secret), 'X-Forwarded-For': ip })).status, 200);
    await waitFor('the use is noted', async () => (await server.api('GET', `/keys/${id}`)).data.last_used_ip === ip);
  };
  const rows = () => server.psql("SELECT (SELECT string_agg(data->>'client_ip', ',' ORDER BY id) FROM event WHERE event = 'auth.anomaly' AND data->>'kind' = 'new_network' AND key_id = (SELECT id FROM api_keys WHERE name = 'wanderer')), (SELECT count(*) FROM audit_log WHERE action = 'auth.anomaly' AND reason = 'new_network' AND actor_key = (SELECT id FROM api_keys WHERE name = 'wanderer'))");
  const count = () => metric(server, 'rdev_auth_anomalies_total{kind="new_network"}');
  const before = await count();
  await use('192.0.2.1');
  await use('192.0.2.200');
  assert.equal(await rows(), '|0', 'its first network is its own');
  await use('198.51.100.1');
  await waitFor('it is told', async () => (await rows()) === '198.51.100.1|1');
  assert.equal(await count(), before + 1);
  await use('198.51.100.2');
  await use('192.0.2.3');
  await use('2001:db8:1::1');
  await waitFor('it is told', async () => (await rows()) === '198.51.100.1,2001:db8:1::1|2');
  await use('2001:db8:1:5::1');
  assert.equal(await rows(), '198.51.100.1,2001:db8:1::1|2', 'of IPv6 a /48 is one network');
  assert.equal(await count(), before + 2);
});

// An event, an audit row and a count of this kind for this key.
const toldOf = (kind, name) => server.psql(`SELECT (SELECT count(*) FROM event WHERE event = 'auth.anomaly' AND data->>'kind' = '${kind}' AND key_id = k.id), (SELECT count(*) FROM audit_log WHERE action = 'auth.anomaly' AND reason = '${kind}' AND actor_key = k.id) FROM api_keys k WHERE name = '${name}'`);
const counted = (kind) => metric(server, `rdev_auth_anomalies_total{kind="${kind}"}`);

test('a key that many addresses use within a minute is worth an event, an audit row and a count, and is let in', async () => {
  const { secret } = await mint(server, { name: 'shared', scopes: ['projects:read'] });
  const before = await counted('many_addresses');
  for (let i = 1; i <= 25; ++i) assert.equal((await server.api('GET', '/projects', undefined, { ...as(secret), 'X-Forwarded-For': `203.0.113.${i}` })).status, 200);
  await waitFor('it is told', async () => (await toldOf('many_addresses', 'shared')) === '1|1');
  assert.equal(await counted('many_addresses'), before + 1);
});

test('many wrong secrets under the prefix of one key are worth an event, and its owner is let in', async () => {
  const made = await mint(server, { name: 'guessed', scopes: ['projects:read'] });
  const { secret } = made;
  const wrong = wrongSecretOf(made);
  for (let i = 1; i <= 25; ++i) assertRefused(await server.api('GET', '/projects', undefined, { ...as(wrong), 'X-Forwarded-For': `203.0.113.${i}` }), 401, 'UNAUTHORIZED');
  await waitFor('it is told', async () => (await toldOf('wrong_secrets', 'guessed')) === '1|1');
  assert.ok((await counted('wrong_secrets')) >= 1);
  assert.equal((await server.api('GET', '/projects', undefined, as(secret))).status, 200);
});
