// Somebody guesses keys: 100,000 of them from 1,000 addresses at random moments (a Poisson process), a third malformed, a third with
// a wrong checksum, a third well-formed but unknown; once as so many peers, once behind a trusted proxy. A client with a good key
// (200 requests a second) is measured beside it and alone, in slices by turns, and also beside the same number of requests with
// another good key from the same senders. Each round has a new server with its default configuration, but for the first ban, which is to last for longer than the round. Bars: each address is locked
// out after 10 keys; the client's p99 beside the guesses within 1.5 times of that alone, both the median of the slices and the p99
// of all slices together (medians of the rounds); memory; and, on a server that counts its statements, no look-up in the database
// for a key that is malformed or mistyped, and one, of few blocks, for an unknown one.
//   --rounds N (3), --keys N (100000), --rate N (4000) a second, --slices N (8), --idle S (2.5) alone in each
import { mint, seededRandom, sleep } from '../e2e/support.mjs';
import { atLeast, atMost, counter, median, must, percentile, printSeries, withServer } from './support/bench.mjs';
import { options, quietly, request, residentBytes, Senders, steady } from './support/front.mjs';
import { malformed, mistyped, wellFormed } from './support/keys.mjs';
import { Line } from './support/line.mjs';
import { countStatements, insertUnknown, lookUps } from './support/stored_keys.mjs';

const { rounds, keys, rate, slices, idle } = options({ rounds: 3, keys: 100_000, rate: 4000, slices: 8, idle: 2.5 });
const addresses = 1000;
const failures = 10; // lockout.failures
const leaseSeconds = 2; // auth.cache_lease
// What is kept of 1,000 addresses takes less than 1 MiB; AUDIT may hold back 20,000 records of up to a kB when the database is slow;
// and 1,000 requests may be under way at once, at some kB each. Measured: 2 MiB, 15 MiB on a machine that was too busy.
const memoryBound = 32;
const stored = 100_000; // keys in the database when look-ups are counted
const blocksOfLookUp = 6; // the levels of an index over a million keys, the row, and a former version of it

const random = seededRandom(20_261_127);
const guesses = { malformed, mistyped, unknown: wellFormed };
const kinds = Object.values(guesses);
const addressOf = (i) => `127.0.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`;
const all = Array.from({ length: addresses }, (_, i) => addressOf(i));

const asks = (key, forwarded) =>
  request('GET', '/projects/demo', { 'X-API-Key': key, ...(forwarded && { 'X-Forwarded-For': forwarded }) });

const modes = {
  'as peers': { env: {}, from: all, ask: (key) => asks(key) },
  'behind a proxy': {
    env: { RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32' },
    from: Array.from({ length: 100 }, () => '127.0.0.1'),
    ask: (key, i) => asks(key, all[i % addresses]),
  },
};

const reader = (server, name, more) => mint(server, { name, scopes: ['projects:read'], ...more });

async function bansOf(server) {
  const networks = new Set();
  for (let cursor = ''; cursor !== null;) {
    const { status, data, meta } = await server.api('GET', `/bans?limit=100${cursor && `&cursor=${cursor}`}`);
    if (status === 503) return undefined; // it has no time for us
    must(status === 200, `GET /bans: ${status}`);
    for (const { network } of data) networks.add(network);
    cursor = meta.next_cursor;
  }
  return networks;
}

// How many of the addresses GET /bans shows, at the latest after 30 s; and the seconds until then.
async function shownBans(server) {
  const begin = performance.now();
  for (;;) {
    const networks = await bansOf(server);
    const shown = all.filter((address) => networks?.has(`${address}/32`)).length;
    const after = (performance.now() - begin) / 1000;
    if (shown === addresses || after > 30) return { shown, after };
    await sleep(100);
  }
}

// A part of the requests, and the client's latencies beside it; what the senders were answered.
async function beside(server, client, { from, ask }, keyOf) {
  const count = Math.round(keys / slices);
  const requests = Array.from({ length: count }, (_, i) => ask(keyOf(i), i));
  const senders = await Senders.open(server.url, { from, requests, rate });
  const probing = client(count / rate - 0.5);
  await sleep(500); // the client is warm
  const { statuses, seconds } = await senders.send();
  must(seconds < 1.1 * (count / rate), `the server keeps pace: ${count} requests took ${seconds.toFixed(1)} s`);
  return { latencies: await probing, statuses };
}

// The client alone and beside what the senders send, by turns, so that what the machine does meanwhile meets both. A slice in which
// the machine below gave time to others is measured anew, with as many requests more: 10 ms of it in a slice of 2.5 s are a p99.
async function byTurns(server, client, mode, keyOf) {
  const alone = [];
  const loaded = [];
  const statuses = {};
  let anew = 0;
  let sent = 0;
  const quiet = (measure) => quietly(measure, { again: () => ++anew });
  for (let i = 0; i < slices; ++i) {
    alone.push(await quiet(() => client(idle)));
    loaded.push(await quiet(async () => {
      const one = await beside(server, client, mode, keyOf);
      for (const [status, count] of Object.entries(one.statuses)) {
        statuses[status] = (statuses[status] ?? 0) + count;
        sent += count;
      }
      return one.latencies;
    }));
  }
  const p99 = (latencies) => percentile(latencies, 0.99);
  const [medianAlone, medianLoaded] = [alone, loaded].map((all) => median(all.map(p99)));
  const [pooledAlone, pooledLoaded] = [alone, loaded].map((all) => p99(all.flat()));
  return { alone: medianAlone, loaded: medianLoaded, pooledAlone, pooledLoaded, statuses, sent, anew };
}

async function round(server, mode) {
  const valid = await reader(server, 'the client');
  const other = await reader(server, 'another client', { rate_limit: 1_000_000 });
  const client = (seconds) => steady(`${server.url}/projects/demo`, { headers: { 'X-API-Key': valid.secret }, seconds });
  const good = await byTurns(server, client, mode, () => other.secret);
  must(good.sent >= keys && good.statuses[200] === good.sent, `the other client is answered: ${JSON.stringify(good.statuses)}`);
  const memory = residentBytes(server.pid);
  const bad = await byTurns(server, client, mode, (i) => kinds[i % kinds.length](random));
  const [refused, banned] = [401, 429].map((status) => bad.statuses[status] ?? 0);
  must(bad.sent >= keys && refused + banned === bad.sent, `guesses get 401 and 429: ${JSON.stringify(bad.statuses)}`);
  const grown = (residentBytes(server.pid) - memory) / 1024 / 1024;
  const { shown, after } = await shownBans(server);
  const lockouts = await counter(server, 'rdev_auth_lockouts_total');
  return { good, bad, grown, tried: refused / addresses, shown, after, lockouts };
}

async function measure(name, mode) {
  const seen = [];
  for (let i = 1; i <= rounds; ++i)
    await withServer({ RATE_LIMIT_RPS: undefined, RDEV_AUDIT_REFUSALS_PER_MINUTE: undefined, RDEV_AUDIT_STRANGERS_PER_SECOND: undefined, RDEV_LOCKOUT_FIRST_BAN: '1h', ...mode.env }, async (server) => {
      const one = await round(server, mode);
      seen.push(one);
      console.log(`${i}: ${name}: the client's p99 ${one.good.alone.toFixed(2)} ms alone, ${one.good.loaded.toFixed(2)} ms beside good requests; ` +
        `${one.bad.alone.toFixed(2)} ms alone, ${one.bad.loaded.toFixed(2)} ms beside guesses (of all slices together ${one.bad.pooledAlone.toFixed(2)} and ${one.bad.pooledLoaded.toFixed(2)}); ${one.tried.toFixed(2)} keys tried of an address, ` +
        `${one.shown} bans shown ${one.after.toFixed(1)} s later, ${one.lockouts} lockouts, ${one.grown.toFixed(1)} MiB grown; measured anew ${one.good.anew} and ${one.bad.anew} slices of ${2 * slices}`);
    });
  if (seen.length < rounds) return;
  const values = (what) => seen.map(what);
  printSeries(`${name}: alone`, values((one) => one.bad.alone), 'ms', 2);
  printSeries(`${name}: beside good requests`, values((one) => one.good.loaded), 'ms', 2);
  printSeries(`${name}: beside guesses`, values((one) => one.bad.loaded), 'ms', 2);
  console.log(`${name}: p99 beside good requests, of that alone: ${median(values((one) => one.good.loaded / one.good.alone)).toFixed(2)} x (no bar)`);
  atMost(`${name}: p99 beside guesses, of that alone`, median(values((one) => one.bad.loaded / one.bad.alone)), 1.5, 'x', 2);
  atMost(`${name}: the same of all slices together`, median(values((one) => one.bad.pooledLoaded / one.bad.pooledAlone)), 1.5, 'x', 2);
  atLeast(`${name}: addresses that GET /bans shows`, Math.min(...values((one) => one.shown)), addresses, '', 0);
  atLeast(`${name}: rdev_auth_lockouts_total`, Math.min(...values((one) => one.lockouts)), addresses, '', 0);
  atMost(`${name}: keys that an address could try`, Math.max(...values((one) => one.tried)), failures, '', 2);
  atMost(`${name}: growth of the server`, Math.max(...values((one) => one.grown)), memoryBound, 'MiB');
}

// ---- what a guess costs the database

// One after the other, so that no two share a look-up; each from an address of its own, unless `address` is given.
async function statementsOf(server, keyOf, address) {
  const [host, port] = server.address.split(':');
  const count = 1000;
  const line = new Line({ host, port: Number(port) });
  const counted = await lookUps(server);
  const begin = performance.now();
  for (let i = 0; i < count; ++i) {
    const text = asks(keyOf(random), address ?? `10.${random(256)}.${random(256)}.${random(256)}`);
    must((await new Promise((resolve) => line.ask(text, resolve))) !== undefined, 'each is answered');
  }
  const seconds = (performance.now() - begin) / 1000;
  line.socket.destroy();
  const { calls, blocks } = await counted();
  // The rows that every request needs are looked up again once in a lease, whatever is asked.
  const routine = 2 * (1 + Math.ceil(seconds / leaseSeconds));
  return { count, seconds, calls, routine, blocks };
}

async function measureStatements(server) {
  await insertUnknown(server, stored);
  await server.psql('VACUUM ANALYZE api_keys');
  await countStatements(server);
  const { secret } = await reader(server, 'a good one');
  const look = async (name, keyOf, address) => {
    const one = await statementsOf(server, keyOf, address);
    console.log(`${one.count} requests, keys ${name}, in ${one.seconds.toFixed(1)} s: ${one.calls} look-ups (up to ${one.routine} come with time), ${one.blocks.toFixed(1)} blocks each`);
    return one;
  };
  await look('good', () => secret);
  for (const name of ['malformed', 'mistyped']) {
    const { calls, routine } = await look(name, guesses[name]);
    atMost(`look-ups for 1000 ${name} keys`, calls, routine, '', 0);
  }
  for (const address of [undefined, '10.99.99.99']) {
    const from = address ? ' of a locked out address' : '';
    const { count, calls, routine, blocks } = await look(`unknown${from}`, wellFormed, address);
    atMost(`look-ups for 1000 unknown keys${from}`, calls, count + routine, '', 0);
    atMost('blocks that one of them reads', blocks, blocksOfLookUp, '');
  }
}

for (const [name, mode] of Object.entries(modes)) await measure(name, mode);
await withServer({ RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32' }, measureStatements);
