// Submissions a second over HTTP: POST /projects/demo/shell on 64 keep-alive connections, each with an Idempotency-Key.
// The one slot is taken by a command that sleeps, so nothing else runs. Reported; no bar.
import { fileURLToPath } from 'node:url';

import { cpuSeconds, must, printSeries, withServer, wrk } from './support/bench.mjs';

const repetitions = 5;
const seconds = 5;
const connections = 64;

await withServer({ RDEV_COMMANDS_MAX_RUNNING: '1' }, async (server) => {
  await server.reaches(await server.submit('exec sleep 600'), 'running');
  const load = {
    connections,
    headers: { 'X-API-Key': server.key, 'Content-Type': 'application/json' },
    script: fileURLToPath(new URL('support/submit.lua', import.meta.url)),
  };
  const submits = (time) => wrk(`${server.url}/projects/demo/shell`, { ...load, seconds: time });
  let answered = (await submits(1)).requests;
  const rates = [];
  const p50s = [];
  const p99s = [];
  const shares = [];
  for (let i = 0; i < repetitions; ++i) {
    const before = cpuSeconds(server.pid);
    const one = await submits(seconds);
    shares.push((1000 * (cpuSeconds(server.pid) - before)) / one.requests);
    answered += one.requests;
    rates.push(one.rate);
    p50s.push(one.p50);
    p99s.push(one.p99);
    console.log(`${i + 1}: ${one.rate.toFixed(0)} submits/s, p50 ${one.p50.toFixed(1)} ms, p99 ${one.p99.toFixed(1)} ms`);
  }
  printSeries('submits over HTTP', rates, 'submits/s');
  printSeries('p50', p50s, 'ms', 1);
  printSeries('p99', p99s, 'ms', 1);
  printSeries('CPU of rdev-api for one', shares, 'ms', 3);
  // wrk leaves up to a request a connection unanswered at the end of each run.
  const stored = Number(await server.psql('SELECT count(*) FROM command')) - 1;
  console.log(`answered ${answered}, stored ${stored}`);
  must(stored >= answered && stored <= answered + connections * (repetitions + 1), 'answers and rows do not agree');
});
