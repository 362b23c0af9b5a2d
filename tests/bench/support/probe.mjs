// The paced probe, a process of its own: so many requests a second whether or not the ones before are answered, on
// keep-alive connections. A latency counts from the time at which its request was due, so that waiting shows.
import os from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { Line } from './line.mjs';

const warmUp = 100; // requests that do not count
const patience = 30_000; // ms for the last answers
const now = () => process.hrtime.bigint();

// A thread that sleeps until each request is due: the timers of an event loop are a millisecond late.
function keepTime({ begin, gap, count }) {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < count; ++i) {
    const due = begin + BigInt(i) * gap;
    const left = Number(due - now()) / 1e6;
    if (left > 0) Atomics.wait(never, 0, 0, left);
    parentPort.postMessage(due);
  }
}

function measure({ host, port, targets, rate, seconds }) {
  const names = Object.keys(targets);
  const requests = names.map((name) => Buffer.from(targets[name]));
  const latencies = Object.fromEntries(names.map((name) => [name, []]));
  const count = warmUp + rate * seconds;
  const idle = [];
  let asked = 0;
  let answered = 0;
  let refused = 0;
  let lost = 0;
  const report = () => process.send({ latencies, refused, lost: lost + count - answered });

  const ask = (due) => {
    const number = asked++;
    const which = number % names.length;
    const line = idle.pop() ?? new Line({ host, port });
    line.ask(requests[which], (status, usable) => {
      if (number >= warmUp) latencies[names[which]].push(Number(now() - due) / 1e6);
      if (status === undefined) ++lost;
      else if (status < 200 || status > 299) ++refused;
      if (usable) idle.push(line);
      if (++answered === count) report();
    });
    if (asked === count) setTimeout(report, patience);
  };
  new Worker(new URL(import.meta.url), { workerData: { begin: now() + 100_000_000n, gap: BigInt(Math.round(1e9 / rate)), count } }).on('message', ask);
}

if (isMainThread) os.setPriority(-10);
if (isMainThread) process.once('message', measure);
else keepTime(workerData);
