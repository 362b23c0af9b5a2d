// A node dies, politely or not, and another one, or the same one later, goes on with its commands: nothing is lost and
// nothing happens twice.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { alive, assertRefused, sleep, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { Counting, watch } from './commands.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { signal } from './processes.mjs';

const noFailpoints = await whyNoFailpoints();

// Starts what the last test left dead.
const heal = (...nodes) => Promise.all(nodes.map((node) => node.lives || node.start()));
const fileOf = (node, id, name) => path.join(node.runDir, id, name);
// Removes a run folder although somebody still writes into it.
const removeRunFolder = (node, id) => {
  assert.ok(fs.existsSync(path.join(node.runDir, id)), `${id} has a run folder`);
  fs.rmSync(path.join(node.runDir, id), { recursive: true, maxRetries: 10 });
};

function assertLost(view, reason) {
  assert.equal(view.status, 'lost', JSON.stringify(view));
  assert.match(view.reason, reason);
  assert.equal(view.exit_code, null);
  assert.equal(view.complete, false);
}

describe('two nodes of one machine', () => {
  let cluster;
  let a;
  let b;
  before(async () => {
    cluster = await Cluster.start();
    [a, b] = [cluster.add('a'), cluster.add('b')];
    await Promise.all([a.start(), b.start()]);
  });
  after(() => cluster.close());
  const other = (node) => (node === a ? b : a);

  for (const how of ['SIGKILL', 'SIGTERM'])
    test(`when the owner of a command gets ${how} the other node goes on with it`, async () => {
      await heal(a, b);
      const work = new Counting(`owner-${how}`, { code: 7 });
      const id = await work.submit(a);
      const owner = await cluster.runsSomewhere(id);
      const survivor = other(owner);
      const early = watch(owner, id);
      const late = watch(survivor, id);
      await Promise.all([early.grown(30), late.grown(30)]);
      const end = await (how === 'SIGTERM' ? owner.stop() : owner.kill9());
      if (how === 'SIGTERM') assert.deepEqual(end, { code: 0, signal: null });
      await early.end;
      assert.equal(early.seen.complete, undefined, 'it struck while the command ran');
      if (how === 'SIGTERM') assert.ok(early.seen.frames.at(-1).retry > 0, 'the stream ends with a retry hint');
      await waitFor('the other node has it', async () => (await cluster.ownerOf(id)) === survivor);
      const resumed = watch(survivor, id, { into: early.seen, headers: { 'Last-Event-ID': early.seen.lastId } });
      await Promise.all([resumed.grown(20), late.grown(20)]);
      work.stop(survivor);
      await Promise.all([resumed.end, late.end]);
      await heal(a, b);
      await work.check([survivor, owner], [early.seen, late.seen]);
      assert.equal(await cluster.audits(id, 'command.end'), 1);
      await survivor.nothingRuns(id);
    });

  test('a cancel that is asked of the other node ends the command and all its processes', async () => {
    await heal(a, b);
    const id = await a.submit(`echo $$ >>starts-cancel; sleep 600 & setsid sleep 600 & echo up; wait`);
    const owner = await cluster.runsSomewhere(id);
    await owner.follow(id, { until: (frame) => frame.event === 'output' });
    assert.ok(owner.processesOf(id).length >= 3, 'it runs');
    const there = other(owner);
    const answer = await there.patiently(() => there.cancel(id));
    assert.equal(answer.status, 202, answer.text);
    for (const node of [a, b]) {
      const view = await node.finished(id);
      assert.equal(view.status, 'cancelled');
      assert.equal(view.survivors, 0);
    }
    await owner.nothingRuns(id);
    assertRefused(await owner.cancel(id), 409, 'CONFLICT');
    assert.equal(await cluster.audits(id, 'command.cancel'), 1);
    assert.equal(a.starts('cancel').length, 1);
  });

  test('an Idempotency-Key counts on every node, also after its node was killed', async () => {
    await heal(a, b);
    const body = JSON.stringify({ command: 'echo >>idempotent' });
    const headers = { 'Idempotency-Key': 'across-nodes' };
    const post = (node, text = body) => node.patiently(() => node.api('POST', '/projects/demo/shell', text, headers));
    const first = await post(a);
    assert.equal(first.status, 202, first.text);
    assert.equal(first.headers['idempotency-replayed'], undefined);
    const repeated = async (node) => {
      const answer = await post(node);
      assert.equal(answer.status, 202, answer.text);
      assert.deepEqual(answer.data, first.data);
      assert.equal(answer.headers['idempotency-replayed'], 'true');
    };
    await repeated(a);
    await repeated(b);
    await a.kill9();
    await repeated(b);
    assertRefused(await post(b, JSON.stringify({ command: 'echo >>other' })), 409, 'CONFLICT');
    await a.start();
    await repeated(a);
    assertRefused(await post(a, JSON.stringify({ command: 'echo >>other' })), 409, 'CONFLICT');
    assert.equal((await b.finished(first.data.id)).status, 'completed');
    await repeated(b);
    assert.equal(a.take('idempotent').length, 1);
    assert.equal(a.take('other'), undefined);
  });

  test('two posts with one Idempotency-Key, at two nodes at once, make one command', async () => {
    await heal(a, b);
    const keys = Array.from({ length: 20 }, (_, i) => `at-once-${i}`);
    const before = await cluster.database.count('command');
    const atBoth = (key) => Promise.all([a, b].map((node) => node.patiently(() => node.post(`echo >>${key}`, { key }))));
    const pairs = await Promise.all(keys.map(atBoth));
    for (const pair of pairs) {
      for (const answer of pair) assert.equal(answer.status, 202, answer.text);
      assert.equal(pair[0].data.id, pair[1].data.id);
      const repeats = pair.filter((answer) => answer.headers['idempotency-replayed'] === 'true');
      assert.equal(repeats.length, 1, 'one of them is the repeat');
    }
    assert.equal((await cluster.database.count('command')) - before, keys.length);
    for (const [{ data }] of pairs) assert.equal((await b.finished(data.id)).status, 'completed');
    for (const key of keys) assert.equal(a.take(key).length, 1);
  });

  const output = 'echo up; ';
  for (const [what, prints] of [['with output', output], ['without any output', '']]) {
    test(`a command ${what} whose run folder is deleted is lost and not started again`, async () => {
      await heal(a, b);
      const name = `folder-${prints.length}`;
      const id = await a.submit(`echo $$ >>starts-${name}; ${prints}sleep 600 & setsid sleep 600 & wait`);
      await waitFor('it runs', () => a.starts(name).length === 1 && a.processesOf(id).length >= 4);
      if (prints) await b.follow(id, { until: (frame) => frame.event === 'output' });
      removeRunFolder(a, id);
      assertLost(await a.finished(id), /run folder/);
      await a.nothingRuns(id);
      assert.equal(a.starts(name).length, 1);
      const seen = await b.follow(id);
      assert.equal(seen.stdout.toString(), prints ? 'up\n' : '');
      assert.equal(seen.complete.status, 'lost');
    });

    test(`a command ${what} whose shim is killed is lost, and its processes with it`, async () => {
      await heal(a, b);
      const name = `shim-${prints.length}`;
      const id = await a.submit(`echo $$ >>starts-${name}; ${prints}trap '' TERM PIPE
        sleep 600 & setsid sleep 600 & wait`);
      await waitFor('it runs', () => a.starts(name).length === 1 && a.shimOf(id) && a.processesOf(id).length >= 4);
      if (prints) await b.follow(id, { until: (frame) => frame.event === 'output' });
      signal(a.shimOf(id), 'SIGKILL');
      assertLost(await b.finished(id), /stood over/);
      await a.nothingRuns(id);
      assert.equal(a.starts(name).length, 1);
    });
  }
});

describe('while no server lives', () => {
  let cluster;
  let a;
  before(async () => {
    cluster = await Cluster.start();
    a = await cluster.add('a').start();
  });
  after(() => cluster.close());
  const running = (name, id) => waitFor(`${name} runs`, () => a.starts(name).length === 1 && a.shimOf(id));

  test('commands go on, end, and time out, and the next start finds out', async (t) => {
    const own = new Counting('own', { code: 3 });
    await own.submit(a);
    const reader = watch(a, own.id);
    await reader.grown(20);
    const ends = await a.submit(`echo $$ >>starts-ends; echo up
      while [ ! -e away ]; do sleep 0.05; done; echo down; exit 5`);
    const folder = await a.submit('echo $$ >>starts-folder; echo up; setsid sleep 600 & wait');
    const silent = await a.submit('echo $$ >>starts-silent; setsid sleep 600 & wait');
    const shim = await a.submit(`echo $$ >>starts-shim; echo up; trap '' PIPE TERM; setsid sleep 600 & wait`);
    for (const [name, id] of Object.entries({ ends, folder, silent, shim })) await running(name, id);
    for (const id of [ends, folder, shim]) await a.follow(id, { until: (frame) => frame.event === 'output' });
    // The last one, and long enough for a slow machine: it must not end before the server does.
    const due = await a.submit(`echo $$ >>starts-due; echo up
      (trap '' TERM; while :; do sleep 0.2; done) & setsid sleep 600 & wait`, { timeout_seconds: 6 });
    await running('due', due);
    await a.follow(due, { until: (frame) => frame.event === 'output' });
    await a.kill9();
    const died = Date.now();
    assert.notEqual(a.processesOf(due).length, 0, 'the time-out falls when the server is dead');

    await reader.end;
    const steps = a.take('steps-own').length;
    await waitFor('the command goes on without the server', () => a.take('steps-own').length > steps + 10);
    removeRunFolder(a, folder);
    removeRunFolder(a, silent);
    signal(a.shimOf(shim), 'SIGKILL');
    a.put('away', '');
    await waitFor('the end is written down', () => fs.existsSync(fileOf(a, ends, 'code')));
    const endSeen = Date.now();
    await t.test('the shim itself enforces the time-out', () => a.nothingRuns(due));
    const dueSeen = Date.now();
    await sleep(Math.max(0, endSeen + 4000 - Date.now())); // so that the end and the take-over lie well apart
    await a.start();

    await t.test('the server takes its own command back', async () => {
      assert.equal(await cluster.runsSomewhere(own.id), a);
      const resumed = watch(a, own.id, { into: reader.seen, headers: { 'Last-Event-ID': reader.seen.lastId } });
      await resumed.grown(20);
      own.stop(a);
      await resumed.end;
      await own.check([a], [reader.seen]);
    });
    await t.test('what ended has the time of its own end', async () => {
      const view = await a.finished(ends);
      assert.equal(view.exit_code, 5);
      assert.equal(view.status, 'failed');
      assert.equal((await a.follow(ends)).checkReceipts().stdout.toString(), 'up\ndown\n');
      const [began, at] = [view.started_at, view.finished_at].map((time) => Date.parse(time));
      assert.ok(at <= endSeen + 1000, `it ended at ${view.finished_at}, seen at ${new Date(endSeen).toISOString()}`);
      assert.ok(at >= died - 1000, 'and not before the server died');
      assert.ok(began + view.duration_ms <= endSeen + 1000, 'the absence of the server is no part of it');
      assert.equal(a.starts('ends').length, 1);
    });
    await t.test('what timed out says so', async () => {
      const view = await a.finished(due);
      assert.equal(view.status, 'timed_out');
      assert.equal(view.survivors, 0);
      const said = `it ended at ${view.finished_at}, seen at ${new Date(dueSeen).toISOString()}`;
      assert.ok(Date.parse(view.finished_at) <= dueSeen + 1000, said);
      assert.equal(a.starts('due').length, 1);
    });
    for (const [name, id] of Object.entries({ folder, silent }))
      await t.test(`a deleted run folder (${name}) is a lost command`, async () => {
        assertLost(await a.finished(id), /run folder/);
        await a.nothingRuns(id);
        assert.equal(a.starts(name).length, 1);
      });
    await t.test('a killed shim is a lost command', async () => {
      assertLost(await a.finished(shim), /stood over/);
      await a.nothingRuns(shim);
      assert.equal(a.starts('shim').length, 1);
    });
  });

  test('a restart of the machine loses what ran, and starts it never again', { skip: noFailpoints }, async () => {
    const id = await a.submit('echo $$ >>starts-machine; echo up; sleep 600');
    await running('machine', id);
    await a.follow(id, { until: (frame) => frame.event === 'output' });
    await a.kill9();
    await a.start({ env: { RDEV_FAILPOINT_MACHINE: 'after-the-restart' } });
    assertLost(await a.finished(id), /the machine was restarted/);
    const next = await a.submit('echo next');
    assert.equal((await a.finished(next)).status, 'completed');
    assert.equal(a.starts('machine').length, 1);
    await a.stop();
    await a.start();
  });

  test('when all run folders are deleted, what ran is lost, and what comes later runs', async () => {
    const id = await a.submit('echo $$ >>starts-all; echo up; sleep 600');
    await running('all', id);
    await a.follow(id, { until: (frame) => frame.event === 'output' });
    await a.kill9();
    fs.rmSync(a.runDir, { recursive: true, maxRetries: 10 });
    await a.start();
    const view = await a.finished(id);
    assertLost(view, /run folders was deleted/);
    await a.nothingRuns(id);
    const next = await a.submit('echo next');
    assert.equal((await a.finished(next)).status, 'completed');
    assert.equal(a.starts('all').length, 1);
    assert.deepEqual(await a.view(id), view);
  });
});

describe('nodes of different machines', () => {
  let cluster;
  let home;
  let abroad;
  before(async () => {
    const env = { RDEV_LEASES_FOREIGN_AFTER: '1s', RDEV_COMMANDS_MAX_RUNNING_PER_PROJECT: '1' };
    cluster = await Cluster.start({ shared: false, env });
    [home, abroad] = [cluster.add('home'), cluster.add('abroad')];
    await Promise.all([home.start(), abroad.start()]);
  });
  after(() => cluster.close());

  test('a node runs only what was given to its machine, and ends what a lost machine was running', async (t) => {
    assert.equal((await home.api('POST', '/projects', { id: 'only-home' })).status, 201);
    const projects = ['demo', 'only-home'];
    const work = projects.map((project) => new Counting(`foreign-${project}`, { project }));
    for (const one of work) await one.submit(home);
    await waitFor('they run', () => work.every(({ name, project }) => home.starts(name, project).length === 1));
    const readers = work.map(({ id, project }) => watch(abroad, id, { project }));
    for (const reader of readers) await reader.grown(10);
    // No project may run two at once: these wait.
    const waiting = [];
    for (const project of projects) waiting.push(await home.submit('echo $$ >>starts-waiting', { project }));
    for (const { id } of work) assert.equal((await cluster.ownerOf(id)).name, 'home');
    await home.kill9();

    const lost = [];
    for (const { id } of work) {
      lost.push(await abroad.finished(id));
      assertLost(lost.at(-1), /another machine/);
    }
    for (const reader of readers) {
      await reader.end;
      assert.equal(reader.seen.complete.status, 'lost');
    }
    await t.test('what waits for the lost machine waits on, and is in nobody’s way', async () => {
      for (let i = 0; i < 3; ++i) {
        const id = await abroad.submit('echo $$ >>starts-here');
        assert.equal((await abroad.finished(id)).status, 'completed');
      }
      assert.equal(abroad.starts('here').length, 3);
      for (const id of waiting) assert.equal((await abroad.view(id)).status, 'queued');
    });
    const alivePids = work.map(({ name, project }) => home.starts(name, project)[0]);
    assert.ok(alivePids.every(alive), 'on the lost machine they still run');

    await home.start();
    await t.test('the machine that comes back ends the lost commands and leaves their results alone', async () => {
      await waitFor('the processes are gone', () => !alivePids.some(alive));
      for (const { id } of work) await home.nothingRuns(id);
    });
    await t.test('and runs what has waited for it', async () => {
      for (const id of waiting) assert.equal((await home.finished(id)).status, 'completed');
      for (const project of projects) assert.equal(home.starts('waiting', project).length, 1);
      assert.equal(abroad.take('starts-waiting'), undefined);
    });
    for (const [i, { id, name, project }] of work.entries()) {
      for (const node of [home, abroad]) assert.deepEqual(await node.view(id), lost[i]);
      for (const node of [home, abroad]) {
        const whole = await node.follow(id, { project });
        assert.deepEqual(whole.numbered, readers[i].seen.numbered, `the stream at ${node.name}`);
      }
      assert.equal(home.starts(name, project).length, 1);
    }
  });
});
