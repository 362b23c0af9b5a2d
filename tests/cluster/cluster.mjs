// Several rdev-api processes on one PostgreSQL, which is private to the test; each node can be killed, frozen and
// started again, with a failpoint or without. Whatever is started here is ended when the test process ends.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Server, alive, binDir, cleanEnv, descendantsOf, run, waitFor } from '../e2e/support.mjs';
import { Database } from './database.mjs';
import { uuidOf } from './ids.mjs';
import {
  endAll, environmentOf, openFilesOf, programOf, programs, rarely, signal, stopped, textOf, touches,
} from './processes.mjs';
import { Proxy } from './proxy.mjs';

// A server of a cluster. Chaos kills and freezes it by these methods only: an end without `struck` is its own.
class Node extends Server {
  #cluster;
  #ownEnv;
  serves = false; // it has come up
  frozen = false;
  struck = undefined;

  constructor(cluster, { name, runnerDir, env }) {
    super({ env: { ...env, RDEV_RUNNER_LOCAL_DIR: runnerDir }, args: ['--node', name] });
    this.#cluster = cluster;
    this.#ownEnv = this.env;
    this.name = name;
    this.runnerDir = runnerDir;
    fs.mkdirSync(runnerDir, { recursive: true });
    fs.chmodSync(runnerDir, 0o711); // a command's user passes, no more
  }

  get lives() {
    return this.pid !== undefined && !this.exited;
  }
  get stopped() {
    return this.lives && stopped(this.pid);
  }
  get runDir() {
    return this.#cluster.pods?.runDir ?? path.join(this.runnerDir, 'run');
  }
  projectDir(id = 'demo') {
    return this.#cluster.pods?.projectDir() ?? path.join(this.runnerDir, 'projects', id);
  }
  put(name, bytes, project) {
    const file = super.put(name, bytes, project);
    const user = this.#cluster.pods?.user; // the workspace itself may be somebody else's there
    if (user !== undefined) fs.chownSync(file, user, user);
    return file;
  }
  lines(name, project) {
    return this.take(name, project)?.toString().split('\n').slice(0, -1) ?? [];
  }
  // The pid of each start of a command, as it told by itself in its workspace.
  starts(name, project) {
    return this.lines(`starts-${name}`, project).map(Number);
  }

  // Rejects as soon as the process ends, however early: somebody may start it again the moment that it is dead.
  // `env` counts for this start only; `failpoint` is short for the variable of that name. What is handed on to a shim
  // also has the cluster's mark: a shim that is halted early has nothing else by which it could be found.
  async start({ env = {}, failpoint } = {}) {
    this.serves = false;
    this.struck = undefined;
    this.frozen = false;
    const armed = failpoint ? { RDEV_FAILPOINT: `${failpoint},${this.#cluster.mark}:none` } : {};
    const starting = super.start({ env: { ...this.#ownEnv, ...env, ...armed } });
    starting.catch(() => {});
    const early = this.ended.then((how) => {
      const said = `${this.errors()}\n${this.rawLog().slice(-4000)}`;
      throw new Error(`${this.name} ended at its start: ${JSON.stringify(how)}\n${said}`);
    });
    await Promise.race([starting, early]);
    this.serves = true;
    return this;
  }

  async kill9() {
    const { ended } = this;
    this.struck = 'kill';
    signal(this.pid, 'SIGKILL');
    return ended;
  }
  async stop() {
    this.struck = 'stop';
    return super.stop();
  }
  async freeze() {
    this.frozen = true;
    signal(this.pid, 'SIGSTOP');
    await waitFor(`${this.name} stands still`, () => this.exited || this.stopped);
  }
  async thaw() {
    signal(this.pid, 'SIGCONT');
    await waitFor(`${this.name} goes on`, () => !this.stopped);
    this.frozen = false;
  }

  // A submission with an Idempotency-Key; gives the answer, whatever it is.
  post(command, { key, project = 'demo', ...rest }) {
    return this.api('POST', `/projects/${project}/shell`, { command, ...rest }, { 'Idempotency-Key': key });
  }
  cancel(id) {
    return this.api('POST', `/commands/${id}/cancel`);
  }
  async isReady() {
    return (await this.api('GET', '/ready')).status === 200;
  }

  // What lives of a command: who has its id in the environment, the shim above it, and everything below that.
  processesOf(id) {
    const all = new Set(programs().filter((pid) => environmentOf(pid).includes(`RDEV_COMMAND_ID=${id}`)));
    const shim = this.shimOf(id);
    if (shim) for (const pid of [shim, ...descendantsOf(shim)]) all.add(pid);
    return [...all].filter(alive);
  }
  // By the file that it writes into, else by what it wrote into its start file.
  shimOf(id) {
    const inside = path.join(this.runDir, id);
    const shims = this.#cluster.shims();
    const found = shims.find((pid) => openFilesOf(pid).some((file) => file.startsWith(`${inside}/`)));
    return found ?? shims.find((pid) => pid === Number(/^run (\d+)/.exec(textOf(`${inside}.start`))?.[1]));
  }
  nothingRuns(id) {
    return waitFor(`no process of ${id} is left`, rarely(() => this.processesOf(id).length === 0));
  }

  async close() {
    if (this.stopped) await this.thaw();
    await super.close();
  }
}

const clusters = new Set();

export class Cluster {
  nodes = [];
  #shared;
  #env;

  // Without any node yet. `proxied`: the nodes reach PostgreSQL through a proxy, which also lets it come back on
  // another port. `shared`: the nodes share one folder of commands, as nodes of one machine do. `databaseDir`: where
  // PostgreSQL has its data. `pods`: commands run in pods (tests/kubernetes/pods_world.mjs).
  static async start({ proxied = false, shared = true, databaseDir, env = {}, pods } = {}) {
    const cluster = new Cluster();
    cluster.pods = pods;
    try {
      await cluster.#open({ proxied, shared, databaseDir, env });
    } catch (error) {
      cluster.destroy();
      throw error;
    }
    return cluster;
  }

  constructor() {
    this.base = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-cluster-'));
    clusters.add(this);
    fs.chmodSync(this.base, 0o711);
    this.mark = `shim.${path.basename(this.base)}`;
  }

  async #open({ proxied, shared, databaseDir = path.join(this.base, 'postgres'), env }) {
    this.#shared = shared;
    const logFile = path.join(this.base, 'postgres.log');
    this.database = new Database({ folder: databaseDir, logFile, onPort: (port) => this.proxy?.forwardTo(port) });
    await this.database.create();
    if (proxied) this.proxy = await Proxy.start(this.database.port);
    this.#env = {
      DATABASE_URL: this.database.url({ port: this.proxy?.port }),
      RDEV_SECRETS_KEYS: `k1:${randomBytes(32).toString('base64')}`,
      RDEV_ADMIN_KEY: `administrator-${randomBytes(16).toString('hex')}`,
      RATE_LIMIT_RPS: '0',
      RDEV_COMMANDS_KILL_GRACE: '1s',
      ...this.pods?.env,
      ...env,
    };
  }

  // One more node, not yet started.
  add(name = `node-${'abcdefghij'[this.nodes.length]}`) {
    const runnerDir = path.join(this.base, this.#shared ? 'runner' : `runner-${name}`);
    const node = new Node(this, { name, runnerDir, env: this.#env });
    this.nodes.push(node);
    return node;
  }

  // The node that looks after a running command.
  async ownerOf(id) {
    const name = await this.database.sql(`SELECT n.name FROM lease l JOIN node n ON n.id = l.node_id
                                           WHERE l.command_id = '${uuidOf(id)}'`);
    return this.nodes.find((node) => node.name === name);
  }
  runsSomewhere(id) {
    return waitFor(`somebody runs ${id}`, () => this.ownerOf(id));
  }

  // How often something that was done to a command is in the audit log.
  audits(id, action) {
    return this.database.count(`audit_log WHERE target = '${uuidOf(id)}' AND action = '${action}'`);
  }

  // What `rdev-api audit verify` makes of the log.
  async verifyAudit() {
    const { code, stdout, stderr } = await run(path.join(binDir, 'rdev-api'), ['audit', 'verify'], { env: cleanEnv(this.#env) });
    return { code, text: `${stdout}${stderr}` };
  }

  // What lives of commands: their processes and the shims over them.
  processes() {
    if (this.pods) return this.pods.processes();
    const servers = new Set(this.nodes.map(({ pid }) => pid));
    const folders = [...new Set(this.nodes.map(({ runnerDir }) => runnerDir))];
    const marked = (pid) => environmentOf(pid).some((entry) => entry.includes(this.mark));
    return programs().filter((pid) =>
      !servers.has(pid) && (folders.some((folder) => touches(pid, folder)) || marked(pid)));
  }
  shims() {
    const program = fs.realpathSync(path.join(binDir, 'rdev-shim'));
    return this.processes().filter((pid) => programOf(pid) === program);
  }
  stoppedShims() {
    return this.shims().filter(stopped);
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

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    if (!clusters.delete(this)) return;
    for (const node of this.nodes) node.destroy();
    endAll(() => this.processes());
    this.proxy?.destroy();
    this.database?.destroy();
    if (process.env.RDEV_TEST_KEEP) console.log(`kept: ${this.base}`);
    else fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

process.on('exit', () => {
  for (const cluster of clusters) cluster.destroy();
});
