// Every refusal for exactly what it is there for, and the order in which they are looked for: a request that deserves two
// of them gets the one that comes first.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, assertRefused, fieldsOf, mint, waitFor, wrongSecretOf } from './support.mjs';

let server;
before(async () => {
  server = await Server.start({ env: { RDEV_LIMITS_UNAUTHENTICATED_RPS: '0', RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1' } });
  assert.equal((await server.api('POST', '/projects', { id: 'other' })).status, 201);
});
after(() => server.close());

const as = (secret) => ({ 'X-API-Key': secret });
const foreign = ['192.0.2.0/24']; // nobody here is in it
const everything = ['projects:read', 'projects:write', 'projects:execute', 'keys:read', 'keys:write', 'webhooks:read', 'webhooks:write', 'audit:read'];
const plain = { 'Content-Type': 'text/plain' };
const missing = 'key_00000000000000000000000000';
const missingCommand = 'cmd_00000000000000000000000000';
const missingWebhook = '/webhooks/wh_00000000000000000000000000';
const missingDelivery = `${missingWebhook}/deliveries/dlv_00000000000000000000000000`;

const expire = (id) => server.psql(`UPDATE api_keys SET expires_at = clock_timestamp() - interval '1 second' WHERE key_prefix = '${id}'`);
async function key(what = {}) {
  return mint(server, { name: 'tried', scopes: ['projects:read'], ...what });
}
async function revoked(what) {
  const made = await key(what);
  assert.equal((await server.api('DELETE', `/keys/${made.id}`)).status, 200);
  return made;
}
async function expired(what) {
  const made = await key(what);
  await expire(made.key.key_prefix);
  return made;
}
// Locks the address out, and says from where.
async function lockOut(from) {
  await waitFor(`${from} is locked out`, async () =>
    (await server.api('GET', '/projects', undefined, as('not a key'), { from })).status === 429);
  return { from };
}
// The answers to some requests of the same moment, more than a limit of 1 lets pass.
const burst = (on, ...request) => Promise.all(Array.from({ length: 6 }, () => on.api(...request)));
async function limited(on, field, ...request) {
  return waitFor(`a request is over the limit of its ${field}`, async () => {
    const answers = await burst(on, ...request);
    const one = answers.find(({ status }) => status === 429);
    if (one) assert.deepEqual(fieldsOf(one), [field]);
    return one && { one, others: answers.filter(({ status }) => status !== 429) };
  });
}
function assertLimited(answer, field) {
  assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
  assert.deepEqual(fieldsOf(answer), [field]);
  assert.match(answer.headers['retry-after'], /^[1-9][0-9]*$/);
}
const metered = /^"key";q=\d+;w=1$/;

test('framing comes before the route', async () => {
  assertRefused(await server.api('GET', '/nowhere', undefined, { 'X-Long': 'x'.repeat(20_000) }), 431, 'HEADERS_TOO_LARGE');
});

test('a route that is not there is not found for anybody: without a key, with a bad one, from a locked out address', async () => {
  const locked = await lockOut('127.0.1.1');
  for (const headers of [{}, as(undefined), as('not a key'), as((await revoked()).secret)])
    for (const where of [{}, locked]) {
      assertRefused(await server.api('GET', '/nowhere', undefined, headers, where), 404, 'NOT_FOUND');
      const answer = await server.api('PUT', '/projects', undefined, headers, where);
      assertRefused(answer, 405, 'METHOD_NOT_ALLOWED');
      assert.deepEqual(answer.headers.allow.split(', ').sort(), ['GET', 'HEAD', 'POST']);
    }
});

test('a lock-out comes before an unknown key, a malformed one and none', async () => {
  const locked = await lockOut('127.0.1.2');
  const gone = await key();
  await server.psql(`DELETE FROM api_keys WHERE key_prefix = '${gone.key.key_prefix}'`);
  for (const secret of [undefined, 'not a key', gone.secret]) {
    assertRefused(await server.api('GET', '/projects', undefined, as(secret)), 401, 'UNAUTHORIZED');
    assertLimited(await server.api('GET', '/projects', undefined, as(secret), locked), 'ban');
  }
});

for (const [what, make] of [['revoked', revoked], ['expired', expired], ['foreign', () => key({ allowed_ips: foreign })]])
  test(`a lock-out comes before a ${what} key, which is no good key either`, async () => {
    const { secret } = await make();
    const locked = await lockOut('127.0.1.3');
    assertLimited(await server.api('GET', '/projects', undefined, as(secret), locked), 'ban');
  });

test('the limit of an address comes before what is wrong with its key', async () => {
  const strict = await Server.start({ env: { RDEV_LIMITS_UNAUTHENTICATED_RPS: '1', RDEV_LOCKOUT_FAILURES: '0' } });
  try {
    const made = await mint(strict, { name: 'gone', scopes: ['projects:read'] });
    assert.equal((await strict.api('DELETE', `/keys/${made.id}`)).status, 200);
    const bound = await mint(strict, { name: 'elsewhere', scopes: ['projects:read'], allowed_ips: foreign });
    for (const [secret, status] of [[undefined, 401], ['not a key', 401], [made.secret, 401], [bound.secret, 403]]) {
      const { one, others } = await limited(strict, 'address', 'GET', '/projects', undefined, as(secret));
      assertLimited(one, 'address');
      for (const other of others) assert.equal(other.status, status);
      assert.equal((await strict.api('GET', '/projects')).status, 200, 'a good key has nothing to do with it');
    }
  } finally {
    await strict.close();
  }
});

test('the limit of the server says that it is the server', async () => {
  const busy = await Server.start({ env: { RDEV_LIMITS_GLOBAL_RPS: '1' } });
  try {
    const { one } = await limited(busy, 'global', 'GET', '/projects');
    assertLimited(one, 'global');
    assert.equal((await busy.api('GET', '/health')).status, 200);
    assert.match((await busy.api('GET', '/metrics')).text, /^rdev_rate_limited_total\{field="global"\} [1-9]/m);
  } finally {
    await busy.close();
  }
});

test('revoked comes before expired, expired before the address', async () => {
  const all = await expired({ allowed_ips: foreign });
  assertRefused(await server.api('GET', '/projects', undefined, as(all.secret)), 401, 'KEY_EXPIRED');
  assert.equal((await server.api('DELETE', `/keys/${all.id}`)).status, 200);
  assertRefused(await server.api('GET', '/projects', undefined, as(all.secret)), 401, 'KEY_REVOKED');
  assertRefused(await server.api('GET', '/projects', undefined, as((await expired()).secret)), 401, 'KEY_EXPIRED');
  assertRefused(await server.api('GET', '/projects', undefined, as((await revoked({ allowed_ips: foreign })).secret)), 401, 'KEY_REVOKED');
});

test('an expiry that is set in the database counts at once, for a key in use too', async () => {
  const { secret, key: made } = await key();
  assert.equal((await server.api('GET', '/projects', undefined, as(secret))).status, 200);
  await expire(made.key_prefix);
  await waitFor('it counts', async () => (await server.api('GET', '/projects', undefined, as(secret))).error?.code === 'KEY_EXPIRED');
});

test('the wrong secret under a prefix that there is tells nothing about the key of the prefix', async () => {
  for (const made of [await revoked(), await expired(), await key({ allowed_ips: foreign }), await key()])
    assertRefused(await server.api('GET', '/projects', undefined, as(wrongSecretOf(made))), 401, 'UNAUTHORIZED');
});

test('the address comes before the rate', async () => {
  const { secret } = await key({ allowed_ips: foreign, rate_limit: 1 });
  for (const answer of await burst(server, 'GET', '/projects', undefined, as(secret))) {
    assertRefused(answer, 403, 'IP_NOT_ALLOWED');
    assert.equal(answer.headers['ratelimit-policy'], undefined, 'who is not let in has no account');
  }
});

test('the address of a client is the same in each of its forms', async () => {
  const { secret } = await key({ allowed_ips: foreign });
  for (const [ip, status] of [['192.0.2.7', 200], ['::ffff:192.0.2.7', 200], ['::ffff:c000:207', 200], ['192.0.3.7', 403], ['::192.0.2.7', 403]])
    assert.equal((await server.api('GET', '/projects', undefined, { ...as(secret), 'X-Forwarded-For': ip })).status, status, ip);
});

test('the rate comes before the scope and all that follows', async () => {
  const { secret } = await key({ scopes: ['audit:read'], rate_limit: 1 });
  const { one, others } = await limited(server, 'key', 'POST', '/projects/other/shell', 'no JSON', { ...as(secret), ...plain });
  assertLimited(one, 'key');
  assert.equal(one.headers['ratelimit-policy'], '"key";q=1;w=1');
  assert.match(one.headers.ratelimit, /^"key";r=0;t=[1-9]\d*$/);
  for (const other of others) assertRefused(other, 403, 'FORBIDDEN');
});

test('the scope comes before the project', async () => {
  const { secret } = await key({ scopes: ['keys:read'], project_ids: ['demo'] });
  const answer = assertRefused(await server.api('GET', '/projects/other', undefined, as(secret)), 403, 'FORBIDDEN');
  assert.match(answer.error.message, /projects:read/);
  const other = await key({ project_ids: ['demo'] });
  const bound = assertRefused(await server.api('GET', '/projects/other', undefined, as(other.secret)), 403, 'FORBIDDEN');
  assert.doesNotMatch(bound.error.message, /projects:read/);
});

test('each scope opens its own routes and no others', async () => {
  const routes = [
    ['projects:read', 'GET', '/projects'], ['projects:read', 'GET', '/projects/demo'], ['projects:read', 'GET', '/commands'],
    ['projects:read', 'GET', `/commands/${missingCommand}`], ['projects:read', 'GET', '/queue'], ['projects:write', 'POST', '/projects', {}],
    ['projects:write', 'DELETE', '/projects/not-there'], ['projects:write', 'POST', '/projects/not-there/start'],
    ['projects:execute', 'POST', '/projects/demo/shell', {}], ['projects:execute', 'POST', '/projects/demo/git', {}],
    ['projects:execute', 'POST', '/projects/demo/claude', {}], ['projects:execute', 'POST', `/commands/${missingCommand}/cancel`],
    ['keys:read', 'GET', '/keys'], ['keys:read', 'GET', `/keys/${missing}`], ['keys:write', 'POST', '/keys', {}],
    ['keys:write', 'PATCH', `/keys/${missing}`, { name: 'x' }], ['keys:write', 'DELETE', `/keys/${missing}`],
    ['keys:write', 'POST', `/keys/${missing}/rotate`, {}], ['admin', 'GET', '/bans'], ['admin', 'DELETE', '/bans/ban_00000000000000000000000000'],
    ['webhooks:read', 'GET', '/webhooks'], ['webhooks:read', 'GET', missingWebhook], ['webhooks:read', 'GET', `${missingWebhook}/deliveries`],
    ['webhooks:read', 'GET', missingDelivery], ['webhooks:write', 'POST', '/webhooks', {}], ['webhooks:write', 'PATCH', missingWebhook, { enabled: true }],
    ['webhooks:write', 'DELETE', missingWebhook], ['webhooks:write', 'POST', `${missingWebhook}/test`], ['webhooks:write', 'POST', `${missingWebhook}/rotate-secret`, {}],
    ['webhooks:write', 'POST', `${missingWebhook}/redeliver`, {}], ['webhooks:write', 'POST', `${missingDelivery}/redeliver`],
  ];
  for (const scope of [...everything, 'admin']) {
    const { secret } = await key({ scopes: [scope] });
    for (const [needed, method, target, body] of routes) {
      const may = scope === 'admin' || needed === scope || (needed === 'projects:read' && scope === 'projects:execute');
      const { status, text } = await server.api(method, target, body, as(secret));
      assert.equal(status === 403, !may, `${scope}: ${method} ${target}: ${status} ${text}`);
      assert.ok(may ? [200, 400, 404].includes(status) : true, `${scope}: ${method} ${target}: ${status} ${text}`);
    }
  }
});

test('the project comes before the body, whether it is there or not', async () => {
  const { secret } = await key({ scopes: ['projects:execute', 'projects:write'], project_ids: ['demo'] });
  for (const project of ['other', 'not-there'])
    for (const [method, tail] of [['POST', '/shell'], ['POST', '/git'], ['POST', '/claude'], ['POST', '/start'], ['DELETE', ''], ['GET', ''], ['GET', '/events?framing=bad']])
      assertRefused(await server.api(method, `/projects/${project}${tail}`, method === 'POST' ? 'no JSON' : undefined, { ...as(secret), ...plain }), 403, 'FORBIDDEN');
});

test('the type of a body comes before what is in it', async () => {
  for (const [method, target] of [['POST', '/projects/demo/shell'], ['POST', '/projects/not-there/shell'], ['POST', '/projects'], ['POST', '/keys'], ['PATCH', `/keys/${missing}`], ['POST', `/keys/${missing}/rotate`],
    ['POST', '/webhooks'], ['PATCH', missingWebhook], ['POST', `${missingWebhook}/rotate-secret`], ['POST', `${missingWebhook}/redeliver`]]) {
    assertRefused(await server.api(method, target, 'no JSON', plain), 415, 'UNSUPPORTED_MEDIA_TYPE');
    assertRefused(await server.api(method, target, 'no JSON'), 400, 'BAD_REQUEST');
  }
  assertRefused(await server.api('POST', '/keys', 'no JSON', { ...plain, 'Idempotency-Key': 'x'.repeat(256) }), 415, 'UNSUPPORTED_MEDIA_TYPE');
});

const badAndMissing = [
  ['POST', '/projects/not-there/shell', {}], ['POST', '/projects/not-there/git', { args: [] }], ['POST', '/projects/not-there/claude', { prompt: 1 }],
  ['PATCH', `/keys/${missing}`, {}], ['PATCH', `/keys/${missing}`, { expires_at: 'soon' }], ['PATCH', `/keys/${missing}`, { allowed_ips: ['nowhere'] }],
  ['PATCH', '/keys/nonsense', {}], ['PATCH', '/keys/nonsense', { expires_at: 'soon' }],
  ['POST', `/keys/${missing}/rotate`, { overlap: 'long' }], ['POST', `/keys/${missing}/rotate`, { overlap: '31d' }], ['POST', '/keys/nonsense/rotate', { overlap: '31d' }],
  ['GET', `/commands/${missingCommand}/output?stream=bad`], ['GET', '/commands/nonsense/output?limit=0'],
  ['GET', '/projects/not-there/events?framing=bad'], ['GET', `/projects/demo/events?stream_id=${missingCommand}&framing=bad`],
  ['GET', '/projects/demo/events?stream_id=nonsense&framing=bad'], ['DELETE', '/projects/not-there?force=perhaps'],
  ['POST', '/webhooks', { url: 'https://10.0.0.1/', events: ['*'] }], ['POST', '/webhooks', { url: 'https://example.com/', events: ['nothing'] }],
  ['PATCH', missingWebhook, {}], ['PATCH', missingWebhook, { projects: [] }], ['PATCH', missingWebhook, { url: 'https://10.0.0.1/' }], ['PATCH', '/webhooks/nonsense', {}],
  ['POST', `${missingWebhook}/rotate-secret`, { overlap: '31d' }], ['POST', '/webhooks/nonsense/rotate-secret', { overlap: 'long' }],
  ['POST', `${missingWebhook}/redeliver`, { status: 'lost' }], ['POST', '/webhooks/nonsense/redeliver', { from: 'now' }],
  ['GET', `${missingWebhook}/deliveries?status=lost`], ['GET', '/webhooks/nonsense/deliveries?limit=0'],
];
for (const [method, target, body] of badAndMissing)
  test(`what is asked comes before whether the thing is there: ${method} ${target} ${JSON.stringify(body) ?? ''}`, async () => {
    assertRefused(await server.api(method, target, body), 400, 'BAD_REQUEST');
  });

test('whether the thing is there comes before its state', async () => {
  for (const verb of ['start', 'stop', 'restart']) {
    assertRefused(await server.api('POST', `/projects/not-there/${verb}`), 404, 'NOT_FOUND');
    assertRefused(await server.api('POST', `/projects/demo/${verb}`), 409, 'CONFLICT');
  }
  assertRefused(await server.api('POST', `/commands/${missingCommand}/cancel`), 404, 'NOT_FOUND');
  assertRefused(await server.api('POST', '/commands/nonsense/cancel'), 404, 'NOT_FOUND');
  for (const [method, target, body] of [['GET', missingWebhook], ['PATCH', missingWebhook, { enabled: true }], ['DELETE', missingWebhook], ['POST', `${missingWebhook}/test`], ['POST', `${missingWebhook}/rotate-secret`],
    ['GET', `${missingWebhook}/deliveries`], ['GET', missingDelivery], ['POST', `${missingDelivery}/redeliver`], ['POST', `${missingWebhook}/redeliver`], ['GET', '/webhooks/nonsense'], ['POST', '/webhooks/nonsense/test']])
    assertRefused(await server.api(method, target, body), 404, 'NOT_FOUND');
  const ended = await server.submit('true');
  await server.finished(ended);
  assertRefused(await server.api('POST', `/commands/${ended}/cancel`), 409, 'CONFLICT');
  const end = await revoked();
  assertRefused(await server.api('POST', `/keys/${end.id}/rotate`, {}), 409, 'CONFLICT');
  assertRefused(await server.api('PATCH', `/keys/${end.id}`, { name: 'x' }), 409, 'CONFLICT');
  assertRefused(await server.api('PATCH', `/keys/${(await expired()).id}`, { name: 'x' }), 409, 'CONFLICT');
  assert.equal((await server.api('POST', '/projects', { id: 'brief' })).status, 201);
  const once = { 'Idempotency-Key': 'for-brief' };
  assert.equal((await server.api('POST', '/projects/brief/shell', { command: 'true' }, once)).status, 202);
  assertRefused(await server.api('POST', '/projects/brief/shell', { command: 'false' }, once), 409, 'CONFLICT');
  await waitFor('it can be removed', async () => (await server.api('DELETE', '/projects/brief')).status === 200);
  assertRefused(await server.api('POST', '/projects/brief/shell', { command: 'false' }, once), 404, 'NOT_FOUND');
});

// One request with many problems: what its schema finds and what only a look at the values finds, in one answer.
const nul = 'a\u0000b';
const manifold = [
  ['a shell command', 'POST', '/projects/demo/shell',
    { command: ['', 'echo', nul, 5], env: { '1A': 'x', RDEV_TOKEN: 'y', 'A=B': 'z', C: nul, D: 5, GOOD: 'v' }, workdir: 'a/../../b', timeout_seconds: 10_000_000, priority: 'urgent', shell: true },
    ['command', 'command[0]', 'command[2]', 'command[3]', 'env.1A', 'env.RDEV_TOKEN', 'env.A=B', 'env.C', 'env.D', 'workdir', 'timeout_seconds', 'priority', 'shell']],
  ['a text for the shell', 'POST', '/projects/demo/shell', { command: nul, env: [], workdir: '/etc', timeout_seconds: 0, priority: 5 },
    ['command', 'env', 'workdir', 'timeout_seconds', 'priority']],
  ['git', 'POST', '/projects/demo/git', { args: ['log', nul, {}], env: { 'A B': '' }, workdir: nul, timeout_seconds: 86_401, command: 'x' },
    ['args[1]', 'args[2]', 'env.A B', 'workdir', 'timeout_seconds', 'command']],
  ['the agent', 'POST', '/projects/demo/claude', { env: { RDEV_X: nul }, workdir: '/workspacex', priority: '' },
    ['prompt', 'env.RDEV_X', 'workdir', 'priority']],
  ['a project', 'POST', '/projects', { id: '../x', labels: { 'a=b': 'c', d: 'e f' }, env: { '1A': 'x', B: nul }, resources: { cpu: 'much' }, repository: 'https://user:secret@host/x.git', owner: 'me' },
    ['id', 'labels.a=b', 'labels.d', 'env.1A', 'env.B', 'resources.cpu', 'repository', 'owner']],
  ['a key', 'POST', '/keys', { name: nul, scopes: ['admin', 'projects:fly'], project_ids: ['demo', '..'], allowed_ips: ['10.0.0.0/8', 'nowhere'], expires_in: '30d', expires_at: '2001-01-01T00:00:00Z', rate_limit: 0 },
    ['name', 'scopes[1]', 'project_ids', 'project_ids[1]', 'allowed_ips[1]', 'expires_at', 'rate_limit']],
  ['a change of a key', 'PATCH', `/keys/${missing}`, { name: nul, allowed_ips: ['nowhere'], expires_at: 'soon', rate_limit: 'many', id: missing },
    ['name', 'allowed_ips[0]', 'expires_at', 'rate_limit', 'id']],
  ['a webhook', 'POST', '/webhooks', { url: nul, events: ['nothing'], description: nul, projects: ['..'], ordered: 'yes' },
    ['url', 'events[0]', 'description', 'projects[0]', 'ordered']],
];
for (const [what, method, target, body, fields] of manifold)
  test(`all that is wrong with ${what} is told at once`, async () => {
    const queued = await server.api('GET', '/commands?limit=200');
    const answer = assertRefused(await server.api(method, target, body, { 'Idempotency-Key': 'a blank' }), 400, 'BAD_REQUEST');
    assert.deepEqual([...new Set(fieldsOf(answer))].sort(), [...fields, 'Idempotency-Key'].sort(), answer.text);
    for (const { field, problem } of answer.error.details) assert.match(problem, /\w+ \w+/, `${field} says what to do`);
    assert.ok(!answer.text.includes('secret'), 'no value is told, and none of a variable');
    assert.deepEqual((await server.api('GET', '/commands?limit=200')).data, queued.data, 'a 4xx has queued nothing');
  });

test('of problems without number the first hundred are told', async () => {
  const answer = assertRefused(await server.api('POST', '/projects/demo/git', { args: Array.from({ length: 1000 }, () => nul) }), 400, 'BAD_REQUEST');
  assert.equal(answer.error.details.length, 100);
  assert.match(answer.error.message, /1000 problems/);
});

test('what is at the border of a rule is taken', async () => {
  const name = 'A'.repeat(128);
  const body = { command: ['sh', '-c', `test "$(printenv ${name} | wc -c)" -gt 1000 && pwd`], env: { [name]: 'x'.repeat(32_768), RDEV: '1', _: '' }, workdir: '/workspace/./', timeout_seconds: 86_400, priority: 'low' };
  const { data, status, text } = await server.api('POST', '/projects/demo/shell', body);
  assert.equal(status, 202, text);
  assert.equal((await server.finished(data.id)).status, 'completed');
  const tooLong = (await server.api('POST', '/projects/demo/shell', { command: ['true', 'é'.repeat(65_536)] }));
  assert.deepEqual(fieldsOf(assertRefused(tooLong, 400, 'BAD_REQUEST')), ['command[1]'], 'bytes count, as no process can be given more');
});

test('what is refused for its body is refused before the state of the thing', async () => {
  const end = await revoked();
  assertRefused(await server.api('POST', `/keys/${end.id}/rotate`, { overlap: 'long' }), 400, 'BAD_REQUEST');
  assertRefused(await server.api('PATCH', `/keys/${end.id}`, {}), 400, 'BAD_REQUEST');
});

test('who has a good key is told its account with every answer, who has none is not', async () => {
  const { secret } = await key({ rate_limit: 77 });
  for (const [method, target, body] of [['GET', '/projects'], ['GET', '/projects/not-there'], ['POST', '/keys', {}], ['GET', '/commands?limit=0']]) {
    const answer = await server.api(method, target, body, as(secret));
    assert.equal(answer.headers['ratelimit-policy'], '"key";q=77;w=1', `${method} ${target}`);
    assert.match(answer.headers.ratelimit, /^"key";r=\d+;t=1$/);
  }
  assert.match((await server.api('GET', '/projects')).headers['ratelimit-policy'], metered);
  for (const bad of [undefined, 'not a key', (await revoked()).secret, (await expired()).secret])
    assert.equal((await server.api('GET', '/projects', undefined, as(bad))).headers['ratelimit-policy'], undefined);
  for (const open of ['/health', '/ready', '/metrics', '/docs', '/openapi.json']) {
    const answer = await server.api('GET', open, undefined, as('not a key'), { from: '127.0.1.2' });
    assert.equal(answer.status, 200, `${open} is for everybody`);
    assert.equal(answer.headers['ratelimit-policy'], undefined);
  }
});

test('a refusal has queued and made nothing', async () => {
  assert.equal(await server.psql("SELECT count(*) FROM command WHERE project <> 'brief'"), '2', 'the one that was to end, and the one at the border');
  assert.equal(await server.psql('SELECT count(*) FROM webhook'), '0');
  assert.equal(await server.psql("SELECT string_agg(target, ',' ORDER BY id) FROM audit_log WHERE action = 'project.created'"), 'other,brief');
});
