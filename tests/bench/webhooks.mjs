// How fast and how steadily webhooks are delivered.
//  - First attempts of facts that come one at a time: from the fact to the receiver (aim: p50 below 5 ms).
//  - A burst of facts to one endpoint and to 100: deliveries a second of rdev (durable: outbox, attempts and all) and of a plain node
//    sender of npm's undici (nothing is kept), to the same receiver, turn by turn; medians and their ratio.
//  - A steady rate, half of what the burst to 20 endpoints gave, to 20 good endpoints and then to 20 of which ten are slow (5 s),
//    failing, resetting or flapping: p99 of the first attempts at the ten others (bars: within twice that of the good run, and below
//    100 ms), and the server's memory.
//  - With --kills N: the same rate while the server is killed N times; every fact must have reached each good endpoint.
//   --rounds N (3), --facts N (10000) of a burst, --deliveries N (50000) of the steady rate, --kills N (10)
import { createHmac, randomBytes } from 'node:crypto';
import { Pool } from 'undici';

import { register } from '../cluster/ledger.mjs';
import { mint, sleep } from '../e2e/support.mjs';
import { atMost, median, must, percentile, printSeries, waitFor, withServer } from './support/bench.mjs';
import { end, forked, heard, options, residentBytes } from './support/front.mjs';

const { rounds, facts, deliveries, kills } = options({ rounds: 3, facts: 10_000, deliveries: 50_000, kills: 10 });
const concurrency = 8; // webhooks.concurrency
const env = {
  RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8',
  RDEV_WEBHOOKS_RETRIES: Array(20).fill('1s').join(','),
};

const receiver = forked('./receiver.mjs');
async function told(message) {
  const answer = heard(receiver);
  receiver.send(message);
  return answer;
}
const report = async (names) => (await told({ report: names })).all;
let number = 0;
async function endpoints(server, n, kindOf = () => 'good', what = {}) {
  const all = [];
  for (let i = 0; i < n; ++i) {
    const name = `e${number++}`;
    const { url } = await told({ add: name, kind: kindOf(i) });
    const ledger = { name, url, kind: kindOf(i) };
    if (server) await register(server, ledger, what);
    all.push(ledger);
  }
  return all;
}
async function remove(server, all) {
  for (const { id } of all) must((await server.api('DELETE', `/webhooks/${id}`)).status === 200, 'an endpoint is removed');
  await told({ forget: true });
}
const names = (all) => all.map(({ name }) => name);
const arrived = (names, n, within) =>
  waitFor(`${n} messages at each of ${names.length} endpoints`, async () => {
    await sleep(100);
    return (await report(names)).every((one) => one.arrived >= n);
  }, within);

// Facts without anything else: as many rows of the outbox, in one transaction.
const burst = (n) => `INSERT INTO event (event, project, data) SELECT 'project.created', 'demo', '{}' FROM generate_series(1, ${n})`;

async function oneAtATime(server) {
  const [one] = await endpoints(server, 1, undefined, { events: ['key.created'] });
  await sleep(1500); // it is somebody's by then
  for (let i = 0; i < 300; ++i) {
    await mint(server, { name: `single-${i}`, scopes: ['projects:read'] });
    await sleep(10);
  }
  await arrived([one.name], 300);
  const [{ lags }] = await report([one.name]);
  const [p50, p99] = [0.5, 0.99].map((share) => percentile(lags, share));
  console.log(`one fact at a time, from the fact to the receiver: p50 ${p50} ms, p99 ${p99} ms`);
  atMost('p50 of first attempts', p50, 5, 'ms (an aim)');
  await remove(server, [one]);
}

async function ofRdev(server, n) {
  const all = await endpoints(server, n, undefined, { events: ['project.*'] });
  await sleep(1500);
  const each = Math.ceil(facts / Math.sqrt(n)); // as many deliveries as can be waited for
  await server.psql(burst(each));
  const begin = Date.now();
  await mint(server, { name: `wakes-${number}`, scopes: ['projects:read'] }); // SQL tells nobody
  await arrived(names(all), each, 300_000);
  const last = Math.max(...(await report(names(all))).map((one) => one.last));
  await remove(server, all);
  return (n * each) / ((last - begin) / 1000);
}

// What a sender does that keeps nothing: signs and posts, so many at once for each endpoint.
async function ofPeer(n) {
  const all = await endpoints(undefined, n);
  const pool = new Pool(new URL(all[0].url).origin, { connections: Math.min(n * concurrency, 256), pipelining: 1 });
  const key = randomBytes(32);
  const each = Math.ceil(facts / Math.sqrt(n));
  const begin = Date.now();
  await Promise.all(all.map(async ({ url }) => {
    let next = 1;
    await Promise.all(Array.from({ length: concurrency }, async () => {
      while (next <= each) {
        const sequence = next++;
        const body = JSON.stringify({ event: 'project.created', timestamp: new Date().toISOString(), sequence, data: { project: 'demo' } });
        const id = `msg_${String(number).padStart(13, '0')}${String(sequence).padStart(13, '0')}`;
        const timestamp = Math.floor(Date.now() / 1000);
        const signature = `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
        const { statusCode, body: answer } = await pool.request({
          method: 'POST', path: new URL(url).pathname, body,
          headers: { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature },
        });
        await answer.dump();
        must(statusCode === 200, `the receiver answers ${statusCode}`);
      }
    }));
  }));
  const last = Math.max(...(await report(names(all))).map((one) => one.last));
  await pool.close();
  await told({ forget: true });
  return (n * each) / ((last - begin) / 1000);
}

const bad = ['slow', 'failing', 'resetting', 'flapping'];

// Facts by the API, each a key that is made, so many a second.
async function steady(server, perSecond, n, during = () => {}) {
  const begin = performance.now();
  const under = new Set();
  for (let i = 0; i < n; ++i) {
    await sleep(Math.max(0, begin + (i * 1000) / perSecond - performance.now()));
    const key = `steady-${number}-${i}`;
    const one = waitFor(`${key} is made`, async () => {
      const asked = { name: key, scopes: ['projects:read'], expires_in: '30d' };
      return (await server.api('POST', '/keys', asked, { 'Idempotency-Key': key }).catch(() => ({}))).status === 201;
    }, 120_000).finally(() => under.delete(one));
    under.add(one);
    during(i);
  }
  await Promise.all(under);
  return n / ((performance.now() - begin) / 1000);
}

async function isolation(server, rate) {
  const n = Math.ceil(deliveries / 20);
  const perSecond = rate / 20;
  const p99 = {};
  for (const [how, kindOf] of [['all good', () => 'good'], ['half of them bad', (i) => (i < 10 ? 'good' : bad[i % 4])]]) {
    const all = await endpoints(server, 20, kindOf, { events: ['key.created'] });
    await sleep(1500);
    const before = residentBytes(server.pid);
    const real = await steady(server, perSecond, n);
    const watched = names(all.slice(0, 10));
    await arrived(watched, n, 120_000);
    const lags = (await report(watched)).flatMap((one) => one.lags);
    p99[how] = percentile(lags, 0.99);
    const grown = (residentBytes(server.pid) - before) / 2 ** 20;
    console.log(`${how}: ${n} facts, ${real.toFixed(0)} a second, ${n * 20} deliveries; first attempts at ten good endpoints: `
      + `p50 ${percentile(lags, 0.5)} ms, p99 ${p99[how]} ms; memory +${grown.toFixed(1)} MiB`);
    atMost('memory', grown, 64, 'MiB');
    await remove(server, all);
  }
  atMost('p99 beside bad endpoints', p99['half of them bad'], 100, 'ms');
  atMost('its ratio to the good run', p99['half of them bad'] / Math.max(1, p99['all good']), 2, 'times', 2);
}

async function killed(server, rate) {
  const n = Math.ceil(deliveries / 20);
  const all = await endpoints(server, 20, (i) => (i < 16 ? 'good' : bad[i % 4]), { events: ['key.created'] });
  const ordered = await endpoints(server, 2, undefined, { events: ['key.created'], ordered: true });
  await sleep(1500);
  let striking = Promise.resolve();
  const every = Math.floor(n / (kills + 1));
  await steady(server, rate / 20 / 2, n, (i) => {
    if (i === 0 || i % every !== 0 || i / every > kills) return;
    striking = striking.then(async () => {
      await server.kill9();
      await server.start();
    });
  });
  await striking;
  const good = names([...all.filter(({ kind }) => kind === 'good' || kind === 'flapping'), ...ordered]);
  await arrived(good, n, 600_000);
  const reports = await report(good);
  const whole = Array.from({ length: n }, (_, i) => i + 1).join();
  for (const { name, sequences } of reports)
    must([...sequences].sort((a, b) => a - b).join() === whole, `${name} has each message`);
  for (const { name, sequences } of await report(names(ordered))) must(sequences.join() === whole, `${name} has them in order`);
  const repeats = reports.reduce((sum, one) => sum + one.duplicates, 0);
  console.log(`killed ${kills} times: ${n} facts at each of ${good.length} endpoints that take them, none missing, two in order; ${repeats} repeats, `
    + 'each with the same webhook-id and body');
  await remove(server, [...all, ...ordered]);
}

await withServer(env, async (server) => {
  await oneAtATime(server);
  const rates = {};
  for (const n of [1, 20, 100]) {
    rates[n] = { rdev: [], peer: [] };
    for (let i = 0; i < rounds; ++i) {
      rates[n].rdev.push(await ofRdev(server, n));
      rates[n].peer.push(await ofPeer(n));
    }
    printSeries(`rdev, ${n} endpoint${n > 1 ? 's' : ''}`, rates[n].rdev, 'deliveries/s');
    printSeries(`undici without anything kept, ${n}`, rates[n].peer, 'deliveries/s');
    console.log(`ratio ${(median(rates[n].rdev) / median(rates[n].peer)).toFixed(2)}`);
  }
  await isolation(server, median(rates[20].rdev) / 2);
  await killed(server, median(rates[20].rdev) / 2);
});
await end(receiver);
