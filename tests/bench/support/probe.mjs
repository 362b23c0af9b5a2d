// The paced probe, a process of its own: so many requests a second whether or not the ones before are answered, on
// keep-alive connections. A latency counts from the time at which its request was due, so that waiting shows.
import net from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

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

// One connection, one request at a time.
class Line {
  #text = '';
  #done;

  constructor({ host, port }) {
    this.socket = net.connect({ host, port, noDelay: true });
    this.socket.on('data', (piece) => this.#take(piece));
    this.socket.on('error', () => {}).on('close', () => this.#finish(undefined));
  }

  // Calls `done(status, whether the connection can be used again)`; without a status the connection was lost.
  ask(bytes, done) {
    this.#done = done;
    this.socket.write(bytes);
  }

  #take(piece) {
    this.#text += piece.toString('latin1');
    const head = this.#text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, head))?.[1] ?? 0);
    if (this.#text.length < head + 4 + length) return;
    const status = Number(this.#text.slice(9, 12));
    this.#text = '';
    this.#finish(status);
  }

  #finish(status) {
    const done = this.#done;
    this.#done = undefined;
    done?.(status, status !== undefined && !this.socket.destroyed);
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

if (isMainThread) process.once('message', measure);
else keepTime(workerData);
