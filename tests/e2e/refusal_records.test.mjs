// Refused requests are on record: the first few of an address and key by themselves, the others with their exact number.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Connection } from './raw.mjs';
import { Server, assertRefused, fieldsOf, mint, waitFor } from './support.mjs';

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

test('what is refused before anybody is known is on record as well', async () => {
  const since = await server.psql('SELECT clock_timestamp()');
  const raw = async (...lines) => {
    const connection = await Connection.open(server.address);
    await connection.send(`${lines.join('\r\n')}\r\n\r\n`);
    const { status } = await connection.answer();
    connection.finish();
    return status;
  };
  const head = (line, address, ...more) => [line, 'Host: x', `X-Forwarded-For: ${address}`, ...more];
  const key = `X-API-Key: ${server.key}`;
  const asked = [
    ['198.51.100.1', 400, 'BAD_REQUEST', 'GET /projects', head('GET /projects HTTP/1.1', '198.51.100.1', key, 'Authorization: Bearer another')],
    ['198.51.100.2', 400, 'BAD_REQUEST', 'GET /projects', head('GET /projects HTTP/1.1', '198.51.100.2', key, 'X-API-Key: another')],
    ['198.51.100.3', 400, 'BAD_REQUEST', 'POST /projects/demo/shell', head('POST /projects/demo/shell HTTP/1.1', '198.51.100.3', key, 'Idempotency-Key: a', 'Idempotency-Key: b', 'Content-Length: 0')],
    ['198.51.100.4', 411, 'LENGTH_REQUIRED', 'POST /projects/demo/shell', head('POST /projects/demo/shell HTTP/1.1', '198.51.100.4', key)],
    ['198.51.100.5', 404, 'NOT_FOUND', 'GET /nowhere', head('GET /nowhere HTTP/1.1', '198.51.100.5', key)],
    ['198.51.100.6', 405, 'METHOD_NOT_ALLOWED', 'PUT /projects', head('PUT /projects HTTP/1.1', '198.51.100.6', key, 'Content-Length: 0')],
    ['198.51.100.7', 413, 'PAYLOAD_TOO_LARGE', 'POST /projects/demo/shell', head('POST /projects/demo/shell HTTP/1.1', '198.51.100.7', key, 'Content-Length: 99999999999')],
    ['198.51.100.8', 400, 'BAD_REQUEST', 'GET /%zz', head('GET /%zz HTTP/1.1', '198.51.100.8', key)],
  ];
  for (const [address, status, , , lines] of asked) assert.equal(await raw(...lines), status, address);
  for (const [address, , code, target] of asked)
    await waitFor(`${code} of ${address} is on record`, async () =>
      (await server.psql(`SELECT outcome || ' ' || reason || ' ' || target FROM audit_log WHERE action = 'request.refused' AND client_ip = '${address}' AND at >= '${since}'`)) === `refused ${code} ${target}`);
});

test('of two keys that differ none is tried; who is locked out is so with them, too', async () => {
  const other = await Server.start({ env: { RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32', RDEV_LOCKOUT_FAILURES: '3' } });
  try {
    const ask = (headers) => other.api('GET', '/projects', undefined, { 'X-Forwarded-For': '198.51.100.9', ...headers });
    const two = { 'X-API-Key': other.key, Authorization: 'Bearer another' };
    for (let i = 0; i < 5; ++i) assert.deepEqual(fieldsOf(assertRefused(await ask(two), 400, 'BAD_REQUEST')), ['Authorization']);
    for (let i = 0; i < 3; ++i) assertRefused(await ask({ 'X-API-Key': 'nonsense' }), 401, 'UNAUTHORIZED');
    assertRefused(await ask(two), 429, 'TOO_MANY_REQUESTS');
    assert.equal((await ask({ 'X-API-Key': other.key })).status, 200);
  } finally {
    await other.close();
  }
});
