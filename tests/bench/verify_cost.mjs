// What it costs to verify a key with 10 and with 1,000,000 keys in the database: two servers of the same program, in turn, that limit
// nobody. Cached (the same key again and again, 8 connections): requests a second and p50, bar: within 1.1 times. Cold (each request
// another known key, 400 a second; keys are served from memory for 20 ms only, so that ten keys in turn are looked up each time, too):
// p50 and p99 of a request, bar on the p50: within 1.5 times; and the look-up alone as PostgreSQL counts it.
//   --rounds N (5), --seconds S (4) of each run, --many N (1000000)
import { seededRandom } from '../e2e/support.mjs';
import { atMost, median, must, percentile, printSeries, withServer, wrk } from './support/bench.mjs';
import { options, probe, request } from './support/front.mjs';
import { wellFormed } from './support/keys.mjs';
import { countStatements, insertKnown, insertUnknown, lookUps } from './support/stored_keys.mjs';

const { rounds, seconds, many } = options({ rounds: 5, seconds: 4, many: 1_000_000 });
const few = 10;
const known = 4000; // of the many: keys whose text is known here
const target = '/projects/demo';
const rate = 400; // cold requests a second: with 10 keys each comes again after 25 ms
const coldLease = '20ms';
const sizes = { few, many };

const random = seededRandom(20_261_127);

// With so many keys, and `texts` of those that are known. Statements are counted.
async function fill(server, count) {
  const texts = Array.from({ length: Math.min(count, known) }, () => wellFormed(random));
  await insertKnown(server, texts);
  await insertUnknown(server, count - texts.length);
  await server.psql('VACUUM ANALYZE api_keys');
  await countStatements(server);
  const rows = Number(await server.psql(`SELECT count(*) FROM api_keys WHERE key_prefix <> 'admin'`));
  must(rows === count, `there are ${count} keys: ${rows}`);
  return texts;
}

const asks = (key) => ({ 'X-API-Key': key });

const cached = ({ server, texts }) => wrk(server.url + target, { connections: 8, seconds, headers: asks(texts[0]) });

async function cold({ server, texts }) {
  const counted = await lookUps(server);
  const targets = Object.fromEntries(texts.map((text, i) => [i, request('GET', target, asks(text))]));
  const latencies = Object.values(await probe(server.url, targets, { seconds, rate })).flat();
  const { rows, us, blocks } = await counted();
  must(rows >= 0.95 * latencies.length, `${latencies.length} requests had ${rows} rows looked up: keys came from memory`);
  return { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), us, blocks };
}

async function interleaved(name, sides, measure, figures) {
  const series = {};
  for (let round = 1; round <= rounds; ++round)
    for (const [which, side] of Object.entries(sides)) {
      const one = await measure(side);
      (series[which] ??= []).push(one);
      const said = Object.entries(figures).map(([what, unit]) => `${what} ${one[what].toFixed(unit === '/s' ? 0 : 3)} ${unit}`);
      console.log(`${round}: ${name}, ${sizes[which]} keys: ${said.join(', ')}`);
    }
  for (const [what, unit] of Object.entries(figures))
    for (const [which, all] of Object.entries(series))
      printSeries(`${name}, ${sizes[which]} keys: ${what}`, all.map((one) => one[what]), unit, unit === '/s' ? 0 : 3);
  return (what) => median(series.many.map((one, i) => one[what] / series.few[i][what]));
}

await withServer({}, (small) => withServer({}, async (large) => {
  const sides = { few: { server: small, texts: await fill(small, few) }, many: { server: large, texts: await fill(large, many) } };
  for (const side of Object.values(sides)) await cached(side); // the first requests make what is made once
  const warm = await interleaved('cached', sides, cached, { rate: '/s', p50: 'ms', p99: 'ms' });
  for (const { server } of Object.values(sides)) {
    await server.stop();
    await server.start({ env: { ...server.env, RDEV_AUTH_CACHE_LEASE: coldLease } });
  }
  for (const side of Object.values(sides)) await cold(side);
  const looked = await interleaved('cold', sides, cold, { p50: 'ms', p99: 'ms', us: 'us in PostgreSQL', blocks: 'blocks' });
  const of = `with ${many} keys, of that with ${few}`;
  atMost(`cached: requests a second with ${few} keys, of those with ${many}`, 1 / warm('rate'), 1.1, 'x', 2);
  atMost(`cached: p50 ${of}`, warm('p50'), 1.1, 'x', 2);
  atMost(`cold: p50 ${of}`, looked('p50'), 1.5, 'x', 2);
  console.log(`cold: p99 ${of}: ${looked('p99').toFixed(2)} x; the look-up in PostgreSQL ${looked('us').toFixed(2)} x (no bar)`);
}));
