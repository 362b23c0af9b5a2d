// What the tests of a takeover stand on: a PostgreSQL of the test's own, a proxy in front of it that can cut, refuse or
// fall silent, and nodes that share it. Whatever it started is ended by pid when the test process ends.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import {
  Server, Transcript, alive, allPids, binDir, cleanEnv, commandLine, descendantsOf, isRoot, run, waitFor,
} from '../e2e/support.mjs';

export { Transcript, alive, isRoot, seededRandom, sleep, testSeed, waitFor } from '../e2e/support.mjs';

export const ended = (view) => !['queued', 'running'].includes(view.status);

const read = (file) => {
  try {
    return fs.readFileSync(file).toString();
  } catch {
    return undefined;
  }
};
const link = (file) => {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
};
const list = (folder) => {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
};

export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export const stopped = (pid) => /\) T /.test(read(`/proc/${pid}/stat`) ?? '');

// Without the kernel's own threads, which have no memory of their own.
const programsOnly = () => allPids().filter((pid) => link(`/proc/${pid}/exe`) !== '');

// For what is dear to look at: at most ten times a second; in between it says what it said last.
export function rarely(probe) {
  let next = 0;
  let last;
  return () => {
    if (Date.now() < next) return last;
    last = probe();
    next = Date.now() + 100;
    return last;
  };
}

// ---- failpoints

// Undefined in a test build; else why what needs failpoints cannot be run. A test build that has lost them is an error.
export async function whyNoFailpoints() {
  const said = (await run(path.join(binDir, 'rdev-api'), ['version'])).stdout.toString().split('\n');
  if (said.includes('failpoints')) return undefined;
  const cache = read(path.join(binDir, 'CMakeCache.txt'));
  assert.match(cache ?? '', /^RDEV_FAILPOINTS:BOOL=OFF$/m,
    `rdev-api in ${binDir} has no failpoints, and its CMakeCache.txt does not say that none were wanted`);
  return 'this build has no failpoints';
}

// ---- PostgreSQL

const programs = ['15', ...list('/usr/lib/postgresql')]
  .map((version) => `/usr/lib/postgresql/${version}/bin`)
  .find((folder) => fs.existsSync(path.join(folder, 'initdb')));

function databaseUser() {
  if (!isRoot) return {};
  const entries = read('/etc/passwd').split('\n').map((line) => line.split(':'));
  const [, , uid, gid] = entries.find(([name]) => name === 'rdev-db') ?? entries.find(([name]) => name === 'nobody');
  return { uid: Number(uid), gid: Number(gid) };
}

// A port that was free a moment ago. Only the proxy knows it, and each start takes another one.
async function freePort() {
  const probe = net.createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

class Postgres {
  #child;
  #user = databaseUser();

  constructor(base) {
    this.base = base;
    this.mount = path.join(base, 'postgres');
    this.data = path.join(this.mount, 'data');
    this.logFile = path.join(base, 'postgres.log');
    this.password = randomBytes(12).toString('hex');
  }

  // `tmpfsMiB`: the data lie on a file system of that size. Gives undefined, or why it could not be mounted.
  place(tmpfsMiB) {
    fs.mkdirSync(this.mount);
    if (tmpfsMiB) {
      const done = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${tmpfsMiB}m`, 'rdev-test', this.mount]);
      if (done.status !== 0) return `mount: ${done.stderr ?? done.error}`.trim();
      this.mounted = true;
    }
    fs.chmodSync(this.mount, 0o700);
    if (isRoot) fs.chownSync(this.mount, this.#user.uid, this.#user.gid);
    return undefined;
  }

  async initialise() {
    const passwordFile = path.join(this.mount, 'password');
    fs.writeFileSync(passwordFile, this.password, { mode: 0o600 });
    if (isRoot) fs.chownSync(passwordFile, this.#user.uid, this.#user.gid);
    const done = await this.#runAs(path.join(programs, 'initdb'), ['-D', this.data, '-U', 'rdev', '-A', 'scram-sha-256',
      `--pwfile=${passwordFile}`, '--no-sync', '--locale=C', '-E', 'UTF8', '--wal-segsize=1']);
    assert.equal(done.code, 0, `initdb: ${done.text}`);
    fs.rmSync(passwordFile);
  }

  #runAs(program, args) {
    return new Promise((resolve, reject) => {
      const stdio = ['ignore', 'pipe', 'pipe'];
      const child = spawn(program, args, { ...this.#user, env: cleanEnv(), cwd: '/', stdio });
      let text = '';
      child.stdout.on('data', (piece) => (text += piece));
      child.stderr.on('data', (piece) => (text += piece));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, text }));
    });
  }

  get pid() {
    return this.#child?.pid;
  }
  get lives() {
    return this.#child !== undefined && !this.exited;
  }

  // A crashed one may still hold its memory for a moment; then it is tried again.
  async start() {
    await waitFor('PostgreSQL runs', async () => {
      if (!this.lives) await this.#launch();
      return this.lives && (await this.query('SELECT 1')) === '1';
    }, 60_000).catch((error) => {
      throw new Error(`${error.message}\n${(read(this.logFile) ?? '').slice(-3000)}`, { cause: error.cause });
    });
  }

  async #launch() {
    this.port = await freePort();
    const log = fs.openSync(this.logFile, 'a');
    const set = {
      listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', max_connections: 200,
      // A process that is killed loses nothing that it wrote: only a power cut would.
      fsync: 'off', shared_buffers: '32MB', min_wal_size: '4MB', max_wal_size: '16MB', log_min_messages: 'warning',
    };
    const args = Object.entries(set).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.exited = undefined;
    const child = spawn(path.join(programs, 'postgres'), ['-D', this.data, ...args],
      { ...this.#user, env: cleanEnv(), cwd: '/', stdio: ['ignore', log, log] });
    fs.closeSync(log);
    this.#child = child;
    child.on('error', (error) => (this.exited = { error }));
    child.on('exit', (code, name) => { if (this.#child === child) this.exited = { code, signal: name }; });
  }

  async #end(name) {
    const backends = descendantsOf(this.pid);
    signal(this.pid, name);
    await waitFor('PostgreSQL ends', () => this.exited && !backends.some(alive));
  }
  // A fast shutdown: sessions are ended, the data are written.
  stop() {
    return this.#end('SIGINT');
  }
  kill9() {
    return this.#end('SIGKILL');
  }

  // Rows as psql prints them, columns separated by `|`; past the proxy.
  async query(sql, database = 'postgres') {
    const env = cleanEnv({ PGPASSWORD: this.password });
    const where = ['-h', '127.0.0.1', '-p', String(this.port), '-U', 'rdev', '-d', database];
    const how = ['-XAtq', '-v', 'ON_ERROR_STOP=1', ...where, '-c', sql];
    const answer = await run(path.join(programs, 'psql'), how, { env });
    if (answer.code !== 0) throw new Error(`psql: ${answer.stderr}`);
    return answer.stdout.toString().trimEnd();
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    for (let round = 0; round < 100; ++round) {
      const own = (pid) => commandLine(pid).includes(this.data) || (this.lives && pid === this.pid);
      const all = allPids().filter(own).flatMap((pid) => [pid, ...descendantsOf(pid)]).filter(alive);
      if (all.length === 0) break;
      for (const pid of all) signal(pid, 'SIGKILL');
      pause(50);
    }
    if (this.mounted) spawnSync('umount', ['-l', this.mount]);
    this.mounted = false;
  }
}

const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

// ---- the proxy before it

class Proxy {
  #pairs = new Set();
  #refusing = false;
  #silent = false;

  constructor(port) {
    this.upstreamPort = port;
  }

  async listen() {
    this.server = net.createServer({ allowHalfOpen: true }, (client) => this.#serve(client));
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
  }

  #serve(client) {
    client.on('error', () => {});
    if (this.#refusing) return void client.resetAndDestroy();
    const upstream = net.connect({ host: '127.0.0.1', port: this.upstreamPort(), allowHalfOpen: true });
    const pair = [client, upstream];
    this.#pairs.add(pair);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on('data', (piece) => { if (!to.destroyed) to.write(piece); });
      from.on('end', () => to.end());
      from.on('error', () => { if (!to.destroyed) to.resetAndDestroy(); });
      from.on('close', () => { this.#pairs.delete(pair); to.destroySoon(); });
      if (this.#silent) from.pause();
    }
  }

  get connections() {
    return this.#pairs.size;
  }

  // Resets every connection.
  cut() {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }
  refuse() {
    this.#refusing = true;
    this.cut();
  }
  admit() {
    this.#refusing = false;
  }
  // Passes nothing on in either direction, not even an end, and still takes connections.
  fallSilent() {
    this.#silent = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }
  // Goes on with what was held back.
  speak() {
    this.#silent = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  destroy() {
    this.server?.close();
    this.cut();
  }
}

// ---- nodes

export class Node extends Server {
  constructor(rig, name, { runnerDir = rig.runnerDir, env = {} } = {}) {
    const before = process.env.TMPDIR;
    process.env.TMPDIR = rig.base; // so that everything it makes lies in the rig's folder
    try {
      super({ args: ['--node', name] });
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
    this.rig = rig;
    this.name = name;
    this.runnerDir = runnerDir;
    this.ownEnv = { ...rig.env, RDEV_RUNNER_LOCAL_DIR: runnerDir, ...env };
    fs.mkdirSync(runnerDir, { recursive: true });
    fs.chmodSync(runnerDir, 0o711);
  }

  // `env` counts for this start only; `failpoint` is short for the variable of that name. What is handed on to a shim
  // also has the rig's mark: a shim that is halted early has nothing else by which it could be found.
  async start({ env = {}, failpoint } = {}) {
    const armed = failpoint ? { RDEV_FAILPOINT: `${failpoint},${this.rig.mark}:none` } : {};
    await super.start({ env: { ...this.ownEnv, ...env, ...armed } });
    return this;
  }

  get lives() {
    return this.pid !== undefined && !this.exited;
  }
  get runDir() {
    return path.join(this.runnerDir, 'run');
  }
  projectDir(id = 'demo') {
    return path.join(this.runnerDir, 'projects', id);
  }
  lines(name, project) {
    return this.take(name, project)?.toString().split('\n').slice(0, -1) ?? [];
  }
  // How often a command was started, as told by what it left in its workspace.
  starts(name, project) {
    return this.lines(`starts-${name}`, project).map(Number);
  }

  // A submission with an Idempotency-Key; gives the answer, whatever it is.
  post(command, { key, project = 'demo', ...rest }) {
    return this.api('POST', `/projects/${project}/shell`, { command, ...rest }, { 'Idempotency-Key': key });
  }
  async isReady() {
    return (await this.api('GET', '/ready')).status === 200;
  }
  cancel(id) {
    return this.api('POST', `/commands/${id}/cancel`);
  }

  // What lives of a command: who has its id in the environment, the shim above it, and everything below that.
  processesOf(id) {
    const marked = (pid) => (read(`/proc/${pid}/environ`) ?? '').split('\0').includes(`RDEV_COMMAND_ID=${id}`);
    const all = new Set(programsOnly().filter(marked));
    const shim = this.shimOf(id);
    if (shim) for (const pid of [shim, ...descendantsOf(shim)]) all.add(pid);
    return [...all].filter(alive);
  }
  // By the file that it writes into, else by what it wrote into its start file.
  shimOf(id) {
    const inside = path.join(this.runDir, id);
    const holds = (pid) => list(`/proc/${pid}/fd`).some((fd) => link(`/proc/${pid}/fd/${fd}`).startsWith(`${inside}/`));
    const found = this.rig.shims().find(holds);
    if (found) return found;
    const pid = Number(/^run (\d+)/.exec(read(`${inside}.start`) ?? '')?.[1]);
    return pid && this.rig.shims().includes(pid) ? pid : undefined;
  }
  nothingRuns(id) {
    const look = rarely(() => this.processesOf(id).length === 0);
    return waitFor(`no process of ${id} is left`, look);
  }

  async close() {
    if (this.lives && stopped(this.pid)) signal(this.pid, 'SIGCONT');
    await super.close();
  }
}

// ---- all of it

const rigs = new Set();

export class Rig {
  nodes = [];

  // `proxied`: the nodes reach PostgreSQL through a proxy, which also lets it come back on another port.
  static async start({ tmpfsMiB, proxied = false, env = {} } = {}) {
    const rig = new Rig();
    rigs.add(rig);
    try {
      rig.base = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-rig-'));
      fs.chmodSync(rig.base, 0o711);
      rig.mark = `shim.${path.basename(rig.base)}`;
      rig.runnerDir = path.join(rig.base, 'runner');
      rig.postgres = new Postgres(rig.base);
      rig.refused = rig.postgres.place(tmpfsMiB);
      if (rig.refused) return rig;
      await rig.postgres.initialise();
      await rig.postgres.start();
      await rig.postgres.query('CREATE DATABASE rdev');
      if (proxied) {
        rig.proxy = new Proxy(() => rig.postgres.port);
        await rig.proxy.listen();
      }
      const { port } = rig.proxy ?? rig.postgres;
      rig.env = {
        DATABASE_URL: `postgres://rdev:${rig.postgres.password}@127.0.0.1:${port}/rdev`,
        RDEV_SECRETS_KEYS: `k1:${randomBytes(32).toString('base64')}`,
        RDEV_ADMIN_KEY: `administrator-${randomBytes(16).toString('hex')}`,
        RATE_LIMIT_RPS: '0',
        RDEV_COMMANDS_KILL_GRACE: '1s',
        ...env,
      };
      return rig;
    } catch (error) {
      rig.destroy();
      throw error;
    }
  }

  // A node that is not started yet.
  node(name, options) {
    const made = new Node(this, name, options);
    this.nodes.push(made);
    return made;
  }

  sql(text) {
    return this.postgres.query(text, 'rdev');
  }

  // The node that looks after a running command.
  async ownerOf(id) {
    const name = await this.sql(`SELECT n.name FROM lease l JOIN node n ON n.id = l.node_id
                                  WHERE l.command_id = '${uuidOf(id)}'`);
    return this.nodes.find((node) => node.name === name);
  }
  runsSomewhere(id) {
    return waitFor(`somebody runs ${id}`, () => this.ownerOf(id));
  }
  async count(from) {
    return Number(await this.sql(`SELECT count(*) FROM ${from}`));
  }

  // Every process that has something in this rig's folder: servers, shims, commands.
  processes() {
    const inside = (text) => text === this.base || text.startsWith(`${this.base}/`);
    return programsOnly().filter((pid) => pid !== process.pid && alive(pid) &&
      (inside(link(`/proc/${pid}/cwd`)) || commandLine(pid).some(inside) ||
        (read(`/proc/${pid}/environ`) ?? '').includes(this.mark) ||
        list(`/proc/${pid}/fd`).some((fd) => inside(link(`/proc/${pid}/fd/${fd}`)))));
  }
  shims() {
    const program = fs.realpathSync(path.join(binDir, 'rdev-shim'));
    return this.processes().filter((pid) => link(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '') === program);
  }
  stoppedShims() {
    return this.shims().filter(stopped);
  }

  destroy() {
    if (!rigs.delete(this)) return;
    for (const node of this.nodes) node.destroy();
    for (let round = 0; round < 40; ++round) {
      const pids = this.processes().filter((pid) => !commandLine(pid).includes(this.postgres?.data));
      if (pids.length === 0) break;
      for (const pid of pids) signal(pid, 'SIGKILL');
      pause(50);
    }
    this.proxy?.destroy();
    this.postgres?.destroy();
    if (process.env.RDEV_TEST_KEEP) console.log(`kept: ${this.base}`);
    else fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }

  // The polite end of what still lives, all at once; every node is asked, the first complaint is handed on.
  async close() {
    try {
      const done = await Promise.allSettled(this.nodes.map((node) => node.close()));
      for (const one of done) if (one.status === 'rejected') throw one.reason;
    } finally {
      this.destroy();
    }
  }
}

process.on('exit', () => {
  for (const rig of rigs) rig.destroy();
});

// `cmd_` and 26 digits in Crockford's base 32 are the 128 bits of a uuid.
export function uuidOf(id) {
  const digits = '0123456789abcdefghjkmnpqrstvwxyz';
  let bits = 0n;
  for (const digit of id.slice(id.indexOf('_') + 1)) bits = bits * 32n + BigInt(digits.indexOf(digit));
  const hex = bits.toString(16).padStart(32, '0');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

// ---- commands

// Leaves one line for each time that it is started, counts on both streams until it is told to stop, and knows how far
// it got.
export class Counting {
  constructor(name, { code = 0, pause: between = '0.03', project = 'demo' } = {}) {
    Object.assign(this, { name, code, project });
    this.script = `echo $$ >>starts-${name}
      i=0; while [ ! -e stop-${name} ]; do
        echo "out $i"; echo "err $i" >&2; echo >>steps-${name}; i=$((i+1)); sleep ${between}
      done
      exit ${code}`;
  }

  async submit(node, rest = {}) {
    this.id = await node.submit(this.script, { project: this.project, ...rest });
    return this.id;
  }
  stop(node) {
    node.put(`stop-${this.name}`, '', this.project);
  }

  // The whole record as each of `nodes` tells it; `seen` is a reader who was there before.
  async check(nodes, seen = []) {
    const [node] = nodes;
    const whole = (await node.follow(this.id, { project: this.project })).checkReceipts();
    const steps = node.take(`steps-${this.name}`, this.project).length;
    const numbers = (word) => Array.from({ length: steps }, (_, i) => `${word} ${i}\n`).join('');
    assert.equal(whole.stdout.toString(), numbers('out'), 'stdout');
    assert.equal(whole.stderr.toString(), numbers('err'), 'stderr');
    assert.equal(whole.complete.status, this.code === 0 ? 'completed' : 'failed');
    assert.equal(whole.complete.exit_code, this.code);
    assert.equal(whole.complete.complete, true);
    assert.equal(node.starts(this.name, this.project).length, 1, 'it was started once');
    for (const other of nodes.slice(1)) {
      const there = await other.follow(this.id, { project: this.project });
      assert.deepEqual(there.numbered, whole.numbered, `the stream at ${other.name}`);
      assert.deepEqual(await other.view(this.id), await node.view(this.id), `the view at ${other.name}`);
    }
    for (const reader of seen) assert.deepEqual(reader.numbered, whole.numbered, 'who was there before saw the same');
    return whole;
  }
}

// Reads a command's stream in the background. `grown(n)` waits for n more outputs than there are now.
export function watch(node, id, { project, headers, into = new Transcript() } = {}) {
  let outputs = 0;
  const until = (frame) => void (frame.event === 'output' && ++outputs);
  const end = node.follow(id, { project, headers, into, until });
  end.catch(() => {}); // whoever waits for the end hears of it
  return {
    seen: into,
    end,
    grown: (more) => {
      const goal = outputs + more;
      return waitFor(`${more} more outputs of ${id} at ${node.name}`, () => outputs >= goal);
    },
  };
}

// Repeats a submission with its Idempotency-Key, now here, now there, until it is accepted; what is dead or away is no
// answer.
export async function submitted(nodes, command, { key, project = 'demo', within, ...rest } = {}) {
  let turn = 0;
  let strange;
  const id = await waitFor(`${key} is accepted`, async () => {
    const node = nodes[turn++ % nodes.length];
    if (!node.lives || stopped(node.pid)) return false;
    const answer = await node.post(command, { key, project, ...rest }).catch((error) => ({ error }));
    if (![undefined, 202, 503].includes(answer.status)) strange = `${answer.status} ${answer.text}`;
    return answer.status === 202 && answer.data.id;
  }, within);
  assert.equal(strange, undefined, `${key} was answered with something else than 202 or 503`);
  return id;
}
