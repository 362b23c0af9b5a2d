// Our limiter (actors/sliding_window.hpp, as bench_limiter) beside rate-limiter-flexible of npm (in memory): both decide over the same
// seeded traces of arrivals, at most 1,000 in 1 s. What they admitted is counted in every window of 1 s, by brute force. Bars: ours
// never admits more than the limit, nor less than there is room for. The peer counts in fixed windows and admits up to twice as
// much around the edge of one: shown, no bar. Then decisions a second and the p99 of a decision, in interleaved rounds. Both are
// called directly, as libraries: rdev's is asked by message, which takes longer than deciding does.
//   --rounds N (5), --seed N (20261127)
import path from 'node:path';

import { RateLimiterMemory } from 'rate-limiter-flexible';

import { binDir, cleanEnv, run, seededRandom } from '../e2e/support.mjs';
import { atLeast, atMost, median, must, percentile, printSeries, verdict } from './support/bench.mjs';
import { options } from './support/front.mjs';

const { rounds, seed } = options({ rounds: 5, seed: 20_261_127 });
const limit = 1000;
const windowNs = 1e9;
const seconds = 20; // of each trace
const ms = 1e6; // ns

// ---- traces: times of arrival in nanoseconds, ascending

const sorted = (times) => times.sort((a, b) => a - b);

const uniform = (random) => sorted(Array.from({ length: 3 * limit * seconds }, () => random(seconds * windowNs)));

function bursts(random) {
  const times = Array.from({ length: 100 * seconds }, () => random(seconds * windowNs));
  for (let i = 0; i < 3 * seconds; ++i) {
    const at = random(seconds * windowNs);
    const length = (1 + random(200)) * ms;
    for (let n = 100 + random(1400); n > 0; --n) times.push(at + random(length));
  }
  return sorted(times);
}

// The peer's window begins with the first arrival after the one before: one that comes alone, a burst before the end of its
// window, and one behind it.
function edges(random) {
  const times = [];
  for (let at = ms; at < (seconds - 3) * windowNs; at += 3 * windowNs + random(300 * ms)) {
    times.push(at);
    for (let i = 0; i < 2 * limit; ++i) times.push(at + windowNs - 2 * ms - random(20 * ms));
    for (let i = 0; i < 2 * limit; ++i) times.push(at + windowNs + 2 * ms + random(20 * ms));
  }
  return sorted(times);
}

// ---- both

async function ours(times) {
  const answer = await run(path.join(binDir, 'bench_limiter'), [String(limit), String(windowNs)], { env: cleanEnv(), input: times.join('\n') });
  must(answer.code === 0, `bench_limiter: ${answer.stderr}`);
  const [decisions, figures] = answer.stdout.toString().split('\n');
  const { rate, p99, same } = JSON.parse(figures);
  must(same, 'the same trace gives the same decisions');
  return { admitted: Array.from(decisions, (one) => one === '1'), rate, p99 };
}

// Time is what the trace says: the peer asks Date.now(), and a timer of its own would be too late.
async function theirs(times) {
  const { now } = Date;
  const { setTimeout: later } = globalThis;
  let at = 0;
  Date.now = () => Math.floor(at / ms);
  globalThis.setTimeout = () => ({ unref() {} });
  const decide = async (each) => {
    const limiter = new RateLimiterMemory({ points: limit, duration: windowNs / 1e9 });
    const admitted = new Array(times.length);
    for (let i = 0; i < times.length; ++i) {
      at = times[i];
      const before = each && process.hrtime.bigint();
      admitted[i] = await limiter.consume('key').then(() => true, () => false);
      if (each) each[i] = Number(process.hrtime.bigint() - before);
    }
    return admitted;
  };
  try {
    const begin = performance.now();
    const admitted = await decide();
    const rate = (times.length / (performance.now() - begin)) * 1000;
    const each = new Array(times.length);
    await decide(each);
    return { admitted, rate, p99: percentile(each, 0.99) };
  } finally {
    Date.now = now;
    globalThis.setTimeout = later;
  }
}

// ---- the judge

// The most that was admitted in any window of 1 s: some fullest one ends with an admitted arrival.
function fullest(times, admitted) {
  let most = 0;
  for (let end = 0; end < times.length; ++end) {
    if (!admitted[end]) continue;
    let count = 0;
    for (let i = end; i >= 0 && times[i] > times[end] - windowNs; --i) if (admitted[i]) ++count;
    most = Math.max(most, count);
  }
  return most;
}

// Arrivals that were refused although fewer than the limit had been admitted in the second before them.
function refusedForNothing(times, admitted) {
  let wrong = 0;
  for (let end = 0; end < times.length; ++end) {
    if (admitted[end]) continue;
    let count = 0;
    for (let i = end; i >= 0 && times[i] > times[end] - windowNs; --i) if (admitted[i]) ++count;
    if (count < limit) ++wrong;
  }
  return wrong;
}

const random = seededRandom(seed);
const traces = { uniform: uniform(random), bursts: bursts(random), 'bursts around the edge': edges(random) };
const series = {};
for (let round = 1; round <= rounds; ++round)
  for (const [name, times] of Object.entries(traces))
    for (const [who, decide] of Object.entries({ rdev: ours, 'rate-limiter-flexible': theirs })) {
      const one = await decide(times);
      ((series[who] ??= {})[name] ??= []).push(one);
    }

const share = (admitted) => admitted.filter(Boolean).length;
for (const [name, times] of Object.entries(traces)) {
  const [mine, peer] = ['rdev', 'rate-limiter-flexible'].map((who) => series[who][name]);
  for (const [who, all] of [['rdev', mine], ['rate-limiter-flexible', peer]]) {
    printSeries(`${name}: ${who}`, all.map(({ rate }) => rate / 1e6), 'million decisions/s', 2);
    printSeries(`${name}: ${who}, p99`, all.map(({ p99 }) => p99), 'ns');
  }
  const [mineFirst, peerFirst] = [mine[0].admitted, peer[0].admitted];
  console.log(`${name}: ${times.length} arrivals; rdev admitted ${share(mineFirst)}, at most ${fullest(times, mineFirst)} in a second; ` +
    `rate-limiter-flexible ${share(peerFirst)}, at most ${fullest(times, peerFirst)} in a second`);
  atMost(`${name}: rdev's fullest second`, Math.max(...mine.map(({ admitted }) => fullest(times, admitted))), limit, 'arrivals', 0);
  atMost(`${name}: refused although there was room`, refusedForNothing(times, mineFirst), 0, 'arrivals', 0);
  const ratio = median(mine.map(({ rate }, i) => rate / peer[i].rate));
  atLeast(`${name}: decisions a second, of rate-limiter-flexible`, ratio, 1, 'x', 1);
  atMost(`${name}: p99 of a decision, of rate-limiter-flexible`, median(mine.map(({ p99 }, i) => p99 / peer[i].p99)), 1, 'x', 2);
}
verdict();
