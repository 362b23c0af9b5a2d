// Several rdev-api processes on one PostgreSQL, which is private to the test; each node can be killed, frozen and
// started again, with a failpoint or without. Whatever is started here is ended when the test process ends.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Server, alive, allPids, binDir, cleanEnv, commandLine, run, waitFor } from '../e2e/support.mjs';
import { Database, namesIn, pause, signal, textOf } from './database.mjs';

const digits = '0123456789abcdefghjkmnpqrstvwxyz';

// The name that clients know for a uuid of the database: base32 of Crockford, most significant bit first.
export function commandId(uuid) {
  let rest = BigInt(`0x${uuid.replaceAll('-', '')}`);
  let text = '';
  for (let i = 0; i < 26; ++i, rest >>= 5n) text = digits[Number(rest & 31n)] + text;
  return `cmd_${text}`;
}

// Test builds say so in their version.
export async function hasFailpoints() {
  const answer = await run(path.join(binDir, 'rdev-api'), ['version']);
  return /^failpoints$/m.test(answer.stdout.toString());
}

const linkOf = (file) => {
  try {
    return fs.readlinkSync(file);
  } catch {
    return '';
  }
};
export const stateOf = (pid) => /\) (\S) /.exec(textOf(`/proc/${pid}/stat`))?.[1];

const within = (folder) => (text) => text === folder || text.startsWith(`${folder}/`);

// Processes that work in a folder or hold files of it: commands and their shims.
function processesIn(folder) {
  const inside = within(folder);
  return allPids().filter((pid) =>
    pid !== process.pid && alive(pid) &&
    (inside(linkOf(`/proc/${pid}/cwd`)) || commandLine(pid).some(inside) ||
     namesIn(`/proc/${pid}/fd`).some((fd) => inside(linkOf(`/proc/${pid}/fd/${fd}`)))));
}

// ---- nodes

// A server of a cluster. Whoever kills or freezes it does so by these methods: an end without `struck` is its own.
export class Node extends Server {
  frozen = false;
  struck = undefined;

  constructor({ name, env, localDir }) {
    super({ env, args: ['--node', name] });
    this.name = name;
    this.localDir = localDir ?? this.dataDir;
  }

  projectDir(id = 'demo') {
    return path.join(this.localDir, 'projects', id);
  }
  get runDir() {
    return path.join(this.localDir, 'run');
  }
  get running() {
    return this.pid !== undefined && !this.exited;
  }
  get stopped() {
    return this.running && stateOf(this.pid) === 'T';
  }

  // Rejects as soon as the process ends, however early. `failpoint` as in RDEV_FAILPOINT.
  async start({ env = this.env, failpoint = '' } = {}) {
    this.ready = false;
    this.struck = undefined;
    this.frozen = false;
    const starting = super.start({ env: { ...env, RDEV_FAILPOINT: failpoint } });
    starting.catch(() => {});
    const early = this.ended.then((how) => {
      throw new Error(`${this.name} ended at its start: ${JSON.stringify(how)}`);
    });
    await Promise.race([starting, early]);
    this.ready = true;
  }

  // Somebody may start it again the moment that it is dead.
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
}

// ---- the cluster

const clusters = new Set();

export class Cluster {
  nodes = [];
  #secrets = {
    RDEV_ADMIN_KEY: `test-${randomBytes(24).toString('hex')}`,
    RDEV_SECRETS_KEYS: `k1:${randomBytes(32).toString('base64')}`,
  };

  // `shared`: the nodes share one folder of commands, as nodes of one machine do.
  static async start({ nodes = 1, shared = true, env = {} } = {}) {
    const cluster = new Cluster({ shared, env });
    try {
      cluster.database = await Database.start();
      for (let i = 0; i < nodes; ++i) await cluster.add().start();
    } catch (error) {
      cluster.destroy();
      throw error;
    }
    return cluster;
  }

  constructor({ shared, env }) {
    this.env = env;
    clusters.add(this);
    if (!shared) return;
    this.base = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-cluster-'));
    this.localDir = path.join(this.base, 'local');
    fs.mkdirSync(this.localDir);
    for (const folder of [this.base, this.localDir]) fs.chmodSync(folder, 0o711); // a command's user passes, no more
  }

  // One more node, not yet started.
  add({ env = {} } = {}) {
    const name = `node-${'abcdefghij'[this.nodes.length]}`;
    const all = { DATABASE_URL: this.database.url, ...this.#secrets, ...this.env, ...env };
    if (this.localDir) all.RDEV_RUNNER_LOCAL_DIR = this.localDir;
    const node = new Node({ name, env: all, localDir: this.localDir });
    this.nodes.push(node);
    return node;
  }

  get localDirs() {
    return [...new Set(this.nodes.map((node) => node.localDir))];
  }

  // The lines of the file `ledger`, which commands write in the first project.
  ledger() {
    return this.nodes[0].take('ledger').toString().split('\n').slice(0, -1);
  }

  // Run folders that are left.
  runFolders() {
    const all = this.localDirs.flatMap((folder) => namesIn(path.join(folder, 'run')));
    return all.filter((name) => /^cmd_\w+$/.test(name));
  }

  // What lives of commands: their processes and the shims over them.
  processes() {
    const nodes = new Set(this.nodes.map(({ pid }) => pid));
    const folders = this.localDirs.flatMap((folder) => ['run', 'projects'].map((part) => path.join(folder, part)));
    return [...new Set(folders.flatMap(processesIn))]
      .filter((pid) => !nodes.has(pid))
      .map((pid) => ({ pid, what: commandLine(pid).join(' ') }));
  }

  // For after(): every node ends politely, then the broom.
  async close() {
    try {
      for (const node of this.nodes) {
        if (node.frozen) await node.thaw();
        await node.close();
      }
    } finally {
      this.destroy();
    }
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    if (!clusters.delete(this)) return;
    for (const node of this.nodes) node.destroy();
    for (let round = 0; this.base && round < 20; ++round) {
      const pids = processesIn(this.base);
      if (pids.length === 0) break;
      for (const pid of pids) signal(pid, 'SIGKILL');
      pause(50);
    }
    this.database?.destroy();
    if (!this.base) return;
    if (process.env.RDEV_TEST_KEEP) console.log(`kept: ${this.base}`);
    else fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

process.on('exit', () => {
  for (const cluster of clusters) cluster.destroy();
});
