// Whatever is wrong gets its code and a message that says what is wrong, and has queued nothing.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, assertRefused, binDir, cleanEnv, fieldsOf, mint, run, waitFor } from './support.mjs';

let server;
before(async () => { server = await Server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_LIMITS_UNAUTHENTICATED_RPS: '0', RDEV_LOCKOUT_FAILURES: '0' } }); });
after(async () => {
  await nothingQueued();
  await server.close();
});

async function nothingQueued() {
  const commands = await server.api('GET', '/commands?limit=200');
  assert.deepEqual(commands.data, [], 'a 4xx has queued nothing');
  const queue = (await server.api('GET', '/queue')).data;
  assert.deepEqual(queue.depth, { critical: 0, high: 0, normal: 0, low: 0 });
  assert.equal(queue.running, 0);
}

const shell = (body, headers) => server.api('POST', '/projects/demo/shell', body, headers);
const bad = (answer) => assertRefused(answer, 400, 'BAD_REQUEST');

describe('bodies', () => {
  test('malformed JSON', async () => {
    for (const body of ['', '{', '{"command":"x"', "{'command':'x'}", '{"command":"x"} trailing', '{"command":"x",}', 'command=x', '{"command":tru}', '\u0000'])
      bad(await shell(body));
  });

  test('JSON that is not an object', async () => {
    for (const body of ['null', '[]', '"text"', '5', 'true']) bad(await shell(body));
  });

  test('all problems at once, each with its field', async () => {
    const answer = bad(await shell({ command: 5, timeout_seconds: 'soon', priority: 'urgent', env: { A: 1 }, workdir: [], bogus: 1, another: {} }));
    const fields = fieldsOf(answer);
    for (const field of ['command', 'timeout_seconds', 'priority', 'env.A', 'workdir', 'bogus', 'another'])
      assert.ok(fields.includes(field), `${field} in ${JSON.stringify(answer.error.details)}`);
    for (const { problem } of answer.error.details) assert.ok(problem.length > 3);
    await nothingQueued();
  });

  test('a missing field is named', async () => {
    assert.deepEqual(fieldsOf(bad(await shell({}))), ['command']);
    assert.deepEqual(fieldsOf(bad(await server.api('POST', '/projects/demo/git', {}))), ['args']);
    assert.deepEqual(fieldsOf(bad(await server.api('POST', '/projects/demo/claude', {}))), ['prompt']);
  });

  test('values outside their bounds', async () => {
    const wrong = [
      { command: [] }, { command: ['echo', 5] },
      { command: 'true', timeout_seconds: 0 }, { command: 'true', timeout_seconds: -1 }, { command: 'true', timeout_seconds: 1.5 },
      { command: 'true', timeout_seconds: 86_401 }, { command: 'true', timeout_seconds: 1e300 },
      { command: 'true', env: { 'A=B': 'x' } }, { command: 'true', env: { '': 'x' } }, { command: 'true', env: { 'A\u0000': 'x' } },
      { command: 'true', workdir: '/etc' }, { command: 'true', workdir: '..' }, { command: 'true', workdir: 'a/../../b' },
    ];
    for (const body of wrong) bad(await shell(body));
    await nothingQueued();
  });

  test('NUL in a command, its arguments, environment, folder or prompt', async () => {
    const nul = 'a\u0000b';
    for (const body of [{ command: nul }, { command: ['echo', nul] }, { command: 'true', env: { A: nul } }, { command: 'true', workdir: nul }]) {
      const answer = bad(await shell(body));
      assert.ok(fieldsOf(answer).length >= 1, answer.text);
    }
    bad(await server.api('POST', '/projects/demo/git', { args: [nul] }));
    bad(await server.api('POST', '/projects/demo/claude', { prompt: nul }));
    await nothingQueued();
  });

  test('invalid UTF-8', async () => {
    for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80], [0xc0, 0xaf]])
      bad(await shell(Buffer.concat([Buffer.from('{"command":"echo '), Buffer.from(bytes), Buffer.from('"}')])));
    bad(await shell('{"command":"echo \\ud800"}'));
  });

  test('JSON a hundred thousand levels deep', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    bad(await shell(deep));
    bad(await shell(`{"command":${deep}}`));
    bad(await shell('{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)));
    bad(await shell('['.repeat(100_000)));
    assert.equal((await server.api('GET', '/health')).status, 200);
  });

  test('a body that is too large', async () => {
    const large = JSON.stringify({ command: 'x'.repeat(1024 * 1024 + 1) });
    assertRefused(await shell(large), 413, 'PAYLOAD_TOO_LARGE');
    assertRefused(await shell(large, { 'Transfer-Encoding': 'chunked' }), 413, 'PAYLOAD_TOO_LARGE');
  });

  test('a body that is not JSON by its own word', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      assertRefused(await shell('{"command":"true"}', { 'Content-Type': type }), 415, 'UNSUPPORTED_MEDIA_TYPE');
  });

  test('an Idempotency-Key that is none', async () => {
    for (const key of ['x'.repeat(256), 'a b', 'tab\there', '\u00e9'])
      bad(await shell({ command: 'true' }, { 'Idempotency-Key': key }));
  });
});

describe('places', () => {
  test('an unknown project', async () => {
    for (const route of ['shell', 'git', 'claude']) {
      const body = { shell: { command: 'true' }, git: { args: ['status'] }, claude: { prompt: 'x' } }[route];
      assertRefused(await server.api('POST', `/projects/not-there/${route}`, body), 404, 'NOT_FOUND');
    }
    assertRefused(await server.api('GET', '/projects/not-there'), 404, 'NOT_FOUND');
    assertRefused(await server.api('DELETE', '/projects/not-there'), 404, 'NOT_FOUND');
  });

  test('a project id with .. or of a wrong form', async () => {
    const around = fs.readdirSync(server.dataDir).sort();
    const inside = fs.readdirSync(path.join(server.dataDir, 'projects')).sort();
    for (const id of ['..', '.', '../demo', 'a/../b', '/etc', 'a..b', 'Demo', '-a', 'a-', 'a_b', 'x'.repeat(41), '', 'é', 'a\u0000', 'a b', 'a\n']) {
      assert.ok(fieldsOf(bad(await server.api('POST', '/projects', { id }))).includes('id'), JSON.stringify(id));
      if (id === '' || id === '.' || id === '..') continue;
      for (const [method, tail, body] of [['GET', ''], ['DELETE', ''], ['POST', '/shell', { command: 'true' }]]) {
        const answer = await server.api(method, `/projects/${encodeURIComponent(id)}${tail}`, body);
        assert.ok([400, 404].includes(answer.status), `${method} ${JSON.stringify(id)}: ${answer.status}`);
        assertRefused(answer, answer.status, answer.status === 400 ? 'BAD_REQUEST' : 'NOT_FOUND');
      }
    }
    for (const target of ['/projects/..', '/projects/%2e%2e', '/projects/../projects/demo', '/projects/%2e%2e%2fdemo/shell', '/projects/..%2f..%2fetc'])
      assert.ok([400, 404, 405].includes((await server.api('DELETE', target)).status), target);
    assert.deepEqual(fs.readdirSync(server.dataDir).sort(), around);
    assert.deepEqual(fs.readdirSync(path.join(server.dataDir, 'projects')).sort(), inside);
  });

  test('an unknown command, key, route or method', async () => {
    for (const target of ['/commands/cmd_00000000000000000000000000', '/keys/key_00000000000000000000000000', '/commands/nonsense', '/keys/nonsense', '/nowhere', '/projects/demo/nowhere']) {
      const answer = await server.api('GET', target);
      assert.ok(answer.status === 404 || (target.endsWith('nonsense') && answer.status === 400), `${target}: ${answer.status}`);
    }
    assertRefused(await server.api('GET', '/nowhere', undefined, { 'X-API-Key': undefined }), 404, 'NOT_FOUND');
    const wrong = assertRefused(await server.api('PUT', '/projects', undefined, { 'X-API-Key': undefined }), 405, 'METHOD_NOT_ALLOWED');
    assert.match(wrong.headers.allow, /GET/);
    assert.match(wrong.headers.allow, /POST/);
  });

  test('a bad parameter', async () => {
    for (const query of ['limit=0', 'limit=201', 'limit=x', 'limit=-1', 'cursor=%00', 'cursor=nonsense', 'status=sleeping'])
      bad(await server.api('GET', `/commands?${query}`));
    assert.equal((await server.api('GET', '/commands?unknown=parameter')).status, 200);
  });
});

describe('keys', () => {
  const ask = (secret, headers = {}) => shell({ command: 'true' }, { 'X-API-Key': secret, ...headers });
  const execute = { name: 'worker', scopes: ['projects:execute'] };

  test('none, nonsense, or one with a changed character', async () => {
    const { secret } = await mint(server, execute);
    assertRefused(await ask(undefined), 401, 'UNAUTHORIZED');
    for (const text of ['', 'x', 'rdev_', 'admin', `${secret}x`, secret.slice(0, -1), secret.toUpperCase()])
      assertRefused(await ask(text), 401, 'UNAUTHORIZED');
    for (let i = 0; i < secret.length; ++i) {
      const other = secret[i] === 'a' ? 'b' : 'a';
      assertRefused(await ask(secret.slice(0, i) + other + secret.slice(i + 1)), 401, 'UNAUTHORIZED');
    }
    await nothingQueued();
  });

  test('two keys that differ', async () => {
    const { secret } = await mint(server, execute);
    bad(await ask(secret, { Authorization: `Bearer ${server.key}` }));
  });

  test('revoked', async () => {
    const { id, secret } = await mint(server, execute);
    assert.equal((await server.api('DELETE', `/keys/${id}`)).status, 200);
    assertRefused(await ask(secret), 401, 'KEY_REVOKED');
  });

  test('expired', async () => {
    const { secret } = await mint(server, { ...execute, expires_at: new Date(Date.now() + 2000).toISOString() });
    await waitFor('the key expires', async () => (await server.api('GET', '/projects', undefined, { 'X-API-Key': secret })).status === 401);
    assertRefused(await ask(secret), 401, 'KEY_EXPIRED');
    assert.ok(fieldsOf(bad(await server.api('POST', '/keys', { ...execute, expires_at: '2001-01-01T00:00:00Z' }))).includes('expires_at'));
  });

  test('from a foreign address', async () => {
    const { secret } = await mint(server, { ...execute, allowed_ips: ['192.0.2.0/24', '2001:db8::/32'] });
    assertRefused(await ask(secret), 403, 'IP_NOT_ALLOWED');
    assertRefused(await ask(secret, { 'X-Forwarded-For': '192.0.2.7' }), 403, 'IP_NOT_ALLOWED');
  });

  test('of a foreign project', async () => {
    assert.equal((await server.api('POST', '/projects', { id: 'foreign' })).status, 201);
    const { secret } = await mint(server, { ...execute, project_ids: ['foreign'] });
    assertRefused(await ask(secret), 403, 'FORBIDDEN');
    assertRefused(await server.api('POST', '/projects/not-there/shell', { command: 'true' }, { 'X-API-Key': secret }), 403, 'FORBIDDEN');
  });

  test('without the scope', async () => {
    const { secret } = await mint(server, { name: 'reader', scopes: ['projects:read'] });
    assertRefused(await ask(secret), 403, 'FORBIDDEN');
    assertRefused(await server.api('POST', '/projects', { id: 'mine' }, { 'X-API-Key': secret }), 403, 'FORBIDDEN');
    assertRefused(await server.api('GET', '/keys', undefined, { 'X-API-Key': secret }), 403, 'FORBIDDEN');
  });

  test('too weak to mint or rotate', async () => {
    const weak = await mint(server, { name: 'weak', scopes: ['keys:write', 'keys:read', 'projects:execute'], project_ids: ['demo'], allowed_ips: ['127.0.0.0/8'], expires_in: '30d' });
    const headers = { 'X-API-Key': weak.secret };
    const within = { name: 'n', scopes: ['projects:read'], project_ids: ['demo'], allowed_ips: ['127.0.0.1/32'], expires_in: '30d' };
    const soon = { ...within, expires_in: undefined, expires_at: new Date(Date.now() + 86_400_000).toISOString() };
    assert.equal((await server.api('POST', '/keys', soon, headers)).status, 201, 'what lies within may be made');
    const beyond = [
      { ...soon, scopes: ['projects:write'] }, { ...soon, scopes: ['admin'], project_ids: undefined }, { ...soon, project_ids: undefined },
      { ...soon, project_ids: ['demo', 'foreign'] }, { ...soon, allowed_ips: undefined }, { ...soon, allowed_ips: ['127.0.0.0/7'] },
      { ...within, expires_in: 'never' }, { ...within, expires_in: '1y' },
    ];
    for (const what of beyond) assertRefused(await server.api('POST', '/keys', what, headers), 403, 'FORBIDDEN');
    const strong = await mint(server, { name: 'strong', scopes: ['projects:write'], project_ids: ['demo'], expires_in: 'never' });
    assertRefused(await server.api('POST', `/keys/${strong.id}/rotate`, {}, headers), 403, 'FORBIDDEN');
    assertRefused(await server.api('DELETE', `/keys/${strong.id}`, undefined, headers), 403, 'FORBIDDEN');
    assert.equal((await server.api('GET', '/projects', undefined, { 'X-API-Key': strong.secret })).status, 403, 'the strong key is as it was');
  });

  test('key requests that make no sense', async () => {
    const wrong = {
      name: { scopes: ['projects:read'] },
      scopes: { name: 'x', scopes: [] },
      project_ids: { name: 'x', scopes: ['projects:read'], project_ids: [] },
      allowed_ips: { name: 'x', scopes: ['projects:read'], allowed_ips: [] },
      'allowed_ips[0]': { name: 'x', scopes: ['projects:read'], allowed_ips: ['300.1.1.1/8'] },
      'scopes[0]': { name: 'x', scopes: ['projects:fly'] },
      expires_in: { name: 'x', scopes: ['projects:read'], expires_in: 'soon' },
      expires_at: { name: 'x', scopes: ['projects:read'], expires_in: '30d', expires_at: '2999-01-01T00:00:00Z' },
    };
    for (const [field, body] of Object.entries(wrong)) {
      const fields = fieldsOf(bad(await server.api('POST', '/keys', body)));
      assert.ok(fields.includes(field), `${field} in ${fields}`);
    }
  });
});

describe('settings', () => {
  const check = (env, args = []) => run(path.join(binDir, 'rdev-api'), ['check-config', ...args], { env: cleanEnv(env) });
  const wrong = {
    RDEV_COMMANDS_MAX_RUNNING: ['many', /commands\.max_running/],
    RDEV_COMMANDS_KILL_GRACE: ['5 parsecs', /commands\.kill_grace/],
    RDEV_SSE_HEARTBEAT: ['-1s', /sse\.heartbeat/],
    RDEV_OUTPUT_MAX_BYTES: ['2GB', /output\.max_bytes/],
    RDEV_RUNNER_KIND: ['magic', /runner\.kind/],
    RDEV_SERVER_LISTEN: ['nowhere', /server\.listen/],
    RDEV_HTTP_TRUSTED_PROXIES: ['10.0.0.0/8,everyone', /http\.trusted_proxies/],
    RATE_LIMIT_RPS: ['-1', /limits\.rps|RATE_LIMIT_RPS/],
    RDEV_ADMIN_KEY: ['short', /RDEV_ADMIN_KEY/],
    RDEV_KEY_PEPPER: ['short', /RDEV_KEY_PEPPER/],
    RDEV_SECRETS_KEYS: ['k1:short', /RDEV_SECRETS_KEYS/],
    RDEV_KEYS_MAX_LIFETIME: ['500ms', /keys\.max_lifetime.*1s.*or 0s/],
    RDEV_LOCKOUT_FIRST_BAN: ['2h', /lockout\.first_ban/],
  };
  for (const [name, [value, says]] of Object.entries(wrong))
    test(`${name}=${value}`, async () => {
      const done = await check({ [name]: value });
      assert.equal(done.code, 2, done.stderr.toString());
      assert.match(done.stderr.toString(), says);
    });

  test('all that is wrong is said at once', async () => {
    const done = await check({ RDEV_KEY_PEPPER: 'bad', RDEV_SECRETS_KEYS: 'bad', RDEV_LIMITS_RPS: 'x', RDEV_REDACTION_PATTERNS: '(' });
    assert.equal(done.code, 2);
    for (const name of [/RDEV_KEY_PEPPER/, /RDEV_SECRETS_KEYS/, /limits\.rps/, /redaction\.patterns/]) assert.match(done.stderr.toString(), name);
  });

  test('a file with an unknown or wrong key', async () => {
    for (const [text, says] of [['[commands]\nmax_runing = 3\n', /max_runing/], ['[sse]\nheartbeat = 15\n', /sse\.heartbeat/], ['[sse\n', /line 1|:1/]]) {
      const file = path.join(server.base, 'wrong.toml');
      fs.writeFileSync(file, text);
      const done = await check({}, ['--config', file]);
      assert.equal(done.code, 2, done.stderr.toString());
      assert.match(done.stderr.toString(), says);
    }
  });

  test('the defaults are right', async () => {
    const done = await check({});
    assert.equal(done.code, 0, done.stderr.toString());
  });

  test('serve ends with 2 as well, and does not listen beyond loopback with local commands', async () => {
    const serve = (env, listen) =>
      run(path.join(binDir, 'rdev-api'), ['serve', '--listen', listen, '--data-dir', path.join(server.base, 'other')], { env: cleanEnv(env), within: 30_000 });
    const setting = await serve({ RDEV_SSE_HEARTBEAT: 'often' }, '127.0.0.1:0');
    assert.equal(setting.code, 2);
    assert.match(setting.stderr.toString(), /sse\.heartbeat/);
    const open = await serve({}, '0.0.0.0:0');
    assert.equal(open.code, 2);
    assert.match(open.stderr.toString(), /allow_network/);
  });

  test('a second server on the same data dir ends with 3', async () => {
    const done = await run(path.join(binDir, 'rdev-api'), ['serve', '--listen', '127.0.0.1:0', '--data-dir', server.dataDir], { env: cleanEnv(), within: 30_000 });
    assert.equal(done.code, 3, done.stderr.toString());
    assert.equal(fs.readFileSync(server.addressFile, 'utf8').trim(), server.address, 'the first one is unharmed');
    assert.equal((await server.api('GET', '/ready')).status, 200);
  });
});
