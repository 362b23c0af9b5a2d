// Clients that mean no good, and the paced probe (200 requests a second) beside them: 10,000 idle connections; slowhttptest with
// slow heads (-H), slow bodies (-B) and slow reading (-X); readers of an event stream that never read. Bar: the probe's p99
// within 2 times of what it is without them (medians of interleaved rounds). The same against nginx, as a control without a bar.
//   --rounds N (5), --seconds S (6) of each probe, --idle N (10000), --slow N (1000), --deaf N (200)
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { cleanEnv } from '../e2e/support.mjs';
import { atMost, found, median, must, percentile, printSeries, waitFor, withServer } from './support/bench.mjs';
import { Crowd, end, keep, options, probe, request, standing, startNginx } from './support/front.mjs';

const { rounds, seconds, idle, slow, deaf } = options({ rounds: 5, seconds: 6, idle: 10_000, slow: 1000, deaf: 200 });
const bytesOfOutput = 64 * 1024 * 1024;

const p99 = async (url) => percentile((await probe(url, { all: request('GET', '/health') }, { seconds })).all, 0.99);

// slowhttptest against `url` until it is stopped; it stands when half of its connections do.
async function slowly(kind, url, target) {
  const how = {
    H: ['-H', '-i', '2', '-x', '24', '-p', '3'],
    B: ['-B', '-i', '2', '-s', '8192', '-x', '10', '-p', '3'],
    X: ['-X', '-w', '1', '-y', '2', '-n', '2', '-z', '1', '-k', '1', '-p', '3'],
  }[kind];
  const before = standing(url);
  const child = keep(spawn('slowhttptest', [...how, '-c', String(slow), '-r', '500', '-l', '600', '-u', url + target], { env: cleanEnv(), stdio: 'ignore' }));
  await waitFor(`slowhttptest -${kind} stands`, () => standing(url) - before >= slow / 2);
  return { close: () => end(child) };
}

function attacksOn({ url, large, post, stream }) {
  return {
    'idle connections': () => Crowd.open(url, { count: idle, requests: [request('GET', '/health')], reads: 'answer' }),
    'slow heads (-H)': () => slowly('H', url, '/health'),
    'slow bodies (-B)': () => slowly('B', url, post),
    'slow reading (-X)': () => slowly('X', url, large),
    'readers that never read': () => Crowd.open(url, { count: deaf, requests: [stream], reads: 'nothing' }),
  };
}

await withServer({}, async (server) => {
  must(found('slowhttptest'), 'slowhttptest is missing: apt-get install slowhttptest');
  const id = await server.submit(`head -c ${bytesOfOutput / 2} /dev/zero | tr '\\0' x | fold -w 255`);
  await server.finished(id);
  const { text } = await server.api('GET', '/openapi.json');
  const nginx = await startNginx(path.join(server.base, 'nginx'), { '/health': '{"status":"ok"}' });
  fs.writeFileSync(path.join(nginx.folder, 'files', 'large'), text);
  fs.writeFileSync(path.join(nginx.folder, 'files', 'stream'), Buffer.alloc(bytesOfOutput, 'x'));
  const targets = {
    rdev: { url: server.url, large: '/openapi.json', post: '/projects/demo/shell', stream: request('GET', server.eventsOf(id), { 'X-API-Key': server.key }) },
    nginx: { url: nginx.url, large: '/large', post: '/large', stream: request('GET', '/stream') },
  };
  const series = {};
  try {
    for (const { url } of Object.values(targets)) await p99(url); // the first requests make what is made once
    for (let round = 1; round <= rounds; ++round)
      for (const [who, target] of Object.entries(targets))
        for (const [what, start] of Object.entries(attacksOn(target))) {
          const alone = await p99(target.url);
          const attack = await start();
          const first = standing(target.url);
          const beside = await p99(target.url);
          const last = standing(target.url); // fewer: the server has sent them away meanwhile
          await attack.close();
          await waitFor('the connections are closed', () => standing(target.url) < 50, 60_000);
          const one = ((series[what] ??= {})[who] ??= { alone: [], beside: [] });
          one.alone.push(alone);
          one.beside.push(beside);
          console.log(`${round}: ${who}, ${what} (${first} connections, ${last} at the end): p99 ${alone.toFixed(2)} ms alone, ${beside.toFixed(2)} ms beside`);
        }
  } finally {
    await nginx.end();
  }
  const ratio = ({ alone, beside }) => median(beside.map((value, i) => value / alone[i]));
  for (const [what, one] of Object.entries(series))
    for (const [who, values] of Object.entries(one)) {
      printSeries(`${who}, ${what}, alone`, values.alone, 'ms', 2);
      printSeries(`${who}, ${what}, beside`, values.beside, 'ms', 2);
    }
  for (const [what, { rdev, nginx: control }] of Object.entries(series)) {
    console.log(`${what}: nginx's p99 beside, of that alone: ${ratio(control).toFixed(2)} x (control)`);
    atMost(`${what}: p99 beside, of that alone`, ratio(rdev), 2, 'x', 2);
  }
});
