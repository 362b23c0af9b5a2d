// 1,000 keys are revoked while each is in use at both of two nodes of one database. Bars: no request that was sent after DELETE had
// answered is accepted, at either node, whoever revoked; and, five times with the other node frozen (SIGSTOP), DELETE answers within
// 2.5 s. What the frozen node was asked meanwhile it answers when it goes on: that counts too. Reported: how long DELETE takes.
//   --keys N (1000), --workers N (8) keys at once, --frozen N (5)
import { mint, sleep, waitFor } from '../e2e/support.mjs';
import { Cluster } from '../cluster/cluster.mjs';
import { atMost, must, percentile, verdict } from './support/bench.mjs';
import { options, request } from './support/front.mjs';
import { Line } from './support/line.mjs';

const { keys, workers, frozen } = options({ keys: 1000, workers: 8, frozen: 5 });
const before = 5; // accepted requests at each node before a key is revoked: it is in use, and in both caches
const behind = 10; // requests at each node after that
const barMs = 2500;
const total = { accepted: 0, sentAfter: 0, acceptedAfter: 0, refused: {} };

// Asks one node with one key, one request after the other, until `behind` have been sent after the key is `revoked`.
class Hammer {
  accepted = 0;

  constructor(node, key) {
    const [host, port] = node.address.split(':');
    this.line = new Line({ host, port: Number(port) });
    this.text = request('GET', '/projects/demo', { 'X-API-Key': key.secret });
    this.key = key;
    this.done = this.#run();
  }

  async #run() {
    for (let left = behind; left > 0;) {
      const after = this.key.revoked;
      if (after) --left;
      this.#count(after, await new Promise((resolve) => this.line.ask(this.text, resolve)));
    }
    this.line.socket.destroy();
  }

  #count(after, status) {
    must(status !== undefined && (status === 200 || status === 401 || status === 503), `a request with a key: ${status}`);
    if (after) ++total.sentAfter;
    if (status === 200) {
      ++this.accepted;
      ++total.accepted;
      if (after) ++total.acceptedAfter;
    } else total.refused[status] = (total.refused[status] ?? 0) + 1;
  }
}

const make = (node, i) => mint(node, { name: `key ${i}`, scopes: ['projects:read'] }).then(({ id, secret }) => ({ id, secret, revoked: false }));

// Gives the milliseconds that DELETE took.
async function revoke(node, key) {
  const begin = performance.now();
  const answer = await node.api('DELETE', `/keys/${key.id}`);
  key.revoked = true;
  must(answer.status === 200, `DELETE: ${answer.status} ${answer.text}`);
  return performance.now() - begin;
}

const inUse = (hammers) => waitFor('the key is in use', () => hammers.every(({ accepted }) => accepted >= before));

async function underLoad(nodes, all) {
  const took = [];
  const waiting = [...all.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [i, key] = next;
      const hammers = nodes.map((node) => new Hammer(node, key));
      await inUse(hammers);
      took.push(await revoke(nodes[i % nodes.length], key));
      await Promise.all(hammers.map(({ done }) => done));
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return took;
}

// Every key once more, at every node.
async function stillRefused(nodes, all) {
  for (const key of all) await Promise.all(nodes.map((node) => new Hammer(node, key).done));
}

async function whileFrozen(node, other, i) {
  const key = await make(node, `of the frozen node ${i}`);
  const hammers = [node, other].map((one) => new Hammer(one, key));
  await inUse(hammers);
  await other.freeze();
  const took = await revoke(node, key);
  const late = new Hammer(other, key); // sent while it stands still
  await sleep(200);
  await other.thaw();
  await Promise.all([...hammers, late].map(({ done }) => done));
  await waitFor(`${other.name} is ready again`, () => other.isReady());
  return took;
}

const cluster = await Cluster.start({ env: { RDEV_LIMITS_UNAUTHENTICATED_RPS: '0' } });
try {
  const nodes = [cluster.add('a'), cluster.add('b')];
  await Promise.all(nodes.map((node) => node.start()));
  const all = [];
  for (let i = 0; i < keys; ++i) all.push(await make(nodes[i % 2], i));
  const begin = performance.now();
  const took = await underLoad(nodes, all);
  const seconds = (performance.now() - begin) / 1000;
  console.log(`${took.length} revocations in ${seconds.toFixed(1)} s, ${workers} at once; ${total.accepted} requests accepted meanwhile (${(total.accepted / seconds).toFixed(0)} a second)`);
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => percentile(took, share).toFixed(1));
  console.log(`DELETE /keys/{id}: p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms`);
  await stillRefused(nodes, all);
  const slow = [];
  for (let i = 0; i < frozen; ++i) {
    const [node, other] = i % 2 ? nodes : [...nodes].reverse();
    slow.push(await whileFrozen(node, other, i));
    console.log(`with ${other.name} frozen: DELETE took ${slow.at(-1).toFixed(0)} ms`);
  }
  console.log(`answers other than 200: ${JSON.stringify(total.refused)}`);
  must(total.sentAfter >= keys * 2 * behind, 'keys were used after their revocation');
  atMost(`accepted, of ${total.sentAfter} requests sent after DELETE had answered`, total.acceptedAfter, 0, 'requests', 0);
  atMost('DELETE with the other node frozen, the slowest', Math.max(...slow), barMs, 'ms', 0);
  verdict();
} catch (error) {
  console.error(`bench: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await cluster.close().catch((error) => {
    console.error(`bench: a server did not end well: ${error.message}`);
    process.exitCode = 1;
  });
}
