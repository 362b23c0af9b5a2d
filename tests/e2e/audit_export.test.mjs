// `rdev audit export` misses nothing and repeats nothing, whoever dies meanwhile, and `rdev-api audit verify --dump`
// finds what was done to the file.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Server, binDir, cleanEnv, mint, run, waitFor } from './support.mjs';

// The same address for a server that comes back with another port.
class Front {
  static async open(server) {
    const front = new Front();
    front.listener = net.createServer((client) => {
      const [host, port] = server.address.split(':');
      const there = net.connect({ host, port: Number(port) });
      for (const [one, other] of [[client, there], [there, client]]) {
        one.on('error', () => {}).on('close', () => other.destroy());
        one.pipe(other);
      }
    });
    await new Promise((resolve) => front.listener.listen(0, '127.0.0.1', resolve));
    return front;
  }
  get url() {
    return `http://127.0.0.1:${this.listener.address().port}`;
  }
}

let server;
let front;
before(async () => {
  server = await Server.start({ env: { RDEV_AUDIT_CHECKPOINT_LOG: '1s' } });
  front = await Front.open(server);
});
after(async () => {
  front?.listener.close();
  await server?.close();
});

const inFolder = (name) => path.join(server.base, name);
const exporting = (...args) => server.rdev(['audit', 'export', ...args]);
const parsed = (text) => text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
const wholeLines = (file) => (fs.existsSync(file) ? parsed(fs.readFileSync(file, 'utf8')) : []);
const lastOf = (file) => wholeLines(file).at(-1)?.seal.seq ?? 0;
const lastSealed = async () => Number(await server.psql('SELECT coalesce(max(seq), 0) FROM audit_seals'));
const allSealed = () => waitFor('all records are sealed', async () =>
  (await server.psql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't');
const somethingHappens = async (times = 3) => {
  for (let i = 0; i < times; ++i) await server.finished(await server.submit('true'));
};

async function everything() {
  const all = [];
  for (let cursor = ''; cursor !== null; ) {
    const answer = await server.api('GET', `/audit?limit=200${cursor && `&cursor=${cursor}`}`);
    assert.equal(answer.status, 200, answer.text);
    all.push(...answer.data);
    cursor = answer.meta.next_cursor;
  }
  return all;
}

// What was exported is the log from its beginning on, each record once and as the server shows it.
async function assertWhole(records) {
  assert.deepEqual(records.map(({ seal }) => seal.seq), records.map((_, i) => i + 1));
  assert.deepEqual(records, (await everything()).slice(0, records.length));
}

// A follower that writes into `file`, with a key of its own that may ask once a second.
class Follower {
  constructor(file, key) {
    this.child = spawn(path.join(binDir, 'rdev'), ['audit', 'export', '--follow', '--output', file], {
      env: cleanEnv({ RDEV_URL: front.url, RDEV_API_KEY: key }), stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.errors = '';
    this.child.stderr.on('data', (piece) => (this.errors += piece));
    this.ended = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
  }
  end(signal) {
    this.child.kill(signal);
    return this.ended;
  }
}

test('the log is written to stdout, a record a line', async () => {
  await somethingHappens();
  await allSealed();
  const done = await exporting();
  assert.equal(done.code, 0, done.stderr.toString());
  const records = parsed(done.stdout.toString());
  assert.ok(records.length > 6);
  await assertWhole(records);
  const rest = parsed((await exporting('--after', '4')).stdout.toString());
  assert.deepEqual(rest.slice(0, records.length - 4), records.slice(4));
  const some = parsed((await exporting('--action', 'command.*', '--project', 'demo')).stdout.toString());
  assert.ok(some.length > 0 && some.every(({ action, project }) => action.startsWith('command.') && project === 'demo'));
});

test('a file is gone on with, behind its last whole line', async () => {
  const file = inFolder('again.jsonl');
  await allSealed();
  assert.equal((await exporting('--output', file)).code, 0);
  const first = lastOf(file);
  await somethingHappens();
  await allSealed();
  fs.truncateSync(file, fs.statSync(file).size - 40);
  const done = await exporting('--output', file);
  assert.equal(done.code, 0, done.stderr.toString());
  assert.ok(lastOf(file) > first);
  await assertWhole(wholeLines(file));
});

test('who follows misses nothing and repeats nothing when they are killed and the server restarts', async () => {
  const { secret } = await mint(server, { name: 'follower', scopes: ['audit:read'], rate_limit: 1 });
  const file = inFolder('followed.jsonl');
  for (const strike of ['kill', 'torn', 'restart', 'crash']) {
    const follower = new Follower(file, secret);
    const before = lastOf(file);
    const busy = somethingHappens(5);
    await waitFor('it goes on', () => lastOf(file) > before);
    if (strike === 'restart' || strike === 'crash') {
      await busy;
      await (strike === 'restart' ? server.stop() : server.kill9());
      await server.start();
      await somethingHappens();
      const now = await lastSealed();
      await waitFor('it has come to the end', () => lastOf(file) >= now);
      assert.deepEqual(await follower.end('SIGTERM'), { code: 0, signal: null }, follower.errors);
    } else {
      assert.deepEqual(await follower.end('SIGKILL'), { code: null, signal: 'SIGKILL' });
      await busy;
      if (strike === 'torn') fs.truncateSync(file, fs.statSync(file).size - 25);
    }
  }
  await assertWhole(wholeLines(file));
  const starts = wholeLines(file).filter(({ action }) => action === 'node.start');
  assert.equal(starts.length, 3, 'what happened while it could not ask is there, too');
});

test('who looks for what does not come is not on record again and again', async () => {
  const { secret } = await mint(server, { name: 'hopeful', scopes: ['audit:read'] });
  const asked = () => server.logs().filter(({ msg, path: where, key_prefix: prefix }) =>
    msg === 'request completed' && where === '/audit' && secret.startsWith(prefix)).length;
  let child;
  const done = run(path.join(binDir, 'rdev'), ['audit', 'export', '--follow', '--project', 'nowhere'], {
    env: cleanEnv({ RDEV_URL: server.url, RDEV_API_KEY: secret }), onSpawn: (spawned) => (child = spawned),
  });
  await waitFor('it has looked four times', () => asked() >= 4);
  child.kill('SIGINT');
  assert.equal((await done).code, 0);
  const onRecord = Number(await server.psql("SELECT count(*) FROM audit_log WHERE actor_name = 'hopeful' AND action = 'audit.read'"));
  assert.ok(onRecord >= 1 && onRecord < 4, `${onRecord} records`);
});

test('a file of something else, and one that another export writes, are left alone', async () => {
  const file = inFolder('notes');
  fs.writeFileSync(file, 'notes');
  const done = await exporting('--output', file);
  assert.equal(done.code, 125);
  assert.match(done.stderr.toString(), /--output: .*notes does not end with a record of an export/);
  assert.equal(fs.readFileSync(file, 'utf8'), 'notes');
});

// ---- verified without the server

const verify = (...args) => run(path.join(binDir, 'rdev-api'), ['audit', 'verify', ...args], { cwd: server.base });
let evidence;
let dump;
let sealed; // through this number there is a kept checkpoint

test('a whole dump is good, alone and with what was kept', async () => {
  await somethingHappens();
  await allSealed();
  sealed = await lastSealed();
  const checkpoints = () => server.logs().filter(({ msg }) => msg === 'audit checkpoint');
  await waitFor('the log knows of the end', () => checkpoints().some(({ seq }) => seq >= sealed));
  sealed = checkpoints().at(-1).seq;
  fs.writeFileSync(inFolder('kept.log'), `${checkpoints().map((line) => JSON.stringify(line)).join('\n')}\n`);
  fs.writeFileSync(inFolder('kept.keys'), await server.psql("SELECT encode(public_key, 'base64') FROM audit_keys"));
  evidence = ['--checkpoint', inFolder('kept.log'), '--public-key', inFolder('kept.keys')];
  dump = (await exporting()).stdout.toString().split('\n').slice(0, -1);
  assert.ok(dump.length >= sealed);
  fs.writeFileSync(inFolder('dump'), `${dump.join('\n')}\n`);
  for (const more of [[], evidence]) {
    const seen = await verify('--dump', inFolder('dump'), ...more);
    assert.equal(seen.code, 0, seen.stdout + seen.stderr);
    assert.equal(seen.stdout.toString(), `records checked: ${dump.length}\nsealed through: ${dump.length}\n`);
  }
  const piped = await run(path.join(binDir, 'rdev-api'), ['audit', 'verify', '--dump', '-'], { input: `${dump.join('\n')}\n` });
  assert.equal(piped.code, 0, piped.stderr.toString());
});

const tampered = async (lines, more = evidence) => {
  fs.writeFileSync(inFolder('bad'), lines.map((line) => `${line}\n`).join(''));
  const seen = await verify('--dump', inFolder('bad'), ...more);
  assert.equal(seen.code, 4, seen.stdout + seen.stderr);
  return seen.stdout.toString();
};
const idIn = (line) => JSON.parse(line).id;

test('a changed byte is found', async () => {
  const lines = [...dump];
  lines[4] = lines[4].replace('"outcome":"', '"outcome":"x');
  assert.match(await tampered(lines, []), new RegExp(`NOT GOOD: changed at 5, record ${idIn(dump[4])}\n.*/bad, line 5\n`));
  lines[4] = dump[4].replace(',', ';');
  assert.match(await tampered(lines, []), /NOT GOOD: changed at 5\n.*\/bad, line 5: is not JSON/);
});

test('a line that is gone is found, and an export of some records is not taken for all', async () => {
  assert.match(await tampered(dump.filter((_, i) => i !== 4), []), /NOT GOOD: missing at 5\n.*\/bad, line 5\n/);
  const some = (await exporting('--action', 'command.*')).stdout.toString().split('\n').slice(0, -1);
  assert.match(await tampered(some, []), /NOT GOOD: missing at \d+\n/);
});

test('lines that changed places are found', async () => {
  const lines = [...dump];
  [lines[4], lines[5]] = [lines[5], lines[4]];
  assert.match(await tampered(lines, []), new RegExp(`NOT GOOD: reordered at 5, record ${idIn(dump[4])}\n`));
});

test('a line that was put in is found', async () => {
  assert.match(await tampered([...dump.slice(0, 4), dump[1], ...dump.slice(4)], []), new RegExp(`NOT GOOD: inserted at 2, record ${idIn(dump[1])}\n`));
});

test('a tail that was cut off is found by a kept checkpoint', async () => {
  assert.match(await tampered(dump.slice(0, sealed - 1)), new RegExp(`NOT GOOD: tail_cut at ${sealed}\n`));
});

test('another public key is found', async () => {
  const keys = inFolder('other.keys');
  fs.writeFileSync(keys, `${Buffer.alloc(32, 7).toString('base64')}\n`);
  assert.match(await tampered(dump, ['--checkpoint', inFolder('kept.log'), '--public-key', keys]), /NOT GOOD: bad_signature at \d+\n/);
});

test('a dump that begins later says so', async () => {
  fs.writeFileSync(inFolder('later'), `${dump.slice(3).join('\n')}\n`);
  const seen = await verify('--dump', inFolder('later'), ...evidence);
  assert.equal(seen.code, 0, seen.stdout + seen.stderr);
  assert.match(seen.stdout.toString(), /what comes before 4 is not in the dump\n/);
});

for (const [what, args, problem] of [
  ['a checkpoint without a key', () => ['--dump', inFolder('dump'), ...evidence.slice(0, 2)], /--checkpoint and --public-key together/],
  ['a dump that is not there', () => ['--dump', inFolder('nowhere')], /nowhere cannot be read/],
  ['a dump that is a folder', () => ['--dump', server.base], /cannot be read/],
  ['a dump of nothing', () => ['--dump', '/dev/null'], /holds no record/],
])
  test(`${what} is refused`, async () => {
    const seen = await verify(...args());
    assert.equal(seen.code, 2, seen.stdout + seen.stderr);
    assert.match(seen.stderr.toString(), problem);
  });
