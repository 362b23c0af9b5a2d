// What an attacker sent once, and what must be left standing: the server, its audit log, its counters, its order of answers.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { Server, assertRefused, mint, waitFor } from './support.mjs';

let server;
before(async () => { server = await Server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_AUDIT_REFUSALS_PER_MINUTE: '1000000' } }); });
after(() => server.close());

// Sends bytes as they are and gives all that comes back until the connection ends or `enough` has come.
function raw(pieces, enough = () => false) {
  return new Promise((resolve, reject) => {
    const [host, port] = server.address.split(':');
    const socket = net.connect({ host, port: Number(port) });
    let text = '';
    socket.on('data', (piece) => { text += piece.toString('latin1'); if (enough(text)) socket.end(); });
    socket.on('close', () => resolve(text));
    socket.on('error', (error) => (['ECONNRESET', 'EPIPE'].includes(error.code) ? resolve(text) : reject(error)));
    for (const piece of [].concat(pieces)) socket.write(piece);
  });
}

const head = (lines) => `${lines.join('\r\n')}\r\nHost: x\r\n`;

test('a trailer or a chunk head without end is refused, and the server lives', async () => {
  const chunked = head(['POST /projects/demo/shell HTTP/1.1', 'Transfer-Encoding: chunked', 'Content-Type: application/json']);
  for (const tail of [`2\r\n{}\r\n0\r\nA: ${'a'.repeat(100_000)}\r\n\r\n`, `2;${'a'.repeat(100_000)}`, `2\r\n{}\r\n0\r\nA: ${'a'.repeat(30_000)}`]) {
    const answer = await raw([`${chunked}\r\n`, tail]);
    assert.match(answer, /^HTTP\/1\.1 431 /, answer.slice(0, 200));
    assert.match(answer, /HEADERS_TOO_LARGE/);
  }
  assert.equal((await server.api('GET', '/health')).status, 200);
});

test('a body behind a refusal is not taken for a request', async () => {
  const smuggled = head(['GET /openapi.json HTTP/1.1']) + '\r\n';
  const answer = await raw(`${head(['POST /keys HTTP/1.1', `Content-Length: ${smuggled.length}`])}\r\n${smuggled}${head(['GET /health HTTP/1.1', 'Connection: close'])}\r\n`);
  assert.equal(answer.match(/HTTP\/1\.1 \d/g).length, 2, answer);
  assert.match(answer, /^HTTP\/1\.1 401 /);
  assert.ok(!answer.includes('"openapi"'));
  assert.match(answer, /\{"status":"ok"\}$/);
});

test('what could be read in two ways is refused', async () => {
  const cases = [
    ['GET /health HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2'], ['POST /keys HTTP/1.1', 'Content-Length: 2', 'Transfer-Encoding: chunked'],
    ['POST /keys HTTP/1.1', 'Transfer-Encoding: gzip'], ['GET /health HTTP/1.1', 'Host: y'], ['GET /health HTTP/3.0'], ['GET  /health HTTP/1.1'],
    ['GET /health HTTP/1.1', 'A : b'], ['GET /health HTTP/1.1', 'A: b\rc'], [`${'M'.repeat(40)} /health HTTP/1.1`],
  ];
  for (const lines of cases) assert.match(await raw(`${head(lines)}\r\n`), /^HTTP\/1\.1 400 /, lines.join(' | '));
});

test('pipelined requests are answered in their order', async () => {
  const one = (path) => `${head([`GET ${path} HTTP/1.1`, `X-Request-ID: ${path.slice(1)}`])}\r\n`;
  const paths = ['/health', '/nowhere', '/ready', '/health'];
  const answer = await raw(paths.map(one).join(''), (text) => text.match(/X-Request-ID/g)?.length === paths.length && /\}$/.test(text));
  assert.deepEqual([...answer.matchAll(/X-Request-ID: (\S+)/g)].map(([, id]) => `/${id}`), paths);
});

test('a refusal with a path that is no text is on record, and so are those behind it', async () => {
  await server.api('GET', '/projects/x%00y', undefined, { 'X-API-Key': undefined });
  await raw(Buffer.concat([Buffer.from('GET /projects/a'), Buffer.from([0xff, 0xfe]), Buffer.from(`b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)]));
  await server.api('GET', '/projects/after-the-bad-ones', undefined, { 'X-API-Key': undefined });
  await waitFor('all three are in the audit log', async () =>
    (await server.psql("SELECT count(*) FROM audit_log WHERE action = 'request.refused' AND target LIKE 'GET /projects/%'")) >= '3');
  assert.equal(await server.psql("SELECT count(*) FROM audit_log WHERE target LIKE '%after-the-bad-ones' AND reason = 'UNAUTHORIZED'"), '1');
});

test('invented methods make no counters of their own', async () => {
  for (const method of ['BREW', 'PROPFIND', 'X'.repeat(30)]) await raw(`${head([`${method} /health HTTP/1.1`, 'Connection: close'])}\r\n`);
  const { text } = await server.api('GET', '/metrics');
  assert.ok(!/BREW|PROPFIND|XXXX/.test(text));
  assert.match(text, /http_requests_total\{[^}]*method="other"/);
});

test('a body with tens of thousands of problems is refused quickly and shortly', async () => {
  const many = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`f${i}`, 1]));
  for (const body of [many, { command: 'true', env: many }, { command: Array(200_000).fill(1) }, { ['x'.repeat(900_000)]: 1 }]) {
    const answer = assertRefused(await server.api('POST', '/projects/demo/shell', body), 400, 'BAD_REQUEST');
    assert.ok(answer.text.length < 64 * 1024, `${answer.text.length} bytes of answer`);
  }
});

test('headers that are given twice and differ are refused', async () => {
  const key = server.key;
  assert.match(await raw(`${head(['GET /projects HTTP/1.1', `X-API-Key: ${key}`, 'X-API-Key: other', 'Connection: close'])}\r\n`), /^HTTP\/1\.1 400 /);
  assert.match(await raw(`${head(['GET /projects HTTP/1.1', `X-API-Key: ${key}`, `X-API-Key: ${key}`, 'Connection: close'])}\r\n`), /^HTTP\/1\.1 200 /);
});

test('a repeat is answered like the first time, also when the state would refuse it by now', async () => {
  const project = { id: 'fleeting' };
  const first = await server.api('POST', '/projects', project, { 'Idempotency-Key': 'p' });
  assert.equal(first.status, 201, first.text);
  const run = (key) => server.api('POST', '/projects/fleeting/shell', { command: 'true' }, { 'Idempotency-Key': key });
  const command = await run('c');
  assert.equal(command.status, 202);
  await server.finished(command.data.id);
  assert.equal((await server.api('DELETE', '/projects/fleeting')).status, 200);
  const again = await server.api('POST', '/projects', project, { 'Idempotency-Key': 'p' });
  assert.equal(again.status, 201, again.text);
  assert.equal(again.headers['idempotency-replayed'], 'true');
  assert.equal(again.data.id, 'fleeting');
  const repeat = await run('c');
  assert.equal(repeat.status, 202, repeat.text);
  assert.deepEqual(repeat.data, command.data);
  assertRefused(await run('another'), 404, 'NOT_FOUND');

  const old = await mint(server, { name: 'to be rotated', scopes: ['projects:read'] });
  const rotate = () => server.api('POST', `/keys/${old.id}/rotate`, { overlap: '0s' }, { 'Idempotency-Key': 'r' });
  const rotated = await rotate();
  assert.equal(rotated.status, 201, rotated.text);
  const rerotated = await rotate();
  assert.equal(rerotated.status, 201, rerotated.text);
  assert.equal(rerotated.data.key.id, rotated.data.key.id);
  assert.equal(rerotated.data.secret, null);
});

test('a key may rotate itself, but does not outlive itself by that', async () => {
  const own = await mint(server, { name: 'own', scopes: ['keys:write', 'projects:read'], expires_in: '30d' });
  const answer = await server.api('POST', `/keys/${own.id}/rotate`, {}, { 'X-API-Key': own.secret });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.data.key.expires_at, own.key.expires_at);
});

test('what is not there is not found before anything else is said of it', async () => {
  for (const verb of ['start', 'stop', 'restart']) {
    assertRefused(await server.api('POST', `/projects/not-there/${verb}`), 404, 'NOT_FOUND');
    assertRefused(await server.api('POST', `/projects/demo/${verb}`), 409, 'CONFLICT');
  }
});

test('every answer has a date, and a compressed body is not taken', async () => {
  const answer = await server.api('GET', '/health');
  assert.ok(Math.abs(Date.parse(answer.headers.date) - Date.now()) < 60_000);
  assertRefused(await server.api('POST', '/projects/demo/shell', { command: 'true' }, { 'Content-Encoding': 'gzip' }), 415, 'UNSUPPORTED_MEDIA_TYPE');
});
