// rdev-api ends, politely or not, while a command counts; the next one on the same data dir goes on as if nothing were.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { Server, Transcript, waitFor } from './support.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server.close());

const count = 300;
const numbers = (name) => Array.from({ length: count }, (_, i) => `${name} ${i}\n`).join('');

for (const [how, end] of [['SIGTERM', () => server.stop()], ['SIGKILL', () => server.kill9()]])
  test(`a command outlives ${how} of the server and runs once`, async () => {
    const id = await server.submit(`echo >>starts-${how}
      i=0; while [ $i -lt ${count} ]; do echo "out $i"; echo "err $i" >&2; echo >>steps-${how}; i=$((i+1)); sleep 0.03; done; exit 9`);
    const seen = new Transcript();
    let lines = 0;
    let reached;
    const middle = new Promise((resolve) => (reached = resolve));
    const reading = server.follow(id, { into: seen, until: (frame) => { if (frame.event === 'output' && ++lines === 40) reached(); } });
    await middle;
    const ended = await end();
    if (how === 'SIGTERM') {
      assert.deepEqual(ended, { code: 0, signal: null });
      assert.ok(!fs.existsSync(server.addressFile), 'the address is removed at the end');
    }
    await reading;
    assert.equal(seen.complete, undefined, 'it struck while the command ran');
    if (how === 'SIGTERM') assert.ok(seen.frames.at(-1).retry > 0, 'the stream ends with a retry hint');
    const stepsAtDeath = server.take(`steps-${how}`).length;
    await waitFor('the command goes on without the server', () => server.take(`steps-${how}`).length > stepsAtDeath + 10);
    await server.start();
    await server.follow(id, { into: seen, headers: { 'Last-Event-ID': seen.lastId } });
    seen.checkReceipts();
    assert.equal(seen.stdout.toString(), numbers('out'));
    assert.equal(seen.stderr.toString(), numbers('err'));
    assert.equal(seen.complete.status, 'failed');
    assert.equal(seen.complete.exit_code, 9);
    assert.equal(seen.complete.complete, true);
    assert.equal(server.take(`starts-${how}`).length, 1, 'it was started once');
    const whole = await server.follow(id);
    assert.deepEqual(whole.numbered, seen.numbered, 'who was there all the time saw what a latecomer sees');
  });

test('commands that end while the server is away have their receipts afterwards', async () => {
  const ids = [];
  for (let i = 0; i < 5; ++i) ids.push(await server.submit(['sh', '-c', `echo up; while [ ! -e away ]; do sleep 0.05; done; echo ${i}; exit ${i}`]));
  for (const id of ids) await server.follow(id, { until: (frame) => frame.event === 'output' });
  await server.kill9();
  server.put('away', '');
  await server.start();
  for (const [i, id] of ids.entries()) {
    const seen = (await server.follow(id)).checkReceipts();
    assert.equal(seen.stdout.toString(), `up\n${i}\n`);
    assert.equal(seen.complete.exit_code, i);
    assert.equal((await server.view(id)).status, i === 0 ? 'completed' : 'failed');
  }
});

test('a time-out that falls due while the server is away strikes when it is back', async () => {
  const id = await server.submit(['sh', '-c', 'echo up; sleep 600'], { timeout_seconds: 2 });
  await server.follow(id, { until: (frame) => frame.event === 'output' });
  await server.kill9();
  await server.start();
  assert.equal((await server.finished(id)).status, 'timed_out');
});

test('keys, commands and projects are still there', async () => {
  const key = server.key;
  assert.equal((await server.api('POST', '/projects', { id: 'kept' })).status, 201);
  const before = (await server.api('GET', '/commands')).data;
  await server.stop();
  await server.start();
  assert.equal(server.key, key, 'the administrator’s key is the same');
  assert.deepEqual((await server.api('GET', '/commands')).data, before);
  assert.deepEqual((await server.api('GET', '/projects')).data.map(({ id }) => id).sort(), ['demo', 'kept']);
});
