// Ten thousand event streams. Beside them, idle, the paced probe: bar, its p99 within 1.5 times of what it is without them
// (medians of interleaved rounds). Then their commands print, and every stream must get every frame. Bar: 2 kB of ours
// for an idle stream.
//   --rounds N (5), --seconds S (16: each stream gets a heartbeat meanwhile) of each probe, --streams N (10000)
import fs from 'node:fs';
import path from 'node:path';

import { FrameReader, Transcript, sha256 } from '../e2e/support.mjs';
import { atMost, median, must, percentile, printSeries, waitFor, withServer } from './support/bench.mjs';
import { Crowd, kernelBytes, options, probe, request, residentBytes } from './support/front.mjs';
import { Frames } from './support/frames.mjs';

const { rounds, seconds, streams } = options({ rounds: 5, seconds: 16, streams: 10_000 });
const commands = 4;
const bursts = 10;
const linesInBurst = 20;
const lineLength = 256;
const greeting = 3; // frames with an id before a command waits: queued, running, its first line

// Says a line, waits without using a processor until the test writes into its pipe, then prints in bursts.
const script = (name) => `mkfifo -m 666 ${name} && echo waiting && read go <${name}
  i=0; while [ $i -lt ${bursts} ]; do
    j=0; while [ $j -lt ${linesInBurst} ]; do printf '%0${lineLength - 1}d\\n' $((i * ${linesInBurst} + j)); j=$((j+1)); done
    i=$((i+1)); sleep 0.1
  done`;

async function startCommands(server) {
  const started = [];
  for (let i = 0; i < commands; ++i) {
    const pipe = `go-${i}`;
    const id = await server.submit(script(pipe));
    await server.follow(id, { until: (frame) => frame.event === 'output' });
    started.push({ id, go: () => fs.promises.writeFile(path.join(server.projectDir(), pipe), 'go\n') });
  }
  return started;
}

// HTTP/1.0: the body of the answer is the stream and nothing else.
const streamOf = (server, { id }) => request('GET', server.eventsOf(id), { 'X-API-Key': server.key }).replace('HTTP/1.1', 'HTTP/1.0');

const openStreams = (server, all) =>
  Crowd.open(server.url, { count: streams, requests: all.map((one) => streamOf(server, one)), reads: 'frames', settled: greeting });

const probed = (server) =>
  probe(server.url, {
    'GET /health': request('GET', '/health'),
    'GET /projects/demo': request('GET', '/projects/demo', { 'X-API-Key': server.key }),
  }, { seconds });

async function activeStreams(server) {
  return Number(/^rdev_sse_connections_active (\d+)/m.exec((await server.api('GET', '/metrics')).text)[1]);
}

// Reads a stream from the beginning after its end, checks it against the stored bytes; gives its frames as a reader of the
// crowd must have seen them.
async function stored(server, { id }) {
  const frames = new Frames();
  const transcript = new Transcript();
  const reader = new FrameReader();
  const { response } = await server.openEvents(server.eventsOf(id));
  for await (const piece of response) {
    frames.feed(piece);
    for (const frame of reader.feed(piece)) transcript.add(frame);
  }
  transcript.checkReceipts();
  const { bytes } = await server.api('GET', `/commands/${id}/output?stream=stdout`, undefined, { Accept: 'application/octet-stream' });
  must(sha256(bytes) === transcript.complete.stdout.sha256, 'the stream is the stored output');
  must(bytes.length === 'waiting\n'.length + bursts * linesInBurst * lineLength, 'the command has printed all of its lines');
  return { count: frames.count, digest: frames.digest };
}

// The commands print to the crowd; gives how many frames came in how many seconds.
async function everyFrame(server, crowd, all) {
  const ends = crowd.ends();
  const begin = performance.now();
  await Promise.all(all.map(({ go }) => go()));
  const seen = await ends;
  const took = (performance.now() - begin) / 1000;
  const expected = await Promise.all(all.map((one) => stored(server, one)));
  const wrong = seen.filter(([which, count, digest]) => count !== expected[which].count || digest !== expected[which].digest);
  must(seen.length === streams, `${seen.length} of ${streams} streams have ended`);
  must(wrong.length === 0, `${wrong.length} streams differ from what is stored, the first: ${wrong[0]}`);
  return { frames: seen.reduce((sum, [, count]) => sum + count - greeting, 0), took };
}

await withServer({}, async (server) => {
  const all = await startCommands(server);
  await probed(server); // the first requests make what is made once
  const ourBytes = residentBytes(server.pid);
  const kernel = kernelBytes();
  const ours = [];
  const p99s = {};
  for (let round = 1; round <= rounds; ++round) {
    const alone = await probed(server);
    const begin = performance.now();
    const crowd = await openStreams(server, all);
    console.log(`${round}: ${streams} streams opened in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    const beside = await probed(server);
    ours.push((residentBytes(server.pid) - ourBytes) / streams);
    const { slab, buffers } = kernelBytes();
    console.log(`${round}: for each stream: ours ${ours.at(-1).toFixed(0)} bytes, the kernel's (both ends) ` +
      `${((slab - kernel.slab) / streams).toFixed(0)} of slab and ${((buffers - kernel.buffers) / streams).toFixed(0)} of socket buffers`);
    must((await activeStreams(server)) === streams, 'all streams are open');
    for (const [name, latencies] of Object.entries(alone)) {
      const [without, within] = [latencies, beside[name]].map((values) => percentile(values, 0.99));
      const series = (p99s[name] ??= { alone: [], beside: [] });
      series.alone.push(without);
      series.beside.push(within);
      console.log(`${round}: ${name}: p99 ${without.toFixed(2)} ms alone, ${within.toFixed(2)} ms beside`);
    }
    if (round === rounds) {
      const { frames, took } = await everyFrame(server, crowd, all);
      console.log(`every one of ${streams} streams got every frame: ${frames} frames in ${took.toFixed(1)} s, ${(frames / took / 1000).toFixed(0)}k a second`);
    }
    await crowd.close();
    await waitFor('the streams are closed', async () => (await activeStreams(server)) === 0);
  }
  for (const [name, { alone, beside }] of Object.entries(p99s)) {
    printSeries(`${name}, p99 alone`, alone, 'ms', 2);
    printSeries(`${name}, p99 beside`, beside, 'ms', 2);
  }
  printSeries('memory of ours for a stream', ours, 'bytes');
  for (const [name, { alone, beside }] of Object.entries(p99s))
    atMost(`${name}, p99 beside ${streams} idle streams, of that alone`, median(beside.map((value, i) => value / alone[i])), 1.5, 'x', 2);
  atMost('memory of ours for an idle stream', median(ours), 2000, 'bytes', 0);
});
