// A node freezes at the worst moment, another one takes over, and then the frozen one wakes up and goes on where it
// stood: whatever it writes or starts then is refused.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { Counting, ended, submitted, watch } from './commands.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { uuidOf } from './ids.mjs';
import { signal } from './processes.mjs';

const skip = await whyNoFailpoints();

let cluster;
let a;
let b;
before(async () => {
  if (skip) return;
  cluster = await Cluster.start();
  [a, b] = [cluster.add('a'), cluster.add('b')];
});
after(() => cluster?.close());

// Node a alone takes the command and freezes; b is started then, which takes it over at once. Gives the command's id.
async function freezeWith(failpoint, command, key, whileItIsAlone = () => {}) {
  await Promise.all([a, b].map((node) => node.lives && node.stop()));
  await a.start({ failpoint: `${failpoint}:stop` });
  // The answer may be frozen with it: it comes later, or never.
  const late = a.post(command, { key }).catch(() => undefined);
  await waitFor(`node a freezes at ${failpoint}`, () => a.stopped);
  const token = await cluster.database.sql('SELECT token FROM lease');
  assert.match(token, /^\d+$/, 'node a holds the lease when it freezes');
  whileItIsAlone();
  await b.start();
  const id = await submitted([b], command, { key });
  return { id, late, token: Number(token) };
}

// The frozen node goes on, and has worked through what it was at: it does other work to its end, all alone.
async function wake(late) {
  signal(a.pid, 'SIGCONT');
  await late;
  await waitFor('node a is ready again', () => a.isReady());
  assert.deepEqual(await b.stop(), { code: 0, signal: null });
  const probe = await a.submit('echo probe; echo probe >&2');
  assert.equal((await a.follow(probe)).checkReceipts().stdout.toString(), 'probe\n');
}

async function leftNoTrace(id, before) {
  assert.deepEqual(await a.view(id), before.view);
  assert.deepEqual((await a.follow(id)).checkReceipts().numbered, before.whole.numbered);
  assert.equal(await cluster.database.count(`command_result WHERE command_id = '${uuidOf(id)}'`), 1);
  assert.equal(await cluster.audits(id, 'command.end'), 1);
  assert.equal(await cluster.database.count(`lease WHERE command_id = '${uuidOf(id)}'`), 0);
  await a.nothingRuns(id);
}

const short = (name, code) => `echo $$ >>starts-${name}; echo one; echo two >&2; sleep 0.1; echo three; exit ${code}`;
async function ranShort(id, name, code) {
  const view = await b.finished(id);
  assert.equal(view.exit_code, code, JSON.stringify(view));
  assert.equal(view.complete, true);
  const whole = (await b.follow(id)).checkReceipts();
  assert.equal(whole.stdout.toString(), 'one\nthree\n');
  assert.equal(whole.stderr.toString(), 'two\n');
  assert.equal(b.starts(name).length, 1);
  return { view, whole };
}

for (const point of ['start.before', 'start.after'])
  test(`the late start of a node that froze at ${point} starts nothing`, { skip }, async () => {
    const { id, late } = await freezeWith(point, short(point, 4), `key-${point}`, () => {
      if (point === 'start.before') assert.equal(a.starts(point).length, 0, 'it froze before anything was started');
    });
    const before = await ranShort(id, point, 4);
    await wake(late);
    await leftNoTrace(id, before);
    assert.equal(a.starts(point).length, 1);
  });

for (const point of ['output.before', 'output.after'])
  test(`the late output of a node that froze at ${point} is not written`, { skip }, async () => {
    const work = new Counting(point, { code: 6 });
    const { id, late, token } = await freezeWith(point, work.script, `key-${point}`);
    work.id = id;
    await waitFor('node b has it', async () => (await cluster.ownerOf(id)) === b);
    assert.ok(Number(await cluster.database.sql('SELECT token FROM lease')) > token, 'under a new token');
    const reader = watch(b, id);
    await reader.grown(20);
    signal(a.pid, 'SIGCONT');
    await waitFor('node a is ready again', () => a.isReady());
    await reader.grown(20);
    work.stop(b);
    await reader.end;
    const whole = await work.check([b, a], [reader.seen]);
    const before = { view: await b.view(id), whole };
    await wake(late);
    await leftNoTrace(id, before);
  });

for (const point of ['complete.before', 'complete.after'])
  test(`the late end of a node that froze at ${point} changes nothing`, { skip }, async () => {
    const name = point;
    await Promise.all([a, b].map((node) => node.lives && node.stop()));
    await a.start({ failpoint: `${point}:stop` });
    const id = await a.submit(short(name, 2));
    await waitFor(`node a freezes at ${point}`, () => a.stopped);
    const results = await cluster.database.count(`command_result WHERE command_id = '${uuidOf(id)}'`);
    assert.equal(results, point === 'complete.before' ? 0 : 1);
    await b.start();
    await waitFor('node b tells its end', async () => ended(await b.view(id)));
    const before = await ranShort(id, name, 2);
    await wake(undefined);
    await leftNoTrace(id, before);
  });
