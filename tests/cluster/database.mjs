// A PostgreSQL that is private to the test, on a free port, and what else it takes to end processes for certain.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { alive, cleanEnv, isRoot, run, waitFor } from '../e2e/support.mjs';

export const textOf = (file) => {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return '';
  }
};
export const namesIn = (folder) => {
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

export const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

// PostgreSQL refuses to run as root.
function account() {
  if (!isRoot) return {};
  for (const name of ['rdev-db', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((what) => spawnSync('id', [what, name], { env: cleanEnv() }));
    if (uid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error('there is neither a user rdev-db nor a user nobody');
}

function postgresPrograms() {
  const root = '/usr/lib/postgresql';
  const found = namesIn(root).sort((a, b) => a - b).map((version) => path.join(root, version, 'bin'));
  const newest = found.filter((folder) => fs.existsSync(path.join(folder, 'initdb'))).at(-1);
  if (!newest) throw new Error(`there is no PostgreSQL in ${root}`);
  return newest;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const listener = net.createServer();
    listener.on('error', reject);
    listener.listen(0, '127.0.0.1', () => {
      const { port } = listener.address();
      listener.close(() => resolve(port));
    });
  });
}

const running = new Set();

export class Database {
  #programs = postgresPrograms();
  #account = account();
  #password = randomBytes(18).toString('hex');
  #child;
  #session;

  static async start() {
    const database = new Database();
    await database.#init();
    await waitFor('PostgreSQL listens', () => database.#launch(), 60_000);
    await database.#query('postgres', 'CREATE DATABASE rdev');
    database.#session = new Session(path.join(database.#programs, 'psql'), database.url);
    return database;
  }

  constructor() {
    this.base = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-cluster-db-'));
    this.dataDir = path.join(this.base, 'data');
    this.logFile = path.join(this.base, 'log');
    running.add(this);
  }

  get url() {
    return this.#urlOf('rdev');
  }
  #urlOf(name) {
    return `postgres://rdev:${this.#password}@127.0.0.1:${this.port}/${name}`;
  }

  async #init() {
    const secret = path.join(this.base, 'password');
    fs.writeFileSync(secret, this.#password, { mode: 0o600 });
    if (isRoot) for (const file of [this.base, secret]) fs.chownSync(file, this.#account.uid, this.#account.gid);
    const args = ['-D', this.dataDir, '-U', 'rdev', '-E', 'UTF8', '--locale=C', '--no-sync'];
    const made = spawnSync(
      path.join(this.#programs, 'initdb'),
      [...args, '-A', 'scram-sha-256', '--pwfile', secret],
      { ...this.#account, env: cleanEnv(), cwd: this.base, encoding: 'utf8' },
    );
    assert.equal(made.status, 0, `initdb: ${made.stderr}`);
  }

  // Another process may be quicker to take the port: then it is tried again with the next one.
  async #launch() {
    this.port = await freePort();
    const log = fs.openSync(this.logFile, 'a');
    const settings = {
      listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', fsync: 'off', max_connections: 200,
    };
    const child = spawn(
      path.join(this.#programs, 'postgres'),
      ['-D', this.dataDir, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      { ...this.#account, env: cleanEnv(), cwd: this.base, stdio: ['ignore', log, log] },
    );
    fs.closeSync(log);
    let gone = false;
    child.on('error', () => (gone = true)).on('exit', () => (gone = true));
    this.#child = child;
    const ready = () => textOf(path.join(this.dataDir, 'postmaster.pid')).split('\n')[7]?.trim() === 'ready';
    await waitFor('the postmaster is ready or gone', () => gone || ready());
    return !gone;
  }

  async #query(name, sql) {
    const args = ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', sql, this.#urlOf(name)];
    const answer = await run(path.join(this.#programs, 'psql'), args);
    assert.equal(answer.code, 0, `psql: ${answer.stderr}`);
  }

  // The rows of a query as objects.
  async rows(sql) {
    const text = await this.#session.ask(`SELECT row_to_json(q) FROM (${sql}) q`);
    return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line));
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    if (!running.delete(this)) return;
    this.#session?.close();
    const pid = this.#child?.pid;
    if (pid && this.#child.exitCode === null && this.#child.signalCode === null) {
      signal(pid, 'SIGQUIT'); // at once; nobody needs the data any more
      for (let i = 0; i < 100 && alive(pid); ++i) pause(50);
      signal(pid, 'SIGKILL');
    }
    if (process.env.RDEV_TEST_KEEP) console.log(`kept: ${this.base}`);
    else fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }
}

// One psql that stays, so that a look costs milliseconds; questions are answered one after the other.
class Session {
  #child;
  #rest = '';
  #waiting = [];

  constructor(program, url) {
    this.#child = spawn(program, ['-XAtq', url], { env: cleanEnv(), stdio: ['pipe', 'pipe', 'ignore'] });
    this.#child.stdin.on('error', () => {});
    this.#child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.#child.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('psql has ended'));
    });
  }

  ask(sql) {
    const mark = `end of ${randomBytes(8).toString('hex')}`;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ mark, resolve, reject });
      this.#child.stdin.write(`${sql};\n\\echo '${mark}' :ERROR :LAST_ERROR_MESSAGE\n`);
    });
  }

  #take(text) {
    this.#rest += text;
    while (this.#waiting.length > 0) {
      const { mark, resolve, reject } = this.#waiting[0];
      const at = this.#rest.indexOf(mark);
      const end = this.#rest.indexOf('\n', at);
      if (at < 0 || end < 0) return;
      const [, failed, message] = /^ (\S+) (.*)$/.exec(this.#rest.slice(at + mark.length, end));
      const answer = this.#rest.slice(0, at).trimEnd();
      this.#rest = this.#rest.slice(end + 1);
      this.#waiting.shift();
      if (failed === 'true') reject(new Error(`psql: ${message}`));
      else resolve(answer);
    }
  }

  close() {
    this.#child.kill('SIGKILL');
  }
}

process.on('exit', () => {
  for (const database of running) database.destroy();
});
