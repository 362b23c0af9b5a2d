// What every end-to-end test stands on: a server of its own on a free port with a PostgreSQL of its own, spoken to only
// from outside. Whatever a test started is ended by pid when the test process ends, however it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

export const binDir = process.env.RDEV_BIN_DIR;
if (!binDir) throw new Error('RDEV_BIN_DIR must name the folder of the built programs');

// "within 30 s" is the only time that a test may assert.
export const patience = 30_000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
export const isRoot = process.getuid() === 0;

// Asks `probe` again and again until it gives something truthy.
export async function waitFor(what, probe, within = patience) {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      const got = await probe();
      if (got) return got;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${within / 1000} s: ${what}`, { cause: last });
    await sleep(25);
  }
}

// The same numbers for the same seed (mulberry32), so that a failure can be repeated.
export function seededRandom(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

export function testSeed() {
  const seed = Number(process.env.RDEV_TEST_SEED ?? randomBytes(4).readUInt32LE());
  console.log(`RDEV_TEST_SEED=${seed}`);
  return seed;
}

// ---- processes

const cleanPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const passedOn = ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS', 'TSAN_OPTIONS', 'GCOV_PREFIX', 'RDEV_FAILPOINT'];

export function cleanEnv(extra = {}) {
  const env = { PATH: cleanPath, LANG: 'C.UTF-8', HOME: os.tmpdir() };
  for (const name of passedOn) if (process.env[name] !== undefined) env[name] = process.env[name];
  return { ...env, ...extra };
}

// Runs a program to its end; its output comes back as bytes.
export function run(program, args, { env = cleanEnv(), input, cwd, onSpawn, within = 120_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    const out = [];
    const err = [];
    const timer = setTimeout(() => child.kill('SIGKILL'), within);
    child.stdout.on('data', (piece) => out.push(piece));
    child.stderr.on('data', (piece) => err.push(piece));
    child.stdin.on('error', () => {}); // a program need not read what it is given
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err) });
    });
    child.stdin.end(input);
    onSpawn?.(child);
  });
}

const read = (file) => {
  try {
    return fs.readFileSync(file);
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

export function alive(pid) {
  const stat = read(`/proc/${pid}/stat`)?.toString();
  return stat !== undefined && !/\) [ZX] /.test(stat);
}

export const allPids = () => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);

export const commandLine = (pid) => read(`/proc/${pid}/cmdline`)?.toString().split('\0').slice(0, -1) ?? [];

export function parentOf(pid) {
  const stat = read(`/proc/${pid}/stat`)?.toString();
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[1]);
}

export function descendantsOf(root) {
  const children = new Map();
  for (const pid of allPids()) {
    const parent = parentOf(pid);
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(pid);
  }
  const found = [];
  const walk = (pid) => {
    for (const child of children.get(pid) ?? []) {
      found.push(child);
      walk(child);
    }
  };
  walk(root);
  return found;
}

function kill(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

// ---- server-sent events

// Cuts a byte stream into frames {event, id, data, retry, comment}; feed() gives the frames that are whole.
export class FrameReader {
  #rest = Buffer.alloc(0);

  feed(bytes) {
    let rest = Buffer.concat([this.#rest, bytes]);
    const frames = [];
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      frames.push(FrameReader.parse(rest.subarray(0, end).toString('utf8')));
      rest = rest.subarray(end + 2);
    }
    this.#rest = rest;
    return frames;
  }

  get unfinished() {
    return this.#rest.length;
  }

  static parse(text) {
    const frame = {};
    const data = [];
    for (const line of text.split('\n')) {
      const colon = line.indexOf(':');
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === '') frame.comment = value;
      else if (name === 'data') data.push(value);
      else frame[name] = value;
    }
    if (data.length > 1) throw new Error(`data of an event must be one line: ${text}`);
    if (data.length === 1) frame.data = JSON.parse(data[0]);
    return frame;
  }
}

// The bytes an `output` frame stands for, in either framing.
export function bytesOf(output) {
  const text = output.line ?? output.data;
  const bytes = Buffer.from(text, output.encoding === 'base64' ? 'base64' : 'utf8');
  return output.eol ? Buffer.concat([bytes, Buffer.from('\n')]) : bytes;
}

// What a reader has seen of one command, put together again; complains about a gap or an overlap at once.
export class Transcript {
  out = { stdout: [], stderr: [] };
  length = { stdout: 0, stderr: 0 };
  frames = [];
  ids = new Set();
  complete = undefined;

  add(frame) {
    this.frames.push(frame);
    if (frame.id !== undefined) {
      assert.ok(!this.ids.has(frame.id), `event id ${frame.id} came twice`);
      this.ids.add(frame.id);
      this.lastId = frame.id;
    }
    if (frame.event === 'output') {
      const { stream, offset } = frame.data;
      const bytes = bytesOf(frame.data);
      assert.equal(offset, this.length[stream], `offset of a ${stream} frame`);
      this.out[stream].push(bytes);
      this.length[stream] += bytes.length;
    }
    if (frame.event === 'complete') {
      assert.equal(this.complete, undefined, 'complete came twice');
      this.complete = frame.data;
    }
    return this;
  }

  get stdout() {
    return Buffer.concat(this.out.stdout);
  }
  get stderr() {
    return Buffer.concat(this.out.stderr);
  }
  // What has an id, in order: the same for every reader, for ever.
  get numbered() {
    return this.frames.filter((f) => f.id !== undefined).map(({ id, event, data }) => ({ id, event, data }));
  }

  // Receipts speak of exactly the bytes that came.
  checkReceipts() {
    assert.ok(this.complete, 'the stream ended without complete');
    for (const name of ['stdout', 'stderr']) {
      const receipt = this.complete[name];
      assert.equal(receipt.bytes, this[name].length, `${name}.bytes`);
      assert.equal(receipt.sha256, sha256(this[name]), `${name}.sha256`);
      assert.equal(receipt.truncated, receipt.bytes < receipt.total_bytes, `${name}.truncated`);
    }
    return this;
  }
}

// ---- the server

const servers = new Set();

export class Server {
  #child;
  #agent = new http.Agent({ keepAlive: false });

  constructor({ env = {}, args = [], listen = '127.0.0.1:0' } = {}) {
    this.env = env;
    this.listen = listen;
    this.args = args;
    this.base = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-e2e-'));
    this.dataDir = path.join(this.base, 'data');
    this.logFile = path.join(this.base, 'log');
    this.errFile = path.join(this.base, 'err');
    fs.mkdirSync(this.dataDir);
    fs.chmodSync(this.base, 0o711);
    fs.chmodSync(this.dataDir, 0o711); // a command's user must be able to pass, not to look
    servers.add(this);
  }

  // A server that answers.
  static async start(options = {}) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  get pid() {
    return this.#child?.pid;
  }
  get addressFile() {
    return path.join(this.dataDir, 'address');
  }
  get url() {
    return `http://${this.address}`;
  }
  get key() {
    return this.adminKey ?? this.env.RDEV_ADMIN_KEY;
  }

  async start({ env } = {}) {
    if (env) this.env = env;
    const identity = () => {
      try {
        const { ino, mtimeNs } = fs.statSync(this.addressFile, { bigint: true });
        return `${ino} ${mtimeNs}`;
      } catch {
        return undefined;
      }
    };
    const stale = identity();
    const out = fs.openSync(this.logFile, 'a');
    const err = fs.openSync(this.errFile, 'a');
    this.exited = undefined;
    this.#child = spawn(
      path.join(binDir, 'rdev-api'),
      ['serve', '--listen', this.listen, '--data-dir', this.dataDir, ...this.args],
      // Tests look for the record of each of their refusals, of which there are more than usual.
      { env: cleanEnv({ RDEV_AUDIT_REFUSALS_PER_MINUTE: '20', RDEV_AUDIT_STRANGERS_PER_SECOND: '1000000', ...this.env }), stdio: ['ignore', out, err], cwd: this.base },
    );
    fs.closeSync(out);
    fs.closeSync(err);
    const child = this.#child;
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => resolve({ error }));
      child.on('exit', (code, signal) => resolve({ code, signal }));
    }).then((how) => (this.exited = how));
    await waitFor('the server writes its address', () => {
      const now = identity();
      return this.exited || (now !== undefined && now !== stale);
    }, 60_000);
    if (this.exited) throw this.#tooEarly();
    this.address = fs.readFileSync(this.addressFile, 'utf8').trim();
    assert.match(this.address, /^(127\.0\.0\.1|\[::1\]):\d+$/, 'the content of <data-dir>/address');
    this.adminKey = this.env.RDEV_ADMIN_KEY ?? fs.readFileSync(path.join(this.dataDir, 'admin.key'), 'utf8').trim();
  }

  #tooEarly() {
    return new Error(`rdev-api ended at its start: ${JSON.stringify(this.exited)}\n${this.errors()}\n${this.rawLog().slice(-4000)}`);
  }

  // The polite end; gives how it ended.
  async stop() {
    kill(this.pid, 'SIGTERM');
    return this.#end(60_000);
  }

  async kill9() {
    kill(this.pid, 'SIGKILL');
    return this.#end(10_000);
  }

  async #end(within) {
    await waitFor('the server ends', () => this.exited, within);
    return this.exited;
  }

  rawLog() {
    return read(this.logFile)?.toString() ?? '';
  }
  errors() {
    return read(this.errFile)?.toString() ?? '';
  }
  // Every line of the log is a JSON object; an unfinished last line is left for later.
  logs() {
    return this.rawLog()
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  // Its warnings and errors, as they are.
  complaints() {
    return this.rawLog().split('\n').filter((line) => /"level":"(warn|error)/.test(line));
  }

  projectDir(id = 'demo') {
    return path.join(this.dataDir, 'projects', id);
  }
  // Puts a file into a project's workspace, as the user who owns the workspace.
  put(name, bytes, project = 'demo') {
    const file = path.join(this.projectDir(project), name);
    fs.writeFileSync(file, bytes, { mode: 0o644 });
    const { uid, gid } = fs.statSync(this.projectDir(project));
    if (isRoot) fs.chownSync(file, uid, gid);
    return file;
  }
  take(name, project = 'demo') {
    return read(path.join(this.projectDir(project), name));
  }

  // One request on a connection of its own. `body`: an object is sent as JSON, text and bytes as they are. `from`: the
  // address that it comes from.
  api(method, target, body, headers = {}, { from } = {}) {
    const sent = body === undefined || Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body);
    const all = { 'X-API-Key': this.key, ...headers };
    if (sent !== undefined && !Object.keys(all).some((name) => name.toLowerCase() === 'content-type'))
      all['Content-Type'] = 'application/json';
    for (const name of Object.keys(all)) if (all[name] === undefined || all[name] === null) delete all[name];
    const chunked = Object.keys(all).some((name) => name.toLowerCase() === 'transfer-encoding');
    if (sent !== undefined && !chunked) all['Content-Length'] = Buffer.byteLength(sent);
    return new Promise((resolve, reject) => {
      const [host, port] = this.address.split(':');
      let answered = false;
      const request = http.request({ host, port, localAddress: from, method, path: target, headers: all, agent: this.#agent }, (response) => {
        answered = true;
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(pieces);
          const answer = { status: response.statusCode, headers: response.headers, bytes, text: bytes.toString('utf8') };
          if (/^application\/json/.test(response.headers['content-type'] ?? '')) answer.json = JSON.parse(answer.text);
          answer.data = answer.json?.data;
          answer.error = answer.json?.error;
          answer.meta = answer.json?.meta;
          resolve(answer);
        });
      });
      // A server may answer and close before it has read a body that it refuses.
      request.on('error', (error) => { if (!answered) reject(error); });
      request.setTimeout(60_000, () => request.destroy(new Error(`${method} ${target}: no answer`)));
      request.end(sent);
    });
  }

  // As every client has to: what is refused because a part of rdev is away, and so has changed nothing, is repeated. A
  // machine that stands still for seconds is no fault of a test; what the server had to say of it is told.
  async patiently(ask) {
    const end = Date.now() + patience;
    for (;;) {
      const answer = await ask();
      const away = answer.status === 503 && !/outcome is unknown/.test(answer.text ?? '');
      if (!away || Date.now() > end) return answer;
      console.error(`# 503 ${answer.text ?? ''}; the log: ${this.complaints().slice(-3).join(' ')}`);
      await sleep(250);
    }
  }

  // Opens an event stream; gives {status, headers, frames (async iterator), close}.
  openEvents(target, headers = {}) {
    return new Promise((resolve, reject) => {
      const [host, port] = this.address.split(':');
      const request = http.request(
        { host, port, method: 'GET', path: target, agent: this.#agent, headers: { Accept: 'text/event-stream', 'X-API-Key': this.key, ...headers } },
        (response) => {
          const reader = new FrameReader();
          async function* frames() {
            for await (const piece of response) yield* reader.feed(piece);
          }
          resolve({ status: response.statusCode, headers: response.headers, response, frames: frames(), close: () => request.destroy() });
        },
      );
      request.on('error', reject);
      request.end();
    });
  }

  eventsOf(id, { project = 'demo', framing } = {}) {
    return `/projects/${project}/events?stream_id=${id}${framing ? `&framing=${framing}` : ''}`;
  }

  // Reads a command's stream to its end (or until `until` says so) into a transcript.
  async follow(id, { project, framing, headers, into = new Transcript(), until } = {}) {
    const stream = await this.patiently(async () => {
      const opened = await this.openEvents(this.eventsOf(id, { project, framing }), headers);
      if (opened.status !== 200) opened.response.resume();
      return opened;
    });
    assert.equal(stream.status, 200, `status of the stream of ${id}`);
    assert.match(stream.headers['content-type'], /^text\/event-stream/);
    let open = true;
    const guard = setTimeout(() => stream.close(), 100_000);
    try {
      for await (const frame of stream.frames) {
        into.add(frame);
        if (until?.(frame, into)) {
          open = false;
          break;
        }
      }
    } catch (error) {
      // A dying server or a reader that has enough cuts the connection.
      if (!['ECONNRESET', 'ABORT_ERR', 'ERR_STREAM_PREMATURE_CLOSE'].includes(error.code)) throw error;
      into.cut = true;
    } finally {
      clearTimeout(guard);
    }
    if (!open) stream.close();
    return into;
  }

  // Submits a shell command that must be accepted; gives its id.
  async submit(command, { project = 'demo', headers, ...rest } = {}) {
    const answer = await this.patiently(() => this.api('POST', `/projects/${project}/shell`, { command, ...rest }, headers));
    assert.equal(answer.status, 202, answer.text);
    return answer.data.id;
  }

  async view(id) {
    const answer = await this.patiently(() => this.api('GET', `/commands/${id}`));
    assert.equal(answer.status, 200, answer.text);
    return answer.data;
  }

  // Waits for the end of a command and gives its last view.
  finished(id, within = patience) {
    return waitFor(`${id} ends`, async () => {
      const view = await this.view(id);
      return !['queued', 'running'].includes(view.status) && view;
    }, within);
  }

  reaches(id, status) {
    return waitFor(`${id} is ${status}`, async () => (await this.view(id)).status === status);
  }

  rdev(args, { env = {}, ...options } = {}) {
    return run(path.join(binDir, 'rdev'), args, {
      env: cleanEnv({ RDEV_URL: this.url, RDEV_API_KEY: this.key, ...env }),
      ...options,
    });
  }

  // Rows as psql prints them, columns separated by `|`.
  async psql(sql) {
    const answer = await run(path.join(binDir, 'rdev-api'), ['psql', '--data-dir', this.dataDir, '--', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', sql], {
      env: cleanEnv(this.env),
      cwd: this.base,
    });
    assert.equal(answer.code, 0, `psql: ${answer.stderr}`);
    return answer.stdout.toString().trimEnd();
  }

  // Pid of the embedded PostgreSQL's postmaster, checked against the folder it serves.
  postmaster() {
    const pid = Number(read(path.join(this.dataDir, 'postgres', 'postmaster.pid'))?.toString().split('\n')[0]);
    if (!pid || !alive(pid)) return undefined;
    const here = path.join(this.dataDir, 'postgres');
    return commandLine(pid).some((arg) => arg.includes(here)) || link(`/proc/${pid}/cwd`).startsWith(here) ? pid : undefined;
  }
  postgresPids() {
    const root = this.postmaster();
    return root === undefined ? [] : [root, ...descendantsOf(root)];
  }

  // What is left of this server: itself, its PostgreSQL, and commands that work in its folders.
  #leftovers() {
    const pids = new Set(this.postgresPids());
    if (this.pid && !this.exited && alive(this.pid)) pids.add(this.pid);
    for (const pid of allPids()) {
      if (pid === process.pid) continue;
      const inside = (text) => text === this.dataDir || text.startsWith(`${this.dataDir}/`);
      if (inside(link(`/proc/${pid}/cwd`)) || commandLine(pid).some(inside)) pids.add(pid);
    }
    return [...pids];
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    if (!servers.delete(this)) return;
    for (let round = 0; round < 20; ++round) {
      const pids = this.#leftovers();
      if (pids.length === 0) break;
      for (const pid of pids) kill(pid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
    if (process.env.RDEV_TEST_KEEP) console.log(`kept: ${this.base}`);
    else fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }

  // For after(): the polite end, which must be a clean one, then the broom.
  async close() {
    try {
      if (this.pid && !this.exited) {
        const how = await this.stop();
        assert.deepEqual({ code: how.code, signal: how.signal }, { code: 0, signal: null }, `how the server ended\n${this.errors().slice(-4000)}`);
      }
      assert.doesNotMatch(this.errors(), /Sanitizer|runtime error:/, 'the sanitizers have nothing to say');
    } finally {
      this.destroy();
    }
  }
}

process.on('exit', () => {
  for (const server of servers) server.destroy();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
// The runner above may go first; nobody reads then.
for (const out of [process.stdout, process.stderr]) out.on('error', () => process.exit(1));
// A time limit kills only the runner above this process: an orphan cleans up and goes too.
const runner = process.ppid;
setInterval(() => { if (process.ppid !== runner) process.exit(1); }, 500).unref();

// ---- answers

// An error in the contract's envelope, with this status and code.
export function assertRefused(answer, status, code) {
  assert.equal(answer.status, status, `${answer.status} ${answer.text}`);
  assert.ok(answer.error, `an error has the envelope: ${answer.text}`);
  assert.equal(answer.error.code, code);
  assert.ok(answer.error.message.length > 3, 'the message says what is wrong');
  assert.equal(answer.meta.request_id, answer.headers['x-request-id'], 'request id in header and body');
  return answer;
}

export const fieldsOf = (answer) => (answer.error.details ?? []).map((problem) => problem.field);

// Whatever events and audit rows tell of times is in RFC 3339, in UTC; each of `members` ('action.member') tells some.
export async function assertTimes(server, members) {
  const rows = JSON.parse(await server.psql(`
    WITH told (what, how) AS (SELECT event, data FROM event UNION ALL SELECT action, detail FROM audit_log),
         text (member, said) AS (SELECT what || '.' || key, value #>> '{}' FROM told, jsonb_each(how))
    SELECT coalesce(json_agg(DISTINCT jsonb_build_array(member, said)), '[]') FROM text WHERE said ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]'`));
  for (const [member, said] of rows) assert.match(said, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, member);
  const told = new Set(rows.map(([member]) => member));
  assert.deepEqual(members.filter((member) => !told.has(member)), []);
}

// Makes a key and gives {id, secret, key}.
export async function mint(server, what, headers) {
  const answer = await server.api('POST', '/keys', what, headers);
  assert.equal(answer.status, 201, answer.text);
  return { ...answer.data, id: answer.data.key.id };
}

// A key with this prefix and secret digits that is well-formed: its last six digits are a CRC-32 in base 62.
export function keyText(prefix, digits) {
  const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  const text = `${prefix}_${digits}`;
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let i = 0; i < 8; ++i) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  let rest = (crc ^ 0xffffffff) >>> 0;
  let check = '';
  for (let i = 0; i < 6; ++i, rest = Math.floor(rest / 62)) check = base62[rest % 62] + check;
  return text + check;
}
// The same key but for its secret.
export const wrongSecretOf = ({ key, secret }) => keyText(key.key_prefix, secret.slice(14, -6).split('').reverse().join(''));
