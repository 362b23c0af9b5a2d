// Refused requests are on record: the first few of an address and key by themselves, the others with their exact number.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Server, mint, waitFor } from './support.mjs';

const perMinute = 5;
let server;
before(async () => {
  server = await Server.start({
    env: {
      RDEV_AUDIT_REFUSALS_PER_MINUTE: String(perMinute),
      RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32',
      RDEV_LIMITS_UNAUTHENTICATED_RPS: '0',
      RDEV_LOCKOUT_FAILURES: '1000',
    },
  });
});
after(() => server?.close());

const number = async (text) => Number(await server.psql(text));
const single = (where) => number(`SELECT count(*) FROM audit_log WHERE action = 'request.refused' AND NOT detail ? 'count' AND ${where}`);
const all = (where) =>
  number(`SELECT coalesce(sum(coalesce(detail->>'count', '1')::int), 0) FROM audit_log WHERE action = 'request.refused' AND ${where}`);

test('refusals beyond the limit are counted, for each address, key and reason', async () => {
  const { secret } = await mint(server, { name: 'narrow', scopes: ['projects:read'] });
  const ask = async (address, key, expected) => {
    const answer = await server.api('GET', '/keys', undefined, { 'X-Forwarded-For': address, 'X-API-Key': key });
    assert.equal(answer.status, expected, answer.text);
  };
  for (let i = 0; i < 12; ++i) {
    await ask('203.0.113.1', 'nonsense', 401);
    await ask('203.0.113.1', secret, 403);
    await ask(`2001:db8::${i + 1}`, 'nonsense', 401);
    if (i < 3) await ask('203.0.113.2', undefined, 401);
  }
  const sources = ["client_ip = '203.0.113.1' AND reason = 'UNAUTHORIZED'", "actor_name = 'narrow' AND reason = 'FORBIDDEN'", "client_ip LIKE '2001:db8::%'"];
  await waitFor('the first ones are written', async () => {
    for (const source of sources) if ((await single(source)) < perMinute) return false;
    return true;
  });

  await server.stop();
  await server.start();
  for (const source of sources) {
    assert.equal(await all(source), 12, source);
    assert.ok((await single(source)) < 12, `some of them are counted only: ${source}`);
  }
  assert.equal(await number("SELECT count(DISTINCT actor_key) FROM audit_log WHERE actor_name = 'narrow' AND detail ? 'count'"), 1);
  assert.ok((await number("SELECT count(*) FROM audit_log WHERE client_ip = '2001:db8::/64' AND detail ? 'count'")) >= 1);
  assert.equal(await all("client_ip = '203.0.113.2'"), 3);
  assert.equal(await number("SELECT count(*) FROM audit_log WHERE client_ip = '203.0.113.2'"), 3, 'nothing is told of nothing');
});
