// What the measurements of the HTTP front have in common: options, nginx as the other server, the paced probe, crowds of
// connections. Node lets itself and its children have as many open files as the hard limit allows.
import { fork, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { binDir, cleanEnv } from '../../e2e/support.mjs';
import { found, must, waitFor } from './bench.mjs';

// --rounds N, --seconds S and what else `defaults` names, each a number.
export function options(defaults) {
  const { values } = parseArgs({ options: Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' }])) });
  for (const [name, text] of Object.entries(values)) must(Number(text) > 0, `--${name} wants a number above 0`);
  return Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, Number(values[name] ?? value)]));
}

// ---- processes; whatever is started here ends with us

const children = new Set();
process.on('exit', () => { for (const child of children) child.kill('SIGTERM'); });

export function keep(child) {
  children.add(child);
  child.ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve)).then(() => children.delete(child));
  return child;
}

export async function end(child) {
  child.kill('SIGTERM');
  await child.ended;
}

export const here = (name) => fileURLToPath(new URL(name, import.meta.url));

export const forked = (name) => keep(fork(here(name), { env: cleanEnv(), stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }));

// The next message of a child of ours; its death is an error.
export function heard(child) {
  return new Promise((resolve, reject) => {
    const died = () => reject(new Error('a process of the measurement died'));
    child.once('exit', died);
    child.once('message', (message) => {
      child.off('exit', died);
      message.failed ? reject(new Error(message.failed)) : resolve(message);
    });
  });
}

export const freePort = () =>
  new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

export const answers = (url) => waitFor(`${url} answers`, () => fetch(url).then((response) => response.ok));

// nginx with one worker and an access log, in a new `folder`. `bodies`: what it answers as JSON, by path; other paths
// are files in `folder`/files.
export async function startNginx(folder, bodies) {
  must(found('nginx'), 'nginx is missing: apt-get install nginx');
  const port = await freePort();
  fs.mkdirSync(path.join(folder, 'files'), { recursive: true });
  const locations = Object.entries(bodies).map(([at, body]) => `location = ${at} { default_type application/json; return 200 '${body}'; }`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`);
  fs.writeFileSync(path.join(folder, 'nginx.conf'), `daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${folder}/pid;
    events { worker_connections 16384; }
    http {
      access_log ${folder}/access.log combined; ${temporary.join(' ')}
      keepalive_requests 1000000000;
      server { listen 127.0.0.1:${port} backlog=4096; root ${folder}/files; ${locations.join('\n')} }
    }`);
  const child = keep(spawn('nginx', ['-p', folder, '-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`], { stdio: 'ignore' }));
  const url = `http://127.0.0.1:${port}`;
  await answers(url + Object.keys(bodies)[0]);
  return { url, folder, end: () => end(child) };
}

// ---- load

// 200 requests a second, of each target in turn; gives the latencies in ms by the name of the target.
export async function probe(url, targets, { seconds, rate = 200 }) {
  const { hostname, port } = new URL(url);
  const child = forked('probe.mjs');
  child.send({ host: hostname, port: Number(port), targets, rate, seconds });
  const { latencies, refused, lost } = await heard(child);
  await end(child);
  must(refused === 0 && lost === 0, `the probe of ${url}: ${refused} refusals, ${lost} without an answer`);
  return latencies;
}

// 200 requests a second for `url` on one connection, by h2load, which no collector of garbage stops; gives the latencies in ms,
// counted from when each request was due. Every answer must be one of success.
export async function steady(url, { headers = {}, seconds, rate = 200 }) {
  must(found('h2load'), 'h2load is missing: apt-get install nghttp2-client');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-steady-'));
  try {
    const log = path.join(folder, 'log');
    const given = ['--h1', '-c', '1', '--rps', String(rate), '-D', `${Math.round(seconds * 1000)}ms`, '--warm-up-time', '500ms', '--log-file', log];
    for (const [name, value] of Object.entries(headers)) given.push('-H', `${name}: ${value}`);
    const child = keep(spawn('h2load', [...given, url], { env: cleanEnv(), stdio: 'ignore' }));
    os.setPriority(child.pid, -10);
    await child.ended;
    const answers = fs.readFileSync(log, 'utf8').trim().split('\n').map((line) => line.split('\t').map(Number));
    must(answers.length >= 0.95 * seconds * rate && answers.every(([, status]) => status >= 200 && status <= 299), `h2load ${url}: ${answers.length} answers`);
    const [[first]] = answers;
    return answers.map(([begin, , took], i) => (begin + took - Math.min(begin, first + (i * 1e6) / rate)) / 1000);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

export const request = (method, target, headers = {}) =>
  `${method} ${target} HTTP/1.1\r\nHost: rdev\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;

// Requests from many addresses, in turn and at so many a second, by a program of its own, which stands for other machines: it gets
// what time of the processor others leave.
export class Senders {
  // Connected, and silent until told.
  static async open(url, { from, requests, rate }) {
    const { hostname, port } = new URL(url);
    const senders = new Senders();
    senders.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-senders-'));
    const file = path.join(senders.folder, 'requests');
    fs.writeFileSync(file, [...from, '', ...requests, ''].join('\0'));
    const child = keep(spawn(path.join(binDir, 'bench_senders'), [hostname, port, String(rate), file], { env: cleanEnv(), stdio: ['pipe', 'pipe', 'inherit'] }));
    os.setPriority(child.pid, os.constants.priority.PRIORITY_LOW);
    senders.child = child;
    senders.lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    must((await senders.#line()) === 'ready', 'the senders are connected');
    return senders;
  }

  // Gives the number of answers by status, and the seconds that it took.
  async send() {
    this.child.stdin.end('now\n');
    const done = JSON.parse(await this.#line());
    await this.child.ended;
    fs.rmSync(this.folder, { recursive: true });
    return done;
  }

  async #line() {
    const { value, done } = await this.lines.next();
    must(!done, 'the senders have not died');
    return value;
  }
}

// Many connections, held by processes of their own, each with one of `requests` in turn.
export class Crowd {
  static #perProcess = 2500;
  #members = [];

  // `reads`: 'answer' (one of known length; then the connection idles), 'frames' (of an event stream; `settled` of them
  // have ids before it idles), or 'nothing'.
  static async open(url, { count, requests, reads, settled = 0 }) {
    const { hostname, port } = new URL(url);
    const crowd = new Crowd();
    for (let left = count; left > 0; left -= Crowd.#perProcess) {
      const child = forked('crowd.mjs');
      child.send({ host: hostname, port: Number(port), count: Math.min(left, Crowd.#perProcess), requests, reads, settled });
      crowd.#members.push(child);
    }
    await Promise.all(crowd.#members.map(heard));
    return crowd;
  }

  // When all streams have come to their end: [which request, frames with an id, their hash] of each.
  async ends() {
    return (await Promise.all(this.#members.map(heard))).flatMap(({ ends }) => ends);
  }

  async close() {
    await Promise.all(this.#members.map(end));
  }
}

// ---- what the kernel knows

// The share of the processors' time that the machine below this one has given to others since `before`, which is what this gave then.
function stolen(before) {
  const times = fs.readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
  const now = { stolen: times[7], all: times.reduce((sum, n) => sum + n, 0) };
  return before ? (now.stolen - before.stolen) / Math.max(1, now.all - before.all) : now;
}

// What `measure` gives when at most `share` of the time was stolen meanwhile; it is tried anew up to `tries` times, and the quietest one
// counts then. `again`: is told of each that does not.
export async function quietly(measure, { share = 0.003, tries = 6, again = () => {} } = {}) {
  let best;
  for (let i = 0; i < tries; ++i) {
    const before = stolen();
    const value = await measure();
    const lost = stolen(before);
    if (!best || lost < best.lost) best = { value, lost };
    if (best.lost <= share) break;
    again(lost);
  }
  return best.value;
}

// Connections that stand at a port of 127.0.0.1, seen from the server's end.
export function standing(url) {
  const local = `0100007F:${Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0')}`;
  return fs.readFileSync('/proc/net/tcp', 'latin1').split('\n').filter((line) => {
    const [, from, , state] = line.trim().split(/\s+/);
    return from === local && state === '01';
  }).length;
}

const kilobytes = (file, name) => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(fs.readFileSync(file, 'utf8'))[1]);
export const residentBytes = (pid) => 1024 * kilobytes(`/proc/${pid}/status`, 'VmRSS');

// Of the whole machine, both ends of each connection.
export const kernelBytes = () => ({
  slab: 1024 * kilobytes('/proc/meminfo', 'Slab'),
  buffers: 4096 * Number(/^TCP:.* mem (\d+)/m.exec(fs.readFileSync('/proc/net/sockstat', 'utf8'))[1]),
});
