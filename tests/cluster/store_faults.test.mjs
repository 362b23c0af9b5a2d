// PostgreSQL restarts, dies, is cut off, falls silent and runs out of disk under a stream of commands: rdev says so,
// comes back by itself, and every command runs once and has its whole output.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertRefused, seededRandom, sleep, testSeed, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { Counting, watch } from './commands.mjs';
import { SmallDisk } from './disk.mjs';
import { signal } from './processes.mjs';

const random = seededRandom(testSeed());

// Looks at /health and /ready of a node all the time.
class Watchman {
  #go = true;
  health = [];
  ready = [];

  constructor(node) {
    this.node = node;
    this.done = Promise.all([this.#look('/health', this.health), this.#look('/ready', this.ready)]);
  }
  async #look(target, into) {
    while (this.#go) {
      const answer = await this.node.api('GET', target).catch((error) => ({ status: error.code ?? error.message }));
      into.push(answer.status);
      await sleep(50);
    }
  }
  async stop() {
    this.#go = false;
    await this.done;
  }
  check({ sawTrouble }) {
    assert.deepEqual([...new Set(this.health)], [200], `/health of ${this.node.name}`);
    const strange = this.ready.filter((status) => ![200, 503].includes(status));
    assert.deepEqual(strange, [], `/ready of ${this.node.name}`);
    if (sawTrouble) assert.ok(this.ready.includes(503), `/ready of ${this.node.name} has said 503`);
  }
}

// Submits commands to the nodes in turn, without a pause for troubles, and repeats what is not accepted.
class Load {
  #go = true;
  #one = [];
  refused = 0;
  strange = new Set();

  constructor(name, nodes, pause) {
    Object.assign(this, { name, nodes, pause });
    this.done = this.#feed();
  }
  get size() {
    return this.#one.length;
  }
  async #feed() {
    while (this.#go) {
      const one = this.#submit(this.#one.length);
      one.catch(() => {}); // check() hears of it
      this.#one.push(one);
      await sleep(this.pause);
    }
  }
  async #submit(i) {
    const key = `${this.name}-${i}`;
    const lines = 10 + random(30);
    const command = `echo ${key} >>ledger-${this.name}; i=0
      while [ $i -lt ${lines} ]; do echo "${key} out $i"; echo "${key} err $i" >&2; i=$((i+1)); sleep 0.02; done`;
    let turn = i;
    const id = await waitFor(`${key} is accepted`, async () => {
      const node = this.nodes[turn++ % this.nodes.length];
      try {
        const answer = await node.post(command, { key });
        if (answer.status === 202) return answer.data.id;
        assertRefused(answer, 503, 'SERVICE_UNAVAILABLE');
        assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
        this.refused += 1;
      } catch (error) {
        this.strange.add(error.message);
      }
      return false;
    }, 60_000);
    return { key, lines, command, id };
  }

  async stop() {
    this.#go = false;
    await this.done;
    await Promise.allSettled(this.#one);
  }
  async check() {
    const all = await Promise.all(this.#one);
    assert.deepEqual([...this.strange], [], 'every answer is 202 or 503');
    assert.equal(new Set(all.map(({ id }) => id)).size, all.length, 'one command for each key');
    const [node] = this.nodes;
    for (const { key, lines, command, id } of all) {
      const view = await node.finished(id, 60_000);
      assert.equal(view.status, 'completed', JSON.stringify(view));
      const seen = (await node.follow(id)).checkReceipts();
      const expected = (word) => Array.from({ length: lines }, (_, i) => `${key} ${word} ${i}\n`).join('');
      assert.equal(seen.stdout.toString(), expected('out'), `stdout of ${key}`);
      assert.equal(seen.stderr.toString(), expected('err'), `stderr of ${key}`);
      const repeated = await this.nodes[1].post(command, { key });
      assert.equal(repeated.data.id, id, 'a repeat is answered with the same command');
    }
    const ran = node.lines(`ledger-${this.name}`).sort();
    assert.deepEqual(ran, all.map(({ key }) => key).sort(), 'each ran exactly once');
    return all.length;
  }
}

async function underLoad(cluster, nodes, name, { sawTrouble = true, pause = 150 }, strike) {
  const counting = new Counting(`counting-${name}`);
  await counting.submit(nodes[0]);
  const reader = watch(nodes[1], counting.id);
  await reader.grown(10);
  const watchmen = nodes.map((node) => new Watchman(node));
  const load = new Load(name, nodes, pause);
  try {
    await waitFor('some commands run', () => nodes[0].lines(`ledger-${name}`).length >= 3);
    await strike(load);
    for (const node of nodes) await waitFor(`${node.name} is ready again`, () => node.isReady());
    const then = load.size;
    await waitFor('it goes on as before', () => load.size >= then + 5);
    await reader.grown(20);
  } finally {
    counting.stop(nodes[0]);
    await Promise.all([load, ...watchmen].map((one) => one.stop()));
  }
  await reader.end;
  await counting.check(nodes, [reader.seen]);
  const number = await load.check();
  for (const watchman of watchmen) watchman.check({ sawTrouble });
  assert.equal(await cluster.database.count('queue_item'), 0);
  assert.equal(await cluster.database.count('lease'), 0);
  console.log(`${name}: ${number} commands, ${load.refused} answers of 503`);
}

const notReady = (nodes) =>
  Promise.all(nodes.map((node) => waitFor(`${node.name} is not ready`, async () => !(await node.isReady()))));

describe('a store in trouble', () => {
  let cluster;
  let nodes;
  before(async () => {
    cluster = await Cluster.start({ proxied: true });
    nodes = [cluster.add('a'), cluster.add('b')];
    await Promise.all(nodes.map((node) => node.start()));
  });
  after(() => cluster.close());

  test('a restart', () =>
    underLoad(cluster, nodes, 'restart', {}, async () => {
      await cluster.database.stop();
      await notReady(nodes);
      await cluster.database.start();
    }));

  test('a crash', () =>
    underLoad(cluster, nodes, 'crash', {}, async () => {
      await cluster.database.kill9();
      await notReady(nodes);
      await cluster.database.start();
    }));

  test('connections that are cut, again and again, and then refused', () =>
    underLoad(cluster, nodes, 'cut', { pause: 50 }, async () => {
      for (let i = 0; i < 50; ++i) {
        cluster.proxy.cut();
        await sleep(random(100));
      }
      cluster.proxy.refuse();
      await notReady(nodes).finally(() => cluster.proxy.admit());
    }));

  test('connections that are silent for ten seconds and then go on', () =>
    underLoad(cluster, nodes, 'silent', {}, async () => {
      cluster.proxy.fallSilent();
      await Promise.all([sleep(10_000), notReady(nodes)]).finally(() => cluster.proxy.speak());
    }));
});

describe('a start without a database', () => {
  let cluster;
  before(async () => (cluster = await Cluster.start({ proxied: true })));
  after(() => cluster.close());
  const triesAgain = (node) => waitFor('it tries again', () => node.logs().filter(({ msg }) => /trying again/.test(msg)).length > 1);

  test('waits for it', async () => {
    const node = cluster.add('patient');
    cluster.proxy.refuse();
    const started = node.start({ env: { RDEV_DATABASE_START_TIMEOUT: '10m' } });
    await triesAgain(node).finally(() => cluster.proxy.admit());
    await started;
    assert.ok(await node.isReady());
    await node.finished(await node.submit('true'));
  });

  test('gives up in the end, and says why', async () => {
    const node = cluster.add('hasty');
    cluster.proxy.refuse();
    try {
      await assert.rejects(node.start({ env: { RDEV_DATABASE_START_TIMEOUT: '1s' } }), /"code":1,.*connection/s);
    } finally {
      cluster.proxy.admit();
    }
  });

  test('is ended by a signal', async () => {
    const node = cluster.add('ended');
    cluster.proxy.refuse();
    const started = node.start({ env: { RDEV_DATABASE_START_TIMEOUT: '10m' } });
    const fails = assert.rejects(started, /"code":1,/);
    try {
      await triesAgain(node);
      signal(node.pid, 'SIGTERM');
      await fails;
    } finally {
      cluster.proxy.admit();
    }
  });
});

test('a full disk', async (t) => {
  const disk = new SmallDisk(120);
  t.after(() => disk.destroy());
  if (disk.refused) return t.skip(disk.refused);
  const cluster = await Cluster.start({ proxied: true, databaseDir: disk.folder });
  try {
    const nodes = [cluster.add('a'), cluster.add('b')];
    await Promise.all(nodes.map((node) => node.start()));
    await underLoad(cluster, nodes, 'full', { sawTrouble: false }, async (load) => {
      const ballast = path.join(disk.folder, 'ballast');
      const file = fs.openSync(ballast, 'w');
      const piece = Buffer.alloc(1024 * 1024);
      const fill = () => {
        for (let size = piece.length; size >= 4096; ) {
          try {
            if (fs.writeSync(file, piece, 0, size) < size) size /= 2;
          } catch (error) {
            assert.equal(error.code, 'ENOSPC');
            size /= 2;
          }
        }
      };
      // Whatever PostgreSQL gives back is taken too, until the nodes feel it.
      const again = setInterval(fill, 20);
      try {
        fill();
        await waitFor('nothing can be stored', () => load.refused >= 10);
      } finally {
        clearInterval(again);
        fs.closeSync(file);
        fs.rmSync(ballast);
      }
      // Without room for its journal it has ended itself.
      await cluster.database.start();
    });
    return undefined;
  } finally {
    await cluster.close();
  }
});
