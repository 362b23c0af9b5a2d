// Webhooks of several nodes: each fact reaches each endpoint at least once whoever dies meanwhile, in order where that is
// asked for; a repeat has the same webhook-id and the same body.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { seededRandom, sleep, testSeed, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { Receiver, behaviours, register } from './ledger.mjs';

const skip = await whyNoFailpoints();
const random = seededRandom(testSeed());
const env = {
  RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8',
  RDEV_WEBHOOKS_RETRIES: Array(20).fill('500ms').join(','),
  RDEV_LEASES_LEASE: '2s',
};

// Facts: keys that are made. Repeated with the same Idempotency-Key until it is said that it was done.
class Facts {
  made = 0;

  constructor(name, nodes) {
    Object.assign(this, { name, nodes });
  }
  async make(n) {
    for (let i = 0; i < n; ++i) {
      const name = `${this.name}-${this.made}`;
      let turn = this.made;
      await waitFor(`${name} is made`, async () => {
        const node = this.nodes[turn++ % this.nodes.length];
        if (!node.lives || node.stopped) return false;
        const asked = { name, scopes: ['projects:read'], expires_in: '30d' };
        const answer = await node.api('POST', '/keys', asked, { 'Idempotency-Key': name }).catch(() => ({}));
        return answer.status === 201;
      }, 60_000);
      ++this.made;
    }
  }
}

const struck = (node) => waitFor(`${node.name} has ended`, () => node.exited, 60_000);

describe('webhooks of a cluster', () => {
  let cluster;
  let nodes;
  let receiver;
  before(async () => {
    cluster = await Cluster.start({ env });
    nodes = [cluster.add('a'), cluster.add('b')];
    await Promise.all(nodes.map((node) => node.start()));
    receiver = await Receiver.start();
  });
  after(async () => {
    await cluster.close();
    await receiver.close();
  });

  const facts = () => cluster.database.count(`event WHERE event = 'key.created'`);
  // Everybody knows of all facts, each as often as it takes.
  async function whole(ledgers, n) {
    for (const ledger of ledgers)
      await waitFor(`${ledger.name} has all ${n} messages`, () => ledger.arrivals.length >= n, 180_000);
    receiver.check();
  }
  async function opened(name, kinds) {
    const ledgers = [];
    for (const [i, { ordered = false, behaviour } = {}] of kinds.entries()) {
      const ledger = receiver.add(`${name}-${i}`, behaviour);
      ledger.ordered = ordered;
      await register(nodes[i % 2], ledger, { events: ['key.created'], ordered });
      ledgers.push(ledger);
    }
    return ledgers;
  }
  async function closed(ledgers) {
    for (const { id } of ledgers) assert.equal((await nodes.find((n) => n.lives).api('DELETE', `/webhooks/${id}`)).status, 200);
  }

  test('both nodes deliver, each to its share of the endpoints', async () => {
    const ledgers = await opened('share', Array(6).fill({}));
    const owners = () => cluster.database.sql('SELECT string_agg(DISTINCT node_id::text, \',\') FROM webhook_lease');
    await waitFor('both have endpoints', async () => (await owners()).split(',').length === 2);
    await new Facts('share', nodes).make(20);
    await whole(ledgers, 20);
    for (const ledger of ledgers) ledger.checkWhole(20);
    await closed(ledgers);
    await waitFor('nobody has what was removed', async () => (await owners()) === '');
  });

  test('whoever is killed, again and again: nothing is lost, order is kept', async (t) => {
    const ledgers = await opened('kills', [
      { ordered: true }, { ordered: true, behaviour: behaviours.flapping }, {}, { behaviour: behaviours.flapping }, {},
    ]);
    const make = new Facts('kills', nodes);
    let going = true;
    const kills = { n: 0, waiting: 0 };
    const killer = (async () => {
      while (going) {
        await sleep(500 + random(1500));
        const victim = nodes[random(2)];
        if (!victim.lives) continue;
        kills.waiting += (await cluster.database.count('webhook_due')) > 0 ? 1 : 0;
        ++kills.n;
        await victim.kill9();
        await victim.start();
      }
    })();
    let n = 0;
    for (; n < 150 || kills.n < 10; n += 10) await make.make(10);
    await whole(ledgers, n);
    going = false;
    await killer;
    assert.equal(await facts() >= n, true);
    assert.ok(kills.waiting > 0, 'somebody was killed while deliveries waited');
    for (const ledger of ledgers) ledger.checkWhole(n, { inOrder: ledger.ordered });
    t.diagnostic(`${kills.n} kills, at ${kills.waiting} of them deliveries waited; duplicates: ${ledgers.map((l) => l.duplicates)}`);
    await closed(ledgers);
  });

  test('a node that froze is taken over; what it sends late is a repeat', async () => {
    const ledgers = await opened('frozen', [{ ordered: true }, { ordered: true }, {}, {}]);
    const make = new Facts('frozen', nodes);
    await make.make(10);
    await nodes[0].freeze();
    await make.make(30);
    await whole(ledgers, 40);
    await nodes[0].thaw();
    await waitFor('node a is ready again', () => nodes[0].isReady());
    await make.make(10);
    await whole(ledgers, 50);
    for (const ledger of ledgers) ledger.checkWhole(50, { inOrder: ledger.ordered });
    await closed(ledgers);
  });

  test('a node that is drained hands its endpoints over without a repeat', async () => {
    const ledgers = await opened('drained', [{ ordered: true }, { ordered: true }, {}, {}]);
    const make = new Facts('drained', nodes);
    const making = make.make(60);
    await waitFor('some have come', () => ledgers.every(({ arrivals }) => arrivals.length >= 5));
    assert.deepEqual(await nodes[1].stop(), { code: 0, signal: null });
    await making;
    await whole(ledgers, 60);
    for (const ledger of ledgers) {
      ledger.checkWhole(60, { inOrder: ledger.ordered });
      assert.equal(ledger.duplicates, 0, ledger.name);
    }
    await nodes[1].start();
    await closed(ledgers);
  });

  for (const point of ['spread.after', 'due.after', 'attempt.before', 'attempt.after'])
    for (const how of ['kill', 'error'])
      test(`${point}:${how} loses nothing`, { skip }, async () => {
        const ledgers = await opened(`${point}-${how}`, [{ ordered: true }, {}]);
        const make = new Facts(`${point}-${how}`, [nodes[1]]);
        await nodes[0].stop();
        await nodes[1].stop();
        const starting = nodes[1].start({ failpoint: `${point}:${how}:2` });
        await starting.catch(() => {});
        if (nodes[1].lives) {
          const making = make.make(15);
          if (how === 'kill') {
            await struck(nodes[1]);
            await nodes[1].start();
          }
          await making;
        } else {
          await nodes[1].start();
          await make.make(15);
        }
        await whole(ledgers, 15);
        for (const ledger of ledgers) ledger.checkWhole(15, { inOrder: ledger.ordered });
        await nodes[0].start();
        await closed(ledgers);
      });
});
