// When a right is said to be gone it counts nowhere any more: not on the node that was not asked, not on one that stood
// still meanwhile, and not for a request that had got past the door.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { assertRefused, mint, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { uuidOf } from './ids.mjs';
import { signal } from './processes.mjs';

const skip = await whyNoFailpoints();
const promised = 5_000; // 2.5 s, and slack for the machine

let cluster;
let a;
let b;
before(async () => {
  // What is submitted here waits behind a command that does not end.
  cluster = await Cluster.start({ env: { RDEV_COMMANDS_MAX_RUNNING: '1', RDEV_LIMITS_UNAUTHENTICATED_RPS: '0' } });
  [a, b] = [cluster.add('a'), cluster.add('b')];
  await Promise.all([a.start(), b.start()]);
  for (const name of ['one', 'two']) await a.reaches(await a.submit(`echo ${name}; while [ ! -e stop ]; do sleep 0.2; done`), 'running');
});
after(() => cluster?.close());

const as = (secret) => ({ 'X-API-Key': secret });
const scopes = ['projects:execute'];
const queuedOf = (id) => cluster.database.count(`command WHERE key_id = '${uuidOf(id)}'`);

// One client on a connection that it keeps, asking again and again. Of each answer: whether the right was said to be
// gone before the request was sent.
class Client {
  answers = [];
  #ends = false;
  constructor(node, secret, method, state) {
    Object.assign(this, { node, secret, method, state });
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.done = this.#work();
  }
  async #work() {
    while (!this.#ends) {
      const late = this.state.gone;
      const answer = await this.#ask();
      this.answers.push({ late, ...answer });
    }
    this.agent.destroy();
  }
  #ask() {
    const body = this.method === 'POST' ? '{"command":"true"}' : undefined;
    const [host, port] = this.node.address.split(':');
    const headers = { 'X-API-Key': this.secret, ...(body && { 'Content-Type': 'application/json', 'Content-Length': body.length }) };
    return new Promise((resolve, reject) => {
      const request = http.request({ host, port, agent: this.agent, method: this.method, path: body ? '/projects/demo/shell' : '/projects', headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece) => (text += piece)).on('end', () => resolve({ status: response.statusCode, code: JSON.parse(text).error?.code })).on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  }
  get late() {
    return this.answers.filter(({ late }) => late);
  }
  stop() {
    this.#ends = true;
    return this.done;
  }
}

// Takes a right away under load; every request sent after the answer gets `refused` (by method).
async function takeAway(how, refused, what = {}) {
  const made = await mint(a, { name: 'hammered', scopes, ...what });
  const state = { gone: false };
  const clients = [a, b].flatMap((node) => ['GET', 'GET', 'POST'].map((method) => new Client(node, made.secret, method, state)));
  try {
    await waitFor('the load is on', () => clients.every(({ answers }) => answers.length >= 3));
    const early = clients.flatMap(({ answers }) => answers);
    for (const { status } of early) assert.ok([200, 202].includes(status), `before: ${status}`);
    const answer = await how(made);
    state.gone = true;
    made.goneAt = Date.now();
    assert.ok(answer.status === 200 || answer.status === 201, answer.text);
    await waitFor('each asks again', () => clients.every((client) => client.late.length >= 5));
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
  }
  for (const client of clients)
    for (const one of client.late)
      assert.equal(one.code ?? one.status, refused[client.method], `${client.method} at ${client.node.name}, sent when it was said to be gone`);
  return made;
}

const turns = Number(process.env.RDEV_TEST_TURNS ?? 50);
test(`a revoked key is refused everywhere from the answer on, ${turns} times under load`, async () => {
  for (let i = 0; i < turns; ++i) {
    const at = i % 2 === 0 ? a : b;
    const made = await takeAway(({ id }) => at.api('DELETE', `/keys/${id}`), { GET: 'KEY_REVOKED', POST: 'KEY_REVOKED' });
    const queued = await queuedOf(made.id);
    assert.ok(queued > 0, 'the load was real');
    assert.equal(await cluster.database.count(`command WHERE key_id = '${uuidOf(made.id)}' AND created_at > to_timestamp(${made.goneAt / 1000})`), 0);
  }
});

const others = [
  ['a rotation without overlap', (at) => ({ id }) => at.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }), { GET: 'KEY_EXPIRED', POST: 'KEY_EXPIRED' }],
  ['scopes that are taken away', (at) => ({ id }) => at.api('PATCH', `/keys/${id}`, { scopes: ['projects:read'] }), { GET: 200, POST: 'FORBIDDEN' }],
  ['projects that are taken away', (at) => ({ id }) => at.api('PATCH', `/keys/${id}`, { project_ids: ['other'] }), { GET: 200, POST: 'FORBIDDEN' }],
  ['addresses that are taken away', (at) => ({ id }) => at.api('PATCH', `/keys/${id}`, { allowed_ips: ['192.0.2.1'] }), { GET: 'IP_NOT_ALLOWED', POST: 'IP_NOT_ALLOWED' }],
];
for (const [name, how, refused] of others)
  test(`${name} count nowhere from the answer on`, async () => {
    for (let i = 0; i < 10; ++i) await takeAway(how(i % 2 === 0 ? a : b), refused);
  });

// Streams of the command that never ends, one at each node, and of the project.
async function streamsOf(secret) {
  const running = (await a.api('GET', '/commands?status=running')).data[0].id;
  const open = [];
  for (const node of [a, b])
    for (const target of [node.eventsOf(running), '/projects/demo/events']) {
      const stream = await node.openEvents(target, as(secret));
      assert.equal(stream.status, 200);
      const one = { frames: [], ended: false, close: stream.close, again: () => node.api('GET', target, undefined, as(secret)), where: `${target} at ${node.name}` };
      (async () => { for await (const frame of stream.frames) one.frames.push(frame); })().catch(() => {}).then(() => { one.ended = true; });
      open.push(one);
    }
  await waitFor('all are connected', () => open.every(({ frames }) => frames.some(({ event }) => event === 'connected')));
  return open;
}
const endings = [
  ['revoked', (id) => a.api('DELETE', `/keys/${id}`), /^KEY_REVOKED$/],
  ['rotated without overlap', (id) => a.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }), /^KEY_(REVOKED|EXPIRED)$/],
  ['taken the scope to read', (id) => a.api('PATCH', `/keys/${id}`, { scopes: ['audit:read'] }), /^FORBIDDEN$/],
  ['taken the project', (id) => a.api('PATCH', `/keys/${id}`, { project_ids: ['other'] }), /^FORBIDDEN$/],
];
for (const [name, how, code] of endings)
  test(`the streams of a key end on both nodes when it is ${name}`, async () => {
    const { id, secret } = await mint(a, { name: 'reader', scopes: ['projects:read'] });
    const open = await streamsOf(secret);
    try {
      const answer = await how(id);
      assert.ok([200, 201].includes(answer.status), answer.text);
      for (const one of open) {
        await waitFor(`the stream ends: ${one.where}`, () => one.ended, 10_000);
        // A revoked key is told so; another is sent away with a hint to resume, and then told what it lacks.
        const last = one.frames.filter(({ event }) => event && event !== 'heartbeat').at(-1);
        if (last.event === 'error') assert.match(last.data.code, code);
        else assert.match((await one.again()).error?.code ?? 'it may still read', code);
      }
    } finally {
      for (const one of open) one.close();
    }
  });

test('the streams of the administrator’s former key end on every node when a node starts with another one', async () => {
  const former = a.key;
  const open = (await streamsOf(former)).filter(({ where }) => where.endsWith('at a'));
  try {
    await b.stop();
    await b.start({ env: { RDEV_ADMIN_KEY: 'another administrator, of thirty-two characters' } });
    for (const one of open) {
      await waitFor(`the stream ends: ${one.where}`, () => one.ended, 10_000);
      assertRefused(await one.again(), 401, 'UNAUTHORIZED');
    }
    assert.equal((await a.api('GET', '/projects', undefined, as(b.key))).status, 200);
  } finally {
    for (const one of open) one.close();
    await b.stop();
    await b.start();
  }
  await waitFor('the former one is good again', async () => (await a.api('GET', '/projects')).status === 200);
});

for (const [name, how, codes] of [
  ['revocation', (id) => a.api('DELETE', `/keys/${id}`), ['KEY_REVOKED', 'KEY_REVOKED']],
  ['change of scopes', (id) => a.api('PATCH', `/keys/${id}`, { scopes: ['projects:read'] }), [undefined, 'FORBIDDEN']],
])
  test(`a ${name} does not wait for a node that stands still, which refuses the key when it wakes up`, async () => {
    const { id, secret } = await mint(a, { name: 'frozen', scopes });
    assert.equal((await b.api('GET', '/projects', undefined, as(secret))).status, 200, 'node b has it in memory');
    const open = await streamsOf(secret);
    await b.freeze();
    let waiting;
    try {
      const began = Date.now();
      const answer = await how(id);
      assert.equal(answer.status, 200, answer.text);
      assert.ok(Date.now() - began < promised, `answered after ${Date.now() - began} ms`);
      waiting = [b.api('GET', '/projects', undefined, as(secret)), b.api('POST', '/projects/demo/shell', { command: 'true' }, as(secret))];
      waiting.forEach((one) => one.catch(() => {}));
    } finally {
      await b.thaw();
    }
    assert.deepEqual((await Promise.all(waiting)).map((one) => one.error?.code), codes);
    assert.equal(await queuedOf(id), 0);
    if (name === 'revocation') for (const one of open) await waitFor(`the stream ends: ${one.where}`, () => one.ended, 10_000);
    for (const one of open) one.close();
    await waitFor('node b is ready again', () => b.isReady());
  });

test('with a node that was killed a revocation is answered as well', async () => {
  const { id, secret } = await mint(a, { name: 'orphaned', scopes });
  assert.equal((await b.api('GET', '/projects', undefined, as(secret))).status, 200);
  await b.kill9();
  const began = Date.now();
  assert.equal((await a.api('DELETE', `/keys/${id}`)).status, 200);
  assert.ok(Date.now() - began < promised);
  await b.start();
  assertRefused(await b.api('GET', '/projects', undefined, as(secret)), 401, 'KEY_REVOKED');
});

test('two changes of one key on two nodes at once are both done', async () => {
  const lost = [];
  for (let i = 0; i < 40; ++i) {
    const { id } = await mint(a, { name: 'changed', scopes: ['projects:execute', 'audit:read'] });
    const answers = await Promise.all([
      a.api('PATCH', `/keys/${id}`, { scopes: ['projects:read'] }),
      b.api('PATCH', `/keys/${id}`, { name: 'renamed' }),
    ]);
    assert.ok(answers.every(({ status }) => [200, 409].includes(status)), answers.map(({ text }) => text).join('\n'));
    const now = (await a.api('GET', `/keys/${id}`)).data;
    if (answers[0].status === 200 && now.scopes.join() !== 'projects:read') lost.push(`${i}: the narrower scopes`);
    if (answers[1].status === 200 && now.name !== 'renamed') lost.push(`${i}: the name`);
  }
  assert.deepEqual(lost, []);
});

test('a rotation beside a change that takes rights away makes no key that has them', async () => {
  const lost = [];
  for (let i = 0; i < 40; ++i) {
    const { id } = await mint(a, { name: 'changed', scopes: ['projects:execute', 'audit:read'] });
    const [change, rotation] = await Promise.all([
      a.api('PATCH', `/keys/${id}`, { scopes: ['projects:read'] }), b.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }),
    ]);
    if (change.status !== 200 || rotation.status !== 201) continue;
    const old = (await a.api('GET', `/keys/${id}`)).data;
    const fresh = (await a.api('GET', `/keys/${rotation.data.key.id}`)).data;
    // Both were done: if the old key ended up narrower before it was replaced, its successor is as narrow.
    const order = await cluster.database.sql(`SELECT string_agg(action, ',' ORDER BY at) FROM audit_log WHERE action IN ('key.change', 'key.rotate') AND target IN ('${uuidOf(id)}', '${uuidOf(fresh.id)}')`);
    if (order === 'key.change,key.rotate' && fresh.scopes.join() !== 'projects:read') lost.push(`${i}: ${old.scopes} became ${fresh.scopes}`);
  }
  assert.deepEqual(lost, []);
});

test('a key that was revoked gets no successor from a rotation at the other node', async () => {
  for (let i = 0; i < 20; ++i) {
    const { id, secret } = await mint(a, { name: 'rotating', scopes: ['projects:read'] });
    const [rotation, revocation] = await Promise.all([b.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }), a.api('DELETE', `/keys/${id}`)]);
    assert.equal(revocation.status, 200, revocation.text);
    assert.ok([201, 409].includes(rotation.status), rotation.text);
    assert.equal((await a.api('GET', '/projects', undefined, as(secret))).status, 401);
    const order = await cluster.database.sql(`SELECT (SELECT min(at) FROM audit_log WHERE action = 'key.rotate' AND detail->>'rotated_from' = '${uuidOf(id)}') > (SELECT min(at) FROM audit_log WHERE action = 'key.revoke' AND target = '${uuidOf(id)}')`);
    assert.notEqual(order, 't', 'a key that was revoked had a successor made');
  }
});

const somebodyWaits = () => waitFor('it waits', async () => (await cluster.database.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) !== '0');

test('a rotation that is repeated at both nodes at once makes one key', async () => {
  for (let i = 0; i < 10; ++i) {
    const { id } = await mint(a, { name: 'repeated', scopes: ['projects:read'] });
    const answers = await Promise.all([a, b, a, b].map((node) => node.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }, { 'Idempotency-Key': `rotate-${i}` })));
    for (const { status, text } of answers) assert.equal(status, 201, text);
    assert.equal(new Set(answers.map(({ data }) => data.key.id)).size, 1);
    assert.equal(answers.filter(({ data }) => data.secret !== null).length, 1, 'its secret is shown once');
    assert.equal(await cluster.database.count(`api_keys WHERE rotated_from = '${uuidOf(id)}'`), 1);
  }
});

// Holds back what a statement needs, until `act` is done.
async function heldBack(lock, act) {
  const psql = cluster.database;
  await psql.sql('BEGIN');
  try {
    await psql.sql(lock);
    return await act();
  } finally {
    await psql.sql('COMMIT');
  }
}

// A submission that waits before its statement has looked at anything: as if its node stood still there.
const lates = [
  ['revoked', (id) => b.api('DELETE', `/keys/${id}`), 'KEY_REVOKED'],
  ['rotated without overlap', (id) => b.api('POST', `/keys/${id}/rotate`, { overlap: '0s' }), 'KEY_EXPIRED'],
  ['taken the scope to execute', (id) => b.api('PATCH', `/keys/${id}`, { scopes: ['projects:read'] }), 'FORBIDDEN'],
  ['taken the project', (id) => b.api('PATCH', `/keys/${id}`, { project_ids: ['other'] }), 'FORBIDDEN'],
];
for (const [how, takeRight, code] of lates)
  test(`a submission that stands still before its statement queues nothing when its key is ${how} meanwhile`, async () => {
    const { id, secret } = await mint(a, { name: 'late writer', scopes });
    assert.equal((await a.api('POST', '/projects/demo/shell', { command: 'true' }, as(secret))).status, 202);
    let late;
    let taken;
    await heldBack('LOCK TABLE command_secret IN ACCESS EXCLUSIVE MODE', async () => {
      late = a.api('POST', '/projects/demo/shell', { command: 'true' }, as(secret));
      await somebodyWaits();
      taken = await takeRight(id);
    });
    assert.ok([200, 201].includes(taken.status), taken.text);
    const answer = await late;
    assert.ok(answer.error?.code === code || answer.status === 503, `${answer.status} ${answer.text}`);
    assert.equal(await queuedOf(id), 1, 'only the first one');
  });

for (const [how, takeRight, code] of [
  ['revoked', (id) => b.api('DELETE', `/keys/${id}`), 'KEY_REVOKED'],
  ['taken the scope', (id) => b.api('PATCH', `/keys/${id}`, { scopes: ['keys:write'] }), 'FORBIDDEN'],
])
  test(`a key is not made by one that was ${how} while its request stood still`, async () => {
    const { id, secret } = await mint(a, { name: 'slow parent', scopes: ['keys:write', 'audit:read'] });
    let late;
    let taken;
    await heldBack('LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE', async () => {
      late = a.api('POST', '/keys', { name: 'late child', scopes: ['audit:read'] }, as(secret));
      await somebodyWaits();
      taken = await takeRight(id);
    });
    assert.equal(taken.status, 200, taken.text);
    const answer = await late;
    assert.ok(answer.error?.code === code || answer.status === 503, `${answer.status} ${answer.text}`);
    assert.equal(await cluster.database.count(`api_keys WHERE created_by = '${uuidOf(id)}'`), 0);
  });

test('a project is not made by a key that was revoked while its request stood still', async () => {
  const { id, secret } = await mint(a, { name: 'slow maker', scopes: ['projects:write'] });
  let late;
  let revoked;
  await heldBack('LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE', async () => {
    late = a.api('POST', '/projects', { id: 'late' }, { ...as(secret), 'Idempotency-Key': 'late' });
    await somebodyWaits();
    revoked = await b.api('DELETE', `/keys/${id}`);
  });
  assert.equal(revoked.status, 200);
  const answer = await late;
  assert.ok(answer.error?.code === 'KEY_REVOKED' || answer.status === 503, `${answer.status} ${answer.text}`);
  assertRefused(await a.api('GET', '/projects/late'), 404, 'NOT_FOUND');
});

test('a project is not removed by a key that was revoked while its request stood still', async () => {
  assert.equal((await a.api('POST', '/projects', { id: 'kept' })).status, 201);
  const { id, secret } = await mint(a, { name: 'slow remover', scopes: ['projects:write'] });
  let late;
  let revoked;
  await heldBack('LOCK TABLE queue_item IN ACCESS EXCLUSIVE MODE', async () => {
    late = a.api('DELETE', '/projects/kept', undefined, as(secret));
    await somebodyWaits();
    revoked = await b.api('DELETE', `/keys/${id}`);
  });
  assert.equal(revoked.status, 200);
  const answer = await late;
  assert.ok(answer.error?.code === 'KEY_REVOKED' || answer.status === 503, `${answer.status} ${answer.text}`);
  assert.equal((await a.api('GET', '/projects/kept')).status, 200);
});

test('a submission that froze behind authentication queues nothing when its key is revoked meanwhile', { skip }, async () => {
  await a.stop();
  await a.start({ failpoint: 'submit.before:stop' });
  const { id, secret } = await mint(a, { name: 'late', scopes });
  const late = a.api('POST', '/projects/demo/shell', { command: 'true' }, as(secret));
  late.catch(() => {});
  await waitFor('node a freezes', () => a.stopped);
  const began = Date.now();
  assert.equal((await b.api('DELETE', `/keys/${id}`)).status, 200);
  assert.ok(Date.now() - began < promised);
  signal(a.pid, 'SIGCONT');
  assertRefused(await late, 401, 'KEY_REVOKED');
  assert.equal(await queuedOf(id), 0);
});
