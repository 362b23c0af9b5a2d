// Nobody gives or takes what it has not got itself: which keys a key makes, changes, rotates and revokes; and what a key
// that is bound to projects sees and touches on each route that there is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, assertRefused, mint, waitFor } from './support.mjs';

let server;
let maker;
before(async () => {
  server = await Server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' } });
  for (const id of ['other', 'third']) assert.equal((await server.api('POST', '/projects', { id })).status, 201);
  maker = await mint(server, strong);
});
after(() => server.close());

const as = (secret) => ({ 'X-API-Key': secret });
const inDays = (days) => new Date(Date.now() + days * 86_400_000).toISOString();

// Who decides, a key within its rights, and keys that lie beyond them in one respect each.
const strong = {
  name: 'strong', scopes: ['projects:execute', 'keys:read', 'keys:write'], project_ids: ['demo', 'other'], allowed_ips: ['127.0.0.0/8', '2001:db8::/32'],
  expires_at: inDays(30), rate_limit: 1000, concurrency_limit: 10,
};
const within = { scopes: ['projects:read'], project_ids: ['demo'], allowed_ips: ['127.0.0.1'], expires_at: inDays(10), rate_limit: 100, concurrency_limit: 5 };
const alsoWithin = {
  scopes: [['projects:execute'], ['projects:read', 'keys:write']], project_ids: [['other', 'demo']],
  allowed_ips: [['127.0.0.0/8'], ['127.4.0.0/16', '2001:db8:5::/48']], expires_at: [strong.expires_at], rate_limit: [1000, 1], concurrency_limit: [10, 1],
};
const beyond = {
  scopes: [['audit:read'], ['projects:read', 'projects:write'], ['webhooks:read', 'keys:read']],
  project_ids: [['third'], ['demo', 'third'], null],
  allowed_ips: [['10.0.0.1'], ['127.0.0.1', '10.0.0.1'], ['126.0.0.0/7'], ['0.0.0.0/0'], ['::/0'], ['2001::/16'], null],
  expires_at: [inDays(31), null],
  rate_limit: [1001, null],
  concurrency_limit: [11, null],
};
const cases = (table) => Object.entries(table).flatMap(([field, values]) => values.map((value) => ({ field, value, what: { ...within, [field]: value } })));
// As POST wants it: a restriction that is not there is left out.
function asked(what) {
  const { expires_at: at, ...rest } = Object.fromEntries(Object.entries(what).filter(([, value]) => value !== null));
  return { name: 'weak', ...rest, ...(at === undefined ? { expires_in: 'never' } : { expires_at: at }) };
}
const changes = ({ field, value }) => ({ [field]: value });
const told = ({ field, value }) => `${field} ${JSON.stringify(value)}`;
const view = async (id) => (await server.api('GET', `/keys/${id}`)).data;

const by = (method, target, body) => server.api(method, target, body, as(maker.secret));
const make = (what) => mint(server, asked(what));

test('a key within one’s own is made, changed, rotated and revoked', async () => {
  for (const one of [{ field: 'nothing', what: within }, ...cases(alsoWithin)]) {
    const made = await by('POST', '/keys', asked(one.what));
    assert.equal(made.status, 201, `${told(one)}: ${made.text}`);
    assert.equal(made.data.key.created_by, maker.id);
    const { id } = made.data.key;
    assert.equal((await by('GET', `/keys/${id}`)).status, 200);
    assert.equal((await by('PATCH', `/keys/${id}`, { name: 'renamed' })).status, 200, told(one));
    const rotated = await by('POST', `/keys/${id}/rotate`, {});
    assert.equal(rotated.status, 201, `${told(one)}: ${rotated.text}`);
    assert.equal(rotated.data.key.name, 'renamed');
    const revoked = await by('DELETE', `/keys/${id}`);
    assert.equal(revoked.status, 200);
    assert.equal(revoked.data.revoked_by ?? maker.id, maker.id);
    // From there a change leads back to where it is known that it may.
    const other = await make(within);
    if (one.field === 'nothing') continue;
    const changed = await by('PATCH', `/keys/${other.id}`, changes(one));
    assert.equal(changed.status, 200, `${told(one)}: ${changed.text}`);
    const now = changed.data[one.field];
    if (one.field === 'expires_at') assert.equal(Date.parse(now), Date.parse(one.value));
    else assert.deepEqual([now].flat().sort(), [one.value].flat().sort());
  }
});

for (const one of cases(beyond)) {
  test(`a key beyond one’s own is not made: ${told(one)}`, async () => {
    assertRefused(await by('POST', '/keys', asked(one.what)), 403, 'FORBIDDEN');
  });
  test(`a key beyond one’s own is not changed, rotated or revoked, nor made into one within: ${told(one)}`, async () => {
    const { id, secret } = await make(one.what);
    const before = await view(id);
    // A key of other projects is not even there.
    const [status, code] = one.field === 'project_ids' ? [404, 'NOT_FOUND'] : [403, 'FORBIDDEN'];
    assertRefused(await by('PATCH', `/keys/${id}`, { name: 'renamed' }), status, code);
    assertRefused(await by('PATCH', `/keys/${id}`, { [one.field]: within[one.field] }), status, code);
    assertRefused(await by('POST', `/keys/${id}/rotate`, {}), status, code);
    assertRefused(await by('DELETE', `/keys/${id}`), status, code);
    if (status === 404) assertRefused(await by('GET', `/keys/${id}`), 404, 'NOT_FOUND');
    assert.deepEqual(await view(id), before);
    assert.notEqual((await server.api('GET', '/projects', undefined, as(secret))).error?.code, 'KEY_REVOKED');
  });
  test(`a key within one’s own is not made one beyond: ${told(one)}`, async () => {
    const { id } = await make(within);
    const before = await view(id);
    assertRefused(await by('PATCH', `/keys/${id}`, changes(one)), 403, 'FORBIDDEN');
    assertRefused(await by('PATCH', `/keys/${id}`, { ...changes(one), name: 'renamed' }), 403, 'FORBIDDEN');
    assert.deepEqual(await view(id), before);
  });
}

test('a key makes itself weaker, at once, and never stronger', async () => {
  const { id, secret } = await mint(server, { ...strong, name: 'self' });
  const self = (method, target, body) => server.api(method, target, body, as(secret));
  for (const one of cases(beyond)) assertRefused(await self('PATCH', `/keys/${id}`, changes(one)), 403, 'FORBIDDEN');
  const rotated = await self('POST', `/keys/${id}/rotate`, { overlap: '0s' });
  assert.equal(rotated.status, 201, rotated.text);
  assert.ok(Date.parse(rotated.data.key.expires_at) <= Date.parse(strong.expires_at), 'a rotation by itself prolongs nothing');
  for (const field of ['scopes', 'project_ids', 'allowed_ips', 'rate_limit', 'concurrency_limit']) assert.deepEqual(rotated.data.key[field], maker.key[field], field);
  const next = as(rotated.data.secret);
  assert.equal((await server.api('PATCH', `/keys/${rotated.data.key.id}`, { project_ids: ['demo'], rate_limit: 500 }, next)).status, 200);
  assertRefused(await server.api('GET', '/projects/other', undefined, next), 403, 'FORBIDDEN');
  const answer = await server.api('PATCH', `/keys/${rotated.data.key.id}`, { scopes: ['projects:read'] }, next);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['ratelimit-policy'], '"key";q=500;w=1');
  assertRefused(await server.api('PATCH', `/keys/${rotated.data.key.id}`, { name: 'x' }, next), 403, 'FORBIDDEN');
});

test('what a key was made with counts, not what it may do now: its children stay', async () => {
  const parent = await mint(server, { name: 'parent', scopes: ['keys:write', 'projects:read'] });
  const child = await mint(server, { name: 'child', scopes: ['projects:read'] }, as(parent.secret));
  assert.equal((await server.api('PATCH', `/keys/${parent.id}`, { scopes: ['keys:write'] })).status, 200);
  assertRefused(await server.api('DELETE', `/keys/${child.id}`, undefined, as(parent.secret)), 403, 'FORBIDDEN');
  assertRefused(await server.api('POST', '/keys', { name: 'x', scopes: ['projects:read'] }, as(parent.secret)), 403, 'FORBIDDEN');
  assert.equal((await server.api('DELETE', `/keys/${parent.id}`)).status, 200);
  assert.equal((await server.api('GET', '/projects', undefined, as(child.secret))).status, 200);
});

test('null lifts each restriction, a change of one field leaves the others', async () => {
  const { id } = await make(within);
  const lifted = { project_ids: null, allowed_ips: null, expires_at: null, rate_limit: null, concurrency_limit: null };
  for (const field of Object.keys(lifted)) {
    const before = await view(id);
    const answer = await server.api('PATCH', `/keys/${id}`, { [field]: null });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.data, { ...before, [field]: null });
  }
  const all = await server.api('PATCH', `/keys/${id}`, { name: 'all', scopes: ['audit:read'], ...within, expires_at: inDays(1) });
  assert.equal(all.status, 200, all.text);
  assert.equal(all.data.name, 'all');
  const audited = await server.psql(`SELECT count(*) FROM audit_log WHERE action = 'key.change' AND detail->>'name' IN ('weak', 'all') AND target = (SELECT id::text FROM api_keys WHERE name = 'all')`);
  assert.equal(audited, '6');
});

test('a change that cannot be is refused, and nothing of it is done', async () => {
  const { id } = await make(within);
  const before = await view(id);
  for (const body of [{}, { secret: 'x' }, { id: 'x' }, { revoked_at: null }, { created_by: null }, { name: null }, { name: '' }, { scopes: null }, { scopes: [] }, { scopes: ['all'] }, { project_ids: [] }, { project_ids: ['Not'] },
    { allowed_ips: [] }, { allowed_ips: ['nowhere'] }, { allowed_ips: ['10.0.0.0/33'] }, { expires_at: 'soon' }, { expires_at: inDays(-1) }, { expires_in: '30d' }, { rate_limit: 0 }, { rate_limit: 1.5 }, { concurrency_limit: 0 },
    { concurrency_limit: -1 }, { name: 'fine', rate_limit: 0 }, { scopes: ['admin'] }])
    assertRefused(await server.api('PATCH', `/keys/${id}`, body), 400, 'BAD_REQUEST');
  assert.deepEqual(await view(id), before);
  const admin = await mint(server, { name: 'second', scopes: ['admin'] });
  assertRefused(await server.api('PATCH', `/keys/${admin.id}`, { project_ids: ['demo'] }), 400, 'BAD_REQUEST');
  const first = (await server.api('GET', '/keys?limit=200')).data.find(({ key_prefix: prefix }) => prefix === 'admin');
  assertRefused(await server.api('PATCH', `/keys/${first.id}`, { name: 'x' }), 409, 'CONFLICT');
  assert.equal((await view(first.id)).name, 'admin');
});

test('the administrator’s key is out of reach for who is none', async () => {
  const first = (await server.api('GET', '/keys?limit=200')).data.find(({ key_prefix: prefix }) => prefix === 'admin');
  const most = await mint(server, { name: 'most', expires_in: 'never', scopes: ['projects:read', 'projects:write', 'projects:execute', 'keys:read', 'keys:write', 'webhooks:read', 'webhooks:write', 'audit:read'] });
  for (const [method, tail, body] of [['PATCH', '', { name: 'x' }], ['DELETE', ''], ['POST', '/rotate', {}]])
    assertRefused(await server.api(method, `/keys/${first.id}${tail}`, body, as(most.secret)), 403, 'FORBIDDEN');
  assertRefused(await server.api('POST', '/keys', { name: 'x', scopes: ['admin'] }, as(most.secret)), 403, 'FORBIDDEN');
  assertRefused(await server.api('PATCH', `/keys/${most.id}`, { scopes: ['admin'] }, as(most.secret)), 403, 'FORBIDDEN');
});

// ---- every route

const nobody = 'http://127.0.0.1:1/';
async function hooked(projects) {
  const answer = await server.api('POST', '/webhooks', { url: nobody, events: ['auth.anomaly'], projects });
  assert.equal(answer.status, 201, answer.text);
  const { id } = answer.data.webhook;
  const ping = await server.api('POST', `/webhooks/${id}/test`);
  assert.equal(ping.status, 202, ping.text);
  return { id, delivery: ping.data.id };
}
// What is there beside the bound key's own: a command that waits for ever, keys and webhooks of other projects and of all.
async function neighbours() {
  const bound = await mint(server, { name: 'bound', project_ids: ['demo'], scopes: ['projects:read', 'projects:write', 'projects:execute', 'keys:read', 'keys:write', 'webhooks:read', 'webhooks:write', 'audit:read'] });
  const theirs = await server.submit('echo theirs; while [ ! -e end ]; do sleep 0.1; done', { project: 'other' });
  const own = await server.submit('echo own; while [ ! -e end ]; do sleep 0.1; done');
  await server.reaches(theirs, 'running');
  await server.reaches(own, 'running');
  const foreign = [await mint(server, { name: 'theirs', scopes: ['projects:read'], project_ids: ['other'] }), await mint(server, { name: 'both', scopes: ['projects:read'], project_ids: ['demo', 'other'] }), await mint(server, { name: 'all', scopes: ['projects:read'] })];
  const mine = await mint(server, { name: 'mine', scopes: ['projects:read'], project_ids: ['demo'] });
  const foreignHooks = [await hooked(['other']), await hooked(['demo', 'other']), await hooked(undefined)];
  const hook = await hooked(['demo']);
  return { ask: (method, target, body) => server.api(method, target, body, as(bound.secret)), secret: bound.secret, theirs, own, foreign, mine, foreignHooks, hook };
}
const outside = (method, tail, body) => async ({ ask }) => {
  for (const project of ['other', 'not-there']) assertRefused(await ask(method, `/projects/${project}${tail}`, body), 403, 'FORBIDDEN');
};
const foreignCommand = (method, tail) => async ({ ask, theirs, own }) => {
  assertRefused(await ask(method, `/commands/${theirs}${tail}`), 404, 'NOT_FOUND');
  assert.ok([200, 202].includes((await ask(method, `/commands/${own}${tail}`)).status));
};
const foreignKeys = (method, tail, body) => async ({ ask, foreign }) => {
  for (const { id } of foreign) {
    const before = await view(id);
    assertRefused(await ask(method, `/keys/${id}${tail}`, body), 404, 'NOT_FOUND');
    assert.deepEqual(await view(id), before);
  }
};
// `tail` of the path, in which DELIVERY stands for one of the webhook's own.
const hookPath = ({ id, delivery }, tail) => `/webhooks/${id}${tail.replace('DELIVERY', delivery)}`;
const hookView = async ({ id }) => {
  const { status, data } = await server.api('GET', `/webhooks/${id}`);
  assert.equal(status, 200);
  return { ...data, status: null, failing_since: null }; // nobody is there to answer
};
const foreignHook = (method, tail, body, own) => async ({ ask, foreignHooks, hook }) => {
  for (const one of foreignHooks) {
    const before = await hookView(one);
    assertRefused(await ask(method, hookPath(one, tail), body), 404, 'NOT_FOUND');
    assert.deepEqual(await hookView(one), before);
    assert.equal((await server.api('GET', `/webhooks/${one.id}/deliveries`)).data.length, 1, 'nothing more is sent');
    if (tail.includes('DELIVERY')) assertRefused(await ask(method, hookPath({ id: hook.id, delivery: one.delivery }, tail), body), 404, 'NOT_FOUND');
  }
  if (own) assert.equal((await ask(method, hookPath(hook, tail), body)).status, own);
};
const forAdministrators = (method, target) => async ({ ask }) => { assertRefused(await ask(method, target), 403, 'FORBIDDEN'); };
const forEverybody = (target) => async ({ ask, theirs }) => {
  const { status, text } = await ask('GET', target);
  assert.equal(status, 200);
  assert.ok(!text.includes(theirs));
};
const onRoute = {
  'GET /projects': async ({ ask }) => {
    assert.deepEqual((await ask('GET', '/projects')).data.map(({ id }) => id), ['demo']);
    const page = await ask('GET', '/projects?limit=1');
    assert.deepEqual([page.data.length, page.meta.next_cursor], [1, null], 'no page of what is not shown');
  },
  'POST /projects': async ({ ask }) => {
    for (const id of ['other', 'fresh']) assertRefused(await ask('POST', '/projects', { id }), 403, 'FORBIDDEN');
    assertRefused(await ask('POST', '/projects', { id: 'demo' }), 409, 'CONFLICT');
    assertRefused(await server.api('GET', '/projects/fresh'), 404, 'NOT_FOUND');
  },
  'GET /projects/{id}': outside('GET', ''),
  'DELETE /projects/{id}': async (all) => {
    await outside('DELETE', '?force=true')(all);
    assert.equal((await server.api('GET', '/projects/other')).status, 200);
  },
  'POST /projects/{id}/start': outside('POST', '/start'),
  'POST /projects/{id}/stop': outside('POST', '/stop'),
  'POST /projects/{id}/restart': outside('POST', '/restart'),
  'POST /projects/{id}/shell': outside('POST', '/shell', { command: 'true' }),
  'POST /projects/{id}/git': outside('POST', '/git', { args: ['status'] }),
  'POST /projects/{id}/claude': outside('POST', '/claude', { prompt: 'hello' }),
  'GET /projects/{id}/events': async (all) => {
    await outside('GET', '/events')(all);
    await outside('GET', `/events?stream_id=${all.theirs}`)(all);
    assertRefused(await all.ask('GET', `/projects/demo/events?stream_id=${all.theirs}`), 404, 'NOT_FOUND');
    assertRefused(await all.ask('GET', `/projects/DEMO/../other/events?stream_id=${all.theirs}`), 404, 'NOT_FOUND');
  },
  'GET /commands': async ({ ask, theirs, own }) => {
    for (const query of ['', '?limit=200', '?status=running']) {
      const { data } = await ask('GET', `/commands${query}`);
      assert.ok(data.some(({ id }) => id === own) && data.every(({ id, project }) => id !== theirs && project === 'demo'), query);
    }
    const { status, text } = await ask('GET', '/commands?project=other');
    assert.ok(status === 403 || (status === 200 && !text.includes(theirs)));
  },
  'GET /commands/{id}': foreignCommand('GET', ''),
  'GET /commands/{id}/output': foreignCommand('GET', '/output'),
  'POST /commands/{id}/cancel': async ({ ask, theirs }) => {
    assertRefused(await ask('POST', `/commands/${theirs}/cancel`), 404, 'NOT_FOUND');
    assert.equal((await server.view(theirs)).status, 'running');
  },
  'GET /queue': async ({ ask }) => {
    const { data } = await ask('GET', '/queue');
    assert.deepEqual(data.by_project.map(({ project }) => project), ['demo']);
    assert.equal(data.running, 1, 'what runs elsewhere is not counted');
    assert.deepEqual(data.depth, { critical: 0, high: 0, normal: 0, low: 0 });
  },
  'GET /keys': async ({ ask, foreign }) => {
    for (const query of ['', '?limit=200', '?unused_for=0s']) {
      const { data } = await ask('GET', `/keys${query}`);
      assert.ok(data.length > 0 && data.every(({ project_ids: ids }) => ids?.join() === 'demo'), query);
      assert.ok(!data.some(({ id }) => foreign.some((one) => one.id === id)));
    }
    const page = await ask('GET', '/keys?limit=1');
    assert.equal(page.data.length, 1);
  },
  'POST /keys': async ({ ask }) => {
    for (const project_ids of [undefined, null, ['other'], ['demo', 'other'], ['not-there']])
      assertRefused(await ask('POST', '/keys', { name: 'x', scopes: ['projects:read'], project_ids }), 403, 'FORBIDDEN');
    assert.equal((await ask('POST', '/keys', { name: 'x', scopes: ['projects:read'], project_ids: ['demo'] })).status, 201);
  },
  'GET /keys/{id}': async (all) => {
    await foreignKeys('GET', '')(all);
    assert.equal((await all.ask('GET', `/keys/${all.mine.id}`)).status, 200);
  },
  'PATCH /keys/{id}': async (all) => {
    await foreignKeys('PATCH', '', { name: 'x' })(all);
    await foreignKeys('PATCH', '', { project_ids: ['demo'] })(all);
    for (const project_ids of [null, ['other'], ['demo', 'other']]) assertRefused(await all.ask('PATCH', `/keys/${all.mine.id}`, { project_ids }), 403, 'FORBIDDEN');
  },
  'DELETE /keys/{id}': foreignKeys('DELETE', ''),
  'POST /keys/{id}/rotate': foreignKeys('POST', '/rotate', {}),
  'GET /bans': forAdministrators('GET', '/bans'),
  'DELETE /bans/{id}': forAdministrators('DELETE', '/bans/ban_00000000000000000000000000'),
  'GET /audit': async ({ ask }) => {
    for (const query of ['', '&action=key.*', '&project=other']) {
      const { data, status, text } = await ask('GET', `/audit?limit=200${query}`);
      assert.equal(status, 200, text);
      assert.ok(data.every(({ project }) => project === 'demo'), query);
    }
  },
  'GET /audit/verify': async ({ ask }) => assertRefused(await ask('GET', '/audit/verify'), 403, 'FORBIDDEN'),
  'GET /audit/keys': async ({ ask }) => {
    const { data } = await ask('GET', '/audit/keys');
    assert.ok(data.every((key) => Object.keys(key).sort().join() === 'algorithm,created_at,id,public_key'));
  },
  'GET /webhooks': async ({ ask, foreignHooks, hook }) => {
    for (const query of ['', '?limit=200', `?cursor=${foreignHooks[2].id}`]) {
      const { data } = await ask('GET', `/webhooks${query}`);
      assert.ok(data.every(({ id, projects }) => projects?.join() === 'demo' && !foreignHooks.some((one) => one.id === id)), query);
    }
    assert.ok((await ask('GET', '/webhooks')).data.some(({ id }) => id === hook.id));
    assert.equal((await ask('GET', '/webhooks?limit=1')).data.length, 1);
  },
  'POST /webhooks': async ({ ask }) => {
    for (const projects of [['other'], ['demo', 'other'], ['not-there']]) assertRefused(await ask('POST', '/webhooks', { url: nobody, events: ['*'], projects }), 403, 'FORBIDDEN');
    for (const projects of [undefined, ['demo']]) {
      const made = await ask('POST', '/webhooks', { url: nobody, events: ['auth.anomaly'], projects });
      assert.equal(made.status, 201, made.text);
      assert.deepEqual(made.data.webhook.projects, ['demo'], 'left out = those of the key');
    }
  },
  'GET /webhooks/{id}': foreignHook('GET', '', undefined, 200),
  'PATCH /webhooks/{id}': async (all) => {
    await foreignHook('PATCH', '', { description: 'x' }, 200)(all);
    await foreignHook('PATCH', '', { projects: ['demo'] }, 200)(all);
    for (const projects of [null, ['other'], ['demo', 'other']]) assertRefused(await all.ask('PATCH', `/webhooks/${all.hook.id}`, { projects }), 403, 'FORBIDDEN');
    assert.deepEqual((await hookView(all.hook)).projects, ['demo']);
  },
  'DELETE /webhooks/{id}': async (all) => {
    await foreignHook('DELETE', '')(all);
    const { data } = await all.ask('POST', '/webhooks', { url: nobody, events: ['auth.anomaly'] });
    assert.equal((await all.ask('DELETE', `/webhooks/${data.webhook.id}`)).status, 200);
  },
  'POST /webhooks/{id}/test': foreignHook('POST', '/test', undefined, 202),
  'POST /webhooks/{id}/rotate-secret': foreignHook('POST', '/rotate-secret', {}, 200),
  'GET /webhooks/{id}/deliveries': foreignHook('GET', '/deliveries', undefined, 200),
  'GET /webhooks/{id}/deliveries/{did}': foreignHook('GET', '/deliveries/DELIVERY', undefined, 200),
  'POST /webhooks/{id}/deliveries/{did}/redeliver': foreignHook('POST', '/deliveries/DELIVERY/redeliver', undefined, 202),
  'POST /webhooks/{id}/redeliver': foreignHook('POST', '/redeliver', { status: 'pending' }, 202),
  'GET /health': forEverybody('/health'),
  'GET /ready': forEverybody('/ready'),
  'GET /metrics': forEverybody('/metrics'),
  'GET /docs': forEverybody('/docs'),
  'GET /openapi.json': forEverybody('/openapi.json'),
};

test('it is known of every route what a bound key may do there', async () => {
  const { paths } = (await server.api('GET', '/openapi.json')).json;
  const methods = ['get', 'put', 'post', 'delete', 'patch', 'options', 'head', 'trace'];
  const routes = Object.entries(paths).flatMap(([path, item]) => Object.keys(item).filter((name) => methods.includes(name)).map((method) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(Object.keys(onRoute).sort(), routes.sort(), 'a new route needs a word here about keys that are bound to projects');
});

let all;
for (const [route, check] of Object.entries(onRoute))
  test(`a bound key stays within its projects: ${route}`, async () => {
    all ??= await neighbours();
    await check(all);
  });

test('a bound key reads nothing of others from the header of a page either', async () => {
  const { ask, foreign } = all;
  const { data } = await ask('GET', `/keys?cursor=${foreign[0].id}`);
  assert.ok(data.every(({ project_ids: ids }) => ids?.join() === 'demo'));
  server.put('end', '', 'other');
  server.put('end', '', 'demo');
  await waitFor('all is over', async () => (await server.api('GET', '/queue')).data.running === 0);
});
