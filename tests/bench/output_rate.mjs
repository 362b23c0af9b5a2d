// MB/s of output from a command to the client: one stream of random bytes, as it runs (`rdev run`, framing=chunk) and as it
// is stored (GET /commands/{id}/output), and 50 small ones at once. Bar: the memory of rdev-api stays bounded.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import { binDir, cleanEnv } from '../e2e/support.mjs';
import { atMost, cpuSeconds, must, peakMemory, printSeries, run, withServer } from './support/bench.mjs';

const MiB = 1024 * 1024;
const bigSize = Number(process.env.RDEV_BENCH_MIB ?? 512) * MiB;
const smallSize = 4 * MiB;
const atOnce = 50;
const most = 300; // MiB of rdev-api
const repetitions = 3;
const enough = 80_000; // ms; no further repetition is begun after this

function putRandom(server, name, size) {
  const file = server.put(name, Buffer.alloc(0));
  const out = fs.openSync(file, 'w');
  for (let left = size; left > 0; left -= 16 * MiB) fs.writeSync(out, randomBytes(Math.min(left, 16 * MiB)));
  fs.closeSync(out);
}

// `rdev run demo -- cat NAME`; gives how many bytes came.
function pull(server, name) {
  return new Promise((resolve, reject) => {
    const client = spawn(path.join(binDir, 'rdev'), ['run', 'demo', '--', 'cat', name], {
      env: cleanEnv({ RDEV_URL: server.url, RDEV_API_KEY: server.key }),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let bytes = 0;
    client.stdout.on('data', (piece) => (bytes += piece.length));
    client.on('error', reject);
    client.on('close', (code) => (code === 0 ? resolve(bytes) : reject(new Error(`rdev run ended with ${code}`))));
  });
}

async function readRaw(server, id) {
  const answer = await run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', '-H', `X-API-Key: ${server.key}`,
    '-H', 'Accept: application/octet-stream', `${server.url}/commands/${id}/output?stream=stdout`]);
  const [status, bytes] = answer.stdout.toString().split(' ');
  must(status === '200', `raw output: ${status} ${answer.stderr}`);
  return Number(bytes);
}

await withServer({}, async (server) => {
  const begun = Date.now();
  putRandom(server, 'big', bigSize);
  putRandom(server, 'small', smallSize);
  const series = { run: [], raw: [], small: [] };
  const measure = async (name, what, expected, work) => {
    const [begin, cpu] = [performance.now(), cpuSeconds(server.pid)];
    const bytes = await work();
    const took = (performance.now() - begin) / 1000;
    must(bytes === expected, `${what}: ${bytes} bytes instead of ${expected}`);
    series[name].push(bytes / 1e6 / took);
    console.log(`${what}: ${(bytes / 1e6 / took).toFixed(1)} MB/s, ${took.toFixed(1)} s, CPU of rdev-api ` +
      `${(cpuSeconds(server.pid) - cpu).toFixed(1)} s, its peak memory ${peakMemory(server.pid).toFixed(0)} MiB`);
  };
  for (let i = 0; i < repetitions && Date.now() - begun < enough; ++i) {
    await measure('run', `${i + 1}: rdev run`, bigSize, () => pull(server, 'big'));
    const [{ id }] = (await server.api('GET', '/commands?limit=1')).data;
    await measure('raw', `${i + 1}: GET output`, bigSize, () => readRaw(server, id));
    await measure('small', `${i + 1}: ${atOnce} at once`, atOnce * smallSize, async () => {
      const all = await Promise.all(Array.from({ length: atOnce }, () => pull(server, 'small')));
      return all.reduce((sum, bytes) => sum + bytes, 0);
    });
  }
  printSeries(`rdev run, ${bigSize / MiB} MiB`, series.run, 'MB/s', 1);
  printSeries(`GET /commands/{id}/output`, series.raw, 'MB/s', 1);
  printSeries(`${atOnce} x ${smallSize / MiB} MiB at once`, series.small, 'MB/s', 1);
  atMost('peak memory of rdev-api', peakMemory(server.pid), most, 'MiB');
});
