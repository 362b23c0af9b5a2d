// PostgreSQL freezes, and PostgreSQL dies: rdev says so, recovers by itself, and nothing runs twice or is lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, alive, assertRefused, sleep, waitFor } from './support.mjs';

let server;
before(async () => { server = await Server.start({ env: { RDEV_LIMITS_RPS: '0' } }); });
after(() => server.close());

const get = (target) => server.api('GET', target);
const ready = () => waitFor('/ready is 200', async () => (await get('/ready')).status === 200);
const circuit = async () => /^rdev_circuit_state\{name="database"\} (\d)$/m.exec((await get('/metrics')).text)?.[1];
const linesOf = (name) => server.take(name)?.toString().trimEnd().split('\n') ?? [];

// Repeats a submission with its Idempotency-Key, as the contract tells clients to, until it is accepted.
async function submitted(command, key) {
  let answers = 0;
  const answer = await waitFor(`${key} is accepted`, async () => {
    const one = await server.api('POST', '/projects/demo/shell', { command }, { 'Idempotency-Key': key });
    answers += 1;
    if (one.status !== 202) assertRefused(one, 503, 'SERVICE_UNAVAILABLE');
    return one.status === 202 && one;
  }, 60_000);
  return { id: answer.data.id, answers };
}

async function freeze() {
  // The postmaster first: it makes no new processes then.
  const root = server.postmaster();
  assert.ok(root, 'the embedded PostgreSQL runs');
  process.kill(root, 'SIGSTOP');
  const pids = server.postgresPids();
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  return () => {
    for (const pid of pids) if (alive(pid)) process.kill(pid, 'SIGCONT');
  };
}

test('while PostgreSQL is frozen rdev says 503, and afterwards a repeat runs exactly once', async () => {
  const counting = await server.submit('echo >>started; i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); sleep 0.05; done');
  await server.follow(counting, { until: (frame) => frame.event === 'output' });
  // Some submissions are under way when it strikes.
  const storm = Array.from({ length: 20 }, (_, i) => submitted(`echo ${i} >>storm`, `storm-${i}`));
  const melt = await freeze();
  try {
    await waitFor('/ready is 503', async () => {
      const answer = await get('/ready');
      if (answer.status !== 503) return false;
      const body = answer.json.data ?? answer.json;
      assert.notEqual(body.checks.database.status, 'ok');
      return true;
    });
    assert.equal((await get('/health')).status, 200);
    assert.deepEqual((await get('/health')).json, { status: 'ok' });
    for (let i = 0; i < 3; ++i) {
      const refused = assertRefused(await server.api('POST', '/projects/demo/shell', { command: 'echo >>once' }, { 'Idempotency-Key': 'once' }), 503, 'SERVICE_UNAVAILABLE');
      assert.match(refused.headers['retry-after'], /^[1-9]\d*$/);
    }
    await waitFor('its circuit opens', async () => ['1', '2'].includes(await circuit()));
    await sleep(3000); // longer than the leases live
    assert.equal((await get('/health')).status, 200);
  } finally {
    melt();
  }
  await ready();
  await waitFor('its circuit closes', async () => (await circuit()) === '0');
  const { id } = await submitted('echo >>once', 'once');
  assert.equal((await submitted('echo >>once', 'once')).id, id);
  assert.equal((await server.finished(id)).status, 'completed');
  const ids = (await Promise.all(storm)).map((one) => one.id);
  assert.equal(new Set(ids).size, 20);
  for (const one of ids) assert.equal((await server.finished(one)).status, 'completed');
  assert.deepEqual(linesOf('storm').map(Number).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
  assert.equal(server.take('once').length, 1);
  const seen = (await server.follow(counting)).checkReceipts();
  assert.equal(seen.complete.status, 'completed');
  assert.equal(seen.stdout.toString(), Array.from({ length: 300 }, (_, i) => `${i}\n`).join(''));
  assert.equal(server.take('started').length, 1);
  const commands = (await get('/commands?limit=200')).data;
  assert.equal(commands.length, 22, 'the counting one, the storm, and one more');
});

test('an orderly end does not wait for a PostgreSQL that is frozen', async () => {
  const melt = await freeze();
  try {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  } finally {
    melt();
  }
  await waitFor('PostgreSQL ends as it was told', () => server.postgresPids().length === 0);
  await server.start();
  await ready();
});

test('when the postmaster is killed rdev brings PostgreSQL back, and nothing is lost', async () => {
  const before = (await get('/commands?limit=200')).data.map((one) => one.id);
  const counting = await server.submit('echo >>started-2; i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); sleep 0.05; done');
  await server.follow(counting, { until: (frame) => frame.event === 'output' });
  const old = server.postmaster();
  const storm = Array.from({ length: 20 }, (_, i) => submitted(`echo ${i} >>storm-2`, `storm-2-${i}`));
  process.kill(old, 'SIGKILL');
  assert.equal((await get('/health')).status, 200);
  const now = await waitFor('a new postmaster', () => server.postmaster() !== old && server.postmaster());
  assert.notEqual(now, old);
  await ready();
  const ids = (await Promise.all(storm)).map((one) => one.id);
  for (const one of ids) assert.equal((await server.finished(one)).status, 'completed');
  assert.deepEqual(linesOf('storm-2').map(Number).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
  const seen = (await server.follow(counting)).checkReceipts();
  assert.equal(seen.stdout.toString(), Array.from({ length: 200 }, (_, i) => `${i}\n`).join(''));
  assert.equal(server.take('started-2').length, 1);
  const after = (await get('/commands?limit=200')).data.map((one) => one.id);
  assert.deepEqual(after.slice(-before.length), before, 'what was there is there');
});
