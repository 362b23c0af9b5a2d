// docs/operations/runbooks/auth-failures.md: each of its blocks, as it stands there, pasted into a shell before a running server on
// which all those failures have happened. `kubectl` is a stand-in that maps `logs`, `exec` and `set env` to the server; curl is
// told where rdev-api:8080 is; all else is real.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, assertRefused, binDir, cleanEnv, mint, run, waitFor } from './support.mjs';

// ---- the page

const page = fs.readFileSync(new URL('../../docs/operations/runbooks/auth-failures.md', import.meta.url), 'utf8');

// The fenced blocks {language, text, done}, without the indent of the list they stand in.
function blocksOf(text) {
  const blocks = [];
  for (const [, indent, language, body] of text.matchAll(/^( *)```(\w+)\n(.*?)^ *```$/gms))
    blocks.push({ language, text: body.replace(new RegExp(`^${indent}`, 'gm'), ''), done: false });
  return blocks;
}

const blocks = blocksOf(page);

// The one block that has this in it.
function block(piece, language = 'sh') {
  const found = blocks.filter((one) => one.text.includes(piece));
  assert.equal(found.length, 1, `blocks with: ${piece}`);
  assert.equal(found[0].language, language);
  found[0].done = true;
  return found[0].text;
}

const allLines = block('--tail=-1');

// What the first form of this page had, and people know by heart. It works as it is, and stands in the page.
const known = {
  metrics: 'curl -s http://rdev-api:8080/metrics | grep auth_failures',
  refused: 'kubectl -n rdev logs -l app=rdev-api --since=10m | grep -E "(UNAUTHORIZED|KEY_REVOKED|KEY_EXPIRED|IP_NOT_ALLOWED)"',
  codes: `kubectl -n rdev logs -l app=rdev-api --since=10m | \\
grep -oE '"code":"[^"]+' | sort | uniq -c | sort -rn`,
  addresses: `kubectl -n rdev logs -l app=rdev-api --since=10m | \\
grep UNAUTHORIZED | grep -oE '"client_ip":"[^"]+' | sort | uniq -c | sort -rn`,
  paths: `kubectl -n rdev logs -l app=rdev-api --since=10m | \\
grep UNAUTHORIZED | grep -oE '"path":"[^"]+' | sort | uniq -c | sort -rn`,
  shell: 'kubectl -n rdev exec -it deployment/rdev-api -- sh',
  keys: 'psql $DATABASE_URL -c "SELECT id, name, key_prefix, revoked_at FROM api_keys;"',
  revoked: 'SELECT id, name, revoked_at, revoked_by FROM api_keys WHERE revoked_at IS NOT NULL;',
  expired: 'SELECT id, name, expires_at FROM api_keys WHERE expires_at < NOW();',
  restricted: 'SELECT id, name, allowed_ips FROM api_keys WHERE allowed_ips IS NOT NULL;',
  ingress: 'nginx.ingress.kubernetes.io/whitelist-source-range: "10.0.0.0/8,192.168.0.0/16"',
  limit: 'kubectl -n rdev set env deployment/rdev-api RATE_LIMIT_RPS=2',
  rates: 'curl -s http://rdev-api:8080/metrics | grep -E "auth_(requests|failures)"',
  good: 'curl -H "X-API-Key: $VALID_KEY" http://rdev-api:8080/projects',
  completed: 'kubectl -n rdev logs -l app=rdev-api --since=5m | grep "request completed" | head -5',
};

// ---- the cluster

let server;
let tools;
let image;
let keys;

// As kubectl 1.32 does it: with a selector, `logs` gives 10 lines unless it is told otherwise.
const kubectlStandIn = `#!/bin/bash
fail() { echo "kubectl: not expected: $*" >&2; exit 1; }
[ "$1 $2" = "-n rdev" ] || fail "$@"
shift 2
case "$1" in
  logs)
    [ "$2 $3" = "-l app=rdev-api" ] && [[ "$4" =~ ^--since=[0-9]+m$ ]] || fail "$@"
    case "$#:$5" in
      4:) tail -n 10 "$POD_LOG" ;;
      5:--tail=-1) cat "$POD_LOG" ;;
      *) fail "$@" ;;
    esac ;;
  exec)
    [ "$2 $3 $4" = "-it deployment/rdev-api --" ] || fail "$@"
    shift 4
    cd "$POD_IMAGE" && PATH="$POD_IMAGE:$PATH" exec "$@" ;;
  set)
    [ "$2 $3" = "env deployment/rdev-api" ] && [ $# -ge 4 ] || fail "$@"
    shift 3
    printf '%s\\n' "$@" >"$POD_SET_ENV" ;;
  *) fail "$@" ;;
esac
`;

const baseEnv = { RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32' };

before(async () => {
  server = await Server.start({ env: { ...baseEnv } });
  tools = path.join(server.base, 'tools');
  image = path.join(server.base, 'image'); // the image's working directory
  for (const folder of [tools, image]) fs.mkdirSync(folder);
  const install = (file, text) => fs.writeFileSync(file, text, { mode: 0o755 });
  install(path.join(tools, 'kubectl'), kubectlStandIn);
  install(path.join(image, 'psql'), `#!/bin/sh\nexec "${path.join(binDir, 'rdev-api')}" psql --data-dir "${server.dataDir}" -- "$@"\n`);
  writeCurlConfig();
  keys = await provoke();
  await keepLog();
});
after(() => server.close());

function writeCurlConfig() {
  fs.writeFileSync(path.join(tools, '.curlrc'), `connect-to = rdev-api:8080:${server.address}\n`);
}

// What `kubectl set env` asked for: the pods are made anew with it.
async function rollOut() {
  const file = path.join(server.base, 'set-env');
  const env = { ...server.env };
  for (const change of fs.readFileSync(file, 'utf8').trim().split('\n')) {
    const [, name, value] = change.match(/^([A-Z_]+)(?:-|=(.*))$/);
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  fs.rmSync(file);
  await server.stop();
  await server.start({ env });
  writeCurlConfig();
}

// ---- what happened

const tally = {}; // code -> how often clients were told so
let good = 0;

// As a client at `from`, behind the ingress.
async function ask(secret, { from = '198.51.100.1', target = '/projects', method = 'GET', body } = {}) {
  const answer = await server.api(method, target, body, { 'X-API-Key': secret, 'X-Forwarded-For': from });
  if (answer.error) tally[answer.error.code] = (tally[answer.error.code] ?? 0) + 1;
  else good += 1;
  return answer;
}

// Every failure that the runbook is about, from several places, a different number of times each.
async function provoke() {
  const scopes = ['projects:read'];
  const made = {};
  for (const name of ['valid', 'revoked', 'foreign', 'unknown', 'movable', 'idle', 'rotated', 'stolen'])
    made[name] = await mint(server, { name, scopes, ...(name === 'foreign' && { allowed_ips: ['192.0.2.0/24'] }) });
  made.expired = await mint(server, { name: 'expired', scopes, expires_at: new Date(Date.now() + 1000).toISOString() });
  assert.equal((await server.api('DELETE', `/keys/${made.revoked.id}`)).status, 200);
  await server.psql("DELETE FROM api_keys WHERE name = 'unknown'");
  await waitFor('the key expires', async () => (await server.psql("SELECT expires_at < now() FROM api_keys WHERE name = 'expired'")) === 't');

  const { valid, revoked, expired, foreign, unknown } = Object.fromEntries(Object.entries(made).map(([name, { secret }]) => [name, secret]));
  const plan = [
    ['UNAUTHORIZED', undefined, '198.51.100.7', '/projects'], ['UNAUTHORIZED', 'no key of ours', '203.0.113.9', '/keys'],
    ['IP_NOT_ALLOWED', foreign, '198.51.100.22'], ['KEY_REVOKED', revoked, '198.51.100.20'], ['KEY_EXPIRED', expired, '198.51.100.21'],
    ['UNAUTHORIZED', unknown, '198.51.100.7', '/projects'], ['IP_NOT_ALLOWED', foreign, '198.51.100.22'], ['KEY_EXPIRED', expired, '198.51.100.21'],
    ['UNAUTHORIZED', unknown, '2001:db8::17', '/projects/demo'], ['KEY_REVOKED', revoked, '198.51.100.20'], ['IP_NOT_ALLOWED', foreign, '198.51.100.23'],
    ['UNAUTHORIZED', unknown, '198.51.100.7', '/projects'], ['KEY_EXPIRED', expired, '198.51.100.21'], ['UNAUTHORIZED', unknown, '203.0.113.9', '/keys'],
    ['IP_NOT_ALLOWED', foreign, '198.51.100.22'],
  ];
  for (const [code, secret, from, target] of plan) assertRefused(await ask(secret, { from, target }), code === 'IP_NOT_ALLOWED' ? 403 : 401, code);
  assert.deepEqual(tally, { UNAUTHORIZED: 6, IP_NOT_ALLOWED: 4, KEY_EXPIRED: 3, KEY_REVOKED: 2 });
  for (let i = 0; i < 3; ++i) assert.equal((await ask(valid)).status, 200);
  return made;
}

// The log as it is when all that clients were told is in it.
let kept;
async function keepLog() {
  const told = Object.values(tally).reduce((a, b) => a + b);
  await waitFor('all refusals are logged', () => server.logs().filter((line) => line.code).length >= told);
  await waitFor('all that was granted is logged', () => server.logs().filter((line) => line.client_ip === '198.51.100.1' && line.status === 200).length >= 3);
  const text = server.rawLog();
  kept = text.slice(0, text.lastIndexOf('\n') + 1);
  fs.writeFileSync(path.join(server.base, 'kept-log'), kept);
}
const keptLines = () => kept.trimEnd().split('\n');

// ---- the operator

// Pastes into a shell; what a line starts reads the lines behind it. Gives the output's lines.
async function paste(script, more = {}) {
  const done = await run('bash', [], {
    input: `${script}\n`,
    cwd: server.base,
    env: cleanEnv({
      PATH: `${tools}:${cleanEnv().PATH}`,
      HOME: tools,
      CURL_HOME: tools,
      ADMIN_KEY: server.key,
      VALID_KEY: keys.valid.secret,
      POD_LOG: path.join(server.base, 'kept-log'),
      POD_IMAGE: image,
      POD_SET_ENV: path.join(server.base, 'set-env'),
      ...more,
    }),
  });
  done.text = done.stdout.toString();
  done.lines = done.text.split('\n').filter((l) => l !== '');
  assert.equal(done.code, 0, `${script}\n${done.text}${done.stderr}`);
  return done;
}

const answerOf = async (script, more) => JSON.parse((await paste(script, more)).text);

// SQL as it is typed into the pod's psql; gives rows of columns.
async function sql(text) {
  const done = await paste(`${known.shell}\npsql $DATABASE_URL -At -v ON_ERROR_STOP=1 <<'SQL'\n${text}\nSQL`);
  assert.equal(done.stderr.toString(), '');
  return done.lines.map((row) => row.split('|'));
}

// The lines of `sort | uniq -c | sort -rn`, in their order.
const counted = (lines) => lines.map((l) => l.trim().match(/^(\d+) (.*)$/)).map(([, n, what]) => [what, Number(n)]);

function countOf(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts];
}

// Both forms of a count over the log: the page's over all lines, the known one over the last ten.
async function checkCount(literal, ofLine, expected) {
  assert.deepEqual(counted((await paste(`${allLines}${block(literal)}`)).lines), expected);
  const last = countOf(keptLines().slice(-10).map((l) => JSON.parse(l)).map(ofLine).filter(Boolean));
  assert.ok(last.length > 1, 'the last ten lines have more than one kind');
  const short = counted((await paste(literal)).lines);
  assert.deepEqual(new Map(short), new Map(last));
  const numbers = short.map(([, n]) => n);
  assert.deepEqual(numbers, [...numbers].sort((a, b) => b - a), 'the most frequent comes first');
}

// ---- investigation

test('what people know by heart stands in the page', () => {
  for (const [name, literal] of Object.entries(known)) assert.ok(blocks.some(({ text }) => text.includes(literal)), name);
});

test('refusals by reason, in the metrics', async () => {
  for (const script of [known.metrics, block(known.metrics)]) {
    const { lines } = await paste(script);
    for (const [code, times] of Object.entries(tally))
      assert.ok(lines.includes(`rdev_auth_failures_total{reason="${code.toLowerCase()}"} ${times}`), `${code} in\n${lines.join('\n')}`);
  }
});

test('the refused requests, in the log', async () => {
  const { lines } = await paste(`${allLines}${block(known.refused)}`);
  assert.deepEqual(new Map(countOf(lines.map((l) => JSON.parse(l).code))), new Map(Object.entries(tally)));
  for (const one of lines.map((l) => JSON.parse(l))) {
    assert.equal(one.msg, 'request completed');
    assert.equal(one.method, 'GET');
    assert.equal(one.status, one.code === 'IP_NOT_ALLOWED' ? 403 : 401);
  }
  const short = (await paste(known.refused)).lines;
  assert.deepEqual(short, keptLines().slice(-10).filter((l) => JSON.parse(l).code));
  assert.ok(short.length > 1);
});

test('refusals by code', () =>
  checkCount(known.codes, ({ code }) => code && `"code":"${code}`, [
    ['"code":"UNAUTHORIZED', 6], ['"code":"IP_NOT_ALLOWED', 4], ['"code":"KEY_EXPIRED', 3], ['"code":"KEY_REVOKED', 2]]));

test('from where', () =>
  checkCount(known.addresses, ({ code, client_ip }) => code === 'UNAUTHORIZED' && `"client_ip":"${client_ip}`, [
    ['"client_ip":"198.51.100.7', 3], ['"client_ip":"203.0.113.9', 2], ['"client_ip":"2001:db8::17', 1]]));

test('at what', () =>
  checkCount(known.paths, ({ code, path: where }) => code === 'UNAUTHORIZED' && `"path":"${where}`, [
    ['"path":"/projects', 3], ['"path":"/keys', 2], ['"path":"/projects/demo', 1]]));

// ---- remediation

test('the ids of the API', async () => {
  const { lines } = await paste(block('limit=200'));
  for (const name of ['valid', 'revoked', 'expired', 'foreign']) assert.ok(lines.includes(`"id":"${keys[name].id}","name":"${name}"`), `${name} in\n${lines.join('\n')}`);
  assert.ok(!lines.some((l) => l.includes('unknown')));
});

test('which keys exist', async () => {
  const text = block(known.keys);
  assert.equal(text, `${known.shell}\n${known.keys}\n`);
  for (const script of [text, `${known.shell} ${known.keys}`]) {
    const done = await paste(script);
    assert.match(done.text, /id +\| +name +\| +key_prefix +\| +revoked_at/);
    const rows = new Map(done.lines.map((l) => l.split('|').map((cell) => cell.trim())).map(([, ...rest]) => [rest[0], rest]));
    for (const name of ['valid', 'revoked', 'expired', 'foreign']) assert.equal(rows.get(name)?.[1], keys[name].secret.slice(0, 13), name);
    assert.match(rows.get('revoked')[2], /^\d{4}-/);
    assert.equal(rows.get('valid')[2], '');
    assert.equal(rows.get('admin')[1], 'admin');
    assert.ok(!rows.has('unknown'));
  }
});

test('a new key', async () => {
  const { data } = await answerOf(block('"expires_in": "90d"'));
  assert.equal(data.key.name, 'ci');
  assert.equal((await ask(data.secret, { target: '/projects/demo' })).status, 200);
  assertRefused(await ask(data.secret, { target: '/keys' }), 403, 'FORBIDDEN');
});

test('who revoked, and when', async () => {
  const rows = await sql(block(known.revoked, 'sql'));
  assert.deepEqual(rows.map(([, name]) => name), ['revoked']);
  const [[, , at, by]] = rows;
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 600_000, at);
  const admin = await sql("SELECT id FROM api_keys WHERE key_prefix = 'admin';");
  assert.deepEqual(admin, [[by]]);
});

test('which keys expired', async () => {
  assert.deepEqual((await sql(block(known.expired, 'sql'))).map(([, name]) => name), ['expired']);
});

test('a key is rotated in time, not afterwards', async () => {
  const script = block('/rotate');
  const { data } = await answerOf(script, { KEY_ID: keys.rotated.id });
  assert.equal(data.key.rotated_from, keys.rotated.id);
  for (const secret of [data.secret, keys.rotated.secret]) assert.equal((await ask(secret)).status, 200);
  const late = await answerOf(script, { KEY_ID: keys.expired.id });
  assert.equal(late.error?.code, 'CONFLICT', JSON.stringify(late));
});

test('which keys are restricted to addresses', async () => {
  const rows = await sql(block(known.restricted, 'sql'));
  assert.deepEqual(rows.map(([, name, allowed]) => [name, allowed]), [['foreign', '{192.0.2.0/24}']]);
});

test('from where the restricted keys are used', async () => {
  const { lines } = await paste(`${allLines}${block('"(client_ip|key_prefix)"')}`);
  assert.deepEqual(counted(lines).filter(([what]) => what.startsWith('"client_ip"')), [['"client_ip":"198.51.100.22', 3], ['"client_ip":"198.51.100.23', 1]]);
});

// ---- verification

test('successes and failures, in the metrics', async () => {
  for (const script of [known.rates, block(known.rates)]) {
    const { lines } = await paste(script);
    const value = (series) => Number(lines.find((l) => l.startsWith(`${series} `))?.split(' ')[1]);
    const refused = ['UNAUTHORIZED', 'KEY_REVOKED', 'KEY_EXPIRED', 'IP_NOT_ALLOWED'].map((code) => [code, value(`rdev_auth_failures_total{reason="${code.toLowerCase()}"}`)]);
    for (const [code, times] of refused) assert.equal(times, tally[code], code);
    assert.ok(value('rdev_auth_requests_total{result="success"}') >= good, lines.join('\n'));
    assert.equal(value('rdev_auth_requests_total{result="failure"}'), refused.reduce((sum, [, n]) => sum + n, 0));
  }
});

test('a good key works', async () => {
  for (const script of [known.good, block(known.good)]) assert.deepEqual((await answerOf(script)).data.map(({ id }) => id), ['demo']);
});

test('requests are answered, in the log', async () => {
  const all = keptLines().filter((l) => JSON.parse(l).msg === 'request completed');
  assert.ok(all.length > 10);
  assert.deepEqual((await paste(`${allLines}${block(known.completed)}`)).lines, all.slice(0, 5));
  assert.deepEqual((await paste(known.completed)).lines, keptLines().slice(-10).filter((l) => all.includes(l)).slice(0, 5));
  assert.ok(all.some((l) => JSON.parse(l).status === 200 && JSON.parse(l).key_prefix === keys.valid.key.key_prefix));
});

// ---- under attack

test('the annotations of the ingress are lists of networks', () => {
  for (const [name, networks] of [['whitelist', 2], ['denylist', 1]]) {
    const list = block(`${name}-source-range`, 'yaml').match(/^nginx\.ingress\.kubernetes\.io\/\w+-source-range: "([^"]+)"$/m)[1].split(',');
    assert.equal(list.length, networks);
    for (const [address, bits] of list.map((one) => one.split('/'))) assert.ok(net.isIP(address) && Number(bits) > 0, list.join());
  }
});

test('a stolen key is revoked', async () => {
  assert.equal((await ask(keys.stolen.secret)).status, 200);
  const { data } = await answerOf(block('-X DELETE -H "X-API-Key: $ADMIN_KEY" "http://rdev-api:8080/keys'), { KEY_ID: keys.stolen.id });
  assert.equal(data.active, false);
  assertRefused(await ask(keys.stolen.secret), 401, 'KEY_REVOKED');
});

// ---- lockout, changes of keys, keys in the log

test('whose keys are refused, in the log', async () => {
  const script = block('# Whose keys');
  const { lines } = await paste(`${allLines}${script}`);
  assert.deepEqual(counted(lines), [['foreign', 4], ['expired', 3], ['revoked', 2]].map(([name, n]) => [`"key_prefix":"${keys[name].key.key_prefix}`, n]));
});

test('the list of addresses of a key replaces the former one, and the first one shuts out all others', async () => {
  const script = block('-X PATCH');
  const { secret, id } = keys.movable;
  const [old, allowed] = ['198.51.100.30', '192.0.2.30'];
  for (const from of [old, allowed]) assert.equal((await ask(secret, { from })).status, 200);
  const changed = await answerOf(script, { KEY_ID: id });
  assert.deepEqual(changed.data?.allowed_ips, ['192.0.2.0/24', '127.0.0.0/8'], JSON.stringify(changed));
  assertRefused(await ask(secret, { from: old }), 403, 'IP_NOT_ALLOWED');
  assert.equal((await ask(secret, { from: allowed })).status, 200);
  const change = (allowed_ips) => server.api('PATCH', `/keys/${id}`, { allowed_ips });
  assert.equal((await change(['198.51.100.0/24'])).status, 200);
  assertRefused(await ask(secret, { from: allowed }), 403, 'IP_NOT_ALLOWED');
  assertRefused(await change([]), 400, 'BAD_REQUEST');
  assert.equal((await change(null)).status, 200);
  for (const from of [old, allowed]) assert.equal((await ask(secret, { from })).status, 200);
});

test('keys that nobody uses', async () => {
  const script = block('unused_for=30d');
  await server.psql("UPDATE api_keys SET created_at = created_at - interval '40 days', last_used_at = created_at - interval '31 days' WHERE name IN ('idle', 'revoked', 'expired')");
  const { data } = await answerOf(script);
  assert.deepEqual(data.map(({ id }) => id), [keys.idle.id], 'those that are good, and only they');
});

// Tries keys from `from` until it is locked out, which takes ten.
async function guess(from) {
  let tried = 0;
  assertBanned(await waitFor(`${from} is locked out`, async () => {
    const answer = await ask(keys.unknown.secret, { from });
    if (answer.status === 401) tried += 1;
    return answer.error.details?.[0].field === 'ban' && answer;
  }));
  assert.ok(tried >= 10, `${tried} tries`);
}

function assertBanned(answer) {
  assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
  assert.ok(Number(answer.headers['retry-after']) >= 1);
  assert.equal(answer.error.details[0].field, 'ban');
}

test('who guesses is locked out, is found, and is let in again', async () => {
  const scripts = { list: block('8080/bans\n'), table: block('FROM ban;', 'sql'), lift: block('/bans/$BAN_ID'), metrics: block('auth_(lockouts|anomalies)') };
  await guess('203.0.113.66');
  await guess('2001:db8:7:7::1');
  assertBanned(await ask('no key of ours', { from: '2001:db8:7:7:ffff::2' }));
  assertRefused(await ask(keys.unknown.secret, { from: '203.0.113.67' }), 401, 'UNAUTHORIZED');
  assert.equal((await ask(keys.valid.secret, { from: '203.0.113.66' })).status, 200, 'a good key passes');

  const networks = ['2001:db8:7:7::/64', '203.0.113.66/32'];
  const { data } = await waitFor('both bans are listed', async () => {
    const answer = await answerOf(scripts.list);
    return answer.data.length >= 2 && answer;
  });
  assert.deepEqual(data.map(({ network }) => network).sort(), networks);
  for (const { until } of data) assert.ok(Date.parse(until) > Date.now() - 600_000, until);
  assert.deepEqual((await sql(scripts.table)).map((row) => row.find((cell) => cell.includes('/'))).sort(), networks);

  const { lines } = await paste(scripts.metrics);
  assert.ok(lines.includes('rdev_auth_lockouts_total 2'), lines.join('\n'));
  assert.ok(lines.some((l) => /^rdev_auth_anomalies_total\{kind="\w+"\} \d/.test(l)), lines.join('\n'));

  const lifted = await answerOf(scripts.lift, { BAN_ID: data.find(({ network }) => network === '203.0.113.66/32').id });
  assert.equal(lifted.data?.network, '203.0.113.66/32', JSON.stringify(lifted));
  await waitFor('it may try again', async () => (await ask(keys.unknown.secret, { from: '203.0.113.66' })).status === 401);
  assert.deepEqual((await answerOf(scripts.list)).data.map(({ network }) => network), ['2001:db8:7:7::/64']);
});

// From here on the server is started anew: its counters begin at 0.

test('RATE_LIMIT_RPS limits each key, and does not slow down guessing', async () => {
  assert.equal(block(known.limit), `${known.limit}\n`);
  await paste(known.limit);
  await rollOut();
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask(keys.valid.secret)));
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(limited.length > 0, 'more than two a second are refused');
  for (const answer of limited) {
    assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    assert.equal(answer.error.details[0].field, 'key');
  }
  assert.match(answers[0].headers['ratelimit-policy'], /"key";q=2;w=1/);
  const guesses = await Promise.all(Array.from({ length: 5 }, () => ask(keys.unknown.secret, { from: '198.51.100.50' })));
  for (const answer of guesses) assertRefused(answer, 401, 'UNAUTHORIZED');
});

test('requests without a valid key are limited by address', async () => {
  await paste(block('RDEV_LIMITS_UNAUTHENTICATED_RPS=2'));
  await rollOut();
  const from = '198.51.100.51';
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(undefined, { from })));
  const limited = answers.filter(({ status }) => status === 429);
  assert.ok(limited.length > 0, 'more than two a second are refused');
  for (const answer of limited) assert.equal(answer.error.details[0].field, 'address');
  assert.equal((await ask(keys.valid.secret, { from })).status, 200, 'a good key passes');
});

test('a strict lockout refuses good keys too', async () => {
  await paste(block('RDEV_LOCKOUT_STRICT=true'));
  await rollOut();
  const from = '203.0.113.68';
  assertBanned(await waitFor('it is locked out', async () => {
    await ask(keys.unknown.secret, { from }); // slowly: the limits from above still hold
    const answer = await ask(keys.valid.secret, { from });
    return answer.error?.details?.[0].field === 'ban' && answer;
  }));
  assert.equal((await ask(keys.foreign.secret, { from: '192.0.2.9' })).status, 200, 'nobody else is');
});

test('and all of it is taken back', async () => {
  await paste(block('RATE_LIMIT_RPS-'));
  await rollOut();
  assert.deepEqual(server.env, baseEnv);
  const answer = await ask(keys.valid.secret);
  assert.equal(answer.status, 200);
  assert.match(answer.headers['ratelimit-policy'], /"key";q=1000;w=1/);
});

test('every block of the page was tried', () => {
  assert.ok(blocks.length > 20);
  assert.deepEqual(blocks.filter(({ done }) => !done).map(({ text }) => text), []);
});
