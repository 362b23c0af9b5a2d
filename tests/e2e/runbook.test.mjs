// The runbook for authentication failures: each of its lines, as written, against a running server. `kubectl` is a stub
// that maps `logs`, `exec` and `set env` to the server; curl is told where rdev-api:8080 is; all else is real.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server, assertRefused, binDir, cleanEnv, mint, run, waitFor } from './support.mjs';

let server;
let tools;
let keys;

const kubectlStub = `#!/bin/bash
fail() { echo "kubectl stub: not expected: $*" >&2; exit 1; }
[ "$1 $2" = "-n rdev" ] || fail "$@"
shift 2
case "$1" in
  logs)
    [ "$2 $3" = "-l app=rdev-api" ] && [[ "$4" =~ ^--since=[0-9]+m$ ]] && [ $# = 4 ] || fail "$@"
    cat "$STUB_LOG" ;;
  exec)
    [ "$2 $3 $4" = "-it deployment/rdev-api --" ] || fail "$@"
    shift 4
    cd "$STUB_IMAGE" && PATH="$STUB_IMAGE:$PATH" exec "$@" ;;
  set)
    [ "$2 $3" = "env deployment/rdev-api" ] && [ $# = 4 ] || fail "$@"
    echo "$4" >"$STUB_SET_ENV" ;;
  *) fail "$@" ;;
esac
`;

before(async () => {
  server = await Server.start();
  tools = path.join(server.base, 'tools');
  const image = path.join(server.base, 'image'); // the image's working directory
  for (const folder of [tools, image]) fs.mkdirSync(folder);
  const install = (file, text) => fs.writeFileSync(file, text, { mode: 0o755 });
  install(path.join(tools, 'kubectl'), kubectlStub);
  install(path.join(image, 'psql'), `#!/bin/sh\nexec "${path.join(binDir, 'rdev-api')}" psql --data-dir "${server.dataDir}" -- "$@"\n`);
  writeCurlConfig();
  keys = await provoke();
});
after(() => server.close());

function writeCurlConfig() {
  fs.writeFileSync(path.join(tools, '.curlrc'), `connect-to = rdev-api:8080:${server.address}\n`);
}

const refusals = { UNAUTHORIZED: 5, KEY_REVOKED: 2, KEY_EXPIRED: 3, IP_NOT_ALLOWED: 4 };

// Every failure that the runbook is about happens, a different number of times each.
async function provoke() {
  const scopes = ['projects:read'];
  const valid = await mint(server, { name: 'valid', scopes });
  const revoked = await mint(server, { name: 'revoked', scopes });
  const expired = await mint(server, { name: 'expired', scopes, expires_at: new Date(Date.now() + 1000).toISOString() });
  const foreign = await mint(server, { name: 'foreign', scopes, allowed_ips: ['192.0.2.0/24'] });
  assert.equal((await server.api('DELETE', `/keys/${revoked.id}`)).status, 200);
  await waitFor('the key expires', async () => (await server.psql("SELECT expires_at < now() FROM api_keys WHERE name = 'expired'")) === 't');
  const ask = (secret) => server.api('GET', '/projects', undefined, { 'X-API-Key': secret });
  for (const [code, secret, status] of [['UNAUTHORIZED', undefined, 401], ['KEY_REVOKED', revoked.secret, 401], ['KEY_EXPIRED', expired.secret, 401], ['IP_NOT_ALLOWED', foreign.secret, 403]])
    for (let i = 0; i < refusals[code]; ++i) assertRefused(await ask(secret), status, code);
  for (let i = 0; i < 7; ++i) assert.equal((await ask(valid.secret)).status, 200);
  const total = Object.values(refusals).reduce((a, b) => a + b);
  await waitFor('all refusals are logged', () => server.logs().filter((line) => line.code).length >= total);
  return { valid, revoked, expired, foreign };
}

// A line of the runbook in bash; gives its output's lines.
async function line(script, { input } = {}) {
  const done = await run('bash', ['-c', script], {
    input,
    cwd: server.base,
    env: cleanEnv({
      PATH: `${tools}:${cleanEnv().PATH}`,
      HOME: tools,
      CURL_HOME: tools,
      VALID_KEY: keys?.valid.secret,
      STUB_LOG: server.logFile,
      STUB_IMAGE: path.join(server.base, 'image'),
      STUB_SET_ENV: path.join(server.base, 'set-env'),
    }),
  });
  return { ...done, lines: done.stdout.toString().split('\n').filter((l) => l !== ''), errors: done.stderr.toString() };
}

// The counted lines of `sort | uniq -c | sort -rn`, most frequent first.
const counted = (lines) => lines.map((l) => l.trim().match(/^(\d+) (.*)$/)).map(([, n, what]) => [what, Number(n)]);

test('check auth failure metrics', async () => {
  const done = await line('curl -s http://rdev-api:8080/metrics | grep auth_failures');
  assert.equal(done.code, 0, done.errors);
  for (const [code, times] of Object.entries(refusals))
    assert.ok(done.lines.includes(`rdev_auth_failures_total{reason="${code.toLowerCase()}"} ${times}`), `${code} in\n${done.stdout}`);
});

test('check auth logs', async () => {
  const done = await line('kubectl -n rdev logs -l app=rdev-api --since=10m | grep -E "(UNAUTHORIZED|KEY_REVOKED|KEY_EXPIRED|IP_NOT_ALLOWED)"');
  assert.equal(done.code, 0, done.errors);
  assert.equal(done.lines.length, Object.values(refusals).reduce((a, b) => a + b), 'a line for each refusal and no other');
  for (const one of done.lines.map((l) => JSON.parse(l))) {
    assert.equal(one.msg, 'request completed');
    assert.equal(one.method, 'GET');
    assert.equal(one.path, '/projects');
    assert.equal(one.client_ip, '127.0.0.1');
    assert.equal(one.status, one.code === 'IP_NOT_ALLOWED' ? 403 : 401);
  }
});

test('count by failure reason', async () => {
  const done = await line(`kubectl -n rdev logs -l app=rdev-api --since=10m | \\
  grep -oE '"code":"[^"]+' | sort | uniq -c | sort -rn`);
  assert.equal(done.code, 0, done.errors);
  assert.deepEqual(counted(done.lines), [['"code":"UNAUTHORIZED', 5], ['"code":"IP_NOT_ALLOWED', 4], ['"code":"KEY_EXPIRED', 3], ['"code":"KEY_REVOKED', 2]]);
});

test('check unique IPs making failed requests', async () => {
  const done = await line(`kubectl -n rdev logs -l app=rdev-api --since=10m | \\
  grep UNAUTHORIZED | grep -oE '"client_ip":"[^"]+' | sort | uniq -c | sort -rn`);
  assert.equal(done.code, 0, done.errors);
  assert.deepEqual(counted(done.lines), [['"client_ip":"127.0.0.1', 5]]);
});

test('check request patterns', async () => {
  const done = await line(`kubectl -n rdev logs -l app=rdev-api --since=10m | \\
  grep UNAUTHORIZED | grep -oE '"path":"[^"]+' | sort | uniq -c | sort -rn`);
  assert.equal(done.code, 0, done.errors);
  assert.deepEqual(counted(done.lines), [['"path":"/projects', 5]]);
});

const listKeys = 'psql $DATABASE_URL -c "SELECT id, name, key_prefix, revoked_at FROM api_keys;"';

function checkKeyList(done) {
  assert.equal(done.code, 0, done.errors);
  const text = done.stdout.toString();
  assert.match(text, /id +\| +name +\| +key_prefix +\| +revoked_at/);
  for (const { key } of Object.values(keys)) assert.ok(text.includes(key.key_prefix), `${key.name} in\n${text}`);
  assert.match(text, /admin +\| +admin/);
}

test('verify keys exist in the database: a shell in the pod, and psql typed into it', async () => {
  checkKeyList(await line('kubectl -n rdev exec -it deployment/rdev-api -- sh', { input: `${listKeys}\n` }));
});

test('verify keys exist in the database: the joined line', async () => {
  checkKeyList(await line(`kubectl -n rdev exec -it deployment/rdev-api -- sh ${listKeys}`));
});

// The SQL blocks of the runbook, as an operator types them into the pod's psql.
async function sql(text) {
  const done = await line('kubectl -n rdev exec -it deployment/rdev-api -- sh', { input: `psql $DATABASE_URL -At <<'SQL'\n${text}\nSQL\n` });
  assert.equal(done.code, 0, done.errors);
  return done.lines.map((row) => row.split('|'));
}

test('who revoked and when', async () => {
  const rows = await sql('SELECT id, name, revoked_at, revoked_by\nFROM api_keys\nWHERE revoked_at IS NOT NULL;');
  assert.equal(rows.length, 1);
  const [, name, at, by] = rows[0];
  assert.equal(name, 'revoked');
  assert.ok(Math.abs(Date.parse(at) - Date.now()) < 600_000, at);
  const admin = await sql("SELECT id, name FROM api_keys WHERE key_prefix = 'admin' OR name = 'admin';");
  assert.ok(admin[0].includes(by), `revoked_by ${by} is the administrator ${admin}`);
});

test('which keys expired', async () => {
  const rows = await sql('SELECT id, name, expires_at\nFROM api_keys\nWHERE expires_at < NOW();');
  assert.deepEqual(rows.map(([, name]) => name), ['expired']);
});

test('which keys have IP restrictions', async () => {
  const rows = await sql('SELECT id, name, allowed_ips\nFROM api_keys\nWHERE allowed_ips IS NOT NULL;');
  assert.deepEqual(rows.map(([, name]) => name), ['foreign']);
  assert.match(rows[0][2], /192\.0\.2\.0\/24/);
});

test('verification: auth success rate', async () => {
  const done = await line('curl -s http://rdev-api:8080/metrics | grep -E "auth_(requests|failures)"');
  assert.equal(done.code, 0, done.errors);
  assert.ok(done.lines.some((l) => l.startsWith('rdev_auth_failures_total{')));
  const good = done.lines.map((l) => l.match(/^rdev_auth_requests_total\{result="[^"]+"\} (\d+)/)).filter(Boolean);
  assert.ok(good.some(([, n]) => Number(n) >= 7), done.stdout.toString());
});

test('verification: test authentication', async () => {
  const done = await line('curl -H "X-API-Key: $VALID_KEY" http://rdev-api:8080/projects');
  assert.equal(done.code, 0, done.errors);
  const answer = JSON.parse(done.stdout.toString());
  assert.deepEqual(answer.data.map(({ id }) => id), ['demo']);
});

test('verification: logs of successful requests', async () => {
  const done = await line('kubectl -n rdev logs -l app=rdev-api --since=5m | grep "request completed" | head -5');
  assert.equal(done.lines.length, 5);
  for (const one of done.lines) assert.equal(JSON.parse(one).msg, 'request completed');
  const all = server.logs().filter((one) => one.msg === 'request completed' && one.path === '/projects' && one.status === 200);
  assert.ok(all.length >= 7);
  assert.ok(all.some((one) => one.key_prefix === keys.valid.key.key_prefix));
});

test('under attack: the rate limit is set by the deployment’s environment', async () => {
  const done = await line('kubectl -n rdev set env deployment/rdev-api RATE_LIMIT_RPS=2');
  assert.equal(done.code, 0, done.errors);
  const [name, value] = fs.readFileSync(path.join(server.base, 'set-env'), 'utf8').trim().split('=');
  await server.stop();
  await server.start({ env: { [name]: value } });
  writeCurlConfig();
  const answers = await Promise.all(Array.from({ length: 10 }, () => server.api('GET', '/projects', undefined, { 'X-API-Key': keys.valid.secret })));
  const limited = answers.filter((answer) => answer.status === 429);
  assert.ok(limited.length >= 1, 'more than two a second are refused');
  for (const answer of limited) {
    assertRefused(answer, 429, 'TOO_MANY_REQUESTS');
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    assert.equal(answer.error.details[0].field, 'key');
  }
  assert.match(answers[0].headers['ratelimit-policy'], /"key";q=2;w=1/);
});
