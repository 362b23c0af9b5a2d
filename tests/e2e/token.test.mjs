// RDEV_TOKEN: what a command may do with the credential that it is given, and for how long.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { Cluster } from '../cluster/cluster.mjs';
import { Server, allPids, assertRefused, fieldsOf, mint, waitFor } from './support.mjs';

const env = { RDEV_LIMITS_UNAUTHENTICATED_RPS: '0', RDEV_LIMITS_RPS: '0', RDEV_COMMANDS_KILL_GRACE: '1s' };
const label = 'rdev.orchard9.ai/commands-may-submit';

let server;
before(async () => {
  server = await Server.start({ env });
  for (const [id, labels] of [['other', {}], ['open', { [label]: 'true' }], ['ajar', { [label]: 'yes' }]])
    assert.equal((await server.api('POST', '/projects', { id, labels })).status, 201);
});
after(() => server.close());

const as = (secret) => ({ 'X-API-Key': secret });
let turn = 0;
// A command that hands its token out and then waits: {id, token, ask, end}.
async function holder({ on = server, project = 'demo', headers, tail = '' } = {}) {
  const name = `held-${++turn}`;
  const id = await on.submit(`printf %s "$RDEV_TOKEN" >${name}.part; mv ${name}.part ${name}; while [ ! -e end-${name} ]; do sleep 0.05; done; ${tail}`, { project, headers });
  await waitFor('it hands its token out', () => on.take(name, project) !== undefined);
  const token = on.take(name, project).toString();
  assert.ok(token.length > 40, token);
  return {
    id, token, name,
    ask: (method, target, body, more = {}, at = on) => at.api(method, target, body, { ...as(token), ...more }),
    end: async () => {
      on.put(`end-${name}`, '', project);
      return on.finished(id);
    },
  };
}

test('a command reads its own project, its commands and their output, and nothing else', async () => {
  const foreign = await server.submit('echo foreign', { project: 'other' });
  const earlier = await server.submit('echo earlier');
  await server.finished(foreign);
  await server.finished(earlier);
  const { id, ask, end } = await holder();
  assert.deepEqual((await ask('GET', '/projects')).data.map((one) => one.id), ['demo']);
  assert.equal((await ask('GET', '/projects/demo')).data.id, 'demo');
  assert.equal((await ask('GET', `/commands/${id}`)).data.status, 'running');
  assert.equal((await ask('GET', `/commands/${earlier}/output?stream=stdout`, undefined, { Accept: 'application/octet-stream' })).text, 'earlier\n');
  assert.equal((await ask('GET', `/commands/${id}/output`)).status, 200);
  const listed = (await ask('GET', '/commands')).data;
  assert.ok(listed.some((one) => one.id === id) && listed.every(({ project }) => project === 'demo'));
  assert.ok((await ask('GET', '/queue')).data.by_project.every(({ project }) => project === 'demo'));
  for (const [method, target, body] of [['GET', '/projects/other'], ['GET', '/projects/not-there'], ['GET', `/projects/other/events?stream_id=${foreign}`], ['POST', '/projects/other/shell', { command: 'true' }], ['DELETE', '/projects/other']])
    assertRefused(await ask(method, target, body), 403, 'FORBIDDEN');
  assertRefused(await ask('GET', `/commands/${foreign}`), 404, 'NOT_FOUND');
  assertRefused(await ask('GET', `/commands/${foreign}/output`), 404, 'NOT_FOUND');
  for (const [method, target, body] of [['GET', '/keys'], ['POST', '/keys', { name: 'x', scopes: ['projects:read'] }], ['GET', '/bans'], ['POST', '/projects', { id: 'mine' }], ['DELETE', '/projects/demo'], ['POST', '/projects/demo/stop'], ['POST', `/commands/${id}/cancel`]])
    assertRefused(await ask(method, target, body), 403, 'FORBIDDEN');
  for (const target of ['/audit', '/audit/verify', '/webhooks'])
    assert.ok([403, 404].includes((await ask('GET', target)).status), target);
  assert.equal((await server.api('GET', '/projects', undefined, { 'X-API-Key': undefined, Authorization: `Bearer ${(await holder()).token}` })).status, 200);
  await end();
});

test('a command follows its own output', async () => {
  const { id, token, end } = await holder({ tail: 'echo done' });
  const seen = server.follow(id, { headers: as(token) });
  await end();
  const { complete, frames } = await seen;
  assert.equal(complete?.status, 'completed', JSON.stringify(frames.at(-1)));
});

test('each command has another token, and it is no key', async () => {
  const [one, two] = [await holder(), await holder()];
  assert.notEqual(one.token, two.token);
  const listed = await server.api('GET', '/keys?limit=200');
  assert.deepEqual(listed.data.map(({ name }) => name), ['admin']);
  assert.ok(!listed.text.includes(one.token));
  await Promise.all([one.end(), two.end()]);
});

test('a command submits others only where the project says so, and only there', async () => {
  for (const project of ['demo', 'ajar']) {
    const { ask, end } = await holder({ project });
    for (const [route, body] of [['shell', { command: 'true' }], ['git', { args: ['status'] }], ['claude', { prompt: 'x' }]])
      assertRefused(await ask('POST', `/projects/${project}/${route}`, body), 403, 'FORBIDDEN');
    await end();
  }
  const { ask, end, id } = await holder({ project: 'open' });
  const answer = await ask('POST', '/projects/open/shell', { command: 'echo child' });
  assert.equal(answer.status, 202, answer.text);
  assert.equal((await server.finished(answer.data.id)).status, 'completed');
  assertRefused(await ask('POST', '/projects/demo/shell', { command: 'true' }), 403, 'FORBIDDEN');
  assertRefused(await ask('POST', '/projects/open/shell', {}), 400, 'BAD_REQUEST');
  assertRefused(await ask('POST', `/commands/${id}/cancel`), 403, 'FORBIDDEN');
  assertRefused(await ask('DELETE', '/projects/open'), 403, 'FORBIDDEN');
  const audited = await server.psql(`SELECT actor_name FROM audit_log WHERE action = 'command.submit' AND detail->>'script' LIKE '%echo child%' OR action = 'command.submit' AND detail::text LIKE '%echo child%' LIMIT 1`);
  assert.equal(audited, id, 'the audit log says which command it was');
  await end();
});

const endings = [
  ['exits', async ({ end }) => end()],
  ['is cancelled', async ({ id }) => { assert.equal((await server.api('POST', `/commands/${id}/cancel`)).status, 202); await server.finished(id); }],
  ['is killed', async ({ id }) => {
    const pids = allPids().filter((pid) => { try { return fs.readFileSync(`/proc/${pid}/environ`).toString().split('\0').includes(`RDEV_COMMAND_ID=${id}`); } catch { return false; } });
    assert.ok(pids.length > 0);
    for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch { /* it was quicker */ }
    await server.finished(id);
  }],
];
for (const [how, end] of endings)
  test(`the token of a command that ${how} is worth nothing from then on, and is no try of a key`, async () => {
    const one = await holder();
    assert.equal((await one.ask('GET', '/projects')).status, 200);
    await end(one);
    for (let i = 0; i < 12; ++i) assertRefused(await one.ask('GET', '/projects'), 401, 'UNAUTHORIZED');
  });

test('a stream that a command opened of its project does not outlive the command', async () => {
  const one = await holder();
  const stream = await server.openEvents('/projects/demo/events', as(one.token));
  assert.equal(stream.status, 200);
  let ended = false;
  (async () => { for await (const frame of stream.frames) void frame; })().catch(() => {}).then(() => { ended = true; });
  await one.end();
  assertRefused(await one.ask('GET', '/projects'), 401, 'UNAUTHORIZED');
  try {
    await waitFor('the stream ends', () => ended);
  } finally {
    stream.close();
  }
});

const other = (c) => (c === '0' ? '1' : '0');
const forgeries = [
  ['its last character', (t) => t.slice(0, -1) + other(t.at(-1))],
  ['its first digit', (t) => { const at = t.lastIndexOf('_') + 1; return t.slice(0, at) + other(t[at]) + t.slice(at + 1); }],
  ['the command that it names', (t) => { const at = t.lastIndexOf('_') - 1; return t.slice(0, at) + other(t[at]) + t.slice(at + 1); }],
  ['the case of one letter', (t) => { const at = t.search(/[a-f](?=[0-9a-f]*$)/); return t.slice(0, at) + t[at].toUpperCase() + t.slice(at + 1); }],
  ['one character more', (t) => `${t}0`],
  ['one character less', (t) => t.slice(0, -1)],
];
for (const [n, [what, forge]] of forgeries.entries())
  test(`a token that differs in ${what} is a try like that of any key`, async () => {
    const { token, end } = await holder();
    const forged = forge(token);
    assert.notEqual(forged, token);
    const from = `127.0.5.${n + 1}`;
    for (let i = 0; i < 10; ++i) assertRefused(await server.api('GET', '/projects', undefined, as(forged), { from }), 401, 'UNAUTHORIZED');
    const banned = assertRefused(await server.api('GET', '/projects', undefined, as(forged), { from }), 429, 'TOO_MANY_REQUESTS');
    assert.deepEqual(fieldsOf(banned), ['ban']);
    assert.equal((await server.api('GET', '/projects', undefined, as(token), { from })).status, 200, 'the real one is a good credential');
    await end();
  });

test('the token stands in no log line, no command line, and nowhere in the database', async () => {
  const { id, token, ask, end } = await holder({ project: 'open' });
  assert.equal((await ask('GET', '/projects')).status, 200);
  const child = await ask('POST', '/projects/open/shell', { command: 'true' });
  assert.equal(child.status, 202);
  assertRefused(await ask('GET', '/keys'), 403, 'FORBIDDEN');
  assertRefused(await server.api('GET', '/projects', undefined, as(`${token}0`)), 401, 'UNAUTHORIZED');
  const proof = token.slice(token.lastIndexOf('_') + 1);
  const lines = (where) => allPids().filter((pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`).includes(where); } catch { return false; } });
  assert.deepEqual(lines(proof), []);
  // Every column of every table as text, bytes in hexadecimal.
  const hex = (text) => Buffer.from(text).toString('hex');
  const tables = await server.psql("SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')");
  const holds = async (...needles) => {
    const where = needles.map((needle) => `x::text LIKE '%${needle}%'`).join(' OR ');
    return server.psql(tables.split('\n').map((table) => `SELECT '${table}' FROM ${table} x WHERE ${where}`).join(' UNION '));
  };
  assert.notEqual(await holds(id), '', 'the search would find it');
  const before = await holds(proof, hex(proof), proof.slice(0, 48));
  assert.equal(before, '');
  await end();
  assert.equal(await holds(proof, hex(proof)), '');
  assert.ok(server.rawLog().includes(id), 'the log speaks of the command');
  assert.ok(!server.rawLog().includes(proof));
  assert.ok(!server.errors().includes(proof));
  const answers = [await server.api('GET', `/commands/${id}`), await server.api('GET', '/commands')];
  for (const { text } of answers) assert.ok(!text.includes(proof));
});

test('who has lost its key goes on reading by its command, but submits nothing more', async () => {
  const { id: key, secret } = await mint(server, { name: 'submitter', scopes: ['projects:execute'] });
  const { ask, end } = await holder({ project: 'open', headers: as(secret) });
  assert.equal((await ask('POST', '/projects/open/shell', { command: 'true' })).status, 202);
  assert.equal((await server.api('DELETE', `/keys/${key}`)).status, 200);
  const before = await server.psql('SELECT count(*) FROM command');
  assert.equal((await ask('GET', '/projects/open')).status, 200);
  assert.equal((await ask('GET', '/commands')).status, 200);
  assertRefused(await ask('POST', '/projects/open/shell', { command: 'true' }), 401, 'KEY_REVOKED');
  assert.equal(await server.psql('SELECT count(*) FROM command'), before);
  await end();
});

test('reading by a command whose key was revoked is following streams as well', async () => {
  const { id: key, secret } = await mint(server, { name: 'submitter', scopes: ['projects:execute'] });
  const { id, token, ask, end } = await holder({ headers: as(secret), tail: 'echo done' });
  assert.equal((await server.api('DELETE', `/keys/${key}`)).status, 200);
  assert.equal((await ask('GET', `/commands/${id}`)).status, 200);
  const seen = server.follow(id, { headers: as(token) });
  await end();
  const { complete, frames } = await seen;
  assert.equal(complete?.status, 'completed', JSON.stringify(frames.at(-1)));
});

test('what a command submits counts for the concurrency_limit of its key', async () => {
  const { secret } = await mint(server, { name: 'narrow', scopes: ['projects:execute'], concurrency_limit: 2 });
  const { ask, end } = await holder({ project: 'open', headers: as(secret) });
  assert.equal((await ask('POST', '/projects/open/shell', { command: 'while [ ! -e end-narrow ]; do sleep 0.1; done' })).status, 202);
  const over = assertRefused(await ask('POST', '/projects/open/shell', { command: 'true' }), 429, 'TOO_MANY_REQUESTS');
  assert.deepEqual(fieldsOf(over), ['key']);
  server.put('end-narrow', '', 'open');
  await end();
});

for (const change of [{ scopes: ['projects:read'] }, { project_ids: ['demo'] }])
  test(`a command submits nothing that its key may not submit any more: ${JSON.stringify(change)}`, async () => {
    const { id: key, secret } = await mint(server, { name: 'narrowed', scopes: ['projects:execute'] });
    const { ask, end } = await holder({ project: 'open', headers: as(secret) });
    assert.equal((await server.api('PATCH', `/keys/${key}`, change)).status, 200);
    assertRefused(await server.api('POST', '/projects/open/shell', { command: 'true' }, as(secret)), 403, 'FORBIDDEN');
    assertRefused(await ask('POST', '/projects/open/shell', { command: 'true' }), 403, 'FORBIDDEN');
    await end();
  });

test('who submits cannot choose the token', async () => {
  const id = await server.submit('printf %s "$RDEV_TOKEN" >chosen', { env: { RDEV_TOKEN: 'chosen' } }).catch((error) => ({ error }));
  if (id.error) return; // refused, which is as good
  await server.finished(id);
  assert.notEqual(server.take('chosen').toString(), 'chosen');
});

test('without commands.token a command has none', async () => {
  const without = await Server.start({ env: { ...env, RDEV_COMMANDS_TOKEN: 'false' } });
  try {
    const id = await without.submit('echo "${RDEV_TOKEN-none}"');
    assert.equal((await without.follow(id)).stdout.toString(), 'none\n');
  } finally {
    await without.close();
  }
});

test('a node that takes a command over knows its token', async () => {
  const cluster = await Cluster.start({ env });
  try {
    const [a, b] = [cluster.add('a'), cluster.add('b')];
    await a.start();
    const one = await holder({ on: a });
    await b.start();
    assert.equal((await one.ask('GET', '/projects', undefined, {}, b)).status, 200, 'also before it does');
    await a.kill9();
    assert.equal((await one.ask('GET', '/projects', undefined, {}, b)).status, 200, 'while nobody looks after it');
    await waitFor('node b has it', async () => (await cluster.ownerOf(one.id)) === b);
    assert.equal((await one.ask('GET', '/projects', undefined, {}, b)).status, 200);
    b.put(`end-${one.name}`, '');
    assert.equal((await b.finished(one.id)).status, 'completed');
    assertRefused(await one.ask('GET', '/projects', undefined, {}, b), 401, 'UNAUTHORIZED');
  } finally {
    await cluster.close();
  }
});
