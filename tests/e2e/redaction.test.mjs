// What is secret stands in no line of the log and in no record of the audit log, in whatever form it was sent; what a
// command writes is left as it is.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Receiver, open } from './endpoint.mjs';
import { Server, binDir, cleanEnv, mint, run, waitFor } from './support.mjs';

const fresh = (name) => `${name} ${randomBytes(6).toString('hex')}/"x"+ö&=%`;
const admin = `admin+key/${randomBytes(12).toString('hex')}="of&this%server`;

let server;
let receiver;
before(async () => {
  server = await Server.start({
    env: { RDEV_ADMIN_KEY: admin, RDEV_LOG_LEVEL: 'debug', RDEV_AUDIT_REFUSALS_PER_MINUTE: '1000000', RDEV_REDACTION_PATTERNS: 'ticket=([0-9]+)', RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' },
  });
  receiver = await Receiver.start();
});
after(async () => {
  await receiver?.close();
  await server?.close();
});

// ---- canaries and their forms

const canaries = new Map(); // secret -> what it is
const known = (what, secret) => canaries.set(secret, what) && secret;
const digits = (bytes, coding = 'base64') => bytes.toString(coding).replace(/=*$/, '');
// Without the digits at the edges, which depend on the neighbours.
function inBase64(secret, ahead) {
  const bytes = Buffer.from(secret);
  const all = digits(Buffer.concat([Buffer.alloc(ahead), bytes]));
  return all.slice(Math.ceil((ahead * 8) / 6), Math.floor(((ahead + bytes.length) * 8) / 6));
}
const formEncoded = (text) => new URLSearchParams({ x: text }).toString().slice(2);
function formsOf(secret) {
  const base64 = [0, 1, 2].map((ahead) => inBase64(secret, ahead));
  const percent = [encodeURIComponent(secret), encodeURI(secret), formEncoded(secret)];
  return [
    secret, JSON.stringify(secret).slice(1, -1), ...base64, ...base64.map((one) => one.replaceAll('+', '-').replaceAll('/', '_')),
    ...percent, ...percent.map((one) => one.replace(/%../g, (code) => code.toLowerCase())),
  ];
}
function assertNowhere(text, where) {
  for (const [secret, what] of canaries)
    for (const form of formsOf(secret)) assert.ok(!text.includes(form), `${what} is in ${where} as ${form}`);
}

test('a password in DATABASE_URL is shown nowhere when that is wrong, whole or in its parts', async () => {
  for (const [url, password] of [
    ['postgresql://rdev:of%2Dthe-database@[::1/rdev', 'of-the-database'],
    ['postgresql://rdev:of%2Dthe-database@127.0.0.1:1/rdev', 'of-the-database'],
    ["host=127.0.0.1 password='of the \\'database\\'' oops", "of the 'database'"],
    ['host=127.0.0.1 password=of-the-database port=1', 'of-the-database'],
  ]) {
    const env = cleanEnv({ DATABASE_URL: url, RDEV_ADMIN_KEY: admin, RDEV_SECRETS_KEYS: `k1:${randomBytes(32).toString('base64')}`, RDEV_DATABASE_START_TIMEOUT: '1s', RDEV_SERVER_DATA_DIR: path.join(server.base, 'elsewhere') });
    const ended = await run(path.join(binDir, 'rdev-api'), ['serve', '--listen', '127.0.0.1:0'], { env });
    assert.notEqual(ended.code, 0);
    const said = ended.stdout.toString() + ended.stderr.toString();
    assert.ok(said.length > 20, 'it says what is wrong');
    for (const one of [password, password.replace('-', '%2D'), password.replaceAll("'", "\\'"), url])
      assert.ok(!said.includes(one), `${one} is in ${said}`);
  }
});

// ---- requests that are refused, with a secret in them

let refusals = 0;
const refusedLines = () => server.logs().filter(({ msg, code }) => msg === 'request completed' && code).length;
async function refused(target, { method = 'GET', body, headers } = {}) {
  const answer = await server.api(method, target, body, headers);
  assert.ok(answer.status >= 400 && answer.status < 500, `${target}: ${answer.status}`);
  refusals += 1;
  await waitFor('it is logged', () => refusedLines() >= refusals);
}
// The secret in every place and form that a path and an id can carry.
async function mention(secret) {
  for (const form of [secret, digits(Buffer.from(secret)), digits(Buffer.from(`of ${secret} twice`), 'base64url'), encodeURIComponent(secret), formEncoded(secret)])
    await refused(`/projects/${encodeURIComponent(form)}`);
  await refused(`/nowhere/${encodeURIComponent(secret)}`);
  await refused('/projects/not-there', { headers: { 'X-Request-ID': digits(Buffer.from(secret), 'base64url') } });
}

const auditLog = () => server.psql("SELECT concat_ws(E'\\n', actor_name, action, target, project, outcome, reason, client_ip, request_id, trace_id, detail) FROM audit_log");
let last = 0;
async function allRecorded() {
  const name = `last-${(last += 1)}`;
  await refused(`/projects/${name}`);
  await waitFor('the refusals are recorded', async () => (await auditLog()).includes(name));
}
async function assertClean() {
  await allRecorded();
  assertNowhere(server.rawLog() + server.errors(), 'the log');
  for (const line of server.logs()) assertNowhere(Object.values(line).join('\n'), 'a text of the log');
  assertNowhere(await auditLog(), 'the audit log');
}

test('a value of env is hidden wherever else it stands, while its command runs; its output is what it wrote', async () => {
  const value = known('a value of env', fresh('value'));
  const base64 = digits(Buffer.from(value));
  const script = `printf '%s\\n' "$CANARY" "$RDEV_TOKEN" '${base64}'; : '${value}' ${encodeURIComponent(value)}; while [ ! -e enough ]; do sleep 0.05; done`;
  const id = await server.submit(script, { env: { CANARY: value } });
  const begun = await server.follow(id, { until: (_, seen) => seen.stdout.toString().split('\n').length > 3 });
  const token = known('RDEV_TOKEN', begun.stdout.toString().split('\n')[1]);
  assert.match(token, /^rdevcmd_/);
  await mention(value);
  await mention(token);
  await assertClean();
  server.put('enough', '');
  const seen = (await server.follow(id)).checkReceipts();
  assert.equal(seen.stdout.toString(), `${value}\n${token}\n${base64}\n`);
  await assertClean();
  const record = await server.psql(`SELECT detail ->> 'script' FROM audit_log WHERE action = 'command.submit' ORDER BY id DESC LIMIT 1`);
  assert.equal(record, script.replaceAll(base64, '[redacted]').replaceAll(encodeURIComponent(value), '[redacted]').replaceAll(value, '[redacted]'));
});

test('also from the first request on after the server was killed, or stopped, and started again', async () => {
  const value = known('a value of env of a command that runs on', fresh('running on'));
  const id = await server.submit('printf %s "$RDEV_TOKEN"; while [ ! -e enough-of-this ]; do sleep 0.05; done', { env: { CANARY: value } });
  const begun = await server.follow(id, { until: (_, seen) => seen.stdout.length > 0 });
  const token = known('RDEV_TOKEN of a command that runs on', begun.stdout.toString());
  for (const end of ['kill9', 'stop', 'kill9']) {
    await server[end]();
    await server.start();
    await Promise.all([value, token].map((secret) => refused(`/projects/${encodeURIComponent(secret)}`)));
    await mention(value);
    await mention(token);
  }
  await assertClean();
  server.put('enough-of-this', '');
  assert.equal((await server.finished(id)).status, 'completed');
});

test('also in an argument list, and in a request that is refused with it', async () => {
  const value = known('a value of env of an argument list', fresh('argument'));
  const argv = ['printf', '%s\\n', value, digits(Buffer.from(value), 'base64url'), `x=${encodeURIComponent(value)}`];
  const seen = (await server.follow(await server.submit(argv, { env: { CANARY: value } }))).checkReceipts();
  assert.equal(seen.stdout.toString(), `${argv.slice(2).join('\n')}\n`);
  const name = known('a value of env that a project is called by', `not-there-${randomBytes(6).toString('hex')}`);
  await refused(`/projects/${name}/shell`, { method: 'POST', body: { command: 'true', env: { NAME: name } } });
  await assertClean();
});

test('secrets of the server itself are hidden at any time', async () => {
  await mention(known('the admin key', admin));
  const ring = fs.readFileSync(path.join(server.dataDir, 'secrets.key'), 'utf8').trim();
  await mention(known('a key that seals', ring.slice(ring.indexOf(':') + 1).split(',')[0]));
  const { secret } = await mint(server, { name: `for ${admin}`, scopes: ['projects:read'] });
  await refused(`/projects/${known('an API key', secret)}`);
  await refused('/projects/ticket=4711');
  await assertClean();
  assert.equal(await server.psql("SELECT detail ->> 'name' FROM audit_log WHERE action = 'key.create' ORDER BY id DESC LIMIT 1"), 'for [redacted]');
  assert.ok(server.logs().some((line) => line.path === '/projects/ticket=[redacted]'));
});

test('secrets of a webhook are hidden as long as the node delivers to it', async () => {
  const endpoint = await open(server, receiver, { events: ['auth.anomaly'] });
  assert.equal((await server.api('POST', `${endpoint.path}/test`)).status, 202);
  await endpoint.call('webhook.test'); // so the node has its secret
  await mention(known('the text of a webhook’s secret', endpoint.plain));
  await mention(known('a webhook’s secret', endpoint.plain.slice('whsec_'.length)));
  await assertClean();
});

test('what was hidden is counted, and leaves the audit log whole', async () => {
  const metrics = (await server.api('GET', '/metrics')).text;
  for (const where of ['log', 'audit'])
    assert.ok(Number(new RegExp(`^rdev_redactions_total\\{where="${where}"\\} (\\d+)$`, 'm').exec(metrics)?.[1]) > 10, where);
  const page = await server.api('GET', '/audit?action=request.refused&limit=200');
  assert.equal(page.status, 200);
  assert.ok(page.data.some((one) => one.target.includes('[redacted]')));
  assertNowhere(page.text, 'GET /audit');
  await waitFor('all records are sealed', async () => (await server.psql('SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)')) === 't');
  const seen = await run(path.join(binDir, 'rdev-api'), ['audit', 'verify', '--data-dir', server.dataDir], { env: cleanEnv(server.env) });
  assert.equal(seen.code, 0, seen.stdout + seen.stderr);
});

test('a pattern that cannot be used is refused at the start, by name', async () => {
  const seen = await run(path.join(binDir, 'rdev-api'), ['check-config'], { env: cleanEnv({ RDEV_REDACTION_PATTERNS: 'good,(bad' }) });
  assert.equal(seen.code, 2);
  assert.match(seen.stderr.toString(), /redaction\.patterns: .*`\(bad`.*mend it or leave it out/);
});
