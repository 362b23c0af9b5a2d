// HTTP/1 to the byte (RFC 9110, RFC 9112 and the contract's limits), over raw sockets. A request that is refused is sent whole and
// cut in many ways, with a good request behind it that would run a command: it must never be read.
import assert from 'node:assert/strict';
import os from 'node:os';
import { after, before, test } from 'node:test';
import { Connection, cutsOf } from './raw.mjs';
import { FrameReader, Server, Transcript, sha256, waitFor } from './support.mjs';

const key = 'k'.repeat(40);
const settings = { RDEV_ADMIN_KEY: key, RDEV_LIMITS_RPS: '0', RDEV_HTTP_MAX_BODY_BYTES: '64KiB', RDEV_SSE_HEARTBEAT: '5m' };
const limits = { body: 64 * 1024, head: 16 * 1024, target: 8 * 1024 };

let server;
before(async () => { server = await Server.start({ env: settings }); });
after(() => server.close());

const open = (to = server) => Connection.open(to.address);
const lines = (...all) => `${all.join('\r\n')}\r\n\r\n`;
const get = (target = '/health', ...fields) => lines(`GET ${target} HTTP/1.1`, 'Host: x', ...fields);
const body = (command) => JSON.stringify({ command: ['echo', command] });
const post = (content, fields = [`Content-Length: ${Buffer.byteLength(content)}`], target = '/projects/demo/shell') =>
  lines(`POST ${target} HTTP/1.1`, 'Host: x', `X-API-Key: ${key}`, 'Content-Type: application/json', ...fields) + content;
const chunkedPost = (chunks, fields = []) => post(chunks, ['Transfer-Encoding: chunked', ...fields]);
const chunksOf = (content, size = content.length) => {
  let out = '';
  for (let at = 0; at < content.length; at += size) out += `${Math.min(size, content.length - at).toString(16)}\r\n${content.slice(at, at + size)}\r\n`;
  return `${out}0\r\n\r\n`;
};
const submitted = async (answer) => { assert.equal(answer.status, 202, answer.text); return answer.data.id; };

const meant = new Set(); // commands that were to run
const ran = async () => (await server.psql("SELECT count(*) FROM command")) * 1;

// ---- refusals

// One refusal, nothing else, and the end of the connection, however the bytes are cut.
async function refused(name, request, status, { behind = post(body('smuggled')) } = {}) {
  const code = { 400: 'BAD_REQUEST', 413: 'PAYLOAD_TOO_LARGE', 414: 'URI_TOO_LONG', 431: 'HEADERS_TOO_LARGE' }[status];
  for (const [cut, segments] of Object.entries(cutsOf(request, behind))) {
    const connection = await open();
    try {
      await connection.send(...segments);
      const answer = await connection.answer();
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.error.code, code);
      assert.equal(answer.headers.connection, 'close');
      await connection.closed();
    } catch (error) {
      error.message = `${name}, ${cut}: ${error.message}`;
      throw error;
    } finally {
      connection.close();
    }
  }
}

function table(title, status, cases) {
  test(title, async (t) => {
    for (const [name, request, options] of cases) await t.test(name, () => refused(name, request, status, options));
  });
}

const withHead = (...fields) => post(body('smuggled'), fields);
table('framing that could be read in two ways', 400, [
  ['two lengths', withHead('Content-Length: 5', 'Content-Length: 5')],
  ['two lengths that differ', withHead('Content-Length: 5', 'content-length: 6')],
  ['a list of lengths', withHead('Content-Length: 5, 5')],
  ['a length and chunks', withHead('Content-Length: 5', 'Transfer-Encoding: chunked')],
  ['chunks and a length', withHead('Transfer-Encoding: chunked', 'Content-Length: 0')],
  ...['identity', 'gzip, chunked', 'chunked, chunked', 'xchunked', 'chunked;q=1', 'chunked,', ''].map((coding) => [`coding '${coding}'`, withHead(`Transfer-Encoding: ${coding}`)]),
  ['a coding behind a control character', withHead('Transfer-Encoding: \x0bchunked')],
  ['two codings', withHead('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
  ['chunks in HTTP/1.0', chunkedPost(chunksOf('{}')).replace('HTTP/1.1', 'HTTP/1.0')],
  ...['+5', '-1', '0x5', '5 5', '', 'five', '5;'].concat('9'.repeat(40)).map((length) => [`length '${length}'`, withHead(`Content-Length: ${length}`)]),
  ['a folded field', get('/health', 'X-A: b', ' c')],
  ['a blank before the colon', get('/health', 'X-A : b')],
  ['a blank before the first field', lines('GET /health HTTP/1.1', ' Host: x')],
  ['a field without name', get('/health', ': b')],
  ['a field without colon', get('/health', 'X-A')],
  ['lines that end with LF', 'GET /health HTTP/1.1\nHost: x\n\n'],
  ['one line that ends with LF', 'GET /health HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n'],
  ['CR in a field', get('/health', 'X-A: b\rc')],
  ['CR CR LF', 'GET /health HTTP/1.1\r\r\nHost: x\r\n\r\n'],
  ['NUL in a field', get('/health', 'X-A: b\0c')],
  ['a control character in a field', get('/health', 'X-A: b\x01c')],
  ['DEL in a field', get('/health', 'X-A: b\x7fc')],
]);

table('request lines', 400, [
  ['two blanks', get().replace('GET ', 'GET  ')],
  ['a tab', get().replace('GET ', 'GET\t')],
  ['a blank at the end', get().replace('1.1\r', '1.1 \r')],
  ['no version', lines('GET /health', 'Host: x')],
  ['HTTP/2.0', get().replace('1.1', '2.0')],
  ['HTTP/1.2', get().replace('1.1', '1.2')],
  ['HTTP/1.10', get().replace('1.1', '1.10')],
  ['HTTP/0.9', get().replace('1.1', '0.9')],
  ['another protocol', get().replace('HTTP', 'HTTQ')],
  ['a method that is no token', get().replace('GET', 'G(T')],
  ['a method without end', `${'M'.repeat(64)} / HTTP/1.1\r\n`],
  ['an authority', lines('CONNECT x:80 HTTP/1.1', 'Host: x')],
  ['another scheme', get('ftp://x/health')],
  ['no authority', get('http:///health')],
  ['no authority and no path', get('http://')],
  ['a fragment', get('/health#x')],
  ['a blank in the target', get('/hea lth')],
  ['NUL in the target', get('/health\0')],
  ['a target that is no path', get('health')],
  ['no Host', lines('GET /health HTTP/1.1')],
  ['two Hosts', get('/health', 'Host: x')],
  ...['a b', 'a/b', 'a@b', 'a,b', 'a"b'].map((host) => [`Host '${host}'`, lines('GET /health HTTP/1.1', `Host: ${host}`)]),
  ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['empty lines without end', '\r\n'.repeat(50)],
]);

table('chunks', 400, [
  ...['0x2', '-2', '+2', ' 2', '2 ', '2 ;a', 'g', ''].map((size) => [`size '${size}'`, chunkedPost(`${size}\r\n{}\r\n0\r\n\r\n`)]),
  ['17 digits', chunkedPost('00000000000000002\r\n{}\r\n0\r\n\r\n')],
  ['zeros without end', chunkedPost('0'.repeat(50_000))],
  ['a chunk that is longer than its size', chunkedPost('2\r\n{}x\r\n0\r\n\r\n')],
  ['LF behind a size', chunkedPost('2\n{}\r\n0\r\n\r\n')],
  ['LF behind a chunk', chunkedPost('2\r\n{}\n0\r\n\r\n')],
  ['CR behind a size', chunkedPost('2\r{}\r\n0\r\n\r\n')],
  ['LF in an extension', chunkedPost('2;a\nb\r\n{}\r\n0\r\n\r\n')],
  ['LF in a quoted extension', chunkedPost('2;a="\n"\r\n{}\r\n0\r\n\r\n')],
  ['CR in a quoted extension', chunkedPost('2;a="\r"\r\n{}\r\n0\r\n\r\n')],
  ['NUL in a quoted extension', chunkedPost('2;a="\0"\r\n{}\r\n0\r\n\r\n')],
  ['a folded trailer', chunkedPost('0\r\nA: b\r\n c\r\n\r\n')],
  ['a trailer without colon', chunkedPost('0\r\nA b\r\n\r\n')],
  ['a control character in a trailer', chunkedPost('0\r\nA: \x01\r\n\r\n')],
  ['LF behind the last chunk', chunkedPost('0\r\n\n')],
]);

table('bodies that are too large', 413, [
  ['a length one above the limit', withHead(`Content-Length: ${limits.body + 1}`)],
  ['announced, with Expect', withHead(`Content-Length: ${limits.body + 1}`, 'Expect: 100-continue')],
  ['a chunk', chunkedPost(`${(limits.body + 1).toString(16)}\r\nx`)],
  ['a chunk of 16 digits', chunkedPost('ffffffffffffffff\r\nx')],
  ['a chunk one above what is left', chunkedPost(`5\r\nhello\r\n${(limits.body - 4).toString(16)}\r\nx`)],
]);

table('targets that are too long', 414, [
  ['one above the limit', get(`/${'a'.repeat(limits.target)}`)],
  ['a query', get(`/health?${'a'.repeat(limits.target)}`)],
  ['a line without end', `GET /${'a'.repeat(40_000)}`],
]);

table('heads that are too large', 431, [
  ['a field', get('/health', `X-A: ${'a'.repeat(limits.head)}`)],
  ['a field without end', `GET /health HTTP/1.1\r\nX-A: ${'a'.repeat(40_000)}`],
  ['a name without end', `GET /health HTTP/1.1\r\n${'a'.repeat(40_000)}`],
  ['101 fields', get('/health', ...Array.from({ length: 100 }, (_, i) => `X-${i}: a`))],
  ['an extension without end', chunkedPost(`2;${'a'.repeat(40_000)}`)],
  ['extensions that are long together', chunkedPost(`1;${'a'.repeat(1000)}\r\nx\r\n`.repeat(20))],
  ['a trailer without end', chunkedPost(`0\r\nA: ${'a'.repeat(40_000)}`)],
  ['many trailers', chunkedPost(`0\r\n${'A: b\r\n'.repeat(5000)}\r\n`)],
]);

test('a refusal of a HEAD has no body', async () => {
  const connection = await open();
  await connection.send(lines('HEAD /health HTTP/1.1', 'Host: x', `Content-Length: ${limits.body + 1}`));
  assert.equal((await connection.answer({ to: 'HEAD' })).status, 413);
  await connection.closed();
});

test('a refused request is logged with what was understood of it', async () => {
  const id = 'seen-before-it-was-refused';
  const connection = await open();
  await connection.send(post('', [`Content-Length: ${limits.body + 1}`, `X-Request-ID: ${id}`]));
  assert.equal((await connection.answer()).meta.request_id, id);
  connection.close();
  const line = await waitFor('the line', () => server.logs().find(({ request_id }) => request_id === id));
  assert.deepEqual([line.method, line.path, line.status, line.code], ['POST', '/projects/demo/shell', 413, 'PAYLOAD_TOO_LARGE']);
});

test('of a request in another version method and path are logged', async () => {
  const path = '/in-another-version';
  const connection = await open();
  await connection.send(get(path).replace('1.1', '2.0'));
  assert.equal((await connection.answer()).status, 400);
  connection.close();
  const line = await waitFor('the line', () => server.logs().find((one) => one.path === path));
  assert.deepEqual([line.method, line.status, line.code], ['GET', 400, 'BAD_REQUEST']);
});

// ---- what is taken

// Good requests, each whole and cut.
async function taken(request, check) {
  for (const [cut, segments] of Object.entries(cutsOf(request))) {
    const connection = await open();
    try {
      await connection.send(...segments);
      await check(await connection.answer(), connection);
    } catch (error) {
      error.message = `${cut}: ${error.message}`;
      throw error;
    } finally {
      connection.close();
    }
  }
}
const isHealth = (answer) => assert.deepEqual([answer.status, answer.text], [200, '{"status":"ok"}']);

test('forms of a good request', async (t) => {
  for (const [name, request] of [
    ['absolute form', get('http://somewhere:80/health')],
    ['absolute form, another case', get('HTTPS://somewhere/health')],
    ['an empty Host', lines('GET /health HTTP/1.1', 'Host:')],
    ['Host with port, IPv6', lines('GET /health HTTP/1.1', 'Host: [::1]:8080')],
    ['HTTP/1.0 without Host', lines('GET /health HTTP/1.0')],
    ['names in any case, values between blanks', lines('GET /health HTTP/1.1', 'hOsT: \t x \t', 'X-Empty:')],
    ['empty lines before it', `\r\n\r\n${get()}`],
    ['a head of the largest size', get('/health', `X-A: ${'a'.repeat(limits.head - get('/health', 'X-A: ').length)}`)],
    ['a target of the largest size', get(`/health?${'a'.repeat(limits.target - 8)}`)],
    ['100 fields', get('/health', ...Array.from({ length: 99 }, (_, i) => `X-${i}: a`))],
    ['a body nobody asked for', lines('GET /health HTTP/1.1', 'Host: x', 'Content-Length: 5') + 'hello'],
  ]) await t.test(name, () => taken(request, isHealth));
});

test('bodies of the largest size', async () => {
  const content = body('large');
  const padded = content + ' '.repeat(limits.body - content.length);
  assert.equal(padded.length, limits.body);
  for (const request of [post(padded), chunkedPost(chunksOf(padded)), chunkedPost(chunksOf(padded, 1000))])
    await taken(request, async (answer) => meant.add(await submitted(answer)));
});

test('chunks of every size, extensions and trailers', async () => {
  const content = body('chunked');
  for (const size of [1, 2, 7, content.length])
    await taken(chunkedPost(chunksOf(content, size)), async (answer) => meant.add(await submitted(answer)));
  const dressed = `${content.length.toString(16).toUpperCase().padStart(8, '0')};a;b="c;\\"d"\r\n${content}\r\n000;x=y\r\nA: b\r\nC:\r\n\r\n`;
  await taken(chunkedPost(dressed), async (answer) => meant.add(await submitted(answer)));
});

test('a trailer is no field', async () => {
  const content = body('trailers');
  const trailers = ['X-API-Key: wrong', 'Content-Length: 3', 'Transfer-Encoding: gzip', 'Host: y', 'Connection: close', 'X-Request-ID: trailer'];
  await taken(chunkedPost(chunksOf(content).replace(/\r\n$/, `${trailers.join('\r\n')}\r\n\r\n`)) + get(), async (answer, connection) => {
    meant.add(await submitted(answer));
    assert.notEqual(answer.meta.request_id, 'trailer');
    assert.equal(answer.headers.connection, 'keep-alive');
    isHealth(await connection.answer());
  });
});

test('the answer to a POST is no place to hide a request in', async () => {
  const hidden = post(body('smuggled'));
  const connection = await open();
  await connection.send(post(hidden, [`Content-Length: ${hidden.length}`], '/keys') + get());
  assert.equal((await connection.answer()).status, 400);
  isHealth(await connection.answer());
  connection.close();
});

test('length required', async () => {
  const connection = await open();
  await connection.send(post('', []) + post(body('smuggled')));
  const answer = await connection.answer();
  assert.deepEqual([answer.status, answer.error.code, answer.headers.connection], [411, 'LENGTH_REQUIRED', 'close']);
  await connection.closed();
});

// ---- 100 Continue

test('100 Continue', async (t) => {
  const content = body('continued');
  const head = post('', [`Content-Length: ${content.length}`, 'Expect: 100-Continue']);
  await t.test('is sent once, before the body', async () => {
    for (const form of [head, chunkedPost('', ['Expect: 100-continue'])]) {
      const connection = await open();
      await connection.send(form);
      assert.equal((await connection.answer()).status, 100);
      await connection.send(form === head ? content : chunksOf(content));
      meant.add(await submitted(await connection.answer()));
      connection.close();
    }
  });
  await t.test('is not sent when the body is there', () => taken(head + content, async (answer, connection) => {
    if (answer.status === 100) answer = await connection.answer(); // the cut was just behind the head
    meant.add(await submitted(answer));
  }));
  await t.test('is unknown to HTTP/1.0', async () => {
    const connection = await open();
    await connection.send(head.replace('1.1', '1.0'));
    await connection.send(content);
    meant.add(await submitted(await connection.answer()));
    await connection.closed();
  });
  await t.test('another expectation is none', () => taken(get('/health', 'Expect: x'), isHealth));
});

// ---- answers

test('HEAD is GET without the body', async () => {
  for (const target of ['/health', '/openapi.json', '/docs', '/nowhere', '/projects', '/projects/demo', '/projects/%zz']) {
    const both = [];
    for (const method of ['GET', 'HEAD']) {
      const connection = await open();
      await connection.send(lines(`${method} ${target} HTTP/1.1`, 'Host: x', `X-API-Key: ${key}`, 'X-Request-ID: same'), get());
      const { status, names, headers } = await connection.answer({ to: method });
      both.push({ status, names, length: headers['content-length'] });
      isHealth(await connection.answer());
      connection.close();
    }
    if (target !== '/projects' && target !== '/projects/demo') assert.deepEqual(both[0], both[1], target); // those hold a time
    else assert.deepEqual(both[0].names, both[1].names, target);
  }
});

test('HEAD of a stream ends at once', async () => {
  const id = await server.submit(['echo', 'head']);
  meant.add(id);
  await server.finished(id);
  for (const target of [`/projects/demo/events?stream_id=${id}`, '/projects/demo/events']) {
    const connection = await open();
    await connection.send(lines(`HEAD ${target} HTTP/1.1`, 'Host: x', `X-API-Key: ${key}`));
    const answer = await connection.answer({ to: 'HEAD' });
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'text/event-stream']);
    await connection.closed();
  }
});

test('pipelined requests are answered in their order', async () => {
  const connection = await open();
  const kinds = [
    [(i) => get('/health', `X-Request-ID: p${i}`), 200, 'GET'],
    [(i) => get('/nowhere', `X-Request-ID: p${i}`), 404, 'GET'],
    [(i) => lines('HEAD /health HTTP/1.1', 'Host: x', `X-Request-ID: p${i}`), 200, 'HEAD'],
    [(i) => chunkedPost(chunksOf('{"command": 1}', 3), [`X-Request-ID: p${i}`]), 400, 'GET'],
    [(i) => get('/projects/demo', `X-API-Key: ${key}`, `X-Request-ID: p${i}`), 200, 'GET'],
  ];
  let all = '';
  for (let i = 0; i < 200; ++i) all += kinds[i % kinds.length][0](i);
  await connection.send(all);
  for (let i = 0; i < 200; ++i) {
    const [, status, to] = kinds[i % kinds.length];
    const answer = await connection.answer({ to });
    assert.deepEqual([answer.status, answer.headers['x-request-id']], [status, `p${i}`]);
  }
  connection.close();
});

test('nothing is read behind an event stream', async () => {
  const id = await server.submit(['echo', 'first']);
  meant.add(id);
  const connection = await open();
  await connection.send(get(`/projects/demo/events?stream_id=${id}`, `X-API-Key: ${key}`) + post(body('smuggled')));
  const answer = await connection.answer();
  assert.match(answer.text, /event: complete/);
  assert.ok(!answer.text.includes('HTTP/1.1'));
});

test('Connection', async (t) => {
  const cases = [
    ['1.1', [], true], ['1.1', ['Connection: close'], false], ['1.1', ['Connection: CLOSE'], false], ['1.1', ['Connection: x, close ,y'], false],
    ['1.1', ['Connection: x', 'Connection: close'], false], ['1.1', ['Connection: keep-alive, close'], false], ['1.1', ['Connection: closed'], true],
    ['1.0', [], false], ['1.0', ['Connection: keep-alive'], true], ['1.0', ['Connection: a, Keep-Alive'], true], ['1.0', ['Connection: keep-alive', 'Connection: close'], false],
  ];
  for (const [version, fields, stays] of cases)
    await t.test(`HTTP/${version} ${fields.join(' | ')}`, async () => {
      const connection = await open();
      await connection.send(get('/health', ...fields).replace('1.1', version) + get());
      const answer = await connection.answer();
      isHealth(answer);
      assert.equal(answer.headers.connection, stays ? 'keep-alive' : 'close');
      if (stays) isHealth(await connection.answer());
      else await connection.closed();
      connection.close();
    });
});

test('escapes are undone once, and never make a line or a segment', async (t) => {
  const answerTo = async (target, ...fields) => {
    const connection = await open();
    await connection.send(get(target, `X-API-Key: ${key}`, 'Connection: close', ...fields));
    const answer = await connection.answer();
    await connection.closed();
    return answer;
  };
  for (const target of ['/projects/%', '/projects/%4', '/projects/%zz', '/projects?limit=%', '/commands?project=%g0'])
    await t.test(target, async () => {
      const answer = await answerTo(target);
      assert.deepEqual([answer.status, answer.error.code], [400, 'BAD_REQUEST']);
      assert.match(answer.text, /%/);
    });
  for (const [target, status] of [['/projects/%64emo', 200], ['/%70rojects/demo', 200], ['/projects/%2564emo', 404], ['/projects%2Fdemo', 404], ['/projects/demo%2f', 404], ['/projects/demo%00', 404], ['/projects/x%0d%0aX-Injected:%20y', 404]])
    await t.test(target, async () => {
      const answer = await answerTo(target);
      assert.equal(answer.status, status, answer.text);
      assert.equal(answer.headers['x-injected'], undefined);
    });
  await t.test('what is echoed', async () => {
    for (const id of ['a%0d%0aX-Injected: y', 'a b', 'é', 'a'.repeat(65)]) {
      const answer = await answerTo('/projects', `X-Request-ID: ${id}`);
      assert.match(answer.headers['x-request-id'], /^req_/);
      assert.equal(answer.headers['x-injected'], undefined);
    }
  });
  await t.test('fields of our own', async () => {
    for (const field of ['Idempotency-Key: a%0d%0ab', 'Last-Event-ID: 1-0%0d%0aX: y', 'Range: bytes=%0d%0a']) {
      const answer = await answerTo('/projects/demo/events?stream_id=x%0d%0a', field);
      assert.ok(answer.status === 404 || answer.status === 400, answer.text);
    }
  });
});

// ---- clients that go half or wholly

test('a client that sends no more still gets its whole answer', async (t) => {
  await t.test('one it has pipelined', async () => {
    const connection = await open();
    await connection.send(get() + get());
    connection.finish();
    for (const answer of await connection.answers(2)) isHealth(answer);
    await connection.closed();
  });
  await t.test('a thousand', async () => {
    const connection = await open();
    await connection.send(get().repeat(1000));
    connection.finish();
    for (const answer of await connection.answers(1000)) isHealth(answer);
    await connection.closed();
  });
  await t.test('a download', async () => {
    const size = 8 * 1024 * 1024;
    const id = await server.submit(`head -c ${size} /dev/zero`);
    meant.add(id);
    await server.finished(id);
    const connection = await open();
    await connection.send(get(`/commands/${id}/output?stream=stdout`, `X-API-Key: ${key}`, 'Accept: application/octet-stream'));
    connection.finish();
    connection.pause();
    await waitFor('the answer has begun', async () => /http_requests_in_flight\{method="GET",path="\/commands\/\{id\}\/output"\} 1/.test((await server.api('GET', '/metrics')).text));
    connection.resume();
    const { bytes } = await connection.answer();
    assert.equal(sha256(bytes), sha256(Buffer.alloc(size)));
    await connection.closed();
  });
  await t.test('an event stream', async () => {
    server.put('gate-open', '');
    const id = await server.submit('echo one; while [ ! -e half-closed ]; do sleep 0.05; done; echo two');
    meant.add(id);
    const connection = await open();
    await connection.send(get(`/projects/demo/events?stream_id=${id}`, `X-API-Key: ${key}`));
    connection.finish();
    await connection.begun();
    server.put('half-closed', '');
    const seen = new Transcript();
    for (const frame of new FrameReader().feed((await connection.answer()).bytes)) seen.add(frame);
    assert.equal(seen.checkReceipts().stdout.toString(), 'one\ntwo\n');
  });
});

test('clients that go leave nothing behind', async () => {
  const gauges = async () => {
    const { text } = await server.api('GET', '/metrics');
    const streams = /^rdev_sse_connections_active (\d+)/m.exec(text)[1];
    const flying = [...text.matchAll(/^http_requests_in_flight\{([^}]*)\} (\d+)/gm)].filter(([, labels, n]) => n !== '0' && !labels.includes('/metrics'));
    return `${streams} ${flying.map(([, labels]) => labels)}`;
  };
  const id = await server.submit('while [ ! -e gone ]; do sleep 0.05; done');
  meant.add(id);
  for (let i = 0; i < 20; ++i) {
    const connection = await open();
    if (i % 3 === 0) await connection.send('GET /hea');
    else if (i % 3 === 1) await connection.send(get('/projects/demo', `X-API-Key: ${key}`));
    else {
      await connection.send(get(`/projects/demo/events?stream_id=${id}`, `X-API-Key: ${key}`));
      await connection.begun();
    }
    connection.close();
  }
  await waitFor('the gauges are at 0', async () => (await gauges()) === '0 ');
  server.put('gone', '');
  await server.finished(id);
});

// ---- limits of time and number, each with a server of its own

test('a request that stops in the middle', async () => {
  const slow = await Server.start({ env: { ...settings, RDEV_HTTP_REQUEST_TIMEOUT: '1s' } });
  try {
    const parts = ['G', '\r', 'GET /health HTTP/1.1\r\nHost: x\r\n', post(body('x')).slice(0, -1), chunkedPost('2\r\n{')];
    await Promise.all(parts.map(async (part) => {
      const connection = await open(slow);
      await connection.send(part);
      const answer = await connection.answer();
      assert.deepEqual([answer.status, answer.error.code, answer.headers.connection], [408, 'REQUEST_TIMEOUT', 'close'], part);
      await connection.closed();
    }));
    const drops = await open(slow); // drop by drop is no progress
    const dripping = (async () => {
      for (const byte of get('/health', `X-A: ${'a'.repeat(2000)}`)) {
        if (drops.ended || drops.waiting > 0) break;
        await drops.send(byte);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    assert.equal((await drops.answer()).status, 408);
    await dripping;
    drops.close();
  } finally {
    await slow.close();
  }
});

test('more connections than there is room for', async () => {
  const most = 16;
  const small = await Server.start({ env: { ...settings, RDEV_HTTP_MAX_CONNECTIONS: String(most) } });
  try {
    const first = [];
    for (let i = 0; i < most; ++i) {
      const connection = await open(small);
      await connection.send(get());
      isHealth(await connection.answer());
      first.push(connection);
    }
    for (const request of ['', get(), post('x'.repeat(10_000))]) {
      const late = await open(small);
      await late.send(request);
      const answer = await late.answer();
      assert.deepEqual([answer.status, answer.error.code, answer.headers.connection], [503, 'SERVICE_UNAVAILABLE', 'close']);
      assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
      await late.closed();
      late.close();
    }
    for (const connection of first) {
      await connection.send(get());
      isHealth(await connection.answer());
    }
    first.pop().close();
    await waitFor('there is room again', async () => {
      const connection = await open(small);
      await connection.send(get('/health', 'Connection: close'));
      const { status } = await connection.answer();
      connection.close();
      return status === 200;
    });
    for (const connection of first) connection.close();
  } finally {
    await small.close();
  }
});

test('an orderly end', async () => {
  const leaving = await Server.start({ env: settings });
  try {
    const idle = await open(leaving);
    await idle.send(get());
    isHealth(await idle.answer());
    const half = await open(leaving);
    await half.send(get().slice(0, -1));
    const id = await leaving.submit('sleep 3600');
    const stream = await open(leaving);
    await stream.send(get(`/projects/demo/events?stream_id=${id}`, `X-API-Key: ${key}`));
    await stream.begun();
    const ending = leaving.stop();
    await idle.closed();
    assert.match((await stream.answer()).text, /retry: 1000\n\n$/);
    await half.send('\n');
    const answer = await half.answer();
    isHealth(answer);
    assert.equal(answer.headers.connection, 'close');
    await half.closed();
    assert.deepEqual(await ending, { code: 0, signal: null });
  } finally {
    await leaving.close();
  }
});

test('IPv6', { skip: Object.values(os.networkInterfaces()).flat().some(({ address }) => address === '::1') ? false : 'this machine has no ::1' }, async () => {
  const six = await Server.start({ env: { ...settings, RDEV_HTTP_TRUSTED_PROXIES: '::1' }, listen: '[::1]:0' });
  try {
    const from = async (id, ...fields) => {
      const connection = await open(six);
      await connection.send(get('/health', `X-Request-ID: ${id}`, 'Connection: close', ...fields));
      isHealth(await connection.answer());
      return (await waitFor('the line', () => six.logs().find(({ request_id }) => request_id === id))).client_ip;
    };
    assert.equal(await from('direct'), '::1');
    assert.equal(await from('by-proxy', 'X-Forwarded-For: 2001:db8::7, ::1'), '2001:db8::7');
    assert.equal(await from('two-fields', 'X-Forwarded-For: 192.0.2.1', 'X-Forwarded-For: 192.0.2.2'), '192.0.2.2');
    assert.equal(await from('garbage', `X-Forwarded-For: ${'x, '.repeat(3000)}192.0.2.3`), '192.0.2.3');
    assert.equal(await from('nothing-good', 'X-Forwarded-For: "; DROP'), '::1');
  } finally {
    await six.close();
  }
  const connection = await open();
  await connection.send(get('/health', 'X-Request-ID: not-trusted', 'X-Forwarded-For: 192.0.2.9', 'Connection: close'));
  isHealth(await connection.answer());
  assert.equal((await waitFor('the line', () => server.logs().find(({ request_id }) => request_id === 'not-trusted'))).client_ip, '127.0.0.1');
});

test('after all that', async () => {
  assert.equal((await server.api('GET', '/ready')).status, 200);
  assert.equal(await ran(), meant.size, 'nothing ran but what was meant to');
  assert.equal(await server.psql("SELECT count(*) FROM command WHERE spec::text LIKE '%smuggled%'"), '0');
  assert.deepEqual(server.logs().filter(({ level }) => level === 'error'), []);
});
