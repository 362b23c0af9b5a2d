// Who tries keys is locked out: an address that has sent ten malformed or unknown keys. Nobody else is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from '../cluster/cluster.mjs';
import { Server, assertRefused, assertTimes, fieldsOf, keyText, mint, waitFor, wrongSecretOf } from './support.mjs';

const env = { RDEV_LIMITS_UNAUTHENTICATED_RPS: '0', RDEV_LIMITS_RPS: '0', RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1' };
const failures = 10;

let server;
before(async () => { server = await Server.start({ env }); });
after(() => server.close());

const as = (secret) => ({ 'X-API-Key': secret });
const bad = as('not a key');
// A peer of its own, or a client behind the proxy that is trusted.
const peer = (from) => (on, headers = bad) => on.api('GET', '/projects', undefined, headers, { from });
const behindProxy = (client) => (on, headers = bad) => on.api('GET', '/projects', undefined, { 'X-Forwarded-For': client, ...headers });

function assertBanned(answer) {
  assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
  assert.deepEqual(fieldsOf(answer), ['ban']);
  assert.match(answer.headers['retry-after'], /^[1-9][0-9]*$/);
}
async function fail(on, ask, times, headers = bad) {
  for (let i = 0; i < times; ++i) assertRefused(await ask(on, headers), 401, 'UNAUTHORIZED');
}
// Exactly as many failures as it takes; the last one is still answered as what it is.
async function lockOut(on, ask) {
  await fail(on, ask, failures);
  assertBanned(await ask(on));
}
const bans = async (on = server) => (await on.api('GET', '/bans?limit=200')).data;
const banOf = async (network, on = server) => (await bans(on)).find((ban) => ban.network === network);
const seconds = ({ since, until }) => Math.round((Date.parse(until) - Date.parse(since)) / 1000);
const metric = async (on, name) => Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.*)$`, 'm').exec((await on.api('GET', '/metrics')).text)?.[1]);
// Ends a ban as time would.
const endBan = (network, on = server) => on.psql(`UPDATE ban SET until = clock_timestamp() - interval '1 ms' WHERE network = '${network}'; UPDATE ban_version SET version = version + 1`);
const freed = (ask, on = server) => waitFor('the ban ends', async () => (await ask(on, as(undefined))).status === 401);

test('ten malformed and unknown keys lock an address out; the ban says how long, and a good key passes', async () => {
  const ask = peer('127.0.2.1');
  const gone = await mint(server, { name: 'gone', scopes: ['projects:read'] });
  await server.psql(`DELETE FROM api_keys WHERE key_prefix = '${gone.key.key_prefix}'`);
  const good = await mint(server, { name: 'good', scopes: ['projects:read'] });
  const mixed = good.secret.slice(0, 13) + gone.secret.slice(13);
  const unknown = keyText('rdev_nobodys0', 'x'.repeat(27));
  assert.equal(keyText(good.key.key_prefix, good.secret.slice(14, -6)), good.secret, 'these are well-formed');
  for (let i = 0; i < failures; ++i)
    assertRefused(await ask(server, as([gone.secret, 'not a key', mixed, wrongSecretOf(good), unknown][i % 5])), 401, 'UNAUTHORIZED');
  for (const headers of [bad, as(undefined), as(gone.secret)]) assertBanned(await ask(server, headers));
  assert.equal((await ask(server, as(good.secret))).status, 200);
  assert.equal((await ask(server, as(server.key))).status, 200);
  const ban = await waitFor('it is written down', () => banOf('127.0.2.1/32'));
  assert.match(ban.id, /^ban_[0-9a-hjkmnp-tv-z]{26}$/);
  assert.deepEqual(Object.keys(ban).sort(), ['id', 'network', 'since', 'strikes', 'until']);
  assert.equal(ban.strikes, 1);
  assert.equal(seconds(ban), 60);
  assert.ok(Number((await ask(server)).headers['retry-after']) <= 60);
});

test('no key is no try, but it is refused while the address is locked out', async () => {
  const ask = peer('127.0.2.2');
  await fail(server, ask, 3 * failures, as(undefined));
  await lockOut(server, ask);
  assertBanned(await ask(server, as(undefined)));
});

test('good requests between them change nothing about the count', async () => {
  const ask = peer('127.0.2.9');
  await fail(server, ask, failures - 1);
  assert.equal((await ask(server, as(server.key))).status, 200);
  await fail(server, ask, 1);
  assertBanned(await ask(server));
});

test('a key that there is, or was, is no try: revoked, expired, from elsewhere, without the scope', async () => {
  const ask = peer('127.0.2.3');
  const revoked = await mint(server, { name: 'revoked', scopes: ['projects:read'] });
  assert.equal((await server.api('DELETE', `/keys/${revoked.id}`)).status, 200);
  const expired = await mint(server, { name: 'expired', scopes: ['projects:read'] });
  await server.psql(`UPDATE api_keys SET expires_at = clock_timestamp() - interval '1 s' WHERE name = 'expired'`);
  const foreign = await mint(server, { name: 'foreign', scopes: ['projects:read'], allowed_ips: ['192.0.2.1'] });
  const weak = await mint(server, { name: 'weak', scopes: ['audit:read'] });
  for (let i = 0; i < 2 * failures; ++i) {
    assertRefused(await ask(server, as(revoked.secret)), 401, 'KEY_REVOKED');
    assertRefused(await ask(server, as(expired.secret)), 401, 'KEY_EXPIRED');
    assertRefused(await ask(server, as(foreign.secret)), 403, 'IP_NOT_ALLOWED');
    assertRefused(await ask(server, as(weak.secret)), 403, 'FORBIDDEN');
  }
  assertRefused(await ask(server), 401, 'UNAUTHORIZED');
});

test('one address is locked out, its neighbour is not', async () => {
  await lockOut(server, peer('127.0.2.4'));
  await fail(server, peer('127.0.2.5'), 1);
});

test('behind a trusted proxy it is the client that is locked out, however it is written', async () => {
  const ask = behindProxy('203.0.113.7');
  await lockOut(server, ask);
  assertBanned(await behindProxy('198.51.100.1, 203.0.113.7')(server));
  assertBanned(await behindProxy('::ffff:203.0.113.7')(server));
  await fail(server, behindProxy('203.0.113.8'), 1);
  await fail(server, behindProxy('203.0.113.7, 203.0.113.8'), 1);
  await fail(server, peer('127.0.0.1'), 1);
});

test('of IPv6 a whole /64 is one client', async () => {
  for (let i = 1; i <= failures; ++i) await fail(server, behindProxy(`2001:db8:1:2::${i}`), 1);
  assertBanned(await behindProxy('2001:db8:1:2:ffff::1')(server));
  await fail(server, behindProxy('2001:db8:1:3::1'), 1);
  assert.equal((await waitFor('it is written down', () => banOf('2001:db8:1:2::/64'))).strikes, 1);
});

test('an untrusted peer cannot have others locked out, nor hide', async () => {
  const ask = (on, headers = bad) => on.api('GET', '/projects', undefined, { 'X-Forwarded-For': '203.0.113.99', ...headers }, { from: '127.0.2.6' });
  await lockOut(server, ask);
  await fail(server, behindProxy('203.0.113.99'), 1);
  assertBanned(await server.api('GET', '/projects', undefined, { 'X-Forwarded-For': '203.0.113.98', ...bad }, { from: '127.0.2.6' }));
});

test('the proxy itself is never locked out', async () => {
  await fail(server, peer('127.0.0.1'), 3 * failures);
  await fail(server, behindProxy('127.0.0.1'), 3 * failures);
  await fail(server, behindProxy('not an address'), 3 * failures);
  assert.equal(await banOf('127.0.0.1/32'), undefined);
});

test('each ban is twice as long as the one before, up to the longest; a lifted one is no strike', async () => {
  const other = await Server.start({ env: { ...env, RDEV_LOCKOUT_LONGEST_BAN: '3m' } });
  try {
    const ask = peer('127.0.2.7');
    for (const [strikes, length] of [[1, 60], [2, 120], [3, 180], [4, 180]]) {
      await lockOut(other, ask);
      const ban = await waitFor('it is written down', () => banOf('127.0.2.7/32', other));
      assert.deepEqual([ban.strikes, seconds(ban)], [strikes, length]);
      await endBan('127.0.2.7/32', other);
      await freed(ask, other);
    }
    await lockOut(other, ask);
    const ban = await waitFor('it is written down', () => banOf('127.0.2.7/32', other));
    assert.equal((await other.api('DELETE', `/bans/${ban.id}`)).status, 200);
    await freed(ask, other);
    await lockOut(other, ask);
    assert.equal((await waitFor('it is written down', () => banOf('127.0.2.7/32', other))).strikes, 1);
  } finally {
    await other.close();
  }
});

test('a ban ends by itself', async () => {
  const other = await Server.start({ env: { ...env, RDEV_LOCKOUT_FIRST_BAN: '1s', RDEV_LOCKOUT_FAILURES: '3' } });
  try {
    const ask = peer('127.0.2.1');
    for (const length of ['00:00:01', '00:00:02']) {
      await fail(other, ask, 3);
      assertBanned(await ask(other));
      await freed(ask, other);
      assert.equal(await other.psql('SELECT justify_interval(date_trunc(\'second\', until - since + interval \'5 ms\')) FROM ban'), length);
      await waitFor('what has ended is not listed', async () => (await bans(other)).length === 0);
    }
  } finally {
    await other.close();
  }
});

test('bans outlive an orderly end, also those of the last moment', async () => {
  const other = await Server.start({ env });
  try {
    const asks = Array.from({ length: 30 }, (_, i) => peer(`127.0.4.${i + 1}`));
    await Promise.all(asks.map((ask) => lockOut(other, ask)));
    assert.deepEqual(await other.stop(), { code: 0, signal: null });
    await other.start();
    for (const ask of asks) assertBanned(await ask(other));
    assert.equal(await other.psql("SELECT count(*) FROM audit_log WHERE action = 'auth.lockout'"), '30');
  } finally {
    await other.close();
  }
});

test('a good key passes from an address that is locked out, however many of its requests come at once', async () => {
  const ask = peer('127.0.5.1');
  await lockOut(server, ask);
  const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? ask(server) : ask(server, {}))));
  answers.forEach((answer, i) => (i % 3 === 0 ? assertBanned(answer) : assert.equal(answer.status, 200, answer.text)));
});

test('a lock-out has one audit row, one event row and one count', async () => {
  const before = await metric(server, 'rdev_auth_lockouts_total');
  const limited = await metric(server, 'rdev_rate_limited_total{field="ban"}');
  const ask = peer('127.0.2.8');
  // Many at once, some of them behind the one that is enough.
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(server)));
  assert.equal(answers.filter(({ status }) => status === 401).length, failures);
  for (const answer of answers) if (answer.status !== 401) assertBanned(answer);
  assert.equal(await metric(server, 'rdev_auth_lockouts_total'), before + 1);
  assert.equal(await metric(server, 'rdev_rate_limited_total{field="ban"}'), limited + 40 - failures);
  const ban = await waitFor('it is written down', () => banOf('127.0.2.8/32'));
  const rows = (table, where) => server.psql(`SELECT count(*) FROM ${table} WHERE ${where}`);
  assert.equal(await rows('event', `event = 'auth.lockout' AND data->>'network' = '127.0.2.8/32'`), '1');
  assert.equal(await rows('audit_log', `action = 'auth.lockout' AND target = '127.0.2.8/32'`), '1');
  await assertTimes(server, ['auth.lockout.until']);
  assert.equal((await server.api('DELETE', `/bans/${ban.id}`)).status, 200);
  assert.equal(await rows('audit_log', "action = 'ban.lift' AND detail->>'network' = '127.0.2.8/32'"), '1');
  const line = server.logs().filter((one) => one.network === '127.0.2.8/32');
  assert.equal(line.length, 1, 'and one line in the log');
});

test('bans come in pages, newest first, and only administrators see and lift them', async () => {
  const fresh = Array.from({ length: 5 }, (_, i) => `127.0.3.${i + 1}`); // earlier ones may end at any moment
  for (const address of fresh) await lockOut(server, peer(address));
  const ours = (list) => list.filter(({ network }) => fresh.some((address) => network === `${address}/32`));
  const all = await waitFor('they are written down', async () => {
    const now = ours(await bans());
    return now.length === fresh.length && now;
  });
  const seen = [];
  let cursor = '';
  do {
    const page = await server.api('GET', `/bans?limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    assert.ok(page.data.length <= 2);
    seen.push(...page.data);
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.deepEqual(ours(seen), all);
  assert.deepEqual([...all].sort((a, b) => Date.parse(b.since) - Date.parse(a.since)).map(({ id }) => id), all.map(({ id }) => id));
  assertRefused(await server.api('GET', '/bans?cursor=x'), 400, 'BAD_REQUEST');
  assertRefused(await server.api('GET', '/bans?limit=0'), 400, 'BAD_REQUEST');
  const most = await mint(server, { name: 'all but admin', scopes: ['projects:read', 'projects:write', 'projects:execute', 'keys:read', 'keys:write', 'webhooks:read', 'webhooks:write', 'audit:read'] });
  assertRefused(await server.api('GET', '/bans', undefined, as(most.secret)), 403, 'FORBIDDEN');
  assertRefused(await server.api('DELETE', `/bans/${all[0].id}`, undefined, as(most.secret)), 403, 'FORBIDDEN');
  const admin = await mint(server, { name: 'another admin', scopes: ['admin'] });
  assert.equal((await server.api('GET', '/bans', undefined, as(admin.secret))).status, 200);
});

test('a ban that is lifted is over, and cannot be lifted twice', async () => {
  const ask = peer('127.0.2.20');
  await lockOut(server, ask);
  const ban = await waitFor('it is written down', () => banOf('127.0.2.20/32'));
  const lifted = await server.api('DELETE', `/bans/${ban.id}`);
  assert.equal(lifted.status, 200, lifted.text);
  assert.deepEqual(lifted.data, ban, 'as it was');
  await freed(ask);
  assert.equal(await banOf('127.0.2.20/32'), undefined);
  assertRefused(await server.api('DELETE', `/bans/${ban.id}`), 404, 'NOT_FOUND');
  assertRefused(await server.api('DELETE', '/bans/ban_00000000000000000000000000'), 404, 'NOT_FOUND');
  assertRefused(await server.api('DELETE', '/bans/nonsense'), 404, 'NOT_FOUND');
  await fail(server, ask, failures - 2);
});

for (const how of ['stop', 'kill9'])
  test(`bans outlive the server that imposed them (${how})`, async () => {
    const ask = peer(how === 'stop' ? '127.0.2.30' : '127.0.2.31');
    await lockOut(server, ask);
    const all = await waitFor('it is written down', async () => (await banOf(how === 'stop' ? '127.0.2.30/32' : '127.0.2.31/32')) && bans());
    for (let i = 0; i < 5; ++i) {
      await server[how]();
      await server.start();
      assertBanned(await ask(server)); // from its first answer on
      const there = await bans();
      const now = Date.now(); // some of the others may have ended by themselves
      const same = all.filter(({ id, until }) => Date.parse(until) > now || there.some((one) => one.id === id));
      assert.deepEqual(there, same);
      assert.ok(there.length > 0);
    }
  });

test('a strict lock-out is for good keys as well', async () => {
  const strict = await Server.start({ env: { ...env, RDEV_LOCKOUT_STRICT: 'true' } });
  try {
    const good = await mint(strict, { name: 'good', scopes: ['projects:read'] });
    const revoked = await mint(strict, { name: 'revoked', scopes: ['projects:read'] });
    assert.equal((await strict.api('DELETE', `/keys/${revoked.id}`)).status, 200);
    const ask = peer('127.0.3.1');
    assert.equal((await ask(strict, as(good.secret))).status, 200);
    await lockOut(strict, ask);
    for (const secret of [good.secret, revoked.secret, strict.key, undefined]) assertBanned(await ask(strict, as(secret)));
    assert.equal((await strict.api('GET', '/health', undefined, {}, { from: '127.0.3.1' })).status, 200);
    assert.equal((await peer('127.0.3.2')(strict, as(good.secret))).status, 200, 'the key itself is as good as ever');
  } finally {
    await strict.close();
  }
});

test('in the shadow nobody is locked out or limited, and it is counted who would be', async () => {
  const shadow = await Server.start({ env: { RDEV_LOCKOUT_SHADOW: 'true', RDEV_LIMITS_SHADOW: 'key,address', RDEV_LIMITS_UNAUTHENTICATED_RPS: '1', RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1' } });
  try {
    const ask = peer('127.0.3.3');
    for (const answer of await Promise.all(Array.from({ length: 3 * failures }, () => ask(shadow)))) assertRefused(answer, 401, 'UNAUTHORIZED');
    assert.equal(await metric(shadow, 'rdev_auth_lockouts_shadow_total'), 1);
    assert.equal(await metric(shadow, 'rdev_auth_lockouts_total'), 0);
    assert.deepEqual(await bans(shadow), []);
    assert.equal(await shadow.psql("SELECT count(*) FROM event WHERE event = 'auth.lockout'"), '0');
    assert.ok((await metric(shadow, 'rdev_rate_limit_shadow_total{field="address"}')) > 0);
    const slow = await mint(shadow, { name: 'slow', scopes: ['projects:read'], rate_limit: 1 });
    for (const answer of await Promise.all(Array.from({ length: 8 }, () => ask(shadow, as(slow.secret))))) assert.equal(answer.status, 200);
    assert.ok((await metric(shadow, 'rdev_rate_limit_shadow_total{field="key"}')) > 0);
    for (const field of ['key', 'address', 'global', 'ban']) assert.equal(await metric(shadow, `rdev_rate_limited_total{field="${field}"}`), 0, field);
  } finally {
    await shadow.close();
  }
});

test('without lock-outs anybody may try as often as it likes', async () => {
  const off = await Server.start({ env: { ...env, RDEV_LOCKOUT_FAILURES: '0' } });
  try {
    await fail(off, peer('127.0.3.4'), 3 * failures);
  } finally {
    await off.close();
  }
});

test('what one node locks out or lets in again, the other does too; at both at once it is one lock-out', async () => {
  const cluster = await Cluster.start({ env });
  try {
    const [a, b] = [cluster.add('a'), cluster.add('b')];
    await Promise.all([a.start(), b.start()]);
    const ask = peer('127.0.4.1');
    await lockOut(a, ask);
    await waitFor('node b knows', async () => (await ask(b, as(undefined))).status === 429);
    assertBanned(await ask(b));
    const [ban] = await bans(b);
    assert.equal((await b.api('DELETE', `/bans/${ban.id}`)).status, 200);
    await Promise.all([freed(ask, a), freed(ask, b)]);

    const both = peer('127.0.4.2');
    await Promise.all([fail(a, both, failures - 1), fail(b, both, failures - 1)]);
    await Promise.all([fail(a, both, 1), fail(b, both, 1)]);
    assertBanned(await both(a));
    assertBanned(await both(b));
    await waitFor('it is written down', () => banOf('127.0.4.2/32', a));
    assert.equal((await banOf('127.0.4.2/32', a)).strikes, 1);
    await endBan('127.0.4.2/32', { psql: (sql) => cluster.database.sql(sql.replace(/;.*/s, '')) });
    await cluster.database.sql('UPDATE ban_version SET version = version + 1');
    await Promise.all([freed(both, a), freed(both, b)]);
    await lockOut(b, both);
    assert.equal((await waitFor('it is written down', () => banOf('127.0.4.2/32', a))).strikes, 2, 'a strike of one node is one for the other');
    assert.deepEqual(await cluster.database.rows(`SELECT data->>'strikes' AS strikes FROM event WHERE event = 'auth.lockout' AND data->>'network' = '127.0.4.2/32' ORDER BY id`),
      [{ strikes: '1' }, { strikes: '2' }], 'one event for each ban');
    assert.equal(await cluster.database.count("audit_log WHERE action = 'auth.lockout' AND target = '127.0.4.2/32'"), 2);
  } finally {
    await cluster.close();
  }
});
