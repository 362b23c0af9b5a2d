// A command is started at most once, whichever process dies or freezes between the claim and the end, and a cancel that
// comes in between leaves nothing running.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { alive, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { submitted } from './commands.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { uuidOf } from './ids.mjs';
import { rarely, signal, stopped } from './processes.mjs';

const skip = await whyNoFailpoints();
const quick = { RDEV_LEASES_RENEW: '100ms', RDEV_LEASES_LEASE: '800ms', RDEV_LEASES_SCAN: '100ms' };

// Grows with every halt of a process.
const progress = (pid) => /^voluntary_ctxt_switches:\s*(\d+)$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1];

const short = (name) => `echo $$ >>starts-${name}; echo one; echo two >&2; sleep 0.1; echo three`;
const long = (name) => `echo $$ >>starts-${name}; echo up; setsid sleep 600 & sleep 600`;

// Two nodes: b is sound, a is started anew for each test with what is to befall it. Where b must not be quicker it stands
// still meanwhile, or does not live.
class Pair {
  #round = 0;

  async open() {
    this.cluster = await Cluster.start({ env: quick });
    this.a = this.cluster.add('a');
    this.b = this.cluster.add('b');
  }
  close() {
    return this.cluster?.close();
  }

  get witness() {
    return this.b.lives ? this.b : this.a;
  }

  async begin(failpoint, { alone = false } = {}) {
    this.#round += 1;
    if (alone && this.b.lives) await this.b.stop();
    if (!alone && !this.b.lives) await this.b.start();
    if (this.a.lives) await this.a.stop();
    try {
      await this.a.start({ failpoint });
    } catch (error) {
      // What the round before has left may bring it to the point while it still starts.
      if (this.a.exited?.signal !== 'SIGKILL') throw error;
      await this.a.start(); // so that it is cleared away
      await this.a.stop();
      await this.a.start({ failpoint });
    }
  }

  // Gives node a a command, and holds node b meanwhile: it is a that comes to the point. Gives the command.
  async over(point, happened, command) {
    const { a, b } = this;
    const name = `${point}-${this.#round}`;
    const one = { name, key: `key-${name}`, command: command(name) };
    if (b.lives) await b.freeze();
    const told = ({ data }) => (one.id = data?.id);
    a.post(one.command, { key: one.key }).then(told, () => undefined); // it may never be answered: then b is asked again
    await waitFor(`node a gets to ${point}`, () => happened(one));
    if (b.lives) await b.thaw();
    else await b.start();
    one.id = await submitted([b], one.command, { key: one.key });
    return one;
  }

  async oneEnd(id) {
    assert.equal(await this.cluster.database.count(`command_result WHERE command_id = '${uuidOf(id)}'`), 1);
    assert.equal(await this.cluster.audits(id, 'command.end'), 1);
  }
  startedAtMostOnce(name) {
    assert.ok(this.witness.starts(name).length <= 1, 'it was started at most once');
  }
  killed() {
    assert.deepEqual(this.a.exited, { code: null, signal: 'SIGKILL' });
  }

  async completedOnce({ id, name }) {
    const { witness } = this;
    const view = await witness.finished(id);
    assert.equal(view.status, 'completed', JSON.stringify(view));
    assert.equal(view.complete, true);
    const seen = (await witness.follow(id)).checkReceipts();
    assert.equal(seen.stdout.toString(), 'one\nthree\n');
    assert.equal(seen.stderr.toString(), 'two\n');
    assert.equal(witness.starts(name).length, 1, 'it was started once');
    await this.oneEnd(id);
    await witness.nothingRuns(id);
  }

  // After a cancel: it never ran, or it was killed, or nobody knows; and nothing is left.
  async cancelledOrLost({ id, name }) {
    const view = await this.b.finished(id);
    assert.ok(['cancelled', 'lost'].includes(view.status), JSON.stringify(view));
    if (view.status === 'cancelled') assert.equal(view.survivors, 0);
    else assert.ok(view.reason.length > 3, 'what is lost says why');
    await this.b.nothingRuns(id);
    this.startedAtMostOnce(name);
    await this.oneEnd(id);
    return view;
  }
}

function withPair(name, body) {
  describe(name, { skip, concurrency: 1 }, () => {
    const pair = new Pair();
    before(() => pair.open());
    after(() => pair.close());
    body(pair);
  });
}

// Each with a pair of nodes of its own, all at once: most of the time is spent waiting for leases and time-outs.
describe('at most once', { concurrency: 3 }, () => {
  withPair('a cancel asked of the other node', (pair) => {
    for (const point of ['claim.after', 'start.before', 'start.after'])
      test(`while the owner is frozen at ${point}`, async () => {
        await pair.begin(`${point}:stop`);
        const { a, b } = pair;
        const one = await pair.over(point, () => a.stopped, long);
        const answer = await b.cancel(one.id);
        assert.equal(answer.status, 202, answer.text);
        signal(a.pid, 'SIGCONT');
        assert.equal((await pair.cancelledOrLost(one)).status, 'cancelled', 'a node that freezes loses nothing');
        // What the frozen one was at is through when it has done other work.
        await b.stop();
        assert.equal((await a.finished(await a.submit('echo probe'))).status, 'completed');
        await a.nothingRuns(one.id);
        pair.startedAtMostOnce(one.name);
        assert.equal((await a.view(one.id)).status, 'cancelled');
      });

    const points = ['shim.before_take', 'shim.after_take', 'shim.after_record', 'shim.after_start'];
    // Brings a shim to a halt at this one: it halts at each of them in turn. Gives the command, and the shim unless it
    // has ended: one that was halted for so long that it was given up ends instead of going on.
    async function haltAt(point, at) {
      await pair.begin(points.map((each) => `${each}:stop`).join(','));
      let shim;
      const one = await pair.over(
        point,
        rarely(async () => {
          [shim] = pair.cluster.stoppedShims();
          for (let i = 0; i < at && shim && alive(shim); ++i) {
            const before = progress(shim);
            signal(shim, 'SIGCONT');
            const halts = () => !alive(shim) || (stopped(shim) && progress(shim) !== before);
            await waitFor('it goes on to the next halt', halts);
          }
          return shim;
        }),
        long,
      );
      return { one, shim: alive(shim) ? shim : undefined };
    }
    for (const [at, point] of points.entries())
      test(`while the shim is frozen at ${point}`, async () => {
        const { b } = pair;
        let { one, shim } = await haltAt(point, at);
        for (let again = 0; !shim && again < 4; ++again) {
          await b.cancel(one.id);
          ({ one, shim } = await haltAt(point, at));
        }
        assert.ok(shim, 'a shim halts there');
        const answer = await b.cancel(one.id);
        assert.equal(answer.status, 202, answer.text);
        await waitFor('the shim has gone on to its end', () => {
          if (stopped(shim)) signal(shim, 'SIGCONT');
          return !alive(shim);
        });
        await pair.cancelledOrLost(one);
      });
  });

  withPair('a shim that freezes', (pair) => {
    test('and is given up before it has said that it runs starts nothing later', async () => {
      await pair.begin('shim.after_take:stop');
      const { a, b, cluster } = pair;
      const { id, name } = await pair.over('shim.after_take', rarely(() => cluster.stoppedShims().length > 0), long);
      const [shim] = cluster.stoppedShims();
      const view = await a.finished(id);
      assert.equal(view.status, 'lost');
      signal(shim, 'SIGCONT');
      await waitFor('the shim ends', () => !alive(shim));
      await b.nothingRuns(id);
      assert.equal(b.starts(name).length, 0);
      assert.deepEqual(await b.view(id), view);
      await pair.oneEnd(id);
    });
  });

  withPair('a shim that is killed', (pair) => {
    for (const point of ['before_take', 'after_take', 'after_record', 'after_start', 'before_end', 'after_end'])
      test(`at shim.${point} leaves a command that completes once or is lost`, async () => {
        await pair.begin(`shim.${point}:kill`, { alone: true });
        const { a } = pair;
        const one = { name: `shim-${point}` };
        one.id = await a.submit(short(one.name));
        const view = await a.finished(one.id);
        assert.ok(['completed', 'lost'].includes(view.status), JSON.stringify(view));
        if (view.status === 'completed') await pair.completedOnce(one);
        pair.startedAtMostOnce(one.name);
        // Before its record nothing runs, after its last word everything is known.
        if (['before_take', 'after_end'].includes(point)) assert.equal(view.status, 'completed');
        if (['after_take', 'after_record'].includes(point)) assert.equal(a.starts(one.name).length, 0);
        if (view.status === 'lost') assert.ok(view.reason.length > 3, 'what is lost says why');
        await a.nothingRuns(one.id);
        await pair.oneEnd(one.id);
      });
  });

  withPair('a node that is killed', (pair) => {
    const borders = ['submit', 'start', 'output', 'complete', 'forget'];
    for (const point of ['claim.after', ...borders.flatMap((border) => [`${border}.before`, `${border}.after`])])
      test(`at ${point} leaves a command that completes exactly once`, async () => {
        await pair.begin(`${point}:kill`);
        const one = await pair.over(point, () => pair.a.exited, short);
        pair.killed();
        await pair.completedOnce(one);
      });

    for (const point of ['cancel.before', 'cancel.after', 'kill.before', 'kill.after'])
      test(`at ${point} leaves a command that is cancelled`, async () => {
        await pair.begin(`${point}:kill`);
        const { a, b } = pair;
        let asked = false;
        const diesOverIt = ({ id, name }) => {
          if (!asked && id && a.starts(name).length === 1) {
            asked = true;
            a.cancel(id).catch(() => undefined);
          }
          return a.exited;
        };
        const one = await pair.over(point, diesOverIt, long);
        pair.killed();
        const answer = await b.cancel(one.id);
        assert.ok([202, 409].includes(answer.status), answer.text);
        assert.equal((await pair.cancelledOrLost(one)).status, 'cancelled');
        assert.equal(b.starts(one.name).length, 1);
      });

    test('at adopt.after leaves a command that the next one adopts', async () => {
      await pair.begin(undefined, { alone: true });
      const { a, b, cluster } = pair;
      const one = { name: 'adopt' };
      one.id = await a.submit(`${short('adopt')}; while [ ! -e adopted ]; do sleep 0.05; done`);
      await waitFor('it runs', () => a.starts('adopt').length === 1);
      const early = (error) => assert.match(error.message, /SIGKILL/); // it took the command over while it started
      await b.start({ failpoint: 'adopt.after:kill' }).catch(early);
      await a.kill9();
      await waitFor('node b dies over its adoption', () => b.exited);
      assert.deepEqual(b.exited, { code: null, signal: 'SIGKILL' });
      await b.start();
      await waitFor('node b has it', async () => (await cluster.ownerOf(one.id)) === b);
      b.put('adopted', '');
      await pair.completedOnce(one);
    });

    test('at reclaim.after leaves a command that it takes back the next time', async () => {
      await pair.begin(undefined, { alone: true });
      const { a, b, cluster } = pair;
      const one = { name: 'reclaim' };
      one.id = await a.submit(`${short('reclaim')}; while [ ! -e reclaimed ]; do sleep 0.05; done`);
      await waitFor('it runs', () => a.starts('reclaim').length === 1);
      await a.kill9();
      await a.start({ failpoint: 'reclaim.after:kill' }).catch((error) => assert.match(error.message, /SIGKILL/));
      await waitFor('node a dies at its start', () => a.exited);
      pair.killed();
      await a.start();
      await waitFor('node a has it', async () => (await cluster.ownerOf(one.id)) === a);
      a.put('reclaimed', '');
      await b.start();
      await pair.completedOnce(one);
    });

    test('or told of failures, true ones and false ones, leaves commands that complete exactly once', async () => {
      const all = ['claim.after', ...borders.flatMap((border) => [`${border}.before`, `${border}.after`])];
      const errors = all.flatMap((point, i) => [`${point}:error:${1 + (i % 3)}`, `${point}:error:5`]);
      await pair.begin(errors.join(','), { alone: true });
      const { a, b } = pair;
      const made = [];
      for (let i = 0; i < 8; ++i) {
        const one = { name: `error-${i}` };
        one.id = await submitted([a], short(one.name), { key: one.name });
        made.push(one);
        if (i % 2 === 0) await a.finished(one.id);
      }
      await b.start();
      for (const one of made) await pair.completedOnce(one);
    });
  });

  withPair('a command that defends itself', (pair) => {
    // Its grandchild has a session and an environment of its own and ignores TERM.
    const stubborn = (name) => `echo $$ >>starts-${name}
      loop='trap "" TERM HUP INT; echo $$ >>pids-${name}; while :; do sleep 0.1; done'
      env -i /usr/bin/setsid /bin/sh -c "$loop" &
      (setsid sh -c 'trap "" TERM; echo $$ >>pids-${name}; exec sleep 600' &) ; echo up; wait`;

    for (const [name, status] of [['cancel', 'cancelled'], ['time-out', 'timed_out']])
      test(`is ${status} with all that it has started`, async () => {
        await pair.begin();
        const { b } = pair;
        const id = await b.submit(stubborn(name), name === 'time-out' ? { timeout_seconds: 2 } : {});
        await waitFor('all of it runs', () => b.lines(`pids-${name}`).length === 2);
        const pids = [...b.starts(name), ...b.lines(`pids-${name}`).map(Number)];
        if (name === 'cancel') {
          assert.ok(pids.every(alive));
          assert.equal((await b.cancel(id)).status, 202);
        }
        const view = await b.finished(id);
        assert.equal(view.status, status);
        assert.equal(view.survivors, 0);
        await waitFor('all of it is gone', () => !pids.some(alive));
        await b.nothingRuns(id);
      });
  });
});
