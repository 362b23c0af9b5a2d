// A PostgreSQL that is private to the test, with its data in a given folder; it can be stopped, killed and started
// again.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { alive, cleanEnv, descendantsOf, isRoot, waitFor } from '../e2e/support.mjs';
import { endAll, namesIn, programs, signal, textOf, touches } from './processes.mjs';
import { Session } from './session.mjs';

// PostgreSQL refuses to run as root.
function account() {
  if (!isRoot) return {};
  for (const name of ['rdev-db', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((what) => spawnSync('id', [what, name], { env: cleanEnv() }));
    if (uid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error('there is neither a user rdev-db nor a user nobody');
}

function newestPostgres() {
  const root = '/usr/lib/postgresql';
  const found = namesIn(root).sort((a, b) => a - b).map((version) => path.join(root, version, 'bin'));
  const newest = found.filter((folder) => fs.existsSync(path.join(folder, 'initdb'))).at(-1);
  if (!newest) throw new Error(`there is no PostgreSQL in ${root}`);
  return newest;
}

// A port that was free a moment ago; each start takes another one.
async function freePort() {
  const probe = net.createServer();
  await new Promise((resolve, reject) => probe.on('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export class Database {
  #programs = newestPostgres();
  #account = account();
  #password = randomBytes(18).toString('hex');
  #child;
  #exited;
  #session;

  // The folder is made if there is none. The log lies elsewhere, so that it is there when the folder is full.
  // `onPort` hears of each port that it listens on.
  constructor({ folder, logFile, onPort = () => {} }) {
    this.onPort = onPort;
    this.folder = folder;
    this.logFile = logFile;
    this.dataDir = path.join(folder, 'data');
  }

  url({ port = this.port, name = 'rdev', user = 'rdev', password = this.#password } = {}) {
    return `postgres://${user}:${password}@127.0.0.1:${port}/${name}`;
  }
  get lives() {
    return this.#child !== undefined && !this.#exited;
  }

  // The first start, with an empty database.
  async create() {
    const passwordFile = path.join(this.folder, 'password');
    const { uid, gid } = this.#account;
    fs.mkdirSync(this.folder, { recursive: true });
    fs.chmodSync(this.folder, 0o700);
    fs.writeFileSync(passwordFile, this.#password, { mode: 0o600 });
    if (isRoot) for (const file of [this.folder, passwordFile]) fs.chownSync(file, uid, gid);
    const args = ['-D', this.dataDir, '-U', 'rdev', '-A', 'scram-sha-256', '--pwfile', passwordFile, '--no-sync',
      '--locale=C', '-E', 'UTF8', '--wal-segsize=1'];
    const initdb = this.#spawn('initdb', args, ['ignore', 'ignore', 'pipe']);
    let complaint = '';
    initdb.stderr.on('data', (piece) => (complaint += piece));
    const code = await new Promise((resolve, reject) => initdb.on('error', reject).on('close', resolve));
    assert.equal(code, 0, `initdb: ${complaint}`);
    fs.rmSync(passwordFile);
    await this.start();
    await this.#askServer('CREATE DATABASE rdev');
  }

  // Another process may be quicker to take the port, and a crashed one may still hold its memory for a moment: then it
  // is tried again.
  async start() {
    this.#closeSession();
    await waitFor('PostgreSQL runs', async () => {
      if (!this.lives) await this.#launch();
      return this.lives && (await this.#askServer('SELECT 1')) === '1';
    }, 60_000).catch((error) => {
      throw new Error(`${error.message}\n${textOf(this.logFile).slice(-3000)}`, { cause: error.cause });
    });
  }

  // A fast shutdown: sessions are ended, the data are written.
  stop() {
    return this.#end('SIGINT');
  }
  kill9() {
    return this.#end('SIGKILL');
  }
  async #end(how) {
    this.#closeSession();
    const backends = descendantsOf(this.#child.pid);
    signal(this.#child.pid, how);
    await waitFor('PostgreSQL ends', () => this.#exited && !backends.some(alive));
  }

  #spawn(program, args, stdio) {
    return spawn(path.join(this.#programs, program), args, { ...this.#account, env: cleanEnv(), cwd: '/', stdio });
  }

  async #launch() {
    this.port = await freePort();
    this.onPort(this.port);
    const settings = {
      listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', max_connections: 200,
      // A process that is killed loses nothing that it wrote: only a power cut would.
      fsync: 'off', shared_buffers: '32MB', min_wal_size: '4MB', max_wal_size: '16MB', log_min_messages: 'warning',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const log = fs.openSync(this.logFile, 'a');
    const child = this.#spawn('postgres', ['-D', this.dataDir, ...args], ['ignore', log, log]);
    fs.closeSync(log);
    this.#child = child;
    this.#exited = false;
    const exited = () => { if (this.#child === child) this.#exited = true; };
    child.on('error', exited).on('exit', exited);
  }

  // The rows of one statement as psql prints them, columns separated by `|`; past any proxy.
  sql(text) {
    if (!this.#session?.lives) this.#session = this.#open('rdev');
    return this.#session.ask(text);
  }
  // The same as objects.
  async rows(query) {
    const text = await this.sql(`SELECT row_to_json(q) FROM (${query}) q`);
    return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line));
  }
  async count(from) {
    return Number(await this.sql(`SELECT count(*) FROM ${from}`));
  }

  #open(name) {
    return this.openAs(this.url({ name }));
  }
  // A session of somebody else.
  openAs(url) {
    return new Session(path.join(this.#programs, 'psql'), url);
  }
  async #askServer(text) {
    const session = this.#open('postgres');
    return session.ask(text).finally(() => session.close());
  }
  #closeSession() {
    this.#session?.close();
    this.#session = undefined;
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    this.#closeSession();
    const postmaster = () => (this.lives && alive(this.#child.pid) ? [this.#child.pid] : []);
    endAll(postmaster, 'SIGQUIT'); // at once; nobody needs the data any more
    endAll(() => programs().filter((pid) => touches(pid, this.folder)));
  }
}
